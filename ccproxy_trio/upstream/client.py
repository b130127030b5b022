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
from ccproxy_trio.settings.model import TIERS, ProviderSettings
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.probe import probe_request
from ccproxy_trio.translate.waits import asked_wait
from ccproxy_trio.upstream.bodies import COMPRESSED, abandon, is_compressed
from ccproxy_trio.upstream.endpoints import endpoints
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.openai import encode

ERROR_BODY_BYTES = 64 * 1024
ANSWER_BODY_BYTES = 64 * 2**20
ERROR_BODY_WITHIN = 5.0  # seconds; a provider that drips its error page is not worth more
KEEP_ALIVE_EXPIRY = 30.0  # seconds
CLOSE_WITHIN = 1.0  # seconds; what closes connections is shielded, and must not take long


class Answer:
    """A 200 whose head has arrived. Owned by `Upstream.open`'s `async with`."""

    def __init__(self, response: httpx.Response, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._taken = 0
        content_type: str = response.headers.get("content-type", "")
        self.is_event_stream = content_type.lower().startswith("text/event-stream")

    async def receive_some(self) -> bytes:
        """The next bytes as they come, b"" at the end of the body. Cancelling loses the connection.

        Raises:
            UpstreamFault: reset, bad framing, or more than `ANSWER_BODY_BYTES`.
        """
        try:
            data = await anext(self._chunks, b"")
        except httpx.HTTPError as error:
            raise transport_fault(error, reused=False) from None
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
        self, provider: ProviderSettings, *, tls: ssl.SSLContext, connections: int, wall: Callable[[], float]
    ) -> None:
        self._provider = provider
        self._endpoints = endpoints(provider)
        self._wall = wall
        self._client = httpx.AsyncClient(
            # Our own Trio deadlines bound everything but the connect: a byte now and then, or a comment,
            # resets httpx's read timeout for ever.
            timeout=httpx.Timeout(None, connect=provider.connect_timeout, pool=5.0),
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=KEEP_ALIVE_EXPIRY,
            ),
            verify=tls,
            follow_redirects=False,  # a redirect would carry the key to another host
            trust_env=False,  # HTTPS_PROXY or .netrc must not see it either
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await self._client.aclose()

    @asynccontextmanager
    async def open(self, body: bytes, *, model: str, dialect: Dialect) -> AsyncIterator[Answer]:
        """Send one chat completion; yields once a 200's head has arrived.

        Nothing is retried and no time is bounded here, but connecting. Cancelling closes the connection.

        Raises:
            UpstreamFault: no usable answer: refused, reset, TLS, or any status but 200.
        """
        request = self._request(body, model=model, streaming=dialect.streaming)
        trace = _ConnectionTrace()
        request.extensions["trace"] = trace.note
        response = await self._send(request, trace)
        try:
            chunks = response.aiter_raw()
            try:
                await self._insist_on_200(response, chunks, profile=dialect.profile)
                yield Answer(response, chunks)
            finally:
                with trio.move_on_after(CLOSE_WITHIN, shield=True):
                    await abandon(chunks)
        finally:
            with trio.move_on_after(CLOSE_WITHIN, shield=True):
                await response.aclose()

    def _request(self, body: bytes, *, model: str, streaming: bool) -> httpx.Request:
        accept = b"text/event-stream" if streaming else b"application/json"
        try:
            request = self._client.build_request(
                "POST",
                self._endpoints.completions_for(model),
                content=body,
                headers=self._endpoints.headers_for(accept),
            )
        except (httpx.InvalidURL, UnicodeError):
            raise UpstreamFault(FaultKind.CONFIG, "its base_url or headers are not valid") from None
        request.stream = _Body(body)
        return request

    async def _send(self, request: httpx.Request, trace: "_ConnectionTrace") -> httpx.Response:
        try:
            return await self._client.send(request, stream=True)
        except (httpx.HTTPError, UnicodeError, OSError) as error:
            raise transport_fault(error, reused=not trace.connected) from None

    async def _insist_on_200(
        self, response: httpx.Response, chunks: AsyncIterator[bytes], *, profile: str
    ) -> None:
        headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code == 200:
            if is_compressed(headers):
                raise UpstreamFault(FaultKind.PROTOCOL, COMPRESSED)
            return
        body = await _error_body(chunks)
        raise classify(response.status_code, headers, body, profile=profile, wall_now=self._wall())

    async def probe(self) -> ProbeResult:
        """Ask the endpoint that costs nothing (`GET .../models`), or for one token if so configured.

        Never raises but for cancellation. The answer's body is not read.
        """
        started_at = trio.current_time()
        try:
            response = await self._client.send(self._probe_request(), stream=True)
        except UpstreamFault as fault:
            return _probe_failed(fault, started_at)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            return _probe_failed(transport_fault(error, reused=False), started_at)
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await response.aclose()
        verdict, kind = _probe_verdict(response.status_code)
        return ProbeResult(
            verdict=verdict,
            kind=kind,
            retry_after=asked_wait(response.status_code, response.headers, wall_now=self._wall()),
            detail=f"HTTP {response.status_code}",
            seconds=trio.current_time() - started_at,
        )

    def _probe_request(self) -> httpx.Request:
        if self._provider.probe == "completion":
            model = _probe_model(self._provider)
            body = encode(probe_request(model, resolve(self._provider, model)))
            return self._request(body, model=model, streaming=False)
        return self._client.build_request(
            "GET", self._endpoints.models, headers=self._endpoints.headers_for(b"application/json")
        )


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


