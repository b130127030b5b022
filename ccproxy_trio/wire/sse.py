"""Server-sent events on bytes: an incremental decoder with caps, and the one-line encoder.

Theory of operation. `feed` takes whatever one read brought, splits it into lines with one C call and walks
the lines; a line that has not ended yet waits as a list of pieces, so that input arriving byte by byte costs
linear time. Bytes are never decoded here: a read may end inside a UTF-8 sequence, and the str methods that
split lines also split at U+2028 and U+0085, which are legal inside JSON strings. `bytes.splitlines` knows
only the three line ends of the SSE grammar.

Source: WHATWG HTML, "Server-sent events", section "Interpreting an event stream".
"""

from msgspec import Struct

from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_ENDS = (b"\n", b"\r")


class SseEvent(Struct, frozen=True):
    """One dispatched event: its name (None: unnamed) and its data lines joined with a line feed."""

    event: str | None
    data: bytes


class Decoder:
    """Bytes in, events out, in order, however the bytes are cut.

    Comments, `id:` and `retry:` are ignored; an event without a data line is none. A field called `error`
    counts as an event of that name: llama.cpp reports failures inside a stream as `error: {...}`. Where an
    event should begin and a JSON object does, this and the lines up to the next empty one are data: servers
    that cannot answer forget to wrap their error, or the whole answer, in an event.

    A line longer than `max_line_bytes` or an event with more than `max_payload_bytes` of data is an
    `UpstreamFault(PROTOCOL)`. Events that came before it are given out first and the fault is raised by the
    next call, so that the caller sees the same however the bytes were cut. Then the decoder is spent.
    """

    def __init__(self, *, max_payload_bytes: int = 8 * 2**20, max_line_bytes: int = 2**20) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._max_line_bytes = max_line_bytes
        self._pieces: list[bytes] = []  # the line that has not ended yet
        self._pieces_bytes = 0
        self._after_cr = False  # a "\n" that comes next belongs to the "\r" before it
        self._first_line = True
        self._event: str | None = None
        self._bare = False  # inside JSON that nobody wrapped
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._fault: UpstreamFault | None = None

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes.

        Raises:
            UpstreamFault: PROTOCOL, past one of the caps.
        """
        if self._fault is not None:
            raise self._fault
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if not data:
            return []
        last = data[-1:]
        self._after_cr = last == b"\r"
        lines = data.splitlines()
        rest = b"" if last in _LINE_ENDS else lines.pop()
        out: list[SseEvent] = []
        self._walk(lines, out)
        if rest:
            self._keep(rest)
        if self._fault is not None and not out:
            raise self._fault
        return out

    def end(self) -> list[SseEvent]:
        """The input is over: what is left counts as ended by an empty line.

        Raises:
            UpstreamFault: PROTOCOL, past one of the caps.
        """
        self._raise_fault()
        out: list[SseEvent] = []
        self._walk([b"", b""] if self._pieces else [b""], out)
        self._raise_fault()
        return out

    def _walk(self, lines: list[bytes], out: list[SseEvent]) -> None:
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces.clear()
            self._pieces_bytes = 0
        if lines and self._first_line:
            self._first_line = False
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        for line in lines:
            if not line:
                self._dispatch(out)
                continue
            if len(line) > self._max_line_bytes:
                self._fail(f"a line of the event stream is longer than {self._max_line_bytes} bytes")
            elif line.startswith(b"data: ") and not self._bare:  # nearly every line there is
                self._add(line[6:])
            else:
                self._field(line)
            if self._fault is not None:
                return

    def _field(self, line: bytes) -> None:
        if self._bare or (line.startswith(b"{") and not self._data):
            self._bare = True
            self._add(line)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"error":
            self._event = "error"
            self._add(value)

    def _add(self, value: bytes) -> None:
        self._data_bytes += len(value) + bool(self._data)
        self._data.append(value)
        if self._data_bytes > self._max_payload_bytes:
            self._fail(f"an event of the stream is larger than {self._max_payload_bytes} bytes")

    def _dispatch(self, out: list[SseEvent]) -> None:
        if self._data:
            out.append(SseEvent(self._event, b"\n".join(self._data)))
            self._data.clear()
            self._data_bytes = 0
        self._event = None
        self._bare = False

    def _keep(self, rest: bytes) -> None:
        if self._fault is not None:
            return
        self._pieces.append(rest)
        self._pieces_bytes += len(rest)
        if self._pieces_bytes > self._max_line_bytes:
            self._fail(f"a line of the event stream is longer than {self._max_line_bytes} bytes")

    def _fail(self, message: str) -> None:
        self._fault = UpstreamFault(FaultKind.PROTOCOL, message)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault


def encode(data: bytes, event: str | None = None) -> bytes:
    """One event as it goes over the wire. `data` is a single line: neither line feed nor carriage return."""
    if event is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
