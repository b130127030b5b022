"""Which transport carries a provider's requests, by the configuration's word."""

import ssl
from typing import assert_never

import httpx
import trio

from ccproxy_trio.settings.model import Secret, TransportName
from ccproxy_trio.upstream.transport.own import TrioTransport
from ccproxy_trio.upstream.transport.stock import stock_transport


def open_transport(
    name: TransportName, *, tls: ssl.SSLContext, connections: int, proxy: Secret | None = None
) -> httpx.AsyncBaseTransport:
    """A transport with its own pool of at most `connections`; whoever asks closes it.

    `proxy` is an address that all requests go through. `tls` serves for the way to it, too.
    """
    match name:
        case "trio" if proxy is not None:
            raise ValueError("our own transport goes through no proxy")  # Settings.transport_of knows
        case "trio":
            return TrioTransport(tls=tls, connections=connections)
        case "httpx":
            return stock_transport("http/1.1", tls=tls, connections=connections, proxy=proxy)
        case "httpx-http2":
            return stock_transport("h2", tls=tls, connections=connections, proxy=proxy)
        case _:
            assert_never(name)


async def tidying(transport: httpx.AsyncBaseTransport) -> None:
    """Close idle connections as their time comes, for ever. httpx's transport does it when next asked."""
    if isinstance(transport, TrioTransport):
        await transport.tidy()
    await trio.sleep_forever()
