"""Our transport over real sockets: reuse, the dead link, early answers, and that nothing is left behind."""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from ccproxy_trio.upstream.transport.body import body_of
from ccproxy_trio.upstream.transport.own import TrioTransport
from tests.support.ports import ReservedPort

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Handler = Callable[[trio.abc.Stream], Awaitable[None]]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Server:
    """Plays `script` on each connection; counts the connections."""

    def __init__(self, script: Handler) -> None:
        self._script = script
        self.port = 0
        self.connections = 0
        self.lost = trio.Event()

    async def handle(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._script(stream)
        self.lost.set()


@asynccontextmanager
async def serving(script: Handler) -> AsyncIterator[Server]:
    server = Server(script)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def transport(
    tls: ssl.SSLContext = NO_TLS, connections: int = 2, **options: Any
) -> AsyncIterator[TrioTransport]:
    async with TrioTransport(tls=tls, connections=connections, **options) as carrying:
        yield carrying


async def request_from(stream: trio.abc.Stream) -> bytes:
    """One request, head and body; empty when the client left."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if end and len(body) >= length:
            return data
        more = await stream.receive_some()
        if not more:
            return b""
        data += bytes(more)


async def polite(stream: trio.abc.Stream) -> None:
    while await request_from(stream):
        await stream.send_all(OK)


def once(*pieces: bytes) -> Handler:
    async def script(stream: trio.abc.Stream) -> None:
        if await request_from(stream):
            for piece in pieces:
                await stream.send_all(piece)

    return script


def request(port: int, content: bytes = b"{}", host: str = "127.0.0.1", **options: Any) -> httpx.Request:
    return httpx.Request(
        "POST", f"{options.pop('scheme', 'http')}://{host}:{port}/", content=content, **options
    )


async def asked(
    carrying: TrioTransport, port: int, content: bytes = b"{}", **options: Any
) -> tuple[int, bytes]:
    response = await carrying.handle_async_request(request(port, content, **options))
    async with body_of(response) as body:
        return response.status_code, b"".join([data async for data in body])


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


needs_proc = pytest.mark.skipif(
    not os.path.exists("/proc/self/fd"), reason="counts open files where Linux lists them"
)


async def test_requests_in_turn_share_one_connection() -> None:
    async with serving(polite) as server, transport() as carrying:
        for _ in range(5):
            assert await asked(carrying, server.port) == (200, b"ok")
    assert server.connections == 1


async def test_it_serves_httpx_own_client() -> None:
    async with (
        serving(polite) as server,
        httpx.AsyncClient(transport=TrioTransport(tls=NO_TLS, connections=1)) as client,
    ):
        for _ in range(3):
            response = await client.post(f"http://127.0.0.1:{server.port}/", json={"a": 1})
            assert (response.status_code, response.text) == (200, "ok")
    assert server.connections == 1


async def test_a_connection_closed_while_idle_is_noticed_before_anything_is_sent() -> None:
    heard: list[bytes] = []

    async def script(stream: trio.abc.Stream) -> None:
        heard.append(await request_from(stream))
        await stream.send_all(OK)

    async with serving(script) as server, transport() as carrying:
        await asked(carrying, server.port)
        await server.lost.wait()
        await trio.sleep(0.02)  # for the FIN to cross the loopback
        assert await asked(carrying, server.port) == (200, b"ok")
    assert (server.connections, len(heard)) == (2, 2)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_closed_as_the_request_arrives_is_replaced_once(reset: bool) -> None:
    heard: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        heard.append(await request_from(stream))
        await stream.send_all(OK)
        heard.append(await request_from(stream))
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async with serving(script) as server, transport() as carrying:  # type: ignore[arg-type]
        for _ in range(2):
            assert await asked(carrying, server.port, b"the same") == (200, b"ok")
    assert server.connections == 2
    assert len({each for each in heard if each}) == 1


async def test_a_new_connection_that_dies_is_not_replaced() -> None:
    async with serving(once()) as server, transport() as carrying:
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            await asked(carrying, server.port)
        assert server.connections == 1


async def test_a_kept_connection_that_dies_within_the_answer_is_not_replaced() -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await request_from(stream)
        await stream.send_all(OK)
        await request_from(stream)
        await stream.send_all(b"HTTP/1.1 2")

    async with serving(script) as server, transport() as carrying:
        await asked(carrying, server.port)
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            await asked(carrying, server.port)
    assert server.connections == 1


@pytest.mark.parametrize("leaves", [True, False], ids=["closes", "stays"])
@pytest.mark.parametrize("size", [300_000, 30_000_000])
async def test_an_answer_that_comes_before_the_whole_request_is_heard(leaves: bool, size: int) -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 429 Slow\r\ncontent-length: 4\r\n\r\nslow")
        if not leaves:
            await trio.sleep_forever()

    async with serving(script) as server, transport() as carrying:
        with trio.fail_after(10):
            assert await asked(carrying, server.port, b"x" * size) == (429, b"slow")


async def test_a_request_cut_short_by_its_answer_leaves_a_connection_that_is_not_used_again() -> None:
    """What is left of the request would be read as the next one."""

    async def script(stream: trio.abc.Stream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 429 Slow\r\ncontent-length: 4\r\n\r\nslow")
        await trio.sleep_forever()

    async with serving(script) as server, transport() as carrying:
        for _ in range(2):
            with trio.fail_after(10):
                assert await asked(carrying, server.port, b"x" * 30_000_000) == (429, b"slow")
    assert server.connections == 2


async def test_a_long_request_arrives_whole_and_its_connection_is_kept() -> None:
    async def script(stream: trio.abc.Stream) -> None:
        while sent := await request_from(stream):
            length = b"%d" % len(sent.partition(b"\r\n\r\n")[2])
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(length), length))

    async with serving(script) as server, transport() as carrying:
        for size in (100_000, 1_000_000, 3):
            assert await asked(carrying, server.port, b"x" * size) == (200, b"%d" % size)
    assert server.connections == 1


async def test_a_long_request_that_nobody_reads_is_a_write_timeout() -> None:
    async def script(_: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    timeouts = {"timeout": {"write": 0.2}}
    async with serving(script) as server, transport() as carrying:
        with trio.fail_after(5), pytest.raises(httpx.WriteTimeout):
            await asked(carrying, server.port, b"x" * 30_000_000, extensions=timeouts)


async def test_an_answer_left_early_takes_its_connection_along() -> None:
    async with (
        serving(once(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")) as server,
        transport(connections=1) as carrying,
    ):
        response = await carrying.handle_async_request(request(server.port))
        async with body_of(response) as body:
            assert await body.receive() == b"part"
        with trio.fail_after(5):
            await server.lost.wait()


async def test_a_pool_that_is_full_is_a_pool_timeout() -> None:
    async with (
        serving(once(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")) as server,
        transport(connections=1) as carrying,
    ):
        response = await carrying.handle_async_request(request(server.port))
        with pytest.raises(httpx.PoolTimeout):
            await asked(carrying, server.port, extensions={"timeout": {"pool": 0.05}})
        await response.aclose()


async def test_many_requests_over_few_connections_are_all_served() -> None:
    answers: list[tuple[int, bytes]] = []
    async with serving(polite) as server, transport(connections=3) as carrying:

        async def ask() -> None:
            answers.append(await asked(carrying, server.port))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
    assert answers == [(200, b"ok")] * 50
    assert server.connections <= 3


@needs_proc
@pytest.mark.parametrize("content", [b"{}", b"x" * 200_000], ids=["short", "long"])
async def test_cancelling_anywhere_leaves_neither_an_open_file_nor_a_taken_place(content: bytes) -> None:
    async def script(stream: trio.abc.Stream) -> None:
        while await request_from(stream):
            await stream.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
            await trio.lowlevel.checkpoint()
            await stream.send_all(b"0\r\n\r\n")

    before = open_files()
    async with serving(script) as server, transport(connections=1) as carrying:
        finished = 0
        for steps in range(120):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asked, carrying, server.port, content)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                finished += not nursery.child_tasks
                nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            assert await asked(carrying, server.port, content) == (200, b"ok")
        assert 0 < finished < 120
    assert open_files() == before


@needs_proc
async def test_a_cancelled_handshake_leaves_no_open_file() -> None:
    async def script(_: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    before = open_files()
    async with serving(script) as server, transport() as carrying:
        with trio.move_on_after(0.1):
            await asked(carrying, server.port, scheme="https")
        timeouts = {"timeout": {"connect": 0.1}}
        with pytest.raises(httpx.ConnectTimeout):
            await asked(carrying, server.port, scheme="https", extensions=timeouts)
    assert open_files() == before


async def test_closing_ends_what_is_under_way() -> None:
    async with (
        serving(once(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")) as server,
        transport() as carrying,
    ):
        response = await carrying.handle_async_request(request(server.port))
        async with body_of(response) as body:
            await body.receive()
            await carrying.aclose()
            with pytest.raises(httpx.ReadError):
                await body.receive()
        with pytest.raises(RuntimeError):
            await asked(carrying, server.port)


@pytest.mark.parametrize("url", ["ftp://x/", "http:///x", "x"])
async def test_an_address_without_http_is_not_asked(url: str) -> None:
    async with transport() as carrying:
        with pytest.raises(httpx.UnsupportedProtocol):
            await carrying.handle_async_request(httpx.Request("GET", url))


async def test_nobody_listening_is_a_connect_error() -> None:
    with ReservedPort() as nowhere:
        async with transport() as carrying:
            with pytest.raises(httpx.ConnectError):
                await asked(carrying, nowhere.number)


async def test_a_second_address_is_tried_when_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first swallows what it is sent (192.0.2.1 is nobody's); the second answers."""
    async with serving(polite) as server, transport() as carrying:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", server.port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]

        class Resolver(trio.abc.HostnameResolver):
            async def getaddrinfo(self, *_: Any) -> Any:
                return found

            async def getnameinfo(self, *_: Any) -> Any:
                raise NotImplementedError

        trio.socket.set_custom_hostname_resolver(Resolver())
        with trio.fail_after(5):
            assert await asked(carrying, server.port, host="two.example") == (200, b"ok")


async def test_a_vanished_peer_will_be_noticed() -> None:
    """The socket options that do it; to watch them work would take a minute and a firewall."""
    opened: list[trio.SocketStream] = []
    real = trio.open_tcp_stream

    async def opening(*args: Any) -> trio.SocketStream:
        opened.append(await real(*args))
        return opened[-1]

    async with serving(polite) as server, transport() as carrying:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trio, "open_tcp_stream", opening)
            await asked(carrying, server.port)
        there = opened[0]
        assert there.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


