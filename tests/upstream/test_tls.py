"""TLS towards providers, with both transports; and HTTP/2, with a real Hypercorn."""

import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import hypercorn.trio
import pytest
import trio
import trustme
from hypercorn.config import Config

from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, TransportName
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import Upstream
from ccproxy_trio.upstream.transport.body import body_of
from ccproxy_trio.upstream.transport.own import TrioTransport
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

CA = trustme.CA()
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


class Told:
    """What a server learned of those who came."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.names: list[str | None] = []
        self.protocols: list[str | None] = []


@asynccontextmanager
async def serving(cert: trustme.LeafCert) -> AsyncIterator[Told]:
    context, told = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Told()
    cert.configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _, name, __: told.names.append(name)  # type: ignore[assignment]

    async def handle(raw: trio.SocketStream) -> None:
        told.connections += 1
        stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
            told.protocols.append(stream.selected_alpn_protocol())
            data = b""
            while more := await stream.receive_some():
                data += more
                if data.endswith(b"{}"):  # httpx sends head and body by themselves
                    data = b""
                    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        told.port = listeners[0].socket.getsockname()[1]
        yield told
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def upstream(port: int, transport: TransportName, host: str = "localhost") -> AsyncIterator[Upstream]:
    provider = ProviderSettings(
        name="p", api_key=Secret("k"), base_url=f"https://{host}:{port}/v1", models=Models(big=("m",))
    )
    opening = Upstream(provider, tls=trusting(), connections=4, wall=lambda: 0.0, transport=transport)
    async with opening as opened:
        yield opened


async def answer_of(there: Upstream) -> bytes:
    dialect = resolve(there._provider, "m")
    async with there.open(Outgoing(body=b"{}"), model="m", dialect=dialect) as answer:
        return await answer.receive_all()


async def test_a_certificate_that_fits_is_taken_and_the_connection_used_again(
    transport: TransportName,
) -> None:
    async with (
        serving(CA.issue_cert("localhost", "127.0.0.1")) as told,
        upstream(told.port, transport) as there,
    ):
        assert [await answer_of(there) for _ in range(3)] == [b"ok"] * 3
    assert (told.connections, told.names, told.protocols) == (1, ["localhost"], ["http/1.1"])


async def test_an_address_in_numbers_is_checked_too(transport: TransportName) -> None:
    async with (
        serving(CA.issue_cert("127.0.0.1")) as told,
        upstream(told.port, transport, "127.0.0.1") as there,
    ):
        assert await answer_of(there) == b"ok"


@pytest.mark.parametrize(
    "cert",
    [
        CA.issue_cert("other.example"),
        CA.issue_cert("localhost", not_after=LONG_AGO),
        trustme.CA().issue_cert("localhost"),
    ],
    ids=["another-host", "expired", "unknown-authority"],
)
async def test_a_certificate_that_does_not_fit_is_a_tls_fault(
    transport: TransportName, cert: trustme.LeafCert
) -> None:
    async with serving(cert) as told, upstream(told.port, transport) as there:
        with pytest.raises(UpstreamFault) as caught:
            await answer_of(there)
    assert caught.value.kind is FaultKind.TLS


async def test_a_plain_port_is_a_tls_fault(transport: TransportName) -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, plain, 0, host="127.0.0.1"))
        async with upstream(listeners[0].socket.getsockname()[1], transport) as there:
            with pytest.raises(UpstreamFault) as caught:
                await answer_of(there)
        nursery.cancel_scope.cancel()
    assert caught.value.kind is FaultKind.TLS


@asynccontextmanager
async def speaking(
    script: Callable[[trio.SSLStream[trio.SocketStream]], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server that plays `script` after each handshake; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("localhost").configure_cert(context)

    async def handle(raw: trio.SocketStream) -> None:
        stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
            await script(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def heard(carrying: TrioTransport, port: int, content: bytes) -> tuple[int, bytes]:
    request = httpx.Request("POST", f"https://localhost:{port}/", content=content)
    response = await carrying.handle_async_request(request)
    async with body_of(response) as body:
        return response.status_code, b"".join([data async for data in body])


@pytest.mark.parametrize("leaves", [True, False], ids=["closes", "stays"])
async def test_a_refusal_is_heard_to_its_end_although_the_request_was_never_sent_whole(leaves: bool) -> None:
    """Head and body are records of their own: they do not come in one read."""

    async def script(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 413 Big\r\ncontent-length: 4\r\n\r\n")
        await stream.send_all(b"long")
        if leaves:
            await stream.transport_stream.aclose()
        else:
            await trio.sleep_forever()

    async with speaking(script) as port, TrioTransport(tls=trusting(), connections=1) as carrying:
        for _ in range(2):
            with trio.fail_after(10):
                assert await heard(carrying, port, b"x" * 30_000_000) == (413, b"long")


async def test_what_came_unasked_with_an_answer_is_nobodys_answer() -> None:
    async def script(stream: trio.SSLStream[trio.SocketStream]) -> None:
        while await stream.receive_some():
            # Two records in one segment: the client's next read of the socket brings both.
            stream._ssl_object.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            stream._ssl_object.write(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nunasked")
            tickets, stream._delayed_outgoing = stream._delayed_outgoing or b"", None
            await stream.transport_stream.send_all(tickets + stream._outgoing.read())

    async with speaking(script) as port, TrioTransport(tls=trusting(), connections=1) as carrying:
        for _ in range(3):
            assert await heard(carrying, port, b"{}") == (200, b"ok")


async def test_http2_is_spoken_where_it_is_asked_for(tmp_path: Path, nursery: trio.Nursery) -> None:
    versions: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        versions.append(scope["http_version"])
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for body, more in ((b"one ", True), (b"two", False)):
            await send({"type": "http.response.body", "body": body, "more_body": more})

    config, cert = Config(), CA.issue_cert("localhost")
    cert.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    config.bind, config.certfile, config.keyfile = (
        ["127.0.0.1:0"],
        str(tmp_path / "pem"),
        str(tmp_path / "pem"),
    )
    config.errorlog = None
    ended = trio.Event()
    bound = await nursery.start(partial(hypercorn.trio.serve, app, config, shutdown_trigger=ended.wait))
    port = int(bound[0].rpartition(":")[2])
    for name, version in (("httpx-http2", "2"), ("trio", "1.1"), ("httpx", "1.1")):
        async with upstream(port, name) as there:  # type: ignore[arg-type]
            assert [await answer_of(there) for _ in range(2)] == [b"one two"] * 2
        assert versions[-2:] == [version] * 2
    ended.set()
