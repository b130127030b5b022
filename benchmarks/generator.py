"""The load generator's process: bare sockets in one loop, every answer checked. `load.py` drives it.

It reads a `Plan` as one line of JSON, opens the connections, warms up and prints `Ready`. On another line it
begins. It prints `Showing` once every connection has had the first content of an answer, and at the end a
`Report`, or `Broken` where anything went wrong. It ends when its standard input does.
"""

import contextlib
import gc
import selectors
import socket
import sys
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from benchmarks.processes import raise_file_limit
from benchmarks.received import Answer, Expected, Samples, Wrong

READ_BYTES = 1 << 20
LOOK_EVERY = 0.5  # seconds between two looks for answers that are late
AT_ONCE = 50  # connections opened before the server gets a moment to accept them
MOMENT = 0.01  # seconds


class Plan(Struct, frozen=True, kw_only=True):
    """What to do. `request` is head and body; the others are those of `load.load`."""

    port: int
    request: bytes
    expected: Expected
    connections: int
    requests: int | None
    seconds: float | None
    warm_ups: int


class Ready(Struct, frozen=True, tag="ready"):
    """Every connection is open and warm."""


class Showing(Struct, frozen=True, tag="showing"):
    """Every connection has had the first content of an answer."""


class Broken(Struct, frozen=True, tag="broken"):
    """Nothing was measured, and why."""

    why: str


class Report(Struct, frozen=True, kw_only=True, tag="report"):
    """All times; `load.LoadReport` says what they are."""

    requests: int
    seconds: float
    to_head: list[float]
    to_first_content: list[float]
    to_end: list[float]
    lateness: list[float]
    reconnects: int
    cpu_seconds: float


Event = Ready | Showing | Broken | Report


