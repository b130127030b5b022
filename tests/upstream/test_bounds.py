"""What a peer may send without an end, or what httpx would take for a good answer. Both transports."""

import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ccproxy_trio.health.probing import ProbeVerdict
from ccproxy_trio.settings.model import TransportName
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import ERROR_BODY_BYTES
from ccproxy_trio.upstream.endpoint import Answered
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import Decoder
from tests.support.peers import (
    CANARY,
    DIALECT,
    OK,
    Handler,
    fault_from,
    fault_of,
    read_request,
    replying,
    serving,
    upstream,
)

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
LOST = (trio.BrokenResourceError, trio.ClosedResourceError)


@pytest.fixture
def memory() -> Iterator[Any]:
    """Traces what Python allocates, from when it is called on."""
    yield tracemalloc.start
    tracemalloc.stop()


class Endless:
    """Sends `first`, then `piece` again and again. Knows when its client left, and how much it took."""

    def __init__(self, first: bytes, piece: bytes, *, times: int = 10**9, every: float = 0) -> None:
        self._first, self._piece, self._times, self._every = first, piece, times, every
        self.sent = 0
        self.left = trio.Event()

    async def __call__(self, stream: trio.SocketStream) -> None:
        await read_request(stream)
        with suppress(*LOST):
            await stream.send_all(self._first)
            for _ in range(self._times):
                await stream.send_all(self._piece)
                self.sent += len(self._piece)
                await trio.sleep(self._every)
            while await stream.receive_some():
                pass
        self.left.set()

    async def fault(self, transport: TransportName) -> UpstreamFault:
        """What becomes of a completion asked of it; returns once it has been left."""
        with trio.fail_after(10):
            async with serving(self) as port, upstream(port, transport) as there:
                fault = await fault_of(there)
                await self.left.wait()
        return fault


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param((b"HTTP/1.1 200 OK\r\nx-drip: ", b"a"), id="A11-header"),
        pytest.param((CHUNKED, b"3\r\n:\n\n\r\n"), id="A13-comments"),
        pytest.param((OK + b"content-length: 100000\r\n\r\n", b"\n"), id="A14-body"),
        pytest.param((b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"), id="informational"),
    ],
)
async def test_a_peer_that_drips_is_left_at_a_deadline_of_ours(
    transport: TransportName, peer: tuple[bytes, bytes]
) -> None:
    """A byte now and then keeps any timeout of reads from firing."""
    dripping = Endless(*peer, every=0.03)
    async with serving(dripping) as port, upstream(port, transport) as there:
        with trio.move_on_after(0.25) as deadline:
            async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
                while await answer.receive_some():
                    pass
        assert deadline.cancelled_caught
        with trio.fail_after(2):
            await dripping.left.wait()


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param((b"", b"HTTP/1.1 100 Go on\r\n\r\n" * 50), id="informational"),
        pytest.param((b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 5000 + b"\r\n"), id="headers"),
        pytest.param((b"HTTP/1.1 200 OK\r\nx: ", b"y" * 5000), id="one-header"),
        pytest.param((CHUNKED, b"1;" + b"x" * 5000), id="chunk-size"),
    ],
)
async def test_framing_that_grows_without_an_end_is_cut(
    transport: TransportName, peer: tuple[bytes, bytes]
) -> None:
    """Row 27 and the caps on heads. The peer gets rid of what sockets hold, and of no more."""
    flood = Endless(*peer)
    fault = await flood.fault(transport)
    assert fault.kind is FaultKind.PROTOCOL
    assert flood.sent < 20 * 2**20


async def test_a_twenty_megabyte_line_is_cut_and_never_held(transport: TransportName, memory: Any) -> None:
    """B16, as far as the line goes: the decoder gives up at 1 MiB, and the peer is left."""
    line = Endless(CHUNKED + b"1400000\r\ndata: ", b"x" * 2**18, times=80)
    async with serving(line) as port, upstream(port, transport) as there:
        memory()
        async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
            with pytest.raises(UpstreamFault) as caught:
                await _decoded(answer, Decoder())
        _, peak = tracemalloc.get_traced_memory()
    assert caught.value.kind is FaultKind.PROTOCOL
    assert peak < 4 * 2**20


