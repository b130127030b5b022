"""The chaos proxy does the harm that it is asked for, when it is asked for, and none otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import memory_stream_pair

from tests.support.chaos import (
    Bandwidth,
    Chaos,
    ChaosProxy,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
)


class Line:
    """A connection through chaos, in memory and in virtual time."""

    def __init__(self, *, seed: int = 0) -> None:
        self.client, self._ours = memory_stream_pair()
        self.server, self._theirs = memory_stream_pair()
        self.chaos = Chaos(self._dial, seed=seed)

    async def _dial(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        return self._theirs

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.chaos.carry, self._ours)
            yield self
            nursery.cancel_scope.cancel()

    async def arrivals(self, data: bytes) -> list[tuple[float, bytes]]:
        """Have the server say this and hang up; what the client reads, and how much later."""
        began_at = trio.current_time()
        await self.server.send_all(data)
        await self.server.send_eof()
        got = []
        while piece := await self.client.receive_some():
            got.append((round(trio.current_time() - began_at, 6), bytes(piece)))
        got.append((round(trio.current_time() - began_at, 6), b""))
        return got


async def test_without_toxics_all_passes_in_both_directions(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        await line.client.send_all(b"question")
        assert await line.server.receive_some() == b"question"
        assert await line.arrivals(b"answer") == [(0.0, b"answer"), (0.0, b"")]
        await line.client.send_eof()
        assert await line.server.receive_some() == b""


async def test_latency_delays_and_does_not_slow_down(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.downstream.poison(Latency(2))
        began_at = trio.current_time()
        for word in (b"one", b"two", b"three"):
            await line.server.send_all(word)
            await trio.sleep(0.5)
        got = [(bytes(await line.client.receive_some()), trio.current_time() - began_at) for _ in range(3)]
        assert got == [(b"one", 2.0), (b"two", 2.5), (b"three", 3.0)]


async def test_jitter_is_the_seeds_and_keeps_the_order(autojump_clock: trio.abc.Clock) -> None:
    async def instants(seed: int) -> list[float]:
        async with Line(seed=seed).open() as line:
            line.chaos.downstream.poison(Latency(1, jitter=1))
            began_at = trio.current_time()
            for number in range(5):
                await line.server.send_all(b"%d" % number)
                await trio.testing.wait_all_tasks_blocked()
            got, seen = [], b""
            while len(seen) < 5:
                seen += bytes(await line.client.receive_some())
                got.append(trio.current_time() - began_at)
            assert seen == b"01234"
            return got

    first, again, other = [await instants(seed) for seed in (1, 1, 2)]
    assert first == pytest.approx(again)
    assert first != pytest.approx(other)
    assert all(0 <= instant <= 2 for instant in first)


async def test_bandwidth_is_kept_to(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.downstream.poison(Bandwidth(1000))
        got = await line.arrivals(b"x" * 3000)
        assert got[-1] == (3.0, b"")
        assert max(len(piece) for _, piece in got) <= 50


async def test_the_slicer_slices(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.downstream.poison(Slicer(10, variation=3, delay=0.1))
        got = await line.arrivals(bytes(range(100)))
        sizes = [len(piece) for _, piece in got[:-1]]
        assert b"".join(piece for _, piece in got) == bytes(range(100))
        assert all(7 <= size <= 13 for size in sizes[:-1])
        assert len(set(sizes[:-1])) > 1
        assert got[-1][0] == pytest.approx(0.1 * len(sizes))


async def test_limit_data_closes_after_so_much(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.downstream.poison(LimitData(7))
        assert b"".join([piece for _, piece in await line.arrivals(b"0123456789")]) == b"0123456"


async def test_timeout_swallows_and_closes_in_the_end(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.downstream.poison(Timeout(5))
        await line.server.send_all(b"lost")
        assert await line.client.receive_some() == b""
        assert trio.current_time() == pytest.approx(5)  # virtual time begins at 0


async def test_a_timeout_of_zero_never_closes_and_can_be_taken_away(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.upstream.poison(Timeout(0))
        await line.client.send_all(b"lost")
        with trio.move_on_after(1000) as waiting:
            await line.server.receive_some()
        assert waiting.cancelled_caught
        line.chaos.upstream.heal()
        await line.client.send_all(b"heard")
        assert await line.server.receive_some() == b"heard"


async def test_a_reset_ends_both_ends_and_a_change_begins_its_time_anew(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with Line().open() as line:
        line.chaos.upstream.poison(ResetPeer(10))
        await trio.sleep(9)
        line.chaos.upstream.poison(ResetPeer(3))
        assert await line.client.receive_some() == b""
        assert trio.current_time() == pytest.approx(12)
        assert await line.server.receive_some() == b""


async def test_slow_close_delays_the_end_alone(autojump_clock: trio.abc.Clock) -> None:
    async with Line().open() as line:
        line.chaos.downstream.poison(SlowClose(4))
        assert await line.arrivals(b"bye") == [(0.0, b"bye"), (4.0, b"")]


async def _echo(stream: trio.SocketStream) -> None:
    async with stream:
        while data := await stream.receive_some():
            await stream.send_all(data)


@pytest.fixture
async def echo_behind_chaos(nursery: trio.Nursery) -> ChaosProxy:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, _echo, [listener])
    chaos = ChaosProxy(listener.socket.getsockname()[1])
    await nursery.start(chaos.serve)
    return chaos


@pytest.mark.process
async def test_over_tcp_a_reset_is_a_reset(echo_behind_chaos: ChaosProxy) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", echo_behind_chaos.port)
    async with stream:
        await stream.send_all(b"hi")
        assert await stream.receive_some() == b"hi"
        echo_behind_chaos.downstream.poison(ResetPeer())
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


@pytest.mark.process
async def test_over_tcp_it_can_be_down_and_come_back(echo_behind_chaos: ChaosProxy) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", echo_behind_chaos.port)
    echo_behind_chaos.down()
    async with stream:
        assert await stream.receive_some() == b""
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream("127.0.0.1", echo_behind_chaos.port)
    echo_behind_chaos.up()
    with trio.fail_after(5):
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", echo_behind_chaos.port)
            except OSError:
                continue
            break
    async with stream:
        await stream.send_all(b"again")
        assert await stream.receive_some() == b"again"
