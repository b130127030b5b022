"""The chunks of a body that need no judge (RFC 9112, section 7.1).

h11 takes every HTTP chunk through its state machine: right, and the greater part of what a burst of small
chunks costs. Nearly all chunks are plain, a size and nothing else, and those are taken apart here. At the
first that is not (the last one, one with extensions, a malformed one) the bytes go to h11, which has seen
no chunk so far, and it judges all the rest. So there is one opinion about everything that needs one.
"""

import re

from msgspec import Struct

_PLAIN = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_BEGINNING_OF_PLAIN = re.compile(rb"[0-9A-Fa-f]{1,8}\r?")
_END = b"\r\n"


class Taken(Struct, frozen=True):
    """What came of one read. `rest` is None as long as all is plain; then h11's, from a chunk's start on.

    `is_torn`: a chunk does not end where its size said; the body cannot be read any further.
    """

    pieces: list[bytes]
    rest: bytes | None = None
    is_torn: bool = False


class PlainChunks:
    """Takes plain chunks off a body, whatever its cuts. `feed` until it gives a `rest` or is torn."""

    def __init__(self) -> None:
        self._missing = 0  # bytes of the chunk under way
        self._end = b""  # what has to follow it
        self.held = b""  # the beginning of a chunk's size

    def feed(self, data: bytes) -> Taken:
        """Take in the next bytes, at least one."""
        pieces: list[bytes] = []
        data, self.held = self.held + data, b""
        at = self._resumed(data, pieces)
        if at < 0:
            return Taken(pieces, is_torn=True)
        while match := _PLAIN.match(data, at):
            size = int(match[1], 16)
            if not size:
                break
            begin = match.end()
            at = begin + size
            if data[at : at + 2] == _END:
                pieces.append(data[begin:at])
                at += 2
                continue
            self._missing = size
            at = self._resumed(data, pieces, begin)
            if at < 0:
                return Taken(pieces, is_torn=True)
        return self._left(data[at:], pieces)

    def _resumed(self, data: bytes, pieces: list[bytes], at: int = 0) -> int:
        """Go on with the chunk under way: where it ends, or -1 if it does not end as it should."""
        if self._missing:
            piece = data[at : at + self._missing]
            if piece:
                pieces.append(piece)
            self._missing -= len(piece)
            at += len(piece)
            self._end = _END
            if self._missing:
                return at
        got = data[at : at + len(self._end)]
        if not self._end.startswith(got):
            return -1
        self._end = self._end[len(got) :]
        return at + len(got)

    def _left(self, rest: bytes, pieces: list[bytes]) -> Taken:
        if not rest:
            return Taken(pieces)
        if _BEGINNING_OF_PLAIN.fullmatch(rest):
            self.held = rest
            return Taken(pieces)
        return Taken(pieces, rest=rest)
