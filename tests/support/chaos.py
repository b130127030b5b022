"""A TCP proxy that does harm, in the vocabulary of Toxiproxy, changeable while connections are open.

    chaos = ChaosProxy("127.0.0.1", provider.port)
    await nursery.start(chaos.serve)
    chaos.downstream.poison(Latency(0.2, jitter=0.1), Bandwidth(16_000))
    chaos.upstream.poison(Timeout(0))
    chaos.downstream.heal()
    chaos.down()

`upstream` is what goes from the client to the server, `downstream` what comes back. Sizes are bytes, times
seconds. What chance decides is decided by the seed, the number of the connection and the direction.
"""

import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Literal, TypeVar

import trio
from msgspec import Struct

from tests.support.ports import ReservedPort

READ_BYTES = 16 * 1024
IN_FLIGHT = 64  # reads of one direction that may be on their way at a time; behind them the source waits
_SMOOTH = 0.05  # seconds of a bandwidth that are sent in one piece


class Latency(Struct, frozen=True):
    """Everything arrives so much later, plus or minus the jitter, and in order."""

    seconds: float
    jitter: float = 0.0


class Bandwidth(Struct, frozen=True):
    """No more than this in a second."""

    per_second: int


class Slicer(Struct, frozen=True):
    """Data is sent in pieces of about `average` bytes, `delay` seconds apart."""

    average: int
    variation: int = 0
    delay: float = 0.0


class LimitData(Struct, frozen=True):
    """The connection is closed once it has carried so much in this direction."""

    size: int


class Timeout(Struct, frozen=True):
    """Nothing gets through any more, and the connection is closed `after` so long. 0: it never is."""

    after: float


class ResetPeer(Struct, frozen=True):
    """The connection is reset, at both its ends, `after` so long."""

    after: float = 0.0


class SlowClose(Struct, frozen=True):
    """An end of the stream is passed on so much later."""

    delay: float


Toxic = Latency | Bandwidth | Slicer | LimitData | Timeout | ResetPeer | SlowClose
Ending = Literal["close", "reset"]
T = TypeVar("T", bound=Toxic)
End = trio.abc.HalfCloseableStream


class Course:
    """The toxics in one direction, for all connections."""

    def __init__(self) -> None:
        self._toxics: tuple[Toxic, ...] = ()
        self.changed = trio.Event()  # a fresh one after each change

    def poison(self, *toxics: Toxic) -> None:
        """From now on these, and no others."""
        self._toxics = toxics
        changed, self.changed = self.changed, trio.Event()
        changed.set()

    def heal(self) -> None:
        """From now on none."""
        self.poison()

    def find(self, kind: type[T]) -> T | None:
        """The toxic of this kind, if there is one."""
        return next((toxic for toxic in self._toxics if isinstance(toxic, kind)), None)


class Chaos:
    """Carries connections, whatever their streams are made of. `dial` connects to the server."""

    def __init__(self, dial: Callable[[], Awaitable[End]], *, seed: int = 0) -> None:
        self._dial = dial
        self._seed = seed
        self._carried = 0
        self.upstream = Course()
        self.downstream = Course()

    async def carry(self, client: End) -> None:
        """Carry one connection until both its directions have ended, or it is cut."""
        self._carried += 1
        number = self._carried
        try:
            server = await self._dial()
        except OSError:  # as a client would see it that asked the server itself, but for the connecting
            await _reset(client)
            return
        ending: list[Ending] = []
        try:
            async with trio.open_nursery() as carrying:

                def cut(how: Ending) -> None:
                    ending.append(how)
                    carrying.cancel_scope.cancel()

                for course in (self.upstream, self.downstream):
                    carrying.start_soon(_doom, course, cut)
                await self._carry_both_ways(client, server, cut, number=number)
                carrying.cancel_scope.cancel()
        finally:
            close = _reset if "reset" in ending else trio.aclose_forcefully
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await close(client)
                await close(server)

    async def _carry_both_ways(
        self, client: End, server: End, cut: Callable[[Ending], None], *, number: int
    ) -> None:
        async with trio.open_nursery() as both:
            for name, course, source, sink in (
                ("upstream", self.upstream, client, server),
                ("downstream", self.downstream, server, client),
            ):
                chance = random.Random(f"{self._seed} {number} {name}")
                both.start_soon(_Flow(course, chance, cut).run, source, sink)


