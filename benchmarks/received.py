"""One answer as the load generator receives it: its times, its end, and whether it is the right one."""

import re
import time

from msgspec import Struct

from benchmarks.answers import END_OF_ANSWER, STAMP, WORD

TOLD_BYTES = 300  # of an answer that is wrong
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
# No line of an answer is a lone 0, so this is the end of nothing else.
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_EARLIEST = b"%018d" % 1_000_000_000  # what is below is a word's number, not an instant


class Expected(Struct, frozen=True, kw_only=True):
    """What makes an answer whole: so many words and `ends_with`, `within` so many seconds."""

    words: int
    ends_with: bytes
    within: float


class Wrong(Exception):
    """An answer is not what it should be. The text says how."""


class Samples:
    """The times of a load as they come, in seconds."""

    def __init__(self) -> None:
        self.to_head: list[float] = []
        self.to_first_content: list[float] = []
        self.to_end: list[float] = []
        self.lateness: list[float] = []


class Answer:
    """One answer as its bytes arrive. `whole` once all of them are there."""

    def __init__(self, expected: Expected, samples: Samples) -> None:
        self._expected = expected
        self._samples = samples
        self._bytes = bytearray()
        self._head = b""
        self._needed: int | None = None  # bytes, head included, where the head says so
        self._chunked = False
        self._scanned = 0
        self._stamped = True  # until the first word shows that it carries no instant
        self._asked_at = time.monotonic()
        self.shows = False
        self.whole = False
        self.closes = False

    def __len__(self) -> int:
        return len(self._bytes)

    def is_late(self) -> bool:
        """Whether it takes longer than it may."""
        return time.monotonic() - self._asked_at > self._expected.within

    def add(self, data: memoryview) -> None:
        """Take in what has just arrived."""
        now = time.monotonic_ns()
        self._bytes += data
        if not self._head:
            self._read_head(now)
        if self._stamped and self._bytes.find(WORD, self._scanned) >= 0:
            self._note_words(now)
        if self._needed is not None:
            self.whole = len(self._bytes) >= self._needed
        elif self._chunked:
            self.whole = self._bytes.endswith(_LAST_CHUNK)
        if self.whole:
            self._samples.to_end.append(now / 1e9 - self._asked_at)

    def end(self) -> None:
        """The connection has ended."""
        if not self._head or self._chunked or self._needed is not None:
            raise Wrong(f"the connection ended in the middle of an answer: {self._told()}")
        self.closes = self.whole = True
        self._samples.to_end.append(time.monotonic() - self._asked_at)

    def check(self) -> None:
        """See that a whole answer is the right one.

        Raises:
            Wrong: it is not.
        """
        problem = self._problem(self._bytes)
        if problem and self._chunked:
            # An HTTP chunk may end in the middle of a word.
            problem = self._problem(_unchunked(self._bytes[len(self._head) :]))
        if problem:
            raise Wrong(f"{problem}: {self._told()}")

    def _problem(self, content: bytearray) -> str | None:
        if not self._head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")):
            return "not status 200"
        if (words := content.count(WORD)) != self._expected.words:
            return f"{words} words where {self._expected.words} should be"
        if content.rfind(END_OF_ANSWER) < 0 or content.rfind(self._expected.ends_with) < 0:
            return "the answer's end is missing"
        if not self.shows:
            return "no word came in one piece, so nobody knows when the first one did"
        return None

    def _read_head(self, now: int) -> None:
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            return
        self._samples.to_head.append(now / 1e9 - self._asked_at)
        self._head = head = bytes(self._bytes[: end + 4])
        self._scanned = len(head)
        self.closes = _CLOSES.search(head) is not None
        self._chunked = _CHUNKED.search(head) is not None
        if not self._chunked and (length := _LENGTH.search(head)):
            self._needed = len(head) + int(length[1])

    def _note_words(self, now: int) -> None:
        if not self.shows:
            self.shows = True
            self._samples.to_first_content.append(now / 1e9 - self._asked_at)
        stamps = STAMP.findall(self._bytes, self._scanned)
        if stamps:
            self._stamped = stamps[0] >= _EARLIEST
            self._scanned = self._bytes.rfind(stamps[-1]) + len(stamps[-1])
        if self._stamped:
            self._samples.lateness += [(now - int(stamp)) / 1e9 for stamp in stamps]

    def _told(self) -> str:
        return bytes(self._bytes[:TOLD_BYTES] + b" ... " + self._bytes[-TOLD_BYTES:]).decode(errors="replace")


def _unchunked(body: bytearray) -> bytearray:
    """A body without its HTTP chunks' framing."""
    content = bytearray()
    at = 0
    while size := _size_of_chunk(body, at):
        begin = body.index(b"\r\n", at) + 2
        content += body[begin : begin + size]
        at = begin + size + 2
    return content


def _size_of_chunk(body: bytearray, at: int) -> int:
    line = bytes(body[at : body.find(b"\r\n", at)])
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise Wrong(f"no HTTP chunk begins with {line[:TOLD_BYTES]!r}") from error
