"""Which transport carries a provider's requests, by the configuration's word."""

import ssl
from typing import assert_never

import httpx
import trio

from ccproxy_trio.settings.model import TransportName
from ccproxy_trio.upstream.transport.own import TrioTransport
from ccproxy_trio.upstream.transport.stock import stock_transport


def open_transport(name: TransportName, *, tls: ssl.SSLContext, connections: int) -> httpx.AsyncBaseTransport:
    """A transport with its own pool of at most `connections`; whoever asks closes it.

    Raises:
        ImportError: HTTP/2 is asked for, and nothing is installed that speaks it.
    """
    match name:
        case "trio":
            return TrioTransport(tls=tls, connections=connections)
        case "httpx":
            return stock_transport(tls=tls, connections=connections, http2=False)
        case "httpx-http2":
            return stock_transport(tls=tls, connections=connections, http2=True)
        case _:
            assert_never(name)


async def tidying(transport: httpx.AsyncBaseTransport) -> None:
    """Close idle connections as their time comes, for ever. httpx's transport does it when next asked."""
    if isinstance(transport, TrioTransport):
        await transport.tidy()
    await trio.sleep_forever()