async def _decoded(answer: Answered, decoder: Decoder) -> None:
    while data := await answer.receive_some():
        decoder.feed(data)


@pytest.mark.parametrize("size", [1000, 10_000_000])
async def test_b17_nothing_is_inflated_and_what_came_compressed_is_refused(
    transport: TransportName, size: int, memory: Any
) -> None:
    bomb = gzip.compress(bytes(size))
    answers = [bomb, bomb[: len(bomb) // 2], b"\x1f\x8b not gzip at all"]
    for body in answers:
        head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
        memory()
        fault = await fault_from(replying(head, body), transport)
        assert (fault.kind, fault.message) == (
            FaultKind.PROTOCOL,
            "it compressed an answer that was to come plain",
        )
        assert tracemalloc.get_traced_memory()[1] < 2**20


async def test_b17_gzip_without_a_word_is_passed_on_as_the_bytes_it_is(transport: TransportName) -> None:
    """Whoever reads it finds no events in it; nobody inflates it."""
    squeezed = gzip.compress(b"data: {}\n\n" * 1000)
    head = OK + b"content-length: %d\r\n\r\n" % len(squeezed)
    async with (
        serving(replying(head, squeezed)) as port,
        upstream(port, transport) as there,
        there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer,
    ):
        assert await answer.receive_all() == squeezed


async def test_an_error_that_came_compressed_keeps_its_status_and_says_nothing_else(
    transport: TransportName,
) -> None:
    body = gzip.compress(b'{"error":{"message":"hidden words"}}')
    head = b"HTTP/1.1 503 No\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    fault = await fault_from(replying(head, body), transport)
    assert fault.status == 503
    assert fault.message.isprintable()
    assert "\ufffd" not in fault.message


async def test_of_an_error_64_kilobytes_are_read(transport: TransportName) -> None:
    page = Endless(
        b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n", b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    )
    fault = await page.fault(transport)
    assert fault.status == 500
    assert len(fault.message) < ERROR_BODY_BYTES
    assert page.sent < 20 * 2**20


async def test_c21_an_endless_answer_to_a_probe_is_not_read(transport: TransportName) -> None:
    page = Endless(CHUNKED, b"4000\r\n" + b"x" * 0x4000 + b"\r\n", times=640)
    async with serving(page) as port, upstream(port, transport) as there:
        with trio.fail_after(10):
            assert (await there.probe()).verdict is ProbeVerdict.OK
            await page.left.wait()
    assert page.sent < 8 * 2**20  # what the sockets of both sides hold


@pytest.mark.parametrize("status", [100, 101, 201, 202, 204, 205, 206, 226, 300, 304])
async def test_no_success_but_200_is_one(transport: TransportName, status: int) -> None:
    """Row 27. A 100 alone is no answer at all."""
    length = b"" if status in (100, 101, 204, 304) else b"content-length: 0\r\n"
    fault = await fault_from(replying(b"HTTP/1.1 %d X\r\n%s\r\n" % (status, length)), transport)
    assert fault.status == (None if status < 200 else status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_b07_no_redirect_is_followed_so_no_key_reaches_another_host(
    transport: TransportName, status: int
) -> None:
    reached: list[bytes] = []

    async def canary(stream: trio.SocketStream) -> None:
        reached.append(await read_request(stream))

    async with serving(canary) as elsewhere:
        head = b"HTTP/1.1 %d Go\r\nlocation: http://127.0.0.1:%d/v1\r\ncontent-length: 0\r\n\r\n"
        async with (
            serving(replying(head % (status, elsewhere))) as port,
            upstream(port, transport) as there,
        ):
            fault = await fault_of(there)
            assert (await there.probe()).verdict is ProbeVerdict.UNSUPPORTED
    assert (fault.kind, fault.status, reached) == (FaultKind.MISCONFIGURED, status, [])


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "behind"])
async def test_a23_a_length_told_in_two_ways_spoils_the_connection(
    transport: TransportName, is_first: bool
) -> None:
    both = [b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n"]
    fields = b"".join(both if is_first else reversed(both))
    connections = 0

    async def handler(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        with suppress(*LOST):
            while await read_request(stream):
                await stream.send_all(OK + fields + b"\r\n2\r\nok\r\n0\r\n\r\n")

    async with serving(handler) as port, upstream(port, transport) as there:
        for asked in range(1, 4):
            async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
                assert await answer.receive_all() == b"ok"
            assert connections == asked


@pytest.mark.parametrize(
    "framing", [b"content-length: 2\r\n\r\nok", b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
)
async def test_what_came_unasked_behind_an_answer_is_nobodys_answer(
    transport: TransportName, framing: bytes
) -> None:
    async def handler(stream: trio.SocketStream) -> None:
        with suppress(*LOST):
            while await read_request(stream):
                await stream.send_all(OK + framing + OK + b"content-length: 7\r\n\r\nunasked")

    async with serving(handler) as port, upstream(port, transport) as there:
        for _ in range(4):
            async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
                assert await answer.receive_all() == b"ok"


async def test_a23_two_lengths_that_differ_are_no_answer(transport: TransportName) -> None:
    head = OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxy"
    assert (await fault_from(replying(head), transport)).kind is FaultKind.PROTOCOL


async def test_a17_the_end_of_a_body_without_framing_is_an_end_and_its_connection_is_spent(
    transport: TransportName,
) -> None:
    """Whether the answer was whole is told by its events: see the reader of streams."""
    async with serving(replying(OK + b"\r\n", b"data: x")) as port, upstream(port, transport) as there:
        for _ in range(2):
            async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
                assert await answer.receive_all() == b"data: x"


def early(status: int) -> Handler:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        with suppress(*LOST):
            await stream.send_all(b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
            await stream.send_eof()
            while await stream.receive_some():  # a server that lingers, as nginx does
                pass

    return handler


@pytest.mark.parametrize("status", [429, 413])
async def test_b21_an_answer_before_the_request_was_sent_is_heard(
    transport: TransportName, status: int
) -> None:
    async with serving(early(status)) as port, upstream(port, transport) as there:
        with trio.fail_after(20), pytest.raises(UpstreamFault) as caught:
            async with there.open(Outgoing(body=b"x" * 5_000_000), model="m", dialect=DIALECT):
                pass
    assert caught.value.status == status


async def mute(stream: trio.SocketStream) -> None:
    """Takes everything and says nothing, like a plain HTTP server that waits for the end of a line."""
    with suppress(*LOST):
        while await stream.receive_some():
            pass


async def test_a05_a_handshake_that_nobody_answers_ends_at_the_time_to_connect(
    transport: TransportName,
) -> None:
    with trio.fail_after(5):
        fault = await fault_from(mute, transport, address="https://127.0.0.1", connect_timeout=0.2)
    assert fault.kind is FaultKind.CONNECT_TIMEOUT


async def test_c23_a_time_to_connect_that_passed_while_we_were_stopped_blames_nobody(
    transport: TransportName, mock_clock: MockClock
) -> None:
    """From inside, a stopped process looks as if the clock had jumped."""
    arrived = trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        arrived.set()
        await mute(stream)

    async with (
        serving(handler) as port,
        upstream(port, transport, "https://127.0.0.1", connect_timeout=5) as there,
        trio.open_nursery() as nursery,
    ):

        @nursery.start_soon
        async def stopped() -> None:
            await arrived.wait()
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(120)

        assert (await fault_of(there)).kind is FaultKind.SUSPENDED


async def test_a_time_to_connect_that_passed_in_time_is_the_peers(
    transport: TransportName, autojump_clock: MockClock
) -> None:
    fault = await fault_from(mute, transport, address="https://127.0.0.1", connect_timeout=5)
    assert (fault.kind, trio.current_time()) == (FaultKind.CONNECT_TIMEOUT, pytest.approx(5.0))
    assert CANARY not in fault.message
