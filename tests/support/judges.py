"""What a scripted provider holds against a request: its body, its headers, its one credential."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, assert_never

from tests.support import validation, validation_anthropic, validation_responses
from tests.support.told import Wire

_VERSION = re.compile(r"\d{4}-\d\d-\d\d")
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization")
_OF_THE_CLIENTS_PATH = ("forwarded", "x-forwarded-", "x-real-ip", "cf-", "x-ccproxy-")
_NEVER_SENT_ON = ("cookie", "expect", "upgrade", *_OF_THE_CLIENTS_PATH)


def make_ready(wires: Iterable[Wire]) -> None:
    """Have at hand what judges bodies on these wires: to load it takes longer than answers may."""
    judges = {
        "chat": validation.judge,
        "responses": validation_responses.judge,
        "anthropic": validation_anthropic.judge,
    }
    for wire in wires:
        judges[wire]()


def body_violations(
    body: dict[str, Any], wire: Wire, *, name: str, betas: Sequence[str], also_allowed: frozenset[str]
) -> list[str]:
    """What is wrong with a body that came to the provider `name` on this wire."""
    match wire:
        case "chat":
            return validation.violations(body, also_allowed=also_allowed)
        case "responses":
            return validation_responses.violations(body, name=name, also_allowed=also_allowed)
        case "anthropic":
            return validation_anthropic.violations(body, betas=betas, also_allowed=also_allowed)
        case _:
            assert_never(wire)


def header_violations(headers: Mapping[str, str], wire: Wire) -> Iterator[str]:
    """Headers that no provider is to see, or not this one; names in lower case."""
    for name in headers:
        if name.startswith(_NEVER_SENT_ON):
            yield f"header {name} was sent on"
        elif name.startswith("anthropic-") and wire != "anthropic":
            yield f"header {name} is for Anthropic alone"
    if wire == "anthropic" and not _VERSION.fullmatch(headers.get("anthropic-version", "")):
        yield f"header anthropic-version is {headers.get('anthropic-version')}"


def credential_violations(headers: Mapping[str, str], right: Mapping[str, str]) -> Iterator[str]:
    """There is exactly one credential, and it is one of these headers with its value."""
    given = [name for name in _CREDENTIALS if name in headers]
    if len(given) > 1:
        yield f"headers {' and '.join(given)} are one credential too many"
    elif not given:
        yield f"no credential, neither of {' and '.join(right)}"
    elif headers[given[0]] != right.get(given[0]):
        yield f"header {given[0]} is wrong"
