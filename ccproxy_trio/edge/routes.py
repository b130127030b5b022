"""The endpoints: decode the request, run the exchange, shape the response."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol, cast

import msgspec
import trio
from msgspec import structs
from quart import Response, g, request

from ccproxy_trio.actors.dispatcher import Routes
from ccproxy_trio.attempt import Kept
from ccproxy_trio.audience import Opened
from ccproxy_trio.bookkeeping import bug
from ccproxy_trio.edge import health as shown
from ccproxy_trio.edge.answered import with_theirs
from ccproxy_trio.edge.body import FrameBody
from ccproxy_trio.edge.connection import HouseRequest
from ccproxy_trio.edge.errors import OUR_FAULT
from ccproxy_trio.edge.guard import Guard
from ccproxy_trio.edge.rush import UnderWay
from ccproxy_trio.edge.sender import credential_of, sender_of
from ccproxy_trio.errand import Ask, NothingLeft, Services, Stopped, until_stopped
from ccproxy_trio.exchange import answer, stream
from ccproxy_trio.house import House
from ccproxy_trio.routing.telling import Told
from ccproxy_trio.routing.tiers import tier_of
from ccproxy_trio.settings.model import Tier
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.local import LocalAnswer, local_answer, not_found, search_question
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.translate.tokens import count_request
from ccproxy_trio.version import __version__
from ccproxy_trio.websearch import Enquiry, answer_search, stream_search
from ccproxy_trio.wire.anthropic import CountRequest, MessagesRequest, decode_count, decode_request
from ccproxy_trio.wire.events import encode_frames, encode_message
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.search import SearchQuestion

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Play(Protocol):
    """What writes a stream. `started` is called when there is something to answer 200 for."""

    async def __call__(self, services: Services, *, started: Callable[[Opened], None]) -> None:
        """Write the stream to its end."""


class Desk:
    """The views over the running system. One lives as long as the lifespan."""

    def __init__(self, house: House, guard: Guard) -> None:
        self._house = house
        self._guard = guard
        self.under_way = UnderWay()

    async def root(self) -> Response:
        """`GET /` and `HEAD /`: Claude Code looks here whether anybody is at home."""
        return _json(msgspec.json.encode({"name": "ccproxy-trio", "version": __version__}))

    async def messages(self) -> Response:
        """`POST /v1/messages`."""
        body = await _json_body()
        await self._house.services.turns.take()
        asked = decode_request(body)
        if (local := local_answer(asked)) is not None:
            return _local(asked, local, self._house.services)
        question = search_question(asked)
        if question is not None and _searchers(asked, self._house.services) is None:
            return await self._search(asked, question)
        kept = Kept(Asked(request=asked, body=body))
        if not asked.stream:
            with self._admitted() as services:
                theirs = self._for_client(kept, services)
                ask = await _ask(kept, len(body), theirs)
                whole = await answer(ask, theirs)
                return with_theirs(_json(whole.body), whole.headers)
        return await self._streamed(partial(self._play, kept, len(body)))

    async def _play(
        self, kept: Kept, body_bytes: int, services: Services, *, started: Callable[[Opened], None]
    ) -> None:
        """Size the request up and serve it to a client that reads along."""
        theirs = self._for_client(kept, services)
        await stream(await _ask(kept, body_bytes, theirs), theirs, started=started)

    def _for_client(self, kept: Kept, services: Services) -> Services:
        """The services as this client can use them. What no provider has a use for is not kept any longer.

        Raises:
            RequestRefused: 401, those who serve the tier want a key of the client's own, and it has none.
        """
        if not services.is_native:
            kept.adopt(Asked(request=kept.request))
            return services
        headers = g.caller.headers
        credential = credential_of(headers, self._guard) if services.passes_credentials else None
        sender = sender_of(headers, request.query_string, credential=credential)
        kept.adopt(structs.replace(kept.asked, sender=sender))
        return services.open_to(sender, _tier(kept.request, services))

    async def _streamed(self, play: Play) -> Response:
        """A stream, once it has begun."""
        house_request = cast("HouseRequest", request)
        opened = await house_request.nursery.start(partial(self._stream, play, g.request_id))
        ping_after = self._house.services.settings.keepalive_interval
        response = Response(FrameBody(opened, ping_after=ping_after), headers=_STREAM_HEADERS)
        return with_theirs(response, opened.headers)

    async def _search(self, asked: MessagesRequest, question: SearchQuestion) -> Response:
        """A web search: by the backend if there is one, else told to be unavailable."""
        if self._house.services.search is None:
            return _local(asked, not_found(question, "unavailable"), self._house.services)
        if asked.stream:
            return await self._streamed(partial(_search_aloud, asked, question))
        with self._admitted() as services:
            work = partial(answer_search, _enquiry(question, services), _emitter(asked, services))
            return _json(encode_message(await until_stopped(services.drain, work)))

    async def count_tokens(self) -> Response:
        """`POST /v1/messages/count_tokens`: answered here, whatever the providers do."""
        body = await _json_body()
        await self._house.services.turns.take()
        asked = decode_count(body)
        with self._admitted() as services:
            counting, tier = services.counting, _tier(asked, services)
            count = await counting.count(asked, tier, body_bytes=len(body))
        return _json(msgspec.json.encode({"input_tokens": counting.scale(tier, _betas()).tokens(count)}))

    async def models(self) -> Response:
        """`GET /v1/models`."""
        return _json(msgspec.json.encode(shown.models(self._house.services.routes)))

    async def model(self, name: str) -> Response:
        """`GET /v1/models/NAME`."""
        for entry in shown.models(self._house.services.routes).data:
            if entry.id == name:
                return _json(msgspec.json.encode(entry))
        raise RequestRefused(f"model: {name[:200]}", status=404, kind="not_found_error")

    async def health(self) -> Response:
        """`GET /health`: the documented body, in detail only for those who may see it."""
        services = self._house.services
        view = await services.dispatcher.describe()
        report = shown.health(services.settings, services.routes, view, tally=services.journal)
        if not self._guard.trusts(g.caller):
            return _json(msgspec.json.encode({"status": report.status}))
        return _json(msgspec.json.encode(report))

    async def live(self) -> Response:
        """`GET /health/live`: the process answers. Providers do not matter here."""
        return _json(b'{"status":"live"}')

    async def ready(self) -> Response:
        """`GET /health/ready`: requests are taken on, and some provider would be tried."""
        if self._house.drain.has_begun:
            return _json(b'{"status":"stopping"}', status=503)
        services = self._house.services
        if shown.is_ready(services.routes, await services.dispatcher.describe()):
            return _json(b'{"status":"ready"}')
        return _json(b'{"status":"no usable provider"}', status=503)

    async def _stream(
        self, play: Play, request_id: str, task_status: trio.TaskStatus[Opened] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run what writes a stream. A bug in it must end its own stream, and nothing else."""
        is_open = False

        def started(opened: Opened) -> None:
            nonlocal is_open
            is_open = True
            task_status.started(opened)

        try:
            with self._admitted() as services:
                await play(services, started=started)
        except (NothingLeft, RequestRefused):
            raise  # only before the stream is open
        except Exception as error:  # the edge's last resort
            self._house.services.journal(bug(error, request_id=request_id))
            if not is_open:
                raise NothingLeft(OUR_FAULT) from error

    @contextmanager
    def _admitted(self) -> Iterator[Services]:
        """Counts the exchange in, if there are not too many; it keeps these services to its end.

        Its size is found inside, and so are counts that a client asks for: threads are few, and who would
        only wait for one is better told to come back.

        Raises:
            NothingLeft: as many are under way as the settings allow, or the proxy is being stopped.
        """
        if self._house.drain.has_begun:
            raise Stopped
        if self.under_way.count >= self._house.services.settings.max_exchanges:
            message = "The proxy has as many requests under way as it takes. Try again in a moment."
            raise NothingLeft(
                Told(status=529, kind="overloaded_error", message=message, retry_after=1, should_retry=None)
            )
        with self.under_way, self._house.in_use() as services:
            yield services


