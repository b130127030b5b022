"""HTTP towards one provider: open a completion, ask its health endpoint. The only room that knows httpx.

Every foreign error becomes an `UpstreamFault` here. None of their texts goes on: httpx quotes the header it
dislikes, key included.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self

import httpx
import trio

from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.settings.model import TIERS, ProviderSettings, TransportName
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.probe import probe_body
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.translate.waits import asked_wait
from ccproxy_trio.upstream.asking import EVENT_STREAM, JSON, Asking
from ccproxy_trio.upstream.bodies import COMPRESSED, is_compressed
from ccproxy_trio.upstream.transport.body import Body, body_of
from ccproxy_trio.upstream.transport.choice import open_transport, tidying
from ccproxy_trio.upstream.transport.limits import NotRunning
from ccproxy_trio.upstream.transport.lookup import bound_lookups
from ccproxy_trio.upstream.transport.stock import CLOSE_WITHIN, StaleConnection, was_lost
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

ERROR_BODY_BYTES = 64 * 1024
ANSWER_BODY_BYTES = 64 * 2**20
NO_KEY_OF_OURS = "each client's own key is passed on"
ERROR_BODY_WITHIN = 5.0  # seconds; a provider that drips its error page is not worth more


class Answer:
    """A 200 whose head has arrived. Owned by `Upstream.open`'s `async with`."""

    def __init__(self, response: httpx.Response, body: Body) -> None:
        self._body = body
        self._taken = 0
        self.headers: Mapping[str, str] = _lowered(response.headers)
        content_type = self.headers.get("content-type", "")
        self.is_event_stream = content_type.lower().startswith("text/event-stream")

    @property
    def is_over(self) -> bool:
        """Its end is known to have come, and nothing of it is left to read."""
        return self._body.is_over

    async def receive_some(self) -> bytes:
        """The next bytes as they come, b"" at the end of the body. Cancelling loses the connection.

        Raises:
            UpstreamFault: reset, bad framing, or more than `ANSWER_BODY_BYTES`.
        """
        try:
            data = await self._body.receive()
        except httpx.HTTPError as error:
            raise transport_fault(error) from None
        self._taken += len(data)
        if self._taken > ANSWER_BODY_BYTES:
            raise UpstreamFault(FaultKind.PROTOCOL, "the answer is larger than any answer should be")
        return data

    async def receive_all(self) -> bytes:
        """The rest of the body."""
        body = bytearray()
        while data := await self.receive_some():
            body += data
        return bytes(body)