class Connection:
    """One connection. It asks when told to, and asks again where the server had just closed it."""

    def __init__(self, plan: Plan, selector: selectors.BaseSelector, buffer: memoryview) -> None:
        self._plan = plan
        self._selector = selector
        self._buffer = buffer
        self._socket: socket.socket | None = None
        self._fresh = True  # nothing has been answered on this socket
        self._unsent = memoryview(b"")
        self._sending = False  # the selector looks out for room
        self.answer: Answer | None = None
        self.opened = 0

    def open(self) -> socket.socket:
        """Connect, where it is not."""
        if self._socket is not None:
            return self._socket
        opened = socket.create_connection(("127.0.0.1", self._plan.port), timeout=self._plan.expected.within)
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel grants what it may: the more of a request goes in at once, the less there is to do.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, READ_BYTES)
        self._selector.register(opened, selectors.EVENT_READ, self)
        self._socket, self._fresh, self._sending = opened, True, False
        self.opened += 1
        return opened

    def ask(self, samples: Samples) -> None:
        """Send the request; the answer's times go to `samples`."""
        opened = self.open()
        self.answer = Answer(self._plan.expected, samples)
        self._unsent = memoryview(self._plan.request)
        self._send(opened)

    def on_event(self, mask: int) -> Answer | None:
        """Go on, with what the selector tells. The answer that got something, if any did.

        Raises:
            Wrong: the answer is not what it should be.
        """
        opened = self.open()
        try:
            if mask & selectors.EVENT_WRITE:
                self._send(opened)
            if not mask & selectors.EVENT_READ:
                return None
            count = opened.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except (BrokenPipeError, ConnectionResetError):
            count = 0
        return self._received(count)

    def _received(self, count: int) -> Answer | None:
        answer = self.answer
        if count:
            if answer is None:
                raise Wrong(f"bytes that nobody asked for: {bytes(self._buffer[:300])!r}")
            answer.add(self._buffer[:count])
        else:
            self._end(answer)
        if answer is not None and answer.whole:
            answer.check()
            self.answer, self._fresh = None, False
            if answer.closes:
                self._close()
        return answer

    def _end(self, answer: Answer | None) -> None:
        """The server has ended the connection."""
        reused = not self._fresh
        self._close()
        if answer is None:
            return
        if reused and not len(answer):
            # It had closed before it saw the request: any client asks again.
            self._unsent = memoryview(self._plan.request)
            self._send(self.open())
            return
        answer.end()

    def _close(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _send(self, opened: socket.socket) -> None:
        # Where the server has closed, reading tells.
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._unsent = self._unsent[opened.send(self._unsent) :]
        if self._sending != bool(self._unsent):
            self._sending = bool(self._unsent)
            room = selectors.EVENT_WRITE if self._sending else 0
            self._selector.modify(opened, selectors.EVENT_READ | room, self)


class Herd:
    """All connections, and the work that they share."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._selector = selectors.DefaultSelector()
        buffer = memoryview(bytearray(READ_BYTES))
        self._all = [Connection(plan, self._selector, buffer) for _ in range(plan.connections)]

    def warm_up(self) -> None:
        """Open every connection, and ask on each of them `warm_ups` times."""
        for number, connection in enumerate(self._all, start=1):
            connection.open()
            if number % AT_ONCE == 0:
                time.sleep(MOMENT)
        for _ in range(self._plan.warm_ups):
            self._run(Work(requests=len(self._all), seconds=None), _nothing)

    def measure(self, tell_showing: Callable[[], None]) -> Report:
        """Do what the plan says."""
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        opened_before = sum(each.opened for each in self._all)
        cpu_before = time.process_time()
        work = Work(requests=self._plan.requests, seconds=self._plan.seconds)
        self._run(work, tell_showing)
        samples = work.samples
        return Report(
            requests=work.answered,
            seconds=time.monotonic() - work.began_at,
            to_head=samples.to_head,
            to_first_content=samples.to_first_content,
            to_end=samples.to_end,
            lateness=samples.lateness,
            reconnects=sum(each.opened for each in self._all) - opened_before,
            cpu_seconds=time.process_time() - cpu_before,
        )

    def _run(self, work: "Work", tell_showing: Callable[[], None]) -> None:
        for connection in self._all:
            if work.take():
                connection.ask(work.samples)
        look_at = time.monotonic() + LOOK_EVERY
        while work.answered < work.taken:
            for key, mask in self._selector.select(LOOK_EVERY):
                if key.data is None:
                    sys.exit("nobody waits for this load any more")
                self._go_on(key.data, mask, work)
            if not work.all_shown and len(work.samples.to_first_content) >= len(self._all):
                work.all_shown = True
                tell_showing()
            if time.monotonic() > look_at:
                look_at = time.monotonic() + LOOK_EVERY
                self._look_for_late()

    def _go_on(self, connection: Connection, mask: int, work: "Work") -> None:
        answer = connection.on_event(mask)
        if answer is not None and answer.whole:
            work.note_answered()
            if work.take():
                connection.ask(work.samples)

    def _look_for_late(self) -> None:
        if any(each.answer is not None and each.answer.is_late() for each in self._all):
            raise Wrong(f"an answer took more than {self._plan.expected.within:g} s")


class Work:
    """How many requests are still to be made, and what came of those that were."""

    def __init__(self, *, requests: int | None, seconds: float | None) -> None:
        self._requests = requests
        self._seconds = seconds
        self.samples = Samples()
        self.began_at = time.monotonic()
        self.taken = 0
        self.answered = 0
        self.all_shown = False

    def take(self) -> bool:
        """Whether there is another request to make; if so, the caller makes it."""
        if self._requests is not None:
            left = self.taken < self._requests
        else:
            left = self._seconds is not None and time.monotonic() - self.began_at < self._seconds
        self.taken += left
        return left

    def note_answered(self) -> None:
        """One of those taken is answered."""
        self.answered += 1


def main() -> None:
    """Carry out one plan."""
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    raise_file_limit()
    gc.disable()  # it keeps what it measures, and nothing in cycles
    try:
        herd = Herd(plan)
        herd.warm_up()
        _tell(Ready())
        if sys.stdin.buffer.readline():
            _tell(herd.measure(lambda: _tell(Showing())))
    except (Wrong, OSError) as error:
        _tell(Broken(str(error)))


def _tell(event: Event) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


def _nothing() -> None:
    pass


if __name__ == "__main__":
    main()
