"""Quart put together: guards before every view, our error envelope after every failure, our own lifespan."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import cast

import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    LifespanScope,
    LifespanShutdownCompleteEvent,
    LifespanStartupCompleteEvent,
)
from hypercorn.utils import LifespanFailureError
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ccproxy_trio.bookkeeping import bug
from ccproxy_trio.edge.answered import with_ids
from ccproxy_trio.edge.connection import Connection, HouseRequest
from ccproxy_trio.edge.errors import OUR_FAULT, error_response, told_of
from ccproxy_trio.edge.guard import Caller, Guard, TurnedAway, headers_of
from ccproxy_trio.edge.idle import mend_connections
from ccproxy_trio.edge.routes import Desk
from ccproxy_trio.edge.rush import give_back_memory, tidy_up
from ccproxy_trio.edge.stopping import MEETING, Stopping
from ccproxy_trio.errand import NothingLeft
from ccproxy_trio.house import House
from ccproxy_trio.journal import Journal
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.wire.faults import RequestRefused

MOST_BYTES = 32 * 2**20  # the API's own limit; Claude Code sends images and PDFs in base64
BODY_WITHIN = 60  # seconds
_PUBLIC = frozenset({"/", "/health", "/health/live", "/health/ready"})

OpenHouse = Callable[[], AbstractAsyncContextManager[House]]
Tending = Callable[["Application", House], Awaitable[None]]


class Lifespan:
    """Keeps the actor system inside the ASGI lifespan.

    It is entered before the server listens and left after the server has drained, so every request finds
    it running.
    """

    def __init__(self, app: "Application", scope: LifespanScope) -> None:
        self._app = app
        self._state = scope["state"]

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Run from the server's start-up to its shutdown."""
        if not trio.lowlevel.in_trio_run():
            raise LifespanFailureError("startup", "this proxy runs on Trio: start Hypercorn with `-k trio`")
        await receive()  # lifespan.startup
        try:
            async with self._app.open_house() as house, trio.open_nursery() as nursery:
                desk = self._app.desk = Desk(house, self._app.guard)
                self._app.stopping = self._state[MEETING] = Stopping(house, nursery)
                nursery.start_soon(tidy_up, desk.under_way, give_back_memory)
                nursery.start_soon(self._app.tend, self._app, house)
                await send(cast("LifespanStartupCompleteEvent", {"type": "lifespan.startup.complete"}))
                await receive()  # lifespan.shutdown
                nursery.cancel_scope.cancel()
        except Exception as error:
            # A supervisor has given up. Hypercorn would go on serving without us after any other error.
            raise LifespanFailureError("running", type(error).__name__) from error
        await send(cast("LifespanShutdownCompleteEvent", {"type": "lifespan.shutdown.complete"}))


class Application(QuartTrio):
    """The ASGI app. `desk` and `stopping` exist while the lifespan runs.

    `tend` runs beside it for all that time: it is where reloads come from.
    """

    asgi_http_class = Connection
    asgi_lifespan_class = Lifespan  # type: ignore[assignment]  # same protocol, no common base
    request_class = HouseRequest

    open_house: OpenHouse
    tend: Tending
    guard: Guard
    desk: Desk
    stopping: Stopping | None = None

    def hurry(self) -> None:
        """The server is being stopped, and somebody is impatient: what is under way ends now."""
        if self.stopping is not None:
            self.stopping.hurry()


async def leave_alone(_app: "Application", _house: House) -> None:
    """A house that nobody tends: its configuration stays as it is."""


def build(
    settings: Settings,
    *,
    house: OpenHouse,
    journal: Journal,
    new_request_id: Callable[[], str],
    tend: Tending = leave_alone,
) -> Application:
    """The app over `house`, which is entered for the time of the lifespan."""
    mend_connections()
    app = Application("ccproxy_trio", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MOST_BYTES,
        BODY_TIMEOUT=BODY_WITHIN,
        RESPONSE_TIMEOUT=None,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.open_house = house
    app.tend = tend
    app.guard = Guard(settings)
    _add_checks(app, new_request_id, journal)
    _add_error_handlers(app, journal)
    _add_routes(app)
    return app


def _add_checks(app: Application, new_request_id: Callable[[], str], journal: Journal) -> None:
    turned_away = TurnedAway(journal)

    @app.before_request
    async def check() -> None:
        g.request_id = new_request_id()
        server = request.scope.get("server")
        peer = request.scope.get("client")
        headers = headers_of(request.scope["headers"])
        g.caller = Caller(
            headers=headers, server=server[0] if server else None, peer=peer[0] if peer else None
        )
        try:
            app.guard.check(g.caller)
            if request.path not in _PUBLIC:
                app.guard.check_key(g.caller)
        except RequestRefused as refusal:
            turned_away.note(g.caller, refusal, request_id=g.request_id)
            raise

    @app.after_request
    async def add_request_id(response: Response) -> Response:
        return with_ids(response, g.get("request_id") or new_request_id())


def _add_error_handlers(app: Application, journal: Journal) -> None:
    @app.errorhandler(HTTPException)
    @app.errorhandler(MemoryError)
    @app.errorhandler(NothingLeft)
    @app.errorhandler(RequestRefused)
    async def refused(error: Exception) -> Response:
        return error_response(told_of(error), request_id=g.get("request_id", ""))

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        journal(bug(error, request_id=g.get("request_id")))
        return error_response(OUR_FAULT, request_id=g.get("request_id", ""))


def _add_routes(app: Application) -> None:
    @app.get("/")
    async def root() -> Response:
        return await app.desk.root()

    # A base URL that ends in /v1 is a common slip; Claude Code then asks for /v1/v1/messages.
    @app.post("/v1/v1/messages")
    @app.post("/v1/messages")
    async def messages() -> Response:
        return await app.desk.messages()

    @app.post("/v1/v1/messages/count_tokens")
    @app.post("/v1/messages/count_tokens")
    async def count_tokens() -> Response:
        return await app.desk.count_tokens()

    @app.get("/v1/models")
    async def models() -> Response:
        return await app.desk.models()

    @app.get("/v1/models/<path:name>")
    async def model(name: str) -> Response:
        return await app.desk.model(name)

    @app.get("/health")
    async def health() -> Response:
        return await app.desk.health()

    @app.get("/health/live")
    async def live() -> Response:
        return await app.desk.live()

    @app.get("/health/ready")
    async def ready() -> Response:
        return await app.desk.ready()