class Upstream:
    """One provider's connections. Enter it (`async with`) before use; it outlives its provider's actor.

    `wall` gives epoch seconds; it is only used to read a Retry-After that is a date.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        *,
        tls: ssl.SSLContext,
        connections: int,
        wall: Callable[[], float],
        transport: TransportName = "trio",
    ) -> None:
        self._provider = provider
        self._asking = Asking(provider)
        self._wall = wall
        self._transport = open_transport(
            transport, tls=tls, connections=connections, proxy=provider.outgoing_proxy
        )

    async def __aenter__(self) -> Self:
        bound_lookups()
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await self._transport.aclose()

    async def tidy(self) -> None:
        """Close connections that nobody has used for long, for ever. Without it, the next request does it."""
        await tidying(self._transport)

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[Answer]:
        """Ask for one answer, on the dialect's wire; yields once a 200's head has arrived.

        Nothing is retried but what a dead kept-alive connection swallowed, and no time is bounded here but
        that to connect. Cancelling closes the connection.

        Raises:
            UpstreamFault: no usable answer: refused, reset, TLS, or any status but 200.
        """
        accept = EVENT_STREAM if dialect.streaming else JSON
        request = self._completion(asked, model=model, accept=accept, dialect=dialect)
        try:
            response = await self._transport.handle_async_request(request)
        except (httpx.HTTPError, UnicodeError, OSError) as error:
            raise transport_fault(error) from None
        del asked, request  # it has been sent, and the answer may take minutes
        async with body_of(response) as answered:
            await self._insist_on_200(response, answered, profile=dialect.profile)
            yield Answer(response, answered)

    def _completion(self, asked: Outgoing, *, model: str, accept: str, dialect: Dialect) -> httpx.Request:
        try:
            return self._asking.completion(asked, model=model, accept=accept, dialect=dialect)
        except (httpx.InvalidURL, UnicodeError):
            raise UpstreamFault(FaultKind.CONFIG, "its base_url or headers are not valid") from None

    async def _insist_on_200(self, response: httpx.Response, body: Body, *, profile: str) -> None:
        if response.status_code == 200:
            if is_compressed(response.headers):
                raise UpstreamFault(FaultKind.PROTOCOL, COMPRESSED)
            return
        headers = _lowered(response.headers)
        text = b"" if is_compressed(response.headers) else await _error_text(body)
        raise classify(response.status_code, headers, text, profile=profile, wall_now=self._wall())

    async def probe(self) -> ProbeResult:
        """Ask the endpoint that costs nothing (`GET .../models`), or for one token if so configured.

        On the wire of the cheapest model. Where each client's own key is passed on, there is none to ask
        with, and nothing is sent. Never raises but for cancellation. The answer's body is not read.
        """
        started_at = trio.current_time()
        if self._provider.passes_credentials:
            await trio.lowlevel.checkpoint()
            return ProbeResult(verdict=ProbeVerdict.UNSUPPORTED, detail=NO_KEY_OF_OURS, seconds=0.0)
        try:
            response = await self._transport.handle_async_request(self._probe_request())
        except UpstreamFault as fault:
            return _probe_failed(fault, started_at)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            return _probe_failed(transport_fault(error), started_at)
        async with body_of(response):
            pass  # its connection is kept if there is no more to come
        verdict, kind = probe_verdict(response.status_code)
        return ProbeResult(
            verdict=verdict,
            kind=kind,
            retry_after=asked_wait(response.status_code, response.headers, wall_now=self._wall()),
            detail=f"HTTP {response.status_code}",
            seconds=trio.current_time() - started_at,
        )

    def _probe_request(self) -> httpx.Request:
        model = _probe_model(self._provider)
        dialect = resolve(self._provider, model)
        if self._provider.probe == "completion":
            asked = Outgoing(body=probe_body(model, dialect))
            return self._completion(asked, model=model, accept=JSON, dialect=dialect)
        return self._asking.models(dialect)


def _lowered(headers: httpx.Headers) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _probe_failed(fault: UpstreamFault, started_at: float) -> ProbeResult:
    return ProbeResult(
        verdict=ProbeVerdict.FAIL,
        kind=fault.kind,
        detail=str(fault.kind),
        seconds=trio.current_time() - started_at,
    )


def _probe_model(provider: ProviderSettings) -> str:
    """The cheapest model there is, by its tier."""
    return next(model for tier in reversed(TIERS) for model in provider.models_of(tier))


async def _error_text(body: Body) -> bytes:
    text = bytearray()
    # The status is known already: a body that is cut short or drips only makes the text shorter.
    with trio.move_on_after(ERROR_BODY_WITHIN), suppress(httpx.HTTPError):
        while len(text) < ERROR_BODY_BYTES and (data := await body.receive()):
            text += data
    return bytes(text[:ERROR_BODY_BYTES])


def probe_verdict(status: int) -> tuple[ProbeVerdict, FaultKind | None]:
    """What the status of a probe's answer says of its provider, and which fault it was, if any."""
    match status:
        case 401:
            return ProbeVerdict.AUTH, FaultKind.AUTH
        case 402:
            return ProbeVerdict.QUOTA, FaultKind.QUOTA
        case 429:
            return ProbeVerdict.LIMITED, FaultKind.RATE_LIMITED
        case 408:
            return ProbeVerdict.FAIL, FaultKind.REQUEST_TIMEOUT
        case _ if status >= 500 and status != 501:
            return ProbeVerdict.FAIL, FaultKind.SERVER_ERROR
        case _ if status < 300:
            return ProbeVerdict.OK, None
        case _:
            # 403 is here too: a key may be good for completions and not be allowed to list models.
            return ProbeVerdict.UNSUPPORTED, None


def transport_fault(error: Exception) -> UpstreamFault:
    """What a transport error means.

    A kept-alive connection that dies before the response head says nothing about the provider: it may have
    closed it as the request was under way. Our own transport asks again then, and never tells.
    """
    match error:
        case NotRunning():
            return UpstreamFault(FaultKind.SUSPENDED, "this proxy did not run while it connected")
        case httpx.ConnectTimeout():
            return UpstreamFault(FaultKind.CONNECT_TIMEOUT, "could not connect in time")
        case httpx.ProxyError():
            return UpstreamFault(FaultKind.CONNECT, _refused_by_proxy(error))
        case httpx.ConnectError() if _is_tls(error):
            return UpstreamFault(FaultKind.TLS, "the TLS handshake or certificate failed")
        case httpx.ConnectError():
            return UpstreamFault(FaultKind.CONNECT, "could not connect")
        case httpx.PoolTimeout():
            return UpstreamFault(FaultKind.POOL, "all connections are in use")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | UnicodeError():
            return UpstreamFault(FaultKind.CONFIG, "its key, headers or base_url cannot be sent over HTTP")
        case httpx.RemoteProtocolError() if not was_lost(error):
            return UpstreamFault(FaultKind.PROTOCOL, "it does not answer in HTTP")
        case StaleConnection():
            return UpstreamFault(FaultKind.STALE, "the connection had been closed")
        case _:
            return UpstreamFault(FaultKind.RESET, "the connection was lost")


def _refused_by_proxy(error: httpx.ProxyError) -> str:
    """With the status, where httpx's text begins with one. The rest of that text is the proxy's own."""
    status = str(error)[:3]
    told = f"HTTP {status}" if status.isascii() and status.isdigit() else "no reason given"
    return f"the outgoing proxy makes no connection to it ({told})"


def _is_tls(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