async def test_a_request_that_is_accepted_early_is_sent_to_its_end() -> None:
    async def script(stream: trio.abc.Stream) -> None:
        length = len(await stream.receive_some(1000))
        await stream.send_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while length < 30_000_000 and (data := await stream.receive_some()):
            length += len(data)
        await stream.send_all(b"whole" if length >= 30_000_000 else b"cut")

    async with serving(script) as server, transport() as carrying:
        with trio.fail_after(10):
            assert await asked(carrying, server.port, b"x" * 30_000_000) == (200, b"whole")


async def test_the_place_is_free_as_soon_as_the_end_has_been_read() -> None:
    short = {"timeout": {"pool": 0.2}}
    async with serving(polite) as server, transport(connections=1) as carrying:
        response = await carrying.handle_async_request(request(server.port))
        async with body_of(response) as body:
            assert await body.receive() == b"ok"
            assert await asked(carrying, server.port, extensions=short) == (200, b"ok")
            assert await body.receive() == b""
    assert server.connections == 1


@pytest.mark.parametrize("rest", [b"", b"5\r\nhello\r\n0\r\n\r\n"])
async def test_the_place_is_free_as_soon_as_the_answer_has_ended_or_broken(rest: bytes) -> None:
    gate = trio.Event()

    async def script(stream: trio.abc.Stream) -> None:
        await request_from(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await gate.wait()
        await stream.send_all(rest)

    short = {"timeout": {"pool": 0.2}}
    async with serving(script) as server, transport(connections=1) as carrying:
        response = await carrying.handle_async_request(request(server.port))
        async with body_of(response) as body:
            gate.set()
            with suppress(httpx.RemoteProtocolError):
                await body.receive()
            async with body_of(await carrying.handle_async_request(request(server.port, extensions=short))):
                pass
