"""The load engine's processes: what they ask and answer is exact, and nothing wrong passes for right."""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest
import trio

from benchmarks.answers import burst, shape_of, stream
from benchmarks.asking import Spoiled
from benchmarks.load import OPENAI_STREAM, OPENAI_WHOLE, Ask, LoadReport, load, loading
from benchmarks.processes import cpu_seconds, memory, tree
from benchmarks.subjects import Mode, completion_ask
from benchmarks.upstream import canned_upstream
from ccproxy_trio.journal import bottom

pytestmark = pytest.mark.process

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncIterator[int]:
    """A server of ours, whose connections each run `serve`; its port."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, serve, listeners))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _receive_request(stream: trio.SocketStream) -> bool:
    received = bytearray()
    while not received.endswith(b"}"):
        data = await stream.receive_some(65536)
        if not data:
            return False
        received += data
    return True


def _burst(name: str) -> bytes:
    shape = shape_of(name)
    assert shape is not None
    return burst(name, shape, usage="untold")


def _answering(*sends: bytes) -> Serve:
    """Send these to every request, and close where they are no whole answer."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            while await _receive_request(stream):
                for data in sends:
                    await stream.send_all(data)
                if not sends or not sends[-1].endswith(b"0\r\n\r\n") or b"connection: close" in sends[0]:
                    return

    return serve


SMALL = Ask(path="/v1/chat/completions", body=b'{"stream":true}', words=3, ends_with=OPENAI_STREAM)


async def test_every_shape_is_answered_as_often_as_it_is_asked() -> None:
    async with canned_upstream() as upstream:
        asked = 0
        for name in ("burst-20", "burst-300x200", "paced-5-at-200"):
            for mode in Mode:
                report = await load(
                    upstream.port,
                    completion_ask(name, mode),
                    connections=4,
                    requests=11,
                    warm_ups=2,
                    cpu_of={"upstream": upstream.pid},
                )
                asked += 11 + 4 * 2
                _assert_complete(report, 11)
                assert len(report.lateness) == (11 * 5 if (name[0], mode) == ("p", Mode.STREAM) else 0)
        counts = await upstream.counts()
        assert (counts.completions, counts.held) == (asked, 0)


def _assert_complete(report: LoadReport, requests: int) -> None:
    assert report.requests == requests
    assert len(report.to_head) == len(report.to_first_content) == len(report.to_end) == requests
    assert min(report.to_head) > 0
    assert max(report.to_end) <= report.seconds
    assert report.per_second == requests / report.seconds
    assert set(report.cpu_seconds) == {"generator", "upstream"}
    assert all(taken > 0 for taken in report.cpu_seconds.values())
    assert report.reconnects == 0


async def test_a_load_of_some_seconds_ends_after_them() -> None:
    async with canned_upstream() as upstream:
        ask = completion_ask("burst-20", Mode.WHOLE)
        report = await load(upstream.port, ask, connections=2, seconds=0.2)
        assert 0.2 <= report.seconds < 2
        assert (await upstream.counts()).completions == report.requests + 2


async def test_a_paced_stream_keeps_its_pace() -> None:
    async with canned_upstream() as upstream:
        report = await load(upstream.port, completion_ask("paced-21-at-100", Mode.STREAM), requests=2)
    assert 0.2 <= min(report.to_end) < 1
    assert max(report.to_first_content) < min(report.to_end) - 0.1
    assert statistics.median(report.lateness) < 0.05
    assert min(report.lateness) > 0


async def test_held_streams_show_their_content_and_end_when_released() -> None:
    async with canned_upstream() as upstream:
        ask = completion_ask("held-20", Mode.STREAM)
        async with loading(upstream.port, ask, connections=30, requests=30, warm_ups=0) as running:
            with trio.fail_after(10):
                await running.showing()
            assert (await upstream.counts()).held == 30
            await upstream.release()
            report = await running.report()
        assert report.requests == 30
        assert (await upstream.counts()).held == 0


async def test_the_upstream_reads_requests_in_any_pieces() -> None:
    body = msgspec.json.encode(
        {"messages": ["x" * 3000] * 2, "model": "burst-3", "stream": True, "n": "y" * 3000}
    )
    plain = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    chunked = (
        b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    )
    async with canned_upstream() as upstream:
        for request in (plain, chunked):
            connection = await trio.open_tcp_stream("127.0.0.1", upstream.port)
            async with connection:
                for at in range(0, len(request), 1000):
                    await connection.send_all(request[at : at + 1000])
                    await trio.sleep(0.001)
                assert await _received(connection, len(_burst("burst-3"))) == _burst("burst-3")


