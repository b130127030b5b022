"""The endpoints: decode the request, run the exchange, shape the response."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

import msgspec
import trio
from quart import Response, g, request

from ccproxy_trio.attempt import Kept
from ccproxy_trio.audience import Opened
from ccproxy_trio.bookkeeping import bug
from ccproxy_trio.edge import health as shown
from ccproxy_trio.edge.body import FrameBody
from ccproxy_trio.edge.connection import HouseRequest
from ccproxy_trio.edge.errors import OUR_FAULT
from ccproxy_trio.edge.guard import Guard
from ccproxy_trio.edge.rush import UnderWay
from ccproxy_trio.errand import Ask, NothingLeft, Services
from ccproxy_trio.exchange import answer, stream
from ccproxy_trio.routing.telling import Told
from ccproxy_trio.routing.tiers import tier_of
from ccproxy_trio.settings.model import Tier
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.local import LocalAnswer, local_answer, not_found, search_question
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

    async def __call__(self, *, started: Callable[[Opened], None]) -> None:
        """Write the stream to its end."""


class Desk:
    """The views over one set of services. One lives as long as the lifespan."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self.under_way = UnderWay()

    async def root(self) -> Response:
        """`GET /` and `HEAD /`: Claude Code looks here whether anybody is at home."""
        return _json(msgspec.json.encode({"name": "ccproxy-trio", "version": __version__}))

    async def messages(self) -> Response:
        """`POST /v1/messages`."""
        body = await _json_body()
        asked = decode_request(body)
        if (local := local_answer(asked)) is not None:
            return self._local(asked, local)
        if (question := search_question(asked)) is not None:
            return await self._search(asked, question)
        if not asked.stream:
            with self._admitted():
                ask = await self._ask(Kept(asked), len(body))
                return _json(encode_message(await answer(ask, self._services)))
        play = partial(self._play, Kept(asked), len(body))
        house_request = cast("HouseRequest", request)
        return self._frames(await house_request.nursery.start(partial(self._stream, play, g.request_id)))

    async def _play(self, kept: Kept, body_bytes: int, *, started: Callable[[Opened], None]) -> None:
        """Size the request up and serve it to a client that reads along."""
        await stream(await self._ask(kept, body_bytes), self._services, started=started)

    def _frames(self, opened: Opened) -> Response:
        """A stream that has begun."""
        ping_after = self._services.settings.keepalive_interval
        return Response(FrameBody(opened, ping_after=ping_after), headers=_STREAM_HEADERS)

    def _local(self, asked: MessagesRequest, local: LocalAnswer) -> Response:
        """An answer that needs no provider, in the form asked for."""
        emitter = self._emitter(asked)
        events = emitter.answer(local.content, stop_reason=local.stop_reason)
        Grammar().check(events)
        if asked.stream:
            return Response(encode_frames(events), headers=_STREAM_HEADERS)
        return _json(encode_message(fold(events)))

    async def _search(self, asked: MessagesRequest, question: SearchQuestion) -> Response:
        """A web search: by the backend if there is one, else told to be unavailable."""
        backend, settings = self._services.search, self._services.settings.web_search
        if backend is None or settings is None:
            return self._local(asked, not_found(question, "unavailable"))
        enquiry = Enquiry(
            question=question,
            backend=backend,
            within=settings.timeout,
            at_most=settings.max_results,
            request_id=g.request_id,
            journal=self._services.journal,
        )
        if not asked.stream:
            with self._admitted():
                return _json(encode_message(await answer_search(enquiry, self._emitter(asked))))
        play = partial(stream_search, enquiry, self._emitter(asked))
        house_request = cast("HouseRequest", request)
        return self._frames(await house_request.nursery.start(partial(self._stream, play, g.request_id)))

    def _emitter(self, asked: MessagesRequest) -> Emitter:
        return Emitter(
            message_id="msg_" + self._services.mint(),
            model=asked.model,
            input_tokens=count_request(asked),
            scale=self._services.counting.scale(self._tier(asked), _betas()),
        )

    async def count_tokens(self) -> Response:
        """`POST /v1/messages/count_tokens`: answered here, whatever the providers do."""
        body = await _json_body()
        asked = decode_count(body)
        counting, tier = self._services.counting, self._tier(asked)
        with self._admitted():
            count = await counting.count(asked, tier, body_bytes=len(body))
        return _json(msgspec.json.encode({"input_tokens": counting.scale(tier, _betas()).tokens(count)}))

    def _tier(self, asked: CountRequest) -> Tier:
        return tier_of(asked.model, self._services.settings.default_tier)

    async def models(self) -> Response:
        """`GET /v1/models`."""
        view = await self._services.dispatcher.describe()
        return _json(msgspec.json.encode(shown.models(view.routes.candidates, view.routes.rules)))

    async def model(self, name: str) -> Response:
        """`GET /v1/models/NAME`."""
        view = await self._services.dispatcher.describe()
        for entry in shown.models(view.routes.candidates, view.routes.rules).data:
            if entry.id == name:
                return _json(msgspec.json.encode(entry))
        raise RequestRefused(f"model: {name[:200]}", status=404, kind="not_found_error")

    async def health(self) -> Response:
        """`GET /health`: the documented body, in detail only for those who may see it."""
        view = await self._services.dispatcher.describe()
        report = shown.health(self._services.settings, view, tally=self._services.journal)
        if not self._guard.trusts(g.caller):
            return _json(msgspec.json.encode({"status": report.status}))
        return _json(msgspec.json.encode(report))

    async def live(self) -> Response:
        """`GET /health/live`: the process answers. Providers do not matter here."""
        return _json(b'{"status":"live"}')

    async def ready(self) -> Response:
        """`GET /health/ready`: some provider would be tried."""
        if shown.is_ready(await self._services.dispatcher.describe()):
            return _json(b'{"status":"ready"}')
        return _json(b'{"status":"no usable provider"}', status=503)

    async def _ask(self, kept: Kept, body_bytes: int) -> Ask:
        headers, asked = g.caller.headers, kept.request
        return Ask(
            kept=kept,
            request_id=g.request_id,
            size=await self._services.counting.size(
                asked, self._tier(asked), body_bytes=body_bytes, betas=_betas()
            ),
            session=headers.get("x-claude-code-session-id"),
            client_timeout=_seconds(headers.get("x-stainless-timeout")),
            patient=asked.thinking is not None or headers.get("user-agent", "").startswith("claude-cli"),
        )

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
            with self._admitted():
                await play(started=started)
        except (NothingLeft, RequestRefused):
            raise  # only before the stream is open
        except Exception as error:  # the edge's last resort
            self._services.journal(bug(error, request_id=request_id))
            if not is_open:
                raise NothingLeft(OUR_FAULT) from error

    def _admitted(self) -> UnderWay:
        """What counts the exchange in, if there are not too many.

        Its size is found inside, and so are counts that a client asks for: threads are few, and who would
        only wait for one is better told to come back.

        Raises:
            NothingLeft: as many are under way as the settings allow.
        """
        if self.under_way.count >= self._services.settings.max_exchanges:
            message = "The proxy has as many requests under way as it takes. Try again in a moment."
            raise NothingLeft(
                Told(status=529, kind="overloaded_error", message=message, retry_after=1, should_retry=None)
            )
        return self.under_way


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
