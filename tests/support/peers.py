"""A provider's end of a socket, written out by hand, and an `Upstream` that is pointed at it."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

import trio

from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, TransportName
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import Upstream
from ccproxy_trio.wire.faults import UpstreamFault

CANARY = "sk-canary-5f2b1c"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
DIALECT = resolve(
    ProviderSettings(
        name="p", api_key=Secret("k"), base_url="http://p.example/v1", models=Models(big=("m",))
    ),
    "m",
)
Handler = Callable[[trio.SocketStream], Awaitable[None]]


async def read_request(stream: trio.SocketStream) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n{}" if data.startswith(b"POST") else b"\r\n\r\n"):
        more = await stream.receive_some()
        if not more:
            return data
        data += bytes(more)
    return data


def replying(*pieces: bytes, reset: bool = False) -> Handler:
    async def handler(stream: trio.SocketStream) -> None:
        await read_request(stream)
        for piece in pieces:
            await stream.send_all(piece)
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await stream.aclose()

    return handler


@cache
def trusting() -> ssl.SSLContext:
    """Made once: it takes longer than all the rest of a test."""
    return ssl.create_default_context()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def upstream(
    port: int, transport: TransportName, address: str = "http://127.0.0.1", **options: Any
) -> AsyncIterator[Upstream]:
    provider = ProviderSettings(
        name="p",
        api_key=Secret(str(options.pop("key", CANARY))),
        base_url=f"{address}:{port}/v1",
        models=Models(big=("m",)),
        connect_timeout=float(options.pop("connect_timeout", 2.0)),
        **options,
    )
    tls = trusting()
    opening = Upstream(provider, tls=tls, connections=10, wall=lambda: 0.0, transport=transport)
    async with opening as opened:
        yield opened


async def fault_of(there: Upstream) -> UpstreamFault:
    """The fault that one completion ends in, wherever it strikes."""
    caught: UpstreamFault | None = None
    try:
        async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
            while await answer.receive_some():
                pass
    except UpstreamFault as fault:
        caught = fault
    assert caught is not None, "it went well"
    assert CANARY not in f"{caught} {caught.message} {caught!r}"
    return caught


async def fault_from(handler: Handler, transport: TransportName, **options: Any) -> UpstreamFault:
    async with serving(handler) as port, upstream(port, transport, **options) as there:
        return await fault_of(there)
