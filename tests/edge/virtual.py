"""The whole proxy in virtual time: Hypercorn's own connection code over memory streams, a scripted upstream.

Nothing here touches a socket or a real clock, so five minutes of silence take milliseconds.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import h11
import msgspec
import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from ccproxy_trio import app as root
from ccproxy_trio.actors.dispatcher import Dispatcher, Routes, Step
from ccproxy_trio.counting.vocabulary import Vocabulary
from ccproxy_trio.documents.texts import Texts
from ccproxy_trio.edge.application import Application, build
from ccproxy_trio.edge.routes import Desk
from ccproxy_trio.edge.stopping import MEETING, Stopping
from ccproxy_trio.fleet import World
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.house import Fittings
from ccproxy_trio.house import House as RunningHouse
from ccproxy_trio.journal import Entry, Tally
from ccproxy_trio.routing.question import Query
from ccproxy_trio.settings.model import DialectOptions, Models, ProviderSettings, Secret, Settings
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.search import Search

Script = Callable[["FakeAnswer"], Awaitable[None]]


class FakeAnswer:
    """An upstream's 200: what the script sends is what `receive_some` gives."""

    is_event_stream = True
    is_over = False

    def __init__(self) -> None:
        self.send, self._receive = trio.open_memory_channel[bytes](0)
        self.headers: dict[str, str] = {}

    async def receive_some(self) -> bytes:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return b""

    async def receive_all(self) -> bytes:
        return b"".join([data async for data in self._receive])

    async def data(self, payload: str) -> None:
        await self.send.send(f"data: {payload}\n\n".encode())

    async def text(self, text: str) -> None:
        await self.data(f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}')

    async def finish(self) -> None:
        await self.data('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
        await self.data("[DONE]")


class FakeUpstream:
    """Stands in for `upstream.client.Upstream`. Each request takes the next script; the last one stays.

    `headers` (names in lower case) are those of every answer.
    """

    def __init__(self, *scripts: Script, headers: Mapping[str, str] | None = None) -> None:
        self._scripts = list(scripts)
        self._headers = headers or {}
        self.nursery: trio.Nursery
        self.opened = 0
        self.received: list[bytes] = []
        self.lines: list[str] = []  # "opened" and "closed", as its connections were
        self.probed_at: list[float] = []
        self.closed_at: list[float] = []

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        msgspec.json.decode(asked.body)
        self.received.append(asked.body)
        script = self._scripts[min(self.opened, len(self._scripts) - 1)]
        self.opened += 1
        answer = FakeAnswer()
        answer.headers |= self._headers
        scope = trio.CancelScope()
        # Not a nursery of its own: it would wrap the faults raised through this block into a group.
        self.nursery.start_soon(self._play, script, answer, scope)
        try:
            yield answer
        finally:
            self.closed_at.append(trio.current_time())
            scope.cancel()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["FakeUpstream"]:
        self.lines.append("opened")
        try:
            yield self
        finally:
            self.lines.append("closed")

    async def _play(self, script: Script, answer: FakeAnswer, scope: trio.CancelScope) -> None:
        with scope, answer.send:
            await script(answer)

    async def probe(self) -> ProbeResult:
        self.probed_at.append(trio.current_time())
        return ProbeResult(verdict=ProbeVerdict.OK, seconds=0.0)


def settings_for(
    *names: str,
    options: DialectOptions | None = None,
    key: str = "k",
    models: tuple[str, ...] = ("m",),
    **others: Any,
) -> Settings:
    providers = tuple(
        ProviderSettings(
            name=name,
            api_key=Secret(key),
            base_url=f"https://{name}.example/v1",
            models=Models(big=models),
            priority=priority,
            timeout=others.pop(f"{name}_timeout", 90.0),
            options=others.pop(f"{name}_options", options) or DialectOptions(),
        )
        for priority, name in enumerate(names)
    )
    return Settings(providers=providers, **{"health_check_interval": 0.0, **others})


class House:
    """A running proxy over fake upstreams: `connect()` gives a client's end of a connection."""

    def __init__(self, app: Application, journal: list[Entry]) -> None:
        self.app = app
        self.journal = journal
        self._nursery: trio.Nursery | None = None
        self._context = WorkerContext(None)
        self.stopping: Stopping
        self.graceful_timeout = 35.0
        self.connections = 0

    @asynccontextmanager
    async def open(self, services: Callable[[], Any]) -> AsyncIterator["House"]:
        async with services() as running:
            self.running = running
            self.app.desk = Desk(running, self.app.guard)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.stopping = Stopping(running, nursery)
                yield self
                nursery.cancel_scope.cancel()

    async def _serve(self, server: TCPServer) -> None:
        self.connections += 1
        try:
            await server.run()
        finally:
            self.connections -= 1

    def crash(self, provider: str) -> None:
        """Make a provider's actor crash on its next message."""
        self.running.services.units[provider].actor.mailbox.post(object())  # type: ignore[arg-type]

    async def snapshot(self, provider: str) -> Snapshot:
        """What a provider's actor knows of itself."""
        return await self.running.services.units[provider].actor.describe()

    def poison_dispatcher(self) -> None:
        """Make every question crash the dispatcher."""
        dispatcher = self.running.services.dispatcher
        dispatcher.choose = _poisoned(dispatcher)  # type: ignore[method-assign]

    async def stop(self) -> None:
        """Begin the server's end, as Hypercorn does."""
        await self._context.terminated.set()

    def connect(self, *, slow: bool = False) -> trio.StapledStream[Any, Any]:
        """A client's end of a new connection. `slow`: bytes wait until they are read, as on a full socket."""
        ours, theirs = trio.testing.lockstep_stream_pair() if slow else trio.testing.memory_stream_pair()
        theirs.socket = _Socket()  # type: ignore[attr-defined]  # Hypercorn asks it for addresses
        config = Config()
        config.keep_alive_timeout = 3600.0
        config.graceful_timeout = self.graceful_timeout
        config.errorlog = None  # Hypercorn would hang a handler on a logger of the whole process
        server = TCPServer(
            ASGIWrapper(self.app),
            config,
            self._context,
            ConnectionState({MEETING: self.stopping}),
            theirs,  # type: ignore[arg-type]
        )
        assert self._nursery is not None
        self._nursery.start_soon(self._serve, server)
        return ours


def _poisoned(dispatcher: Dispatcher) -> Callable[[Query, Routes], Awaitable[Step]]:
    async def choose(query: Query, routes: Routes) -> Step:
        # No tier of this name: the incarnation's look-up fails, each time it is asked.
        poison = msgspec.structs.replace(query, tier="poison")
        return await Dispatcher.choose(dispatcher, poison, routes)

    return choose


class _Socket:
    family = 2

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 50000)

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 8082)