async def _ask(kept: Kept, body_bytes: int, services: Services) -> Ask:
    headers, asked = g.caller.headers, kept.request
    await services.turns.take()
    size = await services.counting.size(asked, _tier(asked, services), body_bytes=body_bytes, betas=_betas())
    return Ask(
        kept=kept,
        request_id=g.request_id,
        size=size,
        session=headers.get("x-claude-code-session-id"),
        client_timeout=_seconds(headers.get("x-stainless-timeout")),
        patient=asked.thinking is not None or headers.get("user-agent", "").startswith("claude-cli"),
        routes=_searchers(asked, services),
    )


async def _search_aloud(
    asked: MessagesRequest,
    question: SearchQuestion,
    services: Services,
    *,
    started: Callable[[Opened], None],
) -> None:
    """Search for a client that reads along."""
    emitter = _emitter(asked, services)
    work = partial(stream_search, _enquiry(question, services), emitter, started=started)
    with suppress(Stopped):  # the body tells that there is no more to come
        await until_stopped(services.drain, work)


def _enquiry(question: SearchQuestion, services: Services) -> Enquiry:
    backend, settings = services.search, services.settings.web_search
    if backend is None or settings is None:  # a reload has just taken it away
        raise NothingLeft(OUR_FAULT)
    return Enquiry(
        question=question,
        backend=backend,
        within=settings.timeout,
        at_most=settings.max_results,
        request_id=g.request_id,
        journal=services.journal,
    )


def _local(asked: MessagesRequest, local: LocalAnswer, services: Services) -> Response:
    """An answer that needs no provider, in the form asked for."""
    events = _emitter(asked, services).answer(local.content, stop_reason=local.stop_reason)
    Grammar().check(events)
    if asked.stream:
        return Response(encode_frames(events), headers=_STREAM_HEADERS)
    return _json(encode_message(fold(events)))


def _emitter(asked: MessagesRequest, services: Services) -> Emitter:
    return Emitter(
        message_id="msg_" + services.mint(),
        model=asked.model,
        input_tokens=count_request(asked),
        scale=services.counting.scale(_tier(asked, services), _betas()),
    )


def _searchers(asked: MessagesRequest, services: Services) -> Routes | None:
    """Who of the providers answers a web search; None: it is none, or there is a backend, or nobody can."""
    if services.search is not None or search_question(asked) is None:
        return None
    return services.searching(_tier(asked, services))


def _tier(asked: CountRequest, services: Services) -> Tier:
    return tier_of(asked.model, services.settings.default_tier)


async def _json_body() -> bytes:
    """The request's body.

    Raises:
        RequestRefused: 415, not declared as JSON (a page may post `text/plain` anywhere without asking), or
            compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRefused("The request body must not be compressed.", status=415)
    if request.mimetype != "application/json":
        raise RequestRefused("The content type must be application/json.", status=415)
    body = await request.get_data(cache=False, as_text=False)
    return cast("bytes", body)


def _betas() -> str:
    """The betas that the client asks for, as in the header."""
    return cast("str", g.caller.headers.get("anthropic-beta", ""))


def _json(body: bytes, *, status: int = 200) -> Response:
    return Response(body, status=status, content_type="application/json")


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if 0 < seconds < 86_400 else None
