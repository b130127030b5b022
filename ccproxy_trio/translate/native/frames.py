"""A provider's stream taken apart without losing a byte of it.

Theory of operation. `wire.sse.Decoder` says what an event is. This decoder feeds it one frame at a time, cut
behind the empty line that ends the frame, so what it has been fed since the last cut is what the event came
from. The frames that a stream nearly wholly consists of, deltas in their usual spelling, are recognised by
one regular expression instead, as many of them as lie behind each other.

Put together again, the frames are the stream that came. Only what is not whole at the very end of the input
gets the line ends that it lacks.
"""

import re
from typing import Literal

from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.sse import Decoder, SseEvent

DELTA: Literal["content_block_delta"] = "content_block_delta"
_HEAD = b"event: content_block_delta\ndata: "
_HEAD_BYTES = len(_HEAD)
_CR, _LF = b"\r\n"
_RUN = re.compile(rb"(?:event: content_block_delta\ndata: .++\n\n)++")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EMPTY_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")  # and the end of the line before it
_LINE_ENDS = (b"\n", b"\r")
_BESIDE_BYTES = 2**20  # comments and names, which nobody needs so many of


class Frame(SseEvent, frozen=True):
    """One event with the bytes that it came in, whole lines up to an empty one.

    One without data is no event: comments, and what else stands between empty lines.
    """

    raw: bytes


class Run(Frame, frozen=True):
    """Several deltas behind each other. `data` has the JSON of each in a line, and empty lines between."""

    def frames(self) -> list[Frame]:
        """Each of them by itself."""
        payloads = self.data.split(b"\n\n")
        return [Frame(DELTA, payload, b"%b%b\n\n" % (_HEAD, payload)) for payload in payloads]


def named(frame: Frame, name: str) -> Frame:
    """The frame of an event without a name that counts, with this one."""
    lines = frame.raw.splitlines(keepends=True)
    if any(_field(line) == b"data" for line in lines):
        lines = [line for line in lines if _field(line) != b"event"]
        raw = b"event: %b\n%b" % (name.encode(), b"".join(lines))
    else:  # JSON that nobody wrapped in an event
        raw = b"event: %b\n%b\n" % (name.encode(), b"".join(map(_as_data, frame.data.splitlines())))
    return Frame(name, frame.data, raw)


def _field(line: bytes) -> bytes:
    return line.partition(b":")[0].rstrip(b"\r\n")


def _as_data(line: bytes) -> bytes:
    return b"data: %b\n" % line


class FrameDecoder(Decoder):
    """Bytes in, frames out, in order; joined they are the same however the bytes are cut.

    Its caps are those of `Decoder`, but for lines: what a server tool has found comes in a single one. A
    frame may have `_BESIDE_BYTES` beside its data.
    """

    def __init__(self, *, max_payload_bytes: int = 8 * 2**20, max_line_bytes: int = 9 * 2**20) -> None:
        super().__init__(max_payload_bytes=max_payload_bytes, max_line_bytes=max_line_bytes)
        self._most_bytes = max_payload_bytes + _BESIDE_BYTES
        self._most_plain_bytes = min(max_payload_bytes, max_line_bytes)
        self._pending: list[bytes] = []  # of the frame that has not ended yet
        self._pending_bytes = 0
        self._at_line_start = True

    def feed(self, data: bytes) -> list[SseEvent]:
        """The frames that `data` completes, as `Frame`s.

        Raises:
            UpstreamFault: PROTOCOL, past one of the caps.
        """
        if self._fault is not None:
            raise self._fault
        # Nothing in so short a read is past a cap.
        is_plain = _CR not in data and len(data) <= self._most_plain_bytes
        if (  # nearly every read is one delta; to look for a byte costs a third of looking for bytes
            data[:_HEAD_BYTES] == _HEAD
            and data.find(_LF, _HEAD_BYTES) == len(data) - 2
            and data[-1] == _LF
            and is_plain
            and not self._pending
            and not self._after_cr
        ):
            self._first_line = False
            return [Frame(DELTA, data[_HEAD_BYTES:-2], data)]
        return self._take_apart(data, is_plain=is_plain)

    def _take_apart(self, data: bytes, *, is_plain: bool) -> list[SseEvent]:
        out: list[SseEvent] = []
        at = 0
        while at < len(data):
            run = _RUN.match(data, at) if is_plain and not self._pending and not self._after_cr else None
            if run is not None:
                out.append(_deltas(run.group()))
                self._first_line = False
                at = run.end()
            else:
                end = self._end_of_frame(data, at)
                self._take(data[at:end], out, is_whole=end is not None)
                at = len(data) if end is None else end
            if self._fault is not None:
                break
        if not out:
            self._raise_fault()
        return out

    def end(self) -> list[SseEvent]:
        """The input is over: what is left counts as ended by an empty line.

        Raises:
            UpstreamFault: PROTOCOL, past one of the caps.
        """
        events = super().end()
        raw = b"".join(self._pending)
        self._pending.clear()
        if not raw:
            return []
        return [_framed(events, raw + (b"\n" if raw.endswith(_LINE_ENDS) else b"\n\n"))]

    def _end_of_frame(self, data: bytes, at: int) -> int | None:
        """Where the frame ends that `data` goes on with at `at`; None: not in there."""
        if self._after_cr and data.startswith(b"\n", at):
            at += 1  # belongs to the line end before it
        found = _LINE_END.match(data, at) if self._at_line_start else None
        found = found or _EMPTY_LINE.search(data, at)
        return None if found is None else found.end()

    def _take(self, piece: bytes, out: list[SseEvent], *, is_whole: bool) -> None:
        """Take more of a frame, up to its end if it is whole then."""
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        self._at_line_start = piece.endswith(_LINE_ENDS)
        if self._pending_bytes > self._most_bytes:
            self._fail(f"a frame of the event stream is larger than {self._most_bytes} bytes")
            return
        try:
            events = super().feed(piece)
        except UpstreamFault:
            return  # it is kept, for when the events before it have been taken
        if is_whole:
            out.append(_framed(events, b"".join(self._pending)))
            self._pending.clear()
            self._pending_bytes = 0


def _deltas(raw: bytes) -> Frame:
    payloads = raw[_HEAD_BYTES:-2]
    if b"\n" not in payloads:
        return Frame(DELTA, payloads, raw)
    return Run(DELTA, payloads.replace(_HEAD, b""), raw)


def _framed(events: list[SseEvent], raw: bytes) -> Frame:
    """The frame of at most one event."""
    for event in events:
        return Frame(event.event, event.data, raw)
    return Frame(None, b"", raw)