class _Flow:
    """One direction of one connection."""

    def __init__(self, course: Course, chance: random.Random, cut: Callable[[Ending], None]) -> None:
        self._course = course
        self._chance = chance
        self._cut = cut
        self._passed = 0

    async def run(self, source: End, sink: End) -> None:
        """Pass on what comes until it ends."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](IN_FLIGHT)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take, source, send)
                await self._give(receive, sink)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            self._cut("reset")

    async def _give(self, receive: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: End) -> None:
        async with receive:
            async for due_at, data in receive:
                await trio.sleep_until(due_at)
                await self._pass(data, sink)

    async def _take(self, source: End, send: trio.MemorySendChannel[tuple[float, bytes]]) -> None:
        """Read, and say when each piece is due at the other end. b"" is the end."""
        due_at = trio.current_time()
        async with send:
            while True:
                data = bytes(await source.receive_some(READ_BYTES))
                due_at = max(due_at, trio.current_time() + self._lag())
                await send.send((due_at, data))
                if not data:
                    return

    def _lag(self) -> float:
        latency = self._course.find(Latency)
        if latency is None:
            return 0.0
        return max(0.0, latency.seconds + self._chance.uniform(-latency.jitter, latency.jitter))

    async def _pass(self, data: bytes, sink: End) -> None:
        if not data:
            if slow := self._course.find(SlowClose):
                await trio.sleep(slow.delay)
            return await sink.send_eof()
        for cut in self._pieces(data):
            if self._course.find(Timeout) is not None:
                return None
            piece, is_last = self._limited(cut)
            if piece:
                await sink.send_all(piece)
            if is_last:
                return self._cut("close")
            await trio.sleep(self._rest_after(piece))
        return None

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """Cut as the toxics of each moment want it."""
        while data:
            size = len(data)
            if slicer := self._course.find(Slicer):
                size = slicer.average + self._chance.randint(-slicer.variation, slicer.variation)
            if bandwidth := self._course.find(Bandwidth):
                size = min(size, int(bandwidth.per_second * _SMOOTH))
            size = max(1, size)
            yield data[:size]
            data = data[size:]

    def _limited(self, piece: bytes) -> tuple[bytes, bool]:
        """What of the piece may pass, and whether that was the last that may."""
        limit = self._course.find(LimitData)
        if limit is not None:
            piece = piece[: max(0, limit.size - self._passed)]
        self._passed += len(piece)
        return piece, limit is not None and self._passed >= limit.size

    def _rest_after(self, piece: bytes) -> float:
        slicer, bandwidth = self._course.find(Slicer), self._course.find(Bandwidth)
        return (slicer.delay if slicer else 0.0) + (len(piece) / bandwidth.per_second if bandwidth else 0.0)


async def _doom(course: Course, cut: Callable[[Ending], None]) -> None:
    """End the connection when a toxic says so. A change of the toxics begins its time anew."""
    while True:
        changed = course.changed
        doom: tuple[float, Ending] | None = None
        if reset := course.find(ResetPeer):
            doom = (reset.after, "reset")
        elif (timeout := course.find(Timeout)) and timeout.after:
            doom = (timeout.after, "close")
        with trio.move_on_after(doom[0]) if doom else trio.CancelScope():
            await changed.wait()
            continue
        if doom:
            return cut(doom[1])


async def _reset(end: End) -> None:
    """Close it with a RST where it is TCP."""
    if isinstance(end, trio.SocketStream):
        with suppress(OSError):  # it may be closed already
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(end)


class ChaosProxy(Chaos):
    """A `Chaos` that listens, on a port of loopback that stays its own, before a server there."""

    def __init__(self, server_port: int, *, host: str = "127.0.0.1", seed: int = 0) -> None:
        super().__init__(partial(trio.open_tcp_stream, host, server_port), seed=seed)
        self._port = ReservedPort()
        self._up = trio.Event()
        self._listening: trio.CancelScope | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port.number

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen while it is up, until cancelled."""
        self.up()
        try:
            while True:
                await self._up.wait()
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._port.listen()))
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                with trio.CancelScope() as self._listening:
                    await trio.serve_listeners(self.carry, [listener])
        finally:
            self._port.close()

    def up(self) -> None:
        """Accept connections."""
        self._up.set()

    def down(self) -> None:
        """Refuse connections, and drop those that are open."""
        self._up = trio.Event()
        if self._listening is not None:
            self._listening.cancel()
