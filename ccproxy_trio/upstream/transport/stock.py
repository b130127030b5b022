"""httpx's own transport behind the same door as ours: for HTTP/2, and for whoever trusts it more."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Literal, cast

import httpx
import trio

from ccproxy_trio.upstream.transport.body import Body
from ccproxy_trio.upstream.transport.limits import KEEP_ALIVE

Protocol = Literal["http/1.1", "h2"]  # as ALPN names them

CLOSE_WITHIN = 1.0  # seconds; what closes connections is shielded, and must not take long


class StaleConnection(httpx.ReadError):
    """A connection that had carried requests before was lost as the next one was under way."""


class HttpxTransport(httpx.AsyncHTTPTransport):
    """httpx's default transport; its answers have a `Body` that can be left at any time."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx's, but for:

        Raises:
            StaleConnection: a kept-alive connection died before the response head.
        """
        trace = _ConnectionTrace()
        request.extensions["trace"] = trace.note
        try:
            response = await super().handle_async_request(request)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            if trace.connected or not was_lost(error):
                raise
            raise StaleConnection(str(error)) from error
        response.stream = _NestedBody(cast("httpx.AsyncByteStream", response.stream))
        return response


def stock_transport(speaking: Protocol, *, tls: ssl.SSLContext, connections: int) -> HttpxTransport:
    """httpx's transport, with a pool as large as ours would be. "h2" is spoken where TLS agrees on it."""
    return HttpxTransport(
        verify=tls,
        http2=speaking == "h2",
        trust_env=False,  # HTTPS_PROXY or .netrc must not see the key
        limits=httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE
        ),
    )


def was_lost(error: httpx.TransportError) -> bool:
    """Whether the peer hung up; one class also serves "the peer talks nonsense", and only the text tells."""
    if not isinstance(error, httpx.RemoteProtocolError):
        return isinstance(error, httpx.NetworkError)
    text = str(error)
    return any(words in text for words in ("disconnected", "peer closed", "unexpectedly closed"))


class _NestedBody(Body):
    """A body of httpx's, which is a nest of asynchronous generators. Only another read shows its end."""

    is_over = False

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[bytes] = aiter(stream)

    async def receive(self) -> bytes:
        return await anext(self._chunks, b"")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await self._abandon()
            await self._stream.aclose()

    async def _abandon(self) -> None:
        """Leave the body early. `aclose()` would reach the outermost of the nested generators only.

        A read that is cancelled passes through all of them, and closes the connection on its way.
        """
        with trio.CancelScope() as leaving, suppress(httpx.HTTPError):
            leaving.cancel()
            async for _ in self._chunks:
                pass


class _ConnectionTrace:
    """Learns from httpcore's trace whether a request had to open a connection or used a kept-alive one."""

    def __init__(self) -> None:
        self.connected = False

    async def note(self, event: str, _: Mapping[str, object]) -> None:
        if event == "connection.connect_tcp.started":
            self.connected = True
