"""Our transport: HTTP/1.1 on Trio and h11, as httpx wants a transport to be. How one request travels:

1. `handle_async_request` reads the request's origin, and the timeouts that were put into its extensions.
2. The *pool* is asked for a connection (`pool.py`). A synchronous function decides: one that is kept and
   has nothing to say, or a place to make a new one, or none. Whoever gets none queues; the queue is served
   in order. From here on the request holds a place, and a `finally` gives it back, whatever happens.
3. Where there is no link yet, one is made (`connecting.py`): names looked up, addresses raced, TLS spoken.
   One deadline is around all of it.
4. A *round trip* (`round_trip.py`) puts head and body together and sends them in one call. It reads until the
   head of the answer is whole, counts before it parses, and lets h11 judge. A long request is sent by a
   task of its own, so that a refusal is heard while there is still something to say.
5. A kept link may have died since it was looked at: the server closed it just as the request was under way.
   When that shows at once and no byte of an answer has come, the request is sent once more, on a new link
   in the same place. It happens once, and never to a new link: there, death is an answer. A server that
   vanished without a farewell (its power failed, a router forgot the connection) shows by acknowledging
   nothing: on Linux the kernel is asked, and the rest is the same.
6. The caller gets the head, and a *body* that reads on demand: each `receive` is at most one read of the
   socket, and gives all that it brought (`chunks.py` takes chunks apart without a state machine's work for
   each). Nothing is read ahead, so a slow reader slows its server down by TCP's own window.
7. At the body's end h11 says whether the link may be used again. The place goes back in the same instant,
   with the link or without it; an answer that is left early takes its link down with it.

Cancellation needs no code of its own in any of this. Every wait is Trio's, so a cancelled request leaves
through the `finally` of whoever holds the place, and closing a socket is synchronous: there is nothing left
to wait for. No goodbye is said in TLS: peers of HTTP must do without it, and a farewell to a dead peer
would never end.
"""

import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType

import h11
import httpx
import trio

from ccproxy_trio.upstream.transport.body import Body
from ccproxy_trio.upstream.transport.connecting import Link, Origin, connect
from ccproxy_trio.upstream.transport.limits import KEEP_ALIVE, Limits, limits_of, within
from ccproxy_trio.upstream.transport.pool import Connection, Pool
from ccproxy_trio.upstream.transport.round_trip import RoundTrip, Vanished

STALE_WITHIN = 2.0  # seconds after which a death is no farewell that crossed the request: it may be at work
_PORTS = {"http": 80, "https": 443}
Connect = Callable[[Origin, ssl.SSLContext], Awaitable[Link]]


class TrioTransport(httpx.AsyncBaseTransport):
    """Carries requests over at most `connections` connections. No redirects, no proxies, no cookies.

    Only the body's framing is taken off: nothing is inflated. A request's body is gathered before it is sent.
    `keep_alive`: seconds that a connection is kept for the next request.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        connections: int,
        keep_alive: float = KEEP_ALIVE,
        connect: Connect = connect,
    ) -> None:
        self._tls = tls
        self._connect = connect
        self._pool = Pool(places=connections, keep_alive=keep_alive)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its response as soon as the head is there. Its `stream` is a `Body`; close it.

        Raises:
            httpx.TransportError: of the class that httpx's own transport would raise.
        """
        origin, limits = _origin(request.url), limits_of(request)
        question = _question(request)
        content = await _content(request)
        connection = self._pool.take(origin) or await self._queued(origin, limits)
        answered = False
        try:
            trip, head = await self._answered(connection, question, content, limits)
            answered = True
        finally:
            if not answered:
                connection.close()
                self._pool.release(connection)
        return httpx.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=_OwnBody(trip, connection, self._pool),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )

    async def _queued(self, origin: Origin, limits: Limits) -> Connection:
        with within(limits.pool, httpx.PoolTimeout):
            return await self._pool.wait(origin)

    async def _answered(
        self, connection: Connection, question: h11.Request, content: bytes, limits: Limits
    ) -> tuple[RoundTrip, h11.Response]:
        """Ask on the link that lies there; on a new one where there is none, or it turns out to be dead."""
        connect_within = limits.connect
        if connection.link is not None:
            # Half of the time to connect is for finding out that nobody is there, and half for a new link.
            half = None if limits.connect is None else limits.connect / 2
            trip, began_at = RoundTrip(connection.link, limits, doubt_after=half), trio.current_time()
            try:
                return trip, await trip.ask(question, content)
            except Vanished:
                connect_within = half
            except (httpx.ReadError, httpx.RemoteProtocolError):
                if trip.heard or trio.current_time() - began_at > STALE_WITHIN:
                    raise
            connection.close()
        with within(connect_within, httpx.ConnectTimeout):
            connection.link = await self._connect(connection.origin, self._tls)
        trip = RoundTrip(connection.link, limits)
        return trip, await trip.ask(question, content)

    async def tidy(self) -> None:
        """Close idle connections as their time comes, for ever. Run it beside the requests, or do without."""
        await self._pool.tidy()

    async def aclose(self) -> None:
        """Close all connections. Requests under way fail."""
        self._pool.close()


class _OwnBody(Body):
    """A body on one of the pool's connections, which goes back as soon as the end has been seen."""

    def __init__(self, trip: RoundTrip, connection: Connection, pool: Pool) -> None:
        self._trip = trip
        self._connection: Connection | None = connection
        self._pool = pool
        if trip.over:
            self._leave()

    @property
    def is_over(self) -> bool:
        return self._trip.over and not self._trip.has_ready

    async def receive(self) -> bytes:
        intact = False
        try:
            data = await self._trip.read()
            intact = True
        finally:
            if self._trip.over or not intact:
                self._leave()
        return data

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not (self._trip.over and self._trip.is_reusable):
            connection.close()
        self._pool.release(connection)


def _origin(url: httpx.URL) -> Origin:
    scheme = url.scheme
    if scheme not in _PORTS or not url.host:
        raise httpx.UnsupportedProtocol("only addresses that begin with http:// or https:// can be asked")
    return Origin(scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme])


def _question(request: httpx.Request) -> h11.Request:
    try:
        return h11.Request(
            method=request.method.encode("ascii"), target=request.url.raw_path, headers=request.headers.raw
        )
    except (h11.LocalProtocolError, UnicodeError) as error:
        raise httpx.LocalProtocolError(str(error)) from error


async def _content(request: httpx.Request) -> bytes:
    if not isinstance(request.stream, httpx.AsyncByteStream):
        raise TypeError("an asynchronous transport carries no synchronous bodies")
    return b"".join([piece async for piece in request.stream])
