"""Single members of a JSON text written anew, while every other byte of it stays.

The text is valid where it gets here: whoever has to change it has read it before.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s"{}\[\],:]+', re.DOTALL)
_OPENING = frozenset({b"{", b"["})
_CLOSING = frozenset({b"}", b"]"})
_BEHIND_A_VALUE = frozenset({b",", b"}"})

Edit = Callable[[bytes], bytes]


def put(document: bytes, path: Sequence[str], members: Mapping[str, bytes]) -> bytes:
    """An object with `members`, names and their JSON, in the object that `path` leads to.

    What has no such place gets one: missing objects are made, other values in their stead are replaced. Of
    names that occur twice all are written, as readers differ in which of them counts.
    """
    if path:
        name, *rest = path
        values = (document[start:stop] for found, start, stop in _members(document) if found == name)
        objects = [value for value in values if value.startswith(b"{")]
        return put(document, (), {name: put(objects[-1] if objects else b"{}", rest, members)})
    pieces: list[bytes] = []
    missing = dict(members)
    at = 0
    for name, start, stop in _members(document):
        if name in members:
            pieces += (document[at:start], members[name])
            missing.pop(name, None)
            at = stop
    return _completed(b"".join((*pieces, document[at:])), missing)


def edited(raw: bytes, edit: Edit) -> bytes:
    """Whole frames of an event stream, with the data of each as `edit` has it."""
    out: list[bytes] = []
    data: list[tuple[int, bytes]] = []  # the lines of one frame: their places in `out`, what they say
    for line in raw.splitlines(keepends=True):
        out.append(line)
        text = line.rstrip(b"\r\n")
        if text.startswith(b"data:"):
            data.append((len(out) - 1, text[5:].removeprefix(b" ")))
        elif not text and data:
            _replace(out, data, edit)
            data = []
    return b"".join(out)


def _replace(out: list[bytes], data: Sequence[tuple[int, bytes]], edit: Edit) -> None:
    before = b"\n".join(text for _, text in data)
    after = edit(before)
    if after == before:
        return
    first, text = data[0]
    line = out[first].rstrip(b"\r\n")
    name, end = line[: len(line) - len(text)], out[first][len(line) :]
    for place, _ in data:
        out[place] = b""
    out[first] = b"".join(name + each + end for each in after.split(b"\n"))


def _completed(document: bytes, members: Mapping[str, bytes]) -> bytes:
    """The object with members that it lacks, in front."""
    if not members:
        return document
    at = document.index(b"{") + 1
    added = b",".join(msgspec.json.encode(name) + b":" + value for name, value in members.items())
    comma = b"" if document[at:].lstrip().startswith(b"}") else b","
    return b"".join((document[:at], added, comma, document[at:]))


def _members(document: bytes) -> Iterator[tuple[str, int, int]]:
    """The names of an object's members, and where their values begin and end."""
    depth = 0
    name: str | None = None
    start = end = -1
    for token in _TOKEN.finditer(document):
        mark = token.group()
        if mark in _CLOSING:
            depth -= 1
        if depth == (0 if mark == b"}" else 1) and mark in _BEHIND_A_VALUE and name is not None:
            yield name, start, end
            name, start = None, -1
        elif depth == 1 and mark != b":":
            if name is None:
                name = json.loads(mark)  # unlike msgspec it reads half characters, too
            elif start < 0:
                start = token.start()
        if mark in _OPENING:
            depth += 1
        end = token.end()