class _Body(httpx.AsyncByteStream):
    """A request body in one piece. httpx's own is an async generator, left behind when a write fails."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._data)


class _Once:
    """An async iterator over one item."""

    def __init__(self, item: bytes) -> None:
        self._items = [item]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop()


class _ConnectionTrace:
    """Learns from httpcore's trace whether a request had to open a connection or used a kept-alive one."""

    def __init__(self) -> None:
        self.connected = False

    async def note(self, event: str, _: Mapping[str, object]) -> None:
        if event == "connection.connect_tcp.started":
            self.connected = True


async def _error_body(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    # The status is known already: a body that is cut short or drips only makes the text shorter.
    with trio.move_on_after(ERROR_BODY_WITHIN), suppress(httpx.HTTPError):
        while len(body) < ERROR_BODY_BYTES and (data := await anext(chunks, b"")):
            body += data
    return bytes(body[:ERROR_BODY_BYTES])


def _probe_verdict(status: int) -> tuple[ProbeVerdict, FaultKind | None]:
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


def transport_fault(error: Exception, *, reused: bool) -> UpstreamFault:
    """What a transport error means. `reused`: the connection had served a request before.

    A kept-alive connection that dies before the response head says nothing about the provider: it may have
    closed it as the request was under way.
    """
    match error:
        case httpx.ConnectTimeout():
            return UpstreamFault(FaultKind.CONNECT_TIMEOUT, "could not connect in time")
        case httpx.ConnectError() if _is_tls(error):
            return UpstreamFault(FaultKind.TLS, "the TLS handshake or certificate failed")
        case httpx.ConnectError():
            return UpstreamFault(FaultKind.CONNECT, "could not connect")
        case httpx.PoolTimeout():
            return UpstreamFault(FaultKind.POOL, "all connections are in use")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | UnicodeError():
            return UpstreamFault(FaultKind.CONFIG, "its key, headers or base_url cannot be sent over HTTP")
        case httpx.RemoteProtocolError() if not _is_disconnect(error):
            return UpstreamFault(FaultKind.PROTOCOL, "it does not answer in HTTP")
        case _ if reused:
            return UpstreamFault(FaultKind.STALE, "the connection had been closed")
        case _:
            return UpstreamFault(FaultKind.RESET, "the connection was lost")


def _is_disconnect(error: httpx.RemoteProtocolError) -> bool:
    # One class serves "the peer hung up" and "the peer talks nonsense"; only the text tells them apart.
    return "disconnected" in str(error) or "peer closed" in str(error)


def _is_tls(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
