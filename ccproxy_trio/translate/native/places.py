"""Where in a request a refusal points: paths as validators write them, followed through what was sent.

Such a path may hold the type of what it passes (`tools.0.custom.defer_loading`,
`system.1.cache_control.ephemeral.scope`), which is no member of it.
"""

import re

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.native.raws import begins_with, items
from ccproxy_trio.translate.raw import members


class Place(Struct, frozen=True, kw_only=True):
    """What a path led to.

    `chain` are the members on the way, `value` is where it ends, `element` the last element of a list that it
    passed. `is_there`: it could be followed to its end. `is_element`: it ends at such an element.
    """

    chain: tuple[str, ...]
    value: Raw
    element: Raw
    is_there: bool
    is_element: bool


class _Typed(Struct):
    type: str = ""


def type_of(block: Raw) -> str:
    """The type of an object; "" where it has none, or is none."""
    try:
        return msgspec.json.decode(block, type=_Typed).type
    except msgspec.DecodeError:
        return ""


def steps(path: str) -> list[str]:
    """The names and numbers of a path."""
    return re.findall(r"[^.\[\]]+", path)


def place_of(path: str, body: bytes) -> Place:
    """Follow a path as far as it leads."""
    value = element = Raw(body)
    chain: tuple[str, ...] = ()
    is_there = is_element = passed_type = False
    for step in steps(path):
        inside = _step(value, step, is_type=not passed_type and step == type_of(value))
        is_there = inside is not None
        passed_type = passed_type or not is_there
        if inside is not None:
            value, is_element, passed_type = inside, step.isdigit(), False
            element = value if is_element else element
            chain = chain if is_element else (*chain, step)
    return Place(chain=chain, value=value, element=element, is_there=is_there, is_element=is_element)


def _step(value: Raw, step: str, *, is_type: bool) -> Raw | None:
    """What is at the next step of a path; None: it is no step into anything."""
    if is_type:
        return None
    if begins_with(value, b"["):
        inside = items(value)
        return inside[int(step)] if step.isdigit() and int(step) < len(inside) else None
    return members(value, "sent").get(step) if begins_with(value, b"{") else None
