"""Members that are left out of a request, named by paths.

A path of one name is a member of the request itself (`context_management`). A longer one means its last name
wherever the others lead to it in this order, with lists and anything else in between: `tools.defer_loading`,
`messages.citations`, `cache_control.scope`, `output_config.effort`.

What a request is nothing without stays whatever is asked for, and so does all that is a tool's or a schema's:
nothing of what a model wrote into a call's input is ever looked at.
"""

from collections.abc import Iterable, Mapping

from msgspec import Raw

from ccproxy_trio.translate.native.raws import begins_with, items, listed, made
from ccproxy_trio.translate.raw import members

Chain = tuple[str, ...]  # the names that lead to a member, places in lists left out

OPAQUE = frozenset({"input", "input_schema", "schema", "input_examples"})
"""Members that are never looked into."""
ESSENTIAL = frozenset({"model", "messages", "max_tokens", "system", "tools", "stream"})
"""Members of a request that it is nothing without."""
ESSENTIAL_INSIDE = frozenset(
    {
        *("type", "role", "content", "text", "thinking", "signature", "data", "source", "media_type", "url"),
        *("id", "name", "tool_use_id", "is_error", "tool_name", "file_id", "description", "title", "tool"),
        *("input", "input_schema", "schema", "budget_tokens"),
    }
)
"""Members of its parts that these are nothing without."""
_DEEPEST = 24  # objects and lists; no part of a request that is known lies deeper
_ESCAPED = b"\\u00"  # how an ASCII letter of a name is spelt by whoever hides it


def may_go(path: str) -> bool:
    """Whether what a path names may be left out at all."""
    *_, last = names = path.split(".")
    return last not in (ESSENTIAL if len(names) == 1 else ESSENTIAL_INSIDE)


def without(body: dict[str, Raw], paths: Iterable[str], *, text: bytes) -> dict[str, Raw]:
    """The body without what the paths name. `text` is all of it, to see at once what does not occur."""
    parsed = [tuple(path.split(".")) for path in paths if may_go(path)]
    here = [path for path in parsed if _may_occur(path, body, text)]
    if not here:
        return body
    kept: dict[str, Raw] = {}
    for name, value in body.items():
        if _is_meant((name,), here):
            continue
        cleaned = _cleaned(value, (name,), here)
        if cleaned is value or bytes(cleaned) != b"{}":  # of which nothing is left says nothing
            kept[name] = cleaned
    return kept


def chains_to(body: Raw, last: str) -> list[Chain]:
    """How members of this name are reached, each way once."""
    return list(dict.fromkeys(chain for chain in _chains(body, ()) if chain[-1] == last))


def leaves_out(paths: Iterable[str], chain: Chain) -> bool:
    """Whether a member that is reached this way is left out, itself or with what it is in."""
    parsed = [tuple(path.split(".")) for path in paths]
    return any(_is_meant(chain[:length], parsed) for length in range(1, len(chain) + 1))


def path_of(chain: Chain) -> str:
    """The path that means such a member wherever there is one like it."""
    *before, last = chain
    if "cache_control" in before:
        return f"cache_control.{last}"
    return f"{before[0]}.{last}" if before else last


def _may_occur(path: Chain, body: Mapping[str, Raw], text: bytes) -> bool:
    """Whether it is worth looking for. A large body is searched as little as possible."""
    first, *others = path
    if not others:
        return first in body
    if first in ESSENTIAL:
        return first in body and _occurs(path[-1], bytes(body[first]))
    return all(_occurs(name, text) for name in path)


def _occurs(name: str, text: bytes) -> bool:
    return f'"{name}"'.encode() in text or _ESCAPED in text


def _is_meant(chain: Chain, paths: Iterable[Chain]) -> bool:
    return any(
        chain[-1] == path[-1] and (_leads(path[:-1], chain[:-1]) if len(path) > 1 else len(chain) == 1)
        for path in paths
    )


def _leads(path: Chain, chain: Chain) -> bool:
    """Whether the names of `path` come in `chain` in this order."""
    rest = iter(chain)
    return all(name in rest for name in path)


def _cleaned(raw: Raw, chain: Chain, paths: list[Chain], depth: int = 0) -> Raw:
    """The same value, and the same object where nothing in it is meant."""
    if depth > _DEEPEST or not any(_occurs(path[-1], bytes(raw)) for path in paths):
        return raw
    if begins_with(raw, b"["):
        before = items(raw)
        after = [_cleaned(item, chain, paths, depth + 1) for item in before]
        return raw if all(map(_same, before, after)) else listed(after)
    return _cleaned_object(raw, chain, paths, depth) if begins_with(raw, b"{") else raw


def _cleaned_object(raw: Raw, chain: Chain, paths: list[Chain], depth: int) -> Raw:
    before = members(raw, ".".join(chain))
    after: dict[str, Raw] = {}
    for name, value in before.items():
        if not _is_meant((*chain, name), paths):
            after[name] = value if name in OPAQUE else _cleaned(value, (*chain, name), paths, depth + 1)
    unchanged = len(after) == len(before) and all(map(_same, before.values(), after.values()))
    return raw if unchanged else made(after)


def _same(one: Raw, other: Raw) -> bool:
    return one is other


def _chains(raw: Raw, chain: Chain, depth: int = 0) -> Iterable[Chain]:
    if depth > _DEEPEST:
        return
    if begins_with(raw, b"["):
        for item in items(raw):
            yield from _chains(item, chain, depth + 1)
    elif begins_with(raw, b"{"):
        for name, value in members(raw, ".".join(chain)).items():
            yield (*chain, name)
            if name not in OPAQUE:
                yield from _chains(value, (*chain, name), depth + 1)
