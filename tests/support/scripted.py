"""A scripted OpenAI-compatible provider on a real loopback socket.

It is told what to answer, keeps every request it got, and judges each by `validation`. Answers are turns, or
steps at byte level when the provider has to misbehave (`faults`), so responses are written by hand; only the
requests are read by h11.

    provider = providers.start("alpha")
    provider.plays(status(500), says("hel", "lo"))     # one a request, the last for ever
    provider.behaves(agent(calls(Call("Bash", ...)), says("done")))
"""

import json
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Literal, assert_never
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import trio
from msgspec import Struct

from tests.support.chunks import DONE, Chunk, Turn, says, sse
from tests.support.ports import Port, ReservedPort
from tests.support.validation import violations


class Send(Struct, frozen=True):
    """Write these bytes."""

    data: bytes


class Repeat(Struct, frozen=True):
    """Write each of these pieces, `every` seconds apart, over and over until the client leaves."""

    pieces: tuple[bytes, ...]
    every: float


class Pause(Struct, frozen=True):
    """Write nothing for so many seconds."""

    seconds: float


class Hold(Struct, frozen=True):
    """Write nothing until the test sets the event."""

    gate: trio.Event


class Linger(Struct, frozen=True):
    """Write nothing until the client leaves."""


class Cut(Struct, frozen=True):
    """Close the connection: an orderly FIN, or a RST."""

    how: Literal["fin", "rst"]


Step = Send | Repeat | Pause | Hold | Linger | Cut
Reply = Turn | tuple[Step, ...]


class Request:
    """One request as it arrived. Instants are on Trio's clock."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> None:
        self.method = method
        self.path = unquote(urlsplit(target).path)
        self.query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        self.headers = headers  # names in lower case
        self.content = content
        self.body: dict[str, Any] = json.loads(content) if content else {}
        self.at = trio.current_time()
        self.connection = 0  # which of the provider's connections, counted from 1
        self.gone = trio.Event()  # set when the client closes the connection before the reply is over
        self.gone_at: float | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def tool_names(self) -> list[str]:
        """The tools on offer."""
        return [tool["function"]["name"] for tool in self.body.get("tools", ())]

    def text_of(self, role: str) -> str:
        """All text of one role, joined: enough to look for a phrase."""
        found = [message.get("content") for message in self.messages if message["role"] == role]
        return "\n".join(json.dumps(content, ensure_ascii=False) for content in found)


Script = Callable[[Request], Reply]


class ScriptedProvider:
    """One provider. It owns its port for good, whether or not it listens there just now.

    `also_allowed` names keys of its dialect that OpenAI does not know: of requests, messages and calls.
    `api_version` makes it speak Azure's paths and header. `port` is where it listens, else one of its own.
    """

    def __init__(
        self,
        name: str,
        nursery: trio.Nursery,
        *,
        also_allowed: Iterable[str] = (),
        api_version: str | None = None,
        port: Port | None = None,
    ) -> None:
        self.name = name
        self.key = f"canary-{name}-0123456789abcdef"
        self.model = f"{name}-model"
        self.api_version = api_version
        self.requests: list[Request] = []
        self.probes: list[Request] = []
        self.violations: list[str] = []
        self.connections = 0  # so far
        self.open_connections = 0  # of these
        self.under_way: set[Request] = set()  # requests that are being answered
        self._arrived = trio.Condition()
        self._also_allowed = frozenset(also_allowed)
        self._nursery = nursery
        self._port = ReservedPort() if port is None else port
        self._scope: trio.CancelScope | None = None
        self._script: Script = lambda _request: says("ok")
        self._probe_reply: tuple[Step, ...] | None = None  # None: a list of its model

    # -- what the test says --

    def plays(self, *replies: Reply) -> None:
        """Answer with each of `replies` in turn, and with the last from then on."""
        waiting = list(replies)
        self._script = lambda _request: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def behaves(self, script: Script) -> None:
        """Answer each request with what `script` makes of it."""
        self._script = script

    def answers_probes(self, reply: tuple[Step, ...]) -> None:
        """Answer each request for the list of models with `reply`."""
        self._probe_reply = reply

    def open(self) -> None:
        """Begin to listen; connections are accepted from this moment on."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._port.listen()))
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._listen, listener, self._scope)

    def shut(self) -> None:
        """Stop listening and drop every connection; from now on connections are refused."""
        if self._scope is not None:
            self._scope.cancel()

    def release(self) -> None:
        """Give the port back: the provider is no longer needed."""
        self.shut()
        self._port.close()

    # -- what the test asks --

    @property
    def port(self) -> int:
        """Where it listens, if it does."""
        return self._port.number

    @property
    def base_url(self) -> str:
        """Where the provider is, as a configuration names it."""
        return f"http://127.0.0.1:{self.port}" + ("" if self.api_version else "/v1")

    def entry(self, **more: Any) -> dict[str, Any]:
        """The provider's entry for `providers.json`; `more` adds or replaces keys."""
        models = {tier: [self.model] for tier in ("big", "middle", "small")}
        entry = {"name": self.name, "api_key": self.key, "base_url": self.base_url, "models": models}
        dialect = {"api_version": self.api_version} if self.api_version else {"profile": "openai"}
        return entry | dialect | more

    async def arrived(self, count: int = 1) -> Request:
        """Wait until `count` completions have been asked for; the last of them."""
        async with self._arrived:
            while len(self.requests) < count:
                await self._arrived.wait()
        return self.requests[count - 1]

    # -- the server --

    async def _listen(self, listener: trio.SocketListener, scope: trio.CancelScope) -> None:
        with scope:
            await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open_connections += 1
        wire = _Wire(stream)
        number = self.connections
        try:
            while (request := await wire.read_request()) is not None:
                request.connection = number
                steps = await self._reply(request)
                self.under_way.add(request)
                try:
                    lives_on = await wire.perform(steps, request)
                finally:
                    self.under_way.discard(request)
                if not lives_on:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.open_connections -= 1

    async def _reply(self, request: Request) -> tuple[Step, ...]:
        if request.method == "GET" and request.path == self._path("models"):
            self.probes.append(request)
            return self._probe_reply or json_reply(200, {"object": "list", "data": [{"id": self.model}]})
        if request.method != "POST" or request.path != self._path("chat/completions"):
            self.violations.append(f"{request.method} {request.path}: no such endpoint")
            return json_reply(404, {"error": {"message": f"Invalid URL {request.path}"}})
        self._judge(request)
        self.requests.append(request)
        async with self._arrived:
            self._arrived.notify_all()
        reply = self._script(request)
        return rendered(reply, request) if isinstance(reply, Turn) else reply

    def _path(self, endpoint: str) -> str:
        if self.api_version is None:
            return f"/v1/{endpoint}"
        return f"/openai/deployments/{self.model}/{endpoint}" if "/" in endpoint else f"/openai/{endpoint}"

    def _judge(self, request: Request) -> None:
        wrong = violations(request.body, also_allowed=self._also_allowed)
        expected = {"api-key": self.key} if self.api_version else {"authorization": f"Bearer {self.key}"}
        wrong += [
            f"header {name} is wrong"
            for name, value in expected.items()
            if request.headers.get(name) != value
        ]
        if request.query.get("api-version") != self.api_version:
            wrong.append(f"api-version is {request.query.get('api-version')}")
        self.violations += [f"request {len(self.requests) + 1}: {sentence}" for sentence in wrong]