async def test_the_upstream_takes_and_sends_what_no_socket_holds_at_once() -> None:
    body = msgspec.json.encode({"model": "burst-100x100000", "messages": ["x" * 10_000_000]})
    ask = Ask(path="/v1/chat/completions", body=body, words=100, ends_with=OPENAI_WHOLE)
    async with canned_upstream() as upstream:
        report = await load(upstream.port, ask, requests=1, warm_ups=0)
    assert report.requests == 1


async def _received(stream: trio.SocketStream, size: int) -> bytes:
    found = bytearray()
    with trio.fail_after(10):
        while len(found) < size:
            found += await stream.receive_some(65536)
    return bytes(found)


async def _assert_spoiled(serve: Serve, says: str, *, within: float = 30.0) -> None:
    async with _serving(serve) as port:
        with trio.fail_after(20), pytest.raises(ExceptionGroup) as caught:
            await load(port, SMALL, requests=2, warm_ups=0, within=within)
    spoiled = bottom(caught.value)
    assert isinstance(spoiled, Spoiled)
    assert says in str(spoiled)


@pytest.mark.parametrize(
    ("sends", "says"),
    [
        ([_burst("burst-3")[:-20]], "in the middle of an answer"),
        ([_burst("burst-3").replace(b"200 OK", b"529 Overloaded")], "not status 200: HTTP/1.1 529"),
        ([_burst("burst-2")], "2 words where 3 should be"),
        ([_burst("burst-3").replace(b"[DONE]", b"[OVER]")], "end is missing"),
        ([], "in the middle of an answer"),
    ],
)
async def test_a_wrong_answer_spoils_the_load(sends: list[bytes], says: str) -> None:
    await _assert_spoiled(_answering(*sends), says)


async def test_an_answer_that_takes_too_long_spoils_the_load() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(_burst("burst-3")[:-20])
        await trio.sleep_forever()

    await _assert_spoiled(serve, "more than 0.1 s", within=0.1)


async def test_nobody_listening_spoils_the_load() -> None:
    async with _serving(_answering()) as port:
        pass
    with pytest.raises(ExceptionGroup) as caught:
        await load(port, SMALL, requests=1)
    assert isinstance(bottom(caught.value), Spoiled)


async def test_times_are_told_apart() -> None:
    data = _burst("burst-3")
    begin = data.index(b"word-")
    sends = data[: begin - 150], data[begin - 150 : begin + 30], data[begin + 30 :]

    async def serve(stream: trio.SocketStream) -> None:
        await _receive_request(stream)
        for part in sends:
            await stream.send_all(part)
            await trio.sleep(0.1)

    async with _serving(serve) as port:
        report = await load(port, SMALL, requests=1, warm_ups=0)
    (to_head,), (to_content,), (to_end,) = report.to_head, report.to_first_content, report.to_end
    assert to_head < 0.09
    assert 0.1 <= to_content - to_head < 0.19
    assert 0.1 <= to_end - to_content < 0.19


async def test_a_word_s_delay_on_the_way_is_its_lateness() -> None:
    shape = shape_of("paced-3-at-9")
    assert shape is not None
    answer = stream("paced-3-at-9", shape, usage="untold")

    async def serve(stream: trio.SocketStream) -> None:
        await _receive_request(stream)
        words = [answer.numbered(number, time.monotonic_ns()) for number in range(3)]
        await trio.sleep(0.2)
        await stream.send_all(answer.opening + b"".join(words) + answer.ending)

    async with _serving(serve) as port:
        report = await load(port, SMALL, requests=1, warm_ups=0)
    assert len(report.lateness) == 3
    assert all(0.2 <= late < 0.4 for late in report.lateness)


@pytest.mark.parametrize("farewell", ["told", "untold"])
async def test_a_connection_that_the_server_ends_between_requests_is_made_anew(farewell: str) -> None:
    data = _burst("burst-3")
    if farewell == "told":
        data = data.replace(b"cache-control: no-cache", b"connection: close")

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await _receive_request(stream)
            await stream.send_all(data)
            if farewell == "told":
                await trio.sleep_forever()  # whoever uses it again waits for ever

    async with _serving(serve) as port:
        report = await load(port, SMALL, requests=4, within=5)
    assert report.requests == len(report.to_end) == 4
    assert report.reconnects == 4


async def test_a_process_tree_is_measured_and_ends() -> None:
    async with canned_upstream() as upstream:
        before = cpu_seconds(upstream.pid)
        await load(upstream.port, completion_ask("burst-20", Mode.WHOLE), requests=50)
        assert 0 < cpu_seconds(upstream.pid) - before < 5
        assert list(tree(upstream.pid)) == [upstream.pid]
        found = memory(upstream.pid)
        assert 0 < found.pss <= found.rss < 500e6
    with pytest.raises(ProcessLookupError):
        cpu_seconds(upstream.pid)