@asynccontextmanager
async def virtual_house(
    settings: Settings,
    *,
    search: Search | None = None,
    documents: Texts | None = None,
    vocabularies: Mapping[str, Vocabulary] | None = None,
    **upstreams: FakeUpstream,
) -> AsyncIterator[House]:
    journal: list[Entry] = []
    world = World(draw=lambda: 0.0)

    async def known(names: Iterable[str]) -> Mapping[str, Vocabulary]:
        return {name: (vocabularies or {})[name] for name in names if name in (vocabularies or {})}

    fittings = Fittings(
        open_endpoint=lambda provider, _: upstreams[provider.name].connected(),  # type: ignore[arg-type,return-value]
        open_search=None if search is None else lambda *_: nullcontext(search),
        vocabularies=known,
        documents=documents,
    )

    def services() -> AbstractAsyncContextManager[RunningHouse]:
        return root.running(settings, journal=Tally(journal.append), world=world, fittings=fittings)

    app = build(
        settings, house=services, journal=journal.append, new_request_id=lambda: "req_" + world.mint()
    )
    async with trio.open_nursery() as nursery:
        for upstream in upstreams.values():
            upstream.nursery = nursery
        async with House(app, journal).open(services) as house:
            yield house
        nursery.cancel_scope.cancel()


class Client:
    """A client's side of one connection, with the instant at which each piece of a body came."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[float, bytes]] = []

    async def post(self, body: dict[str, Any], *, path: str = "/v1/messages", **headers: str) -> None:
        content = msgspec.json.encode(
            {
                "model": "claude-opus-4",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "hi"}],
                **body,
            }
        )
        await self.send(content, path=path, **headers)

    async def send(self, content: bytes, *, path: str = "/v1/messages", **headers: str) -> None:
        """Ask with a body as it is."""
        request = h11.Request(
            method="POST",
            target=path,
            headers=[
                ("host", "127.0.0.1:8082"),
                ("content-type", "application/json"),
                ("content-length", str(len(content))),
                *headers.items(),
            ],
        )
        send = self._http.send
        await self.stream.send_all(send(request) + send(h11.Data(data=content)) + send(h11.EndOfMessage()))

    async def get(self, path: str) -> Any:
        """What a JSON page says."""
        request = h11.Request(method="GET", target=path, headers=[("host", "127.0.0.1:8082")])
        await self.stream.send_all(self._http.send(request) + self._http.send(h11.EndOfMessage()))
        await self.head()
        return msgspec.json.decode(await self.body())

    async def head(self) -> int:
        event = await self._next()
        assert isinstance(event, h11.Response), event
        self.status = event.status_code
        self.headers = {name.decode(): value.decode() for name, value in event.headers}
        return self.status

    async def body(self) -> bytes:
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), event
            self.pieces.append((trio.current_time(), bytes(event.data)))
        return b"".join(data for _, data in self.pieces)

    async def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.stream.receive_some(65536))
        return event

    def kinds(self) -> list[tuple[float, str]]:
        """The instants and types of all events that came."""
        return [
            (at, line.removeprefix("event: "))
            for at, data in self.pieces
            for line in data.decode().splitlines()
            if line.startswith("event: ")
        ]


def silent_for(seconds: float, then: Script) -> Script:
    async def script(answer: FakeAnswer) -> None:
        await trio.sleep(seconds)
        await then(answer)

    return script


async def hello(answer: FakeAnswer) -> None:
    await answer.text("hello")
    await answer.finish()