class _Wire:
    """One client connection: requests through h11, replies as raw steps."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._unread = b""  # what arrived ahead of its turn

    async def read_request(self) -> Request | None:
        """The next request, or None when the client is done."""
        parser = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        content = b""
        while True:
            match parser.next_event():
                case h11.NEED_DATA:
                    data = self._unread or await self._stream.receive_some()
                    self._unread = b""
                    parser.receive_data(data)
                case h11.Request() as head:
                    pass
                case h11.Data() as data_event:
                    content += data_event.data
                case h11.EndOfMessage():
                    self._unread = bytes(parser.trailing_data[0])
                    assert head is not None
                    headers = {name.decode().lower(): value.decode() for name, value in head.headers}
                    return Request(head.method.decode(), head.target.decode(), headers, content)
                case _:
                    return None

    async def perform(self, steps: tuple[Step, ...], request: Request) -> bool:
        """Take the steps. True: the connection lives on for another request."""
        alive = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, request, nursery.cancel_scope)
            # A client that leaves may be met here before the watch sees it; out of the nursery the error
            # would come as a group that nobody catches, and end the whole provider.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                alive = await self._take(steps)
            nursery.cancel_scope.cancel()
        return alive and not request.gone.is_set()

    async def _watch(self, request: Request, scope: trio.CancelScope) -> None:
        """Notice that the client leaves while it is being answered."""
        try:
            while data := await self._stream.receive_some():
                self._unread += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        request.gone_at = trio.current_time()
        request.gone.set()
        scope.cancel()

    async def _take(self, steps: tuple[Step, ...]) -> bool:
        for step in steps:
            match step:
                case Send(data):
                    await self._stream.send_all(data)
                case Repeat():
                    await self._repeat(step)
                case Pause(seconds):
                    await trio.sleep(seconds)
                case Hold(gate):
                    await gate.wait()
                case Linger():
                    await trio.sleep_forever()
                case Cut(how):
                    self._cut(how)
                    return False
                case _:
                    assert_never(step)
        return True

    async def _repeat(self, step: Repeat) -> None:
        while True:
            for piece in step.pieces:
                await self._stream.send_all(piece)
                await trio.sleep(step.every)

    def _cut(self, how: Literal["fin", "rst"]) -> None:
        if how == "rst":  # a linger time of zero turns close() into a reset
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.socket.close()


# -- replies as bytes --

BODY_END = Send(b"0\r\n\r\n")


def head(status: int = 200, *, headers: Mapping[str, str] | None = None) -> Send:
    """A response head; without other headers that of an event stream in chunked framing."""
    fields = headers or {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in _PHRASES else 'Odd'}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return Send("\r\n".join([*lines, "", ""]).encode())


def body(data: bytes) -> Send:
    """A piece of a chunked body."""
    return Send(b"%x\r\n%s\r\n" % (len(data), data))


def stream_of(chunks: Iterable[Chunk]) -> tuple[Step, ...]:
    """Each chunk as an event in an HTTP chunk of its own."""
    return tuple(body(sse([chunk])) for chunk in chunks)


def stream_reply(chunks: Iterable[Chunk]) -> tuple[Step, ...]:
    """A whole stream of these chunks, with `[DONE]`."""
    return (head(), *stream_of(chunks), body(DONE), BODY_END)


def json_reply(status: int, content: object, **headers: str) -> tuple[Step, ...]:
    """A whole response with a JSON body. Header names are given with underscores."""
    return raw_reply(status, json.dumps(content).encode(), content_type="application/json", **headers)


def raw_reply(status: int, content: bytes, **headers: str) -> tuple[Step, ...]:
    """A whole response. Header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (head(status, headers=named | {"content-length": str(len(content))}), Send(content))


def rendered(turn: Turn, request: Request) -> tuple[Step, ...]:
    """A turn as the request wants it: a stream or one JSON object."""
    if not request.body.get("stream"):
        return json_reply(200, turn.completion())
    return stream_reply(turn.chunks())


_PHRASES = frozenset(HTTPStatus)
