"""httpx's own transport behind the same door as ours: for HTTP/2, for outgoing proxies, and by choice.

What it would let grow without an end is bounded here, and what it would forget is added: one deadline around
all of connecting (a proxy's answer and both handshakes included), the options of sockets, a cap on heads.
"""

import math
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, cast

import h11
import httpcore
import httpx
import trio

from ccproxy_trio.settings.model import Secret
from ccproxy_trio.upstream.transport.body import Body
from ccproxy_trio.upstream.transport.limits import KEEP_ALIVE, limits_of, missed
from ccproxy_trio.upstream.transport.network import CountingNetwork, counted_by
from ccproxy_trio.upstream.transport.round_trip import HEAD_BYTES, READ_BYTES

Protocol = Literal["http/1.1", "h2"]  # as ALPN names them

# Heads of informational answers included, which httpx reads for ever. Behind them, the last read may have
# brought as much of the body.
MOST_OF_A_HEAD = HEAD_BYTES + READ_BYTES
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
        within = limits_of(request).connect or math.inf
        watch = _Watch(within)
        # httpx would give each step of connecting all of the time.
        timeout = {**request.extensions.get("timeout", {}), "connect": None}
        request.extensions |= {"trace": watch.note, "timeout": timeout}
        with watch.connecting, counted_by(watch.head_came):
            response = await self._answered(request, watch)
        if watch.connecting.cancelled_caught:
            raise missed(httpx.ConnectTimeout, watch.due_at, within=within)
        response.stream = _NestedBody(response)
        return response

    async def _answered(self, request: httpx.Request, watch: "_Watch") -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            if watch.connected or not was_lost(error):
                raise
            raise StaleConnection(str(error)) from error


def stock_transport(
    speaking: Protocol, *, tls: ssl.SSLContext, connections: int, proxy: Secret | None = None
) -> HttpxTransport:
    """httpx's transport, with a pool as large as ours would be. "h2" is spoken where TLS agrees on it."""
    transport = HttpxTransport(
        verify=tls,
        http2=speaking == "h2",
        trust_env=False,  # HTTPS_PROXY or .netrc must not see the key
        limits=httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE
        ),
        proxy=None if proxy is None else _proxy(proxy.reveal(), tls),
    )
    # httpx offers no way to say who opens sockets, and drops their options on the way through a proxy.
    transport._pool._network_backend = CountingNetwork()
    return transport


def _proxy(address: str, tls: ssl.SSLContext) -> httpx.Proxy:
    return httpx.Proxy(address, ssl_context=tls if address.startswith("https:") else None)


def _judge_of(stream: httpx.AsyncByteStream) -> h11.Connection | None:
    """Who reads an answer in HTTP/1.1. No public name leads there; where the way changes, tests fail."""
    connection = cast("Any", stream)._httpcore_stream._stream._connection
    if isinstance(connection, httpcore.AsyncHTTP11Connection):
        return connection._h11_state
    return None


def was_lost(error: httpx.TransportError) -> bool:
    """Whether the peer hung up; one class also serves "the peer talks nonsense", and only the text tells."""
    if not isinstance(error, httpx.RemoteProtocolError):
        return isinstance(error, httpx.NetworkError)
    text = str(error)
    return any(words in text for words in ("disconnected", "peer closed", "unexpectedly closed"))


class _NestedBody(Body):
    """A body of httpx's, which is a nest of asynchronous generators. Only another read shows its end.

    httpx would take what follows an answer unasked for the beginning of the next one. So where something
    does, or where the length of an answer is told in two ways (which is how one message is passed off as
    two), the connection is shut at the answer's end, before it goes back to the pool, which finds it so.
    """

    is_over = False

    def __init__(self, response: httpx.Response) -> None:
        self._stream = cast("httpx.AsyncByteStream", response.stream)
        self._chunks: AsyncIterator[bytes] = aiter(self._stream)
        self._judge = _judge_of(self._stream)
        self._is_ambiguous = {"content-length", "transfer-encoding"} <= response.headers.keys()
        self._wire: httpcore.AsyncNetworkStream = response.extensions["network_stream"]

    async def receive(self) -> bytes:
        data = await anext(self._chunks, b"")
        judge = self._judge
        if not data and judge and (self._is_ambiguous or judge.trailing_data != (b"", False)):
            self._shut()
        return data

    def _shut(self) -> None:
        there: trio.socket.SocketType = self._wire.get_extra_info("socket")
        with suppress(OSError):
            there.shutdown(socket.SHUT_RDWR)

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


class _Watch:
    """Learns from httpcore's trace how far a request is: whether it had to connect, and until when.

    `connecting` is a scope with a deadline (`due_at`) from the first step of connecting to the last one: a
    handshake, or a proxy's word that it is connected.
    """

    def __init__(self, within: float) -> None:
        self.connected = False
        self.connecting = trio.CancelScope()
        self.due_at = math.inf
        self._within = within
        self._room: float = MOST_OF_A_HEAD

    async def note(self, event: str, info: Mapping[str, Any]) -> None:
        step = event.partition(".")[2]
        if step == "connect_tcp.started":
            self.connected = True
            self.due_at = self.connecting.deadline = trio.current_time() + self._within
        elif step == "send_request_headers.started" and info["request"].method != b"CONNECT":
            self.connecting.deadline = math.inf
            if event.startswith("http2."):  # what comes there may be of other requests; h2 has its own cap
                self._room = math.inf

    def head_came(self, size: int) -> None:
        """So many bytes more before the head of the answer was whole."""
        self._room -= size
        if self._room < 0:
            raise httpcore.RemoteProtocolError("its response head is larger than any should be")
