"""The endpoints: decode the request, run the exchange, shape the response."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import msgspec
import trio
from quart import Response, g, request

from ccproxy_trio.audience import Opened
from ccproxy_trio.bookkeeping import bug
from ccproxy_trio.edge import health as shown
from ccproxy_trio.edge.body import FrameBody
from ccproxy_trio.edge.connection import HouseRequest
from ccproxy_trio.edge.errors import OUR_FAULT
from ccproxy_trio.edge.guard import Guard
from ccproxy_trio.exchange import Ask, NothingLeft, Services, answer, stream
from ccproxy_trio.routing.telling import Told
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.local import LocalAnswer, local_answer
from ccproxy_trio.translate.tokens import count_request
from ccproxy_trio.version import __version__
from ccproxy_trio.wire.anthropic import MessagesRequest, decode_count, decode_request
from ccproxy_trio.wire.events import encode_frames, encode_message
from ccproxy_trio.wire.faults import RequestRefused

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Desk:
    """The views over one set of services. One lives as long as the lifespan."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self._exchanges = 0

    async def root(self) -> Response:
        """`GET /` and `HEAD /`: Claude Code looks here whether anybody is at home."""
        return _json(msgspec.json.encode({"name": "ccproxy-trio", "version": __version__}))

    async def messages(self) -> Response:
        """`POST /v1/messages`."""
        asked = decode_request(await _json_body())
        if (local := local_answer(asked)) is not None:
            return self._local(asked, local)
        ask = self._ask(asked)
        if not asked.stream:
            with self._admitted():
                return _json(encode_message(await answer(ask, self._services)))
        house_request = cast("HouseRequest", request)
        opened: Opened = await house_request.nursery.start(partial(self._stream, ask))
        ping_after = self._services.settings.keepalive_interval
        return Response(FrameBody(opened, ping_after=ping_after), headers=_STREAM_HEADERS)

    def _local(self, asked: MessagesRequest, local: LocalAnswer) -> Response:
        """An answer that needs no provider, in the form asked for."""
        emitter = Emitter(
            message_id="msg_" + self._services.mint(), model=asked.model, input_tokens=count_request(asked)
        )
        events = emitter.answer(local.content, stop_reason=local.stop_reason)
        if asked.stream:
            return Response(encode_frames(events), headers=_STREAM_HEADERS)
        return _json(encode_message(fold(events)))

    async def count_tokens(self) -> Response:
        """`POST /v1/messages/count_tokens`: answered here, whatever the providers do."""
        counted = count_request(decode_count(await _json_body()))
        return _json(msgspec.json.encode({"input_tokens": counted}))

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
        report = shown.health(self._services.settings, view)
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

    def _ask(self, asked: MessagesRequest) -> Ask:
        headers = g.caller.headers
        return Ask(
            request=asked,
            request_id=g.request_id,
            prompt_tokens=count_request(asked),
            session=headers.get("x-claude-code-session-id"),
            client_timeout=_seconds(headers.get("x-stainless-timeout")),
            patient=asked.thinking is not None or headers.get("user-agent", "").startswith("claude-cli"),
        )

    async def _stream(
        self, ask: Ask, task_status: trio.TaskStatus[Opened] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run a streaming exchange. A bug in it must end its own stream, and nothing else."""
        is_open = False

        def started(opened: Opened) -> None:
            nonlocal is_open
            is_open = True
            task_status.started(opened)

        try:
            with self._admitted():
                await stream(ask, self._services, started=started)
        except (NothingLeft, RequestRefused):
            raise  # only before the stream is open
        except Exception as error:  # the edge's last resort
            self._services.journal(bug(error, request_id=ask.request_id))
            if not is_open:
                raise NothingLeft(OUR_FAULT) from error

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count the exchange in; refuse it at once when there are too many."""
        if self._exchanges >= self._services.settings.max_exchanges:
            message = "The proxy has as many requests under way as it takes. Try again in a moment."
            told = Told(
                status=529, kind="overloaded_error", message=message, retry_after=1, should_retry=None
            )
            raise NothingLeft(told)
        self._exchanges += 1
        try:
            yield
        finally:
            self._exchanges -= 1


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


def _json(body: bytes, *, status: int = 200) -> Response:
    return Response(body, status=status, content_type="application/json")


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if 0 < seconds < 86_400 else None
