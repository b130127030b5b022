"""A scripted provider on a real loopback socket, on any of the three wires.

It is told what to answer, keeps every request it got, and judges each by its wire's `validation`. Answers are
turns, or steps at byte level when the provider has to misbehave (`faults`), so responses are written by hand;
only the requests are read by h11.

    provider = providers.start("alpha")
    provider.plays(status(500), says("hel", "lo"))     # one a request, the last for ever
    provider.behaves(agent(calls(Call("Bash", ...)), says("done")))
    native = providers.start("claude", wire="anthropic", strictness="turns")
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, assert_never

import trio

from tests.support.chunks import Turn, says
from tests.support.connection import Connection, Request
from tests.support.judges import body_violations, credential_violations, header_violations, make_ready
from tests.support.ports import Port, ReservedPort
from tests.support.seals import Teller
from tests.support.steps import (
    BODY_END,
    Cut,
    Hold,
    Linger,
    Pause,
    Repeat,
    Send,
    Step,
    body,
    head,
    json_reply,
    raw_reply,
    stream_frames,
    stream_of,
    stream_reply,
)
from tests.support.told import Wire, error_body, told, whole
from tests.support.validation_anthropic import Strictness, thinking_refusal

__all__ = [  # with what a test writes its replies with
    "BODY_END",
    "Cut",
    "Hold",
    "Linger",
    "Pause",
    "Repeat",
    "Reply",
    "Request",
    "Script",
    "ScriptedProvider",
    "Send",
    "Step",
    "body",
    "head",
    "json_reply",
    "raw_reply",
    "rendered",
    "stream_frames",
    "stream_of",
    "stream_reply",
]

Reply = Turn | tuple[Step, ...]


Script = Callable[[Request], Reply]


class ScriptedProvider:
    """One provider. It owns its port for good, whether or not it listens there just now.

    `wire` is what it speaks and is configured as; `besides`, what its server answers on too. `also_allowed`
    names keys of its dialect that the wire's own judge does not know. `api_version` makes it speak Azure's
    paths and header. `port` is where it listens, else one of its own.

    On Anthropic's wire: `key_header` is where its key has to be (None: either); with `credential` (header,
    value) it wants a client's and not its own. `strictness` is how it takes thinking that it did not give.
    """

    def __init__(
        self,
        name: str,
        nursery: trio.Nursery,
        *,
        wire: Wire = "chat",
        besides: Iterable[Wire] = (),
        also_allowed: Iterable[str] = (),
        api_version: str | None = None,
        port: Port | None = None,
        key_header: Literal["x-api-key", "authorization"] | None = None,
        credential: tuple[str, str] | None = None,
        strictness: Strictness = "lenient",
    ) -> None:
        self.name = name
        self.wire = wire
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
        self._wires = (wire, *besides)
        make_ready(self._wires)
        self._also_allowed = frozenset(also_allowed)
        self._key_header = key_header
        self._credential = credential
        self._strictness = strictness
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
        bare = self.api_version or self.wire == "anthropic"
        return f"http://127.0.0.1:{self.port}" + ("" if bare else "/v1")

    def entry(self, **more: Any) -> dict[str, Any]:
        """The provider's entry for `providers.json`; `more` adds or replaces keys, and single `options`."""
        models = {tier: [self.model] for tier in ("big", "middle", "small")}
        key = "passthrough" if self._credential else self.key
        entry = {"name": self.name, "api_key": key, "base_url": self.base_url, "models": models}
        profile = "anthropic" if self.wire == "anthropic" else "openai"
        entry |= {"api_version": self.api_version} if self.api_version else {"profile": profile}
        options: dict[str, Any] = {} if self.wire == "chat" else {"wire": self.wire}
        if self._key_header is not None:
            options["key_header"] = self._key_header
        options |= more.pop("options", {})
        return entry | ({"options": options} if options else {}) | more

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
        connection = Connection(stream)
        number = self.connections
        try:
            while (request := await connection.read_request()) is not None:
                request.connection = number
                steps = await self._reply(request)
                self.under_way.add(request)
                try:
                    lives_on = await connection.perform(steps, request)
                finally:
                    self.under_way.discard(request)
                if not lives_on:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.open_connections -= 1

    async def _reply(self, request: Request) -> tuple[Step, ...]:
        if request.method == "GET" and request.path == self._models_path():
            self.probes.append(request)
            return self._probe_reply or json_reply(200, self._models())
        wire = self._asked_on(request)
        if wire is None:
            self.violations.append(f"{request.method} {request.path}: no such endpoint")
            return json_reply(404, {"error": {"message": f"Invalid URL {request.path}"}})
        request.wire = wire
        self._judge(request)
        self.requests.append(request)
        async with self._arrived:
            self._arrived.notify_all()
        refusal = self._refusal(request)
        if refusal is not None:
            return json_reply(400, error_body("anthropic", refusal, kind="invalid_request_error"))
        reply = self._script(request)
        return rendered(reply, request, by=self._teller(request)) if isinstance(reply, Turn) else reply

    def _asked_on(self, request: Request) -> Wire | None:
        """The wire that a request came on; None: nobody answers there."""
        if request.method != "POST":
            return None
        return next((wire for wire in self._wires if request.path == self._path(wire)), None)

    def _path(self, wire: Wire) -> str:
        match wire:
            case "chat" if self.api_version:
                return f"/openai/deployments/{self.model}/chat/completions"
            case "chat":
                return "/v1/chat/completions"
            case "responses":
                return "/openai/responses" if self.api_version else "/v1/responses"
            case "anthropic":
                return "/anthropic/v1/messages" if self.api_version else "/v1/messages"
            case _:
                assert_never(wire)

    def _models_path(self) -> str:
        if self.api_version:
            return "/anthropic/v1/models" if self.wire == "anthropic" else "/openai/models"
        return "/v1/models"

    def _models(self) -> dict[str, Any]:
        if self.wire == "anthropic":
            model = {"type": "model", "id": self.model, "display_name": self.model}
            page = {"first_id": self.model, "last_id": self.model, "has_more": False}
            return {"data": [model | {"created_at": "2026-01-01T00:00:00Z"}]} | page
        return {"object": "list", "data": [{"id": self.model}]}

    def _teller(self, request: Request) -> Teller:
        """Who answers this request, on the wire it came on."""
        included = request.body.get("include") or ()
        return Teller(
            name=self.name,
            model=request.body.get("model", self.model),
            number=len(self.requests),
            seals="reasoning.encrypted_content" in included,
        )

    def _refusal(self, request: Request) -> str | None:
        if request.wire != "anthropic":
            return None
        return thinking_refusal(request.body, self.name, self._strictness)

    # -- its judgement of requests --

    def _judge(self, request: Request) -> None:
        right = dict([self._credential]) if self._credential else self._own_credential(request.wire)
        wrong = [
            *body_violations(
                request.body,
                request.wire,
                name=self.name,
                betas=request.betas,
                also_allowed=self._also_allowed,
            ),
            *credential_violations(request.headers, right),
            *header_violations(request.headers, request.wire),
        ]
        version = None if request.wire == "anthropic" else self.api_version
        if request.query.get("api-version") != version:
            wrong.append(f"api-version is {request.query.get('api-version')}")
        self.violations += [f"request {len(self.requests) + 1}: {sentence}" for sentence in wrong]

    def _own_credential(self, wire: Wire) -> dict[str, str]:
        """The headers that its key may stand in, and how; one of them has to be there."""
        bearer = {"authorization": f"Bearer {self.key}"}
        bare = {"x-api-key": self.key}
        if wire != "anthropic":
            return {"api-key": self.key} if self.api_version else bearer
        return {"authorization": bearer, "x-api-key": bare, None: bearer | bare}[self._key_header]


def rendered(turn: Turn, request: Request, *, by: Teller | None = None) -> tuple[Step, ...]:
    """A turn as the request wants it, on its wire: a stream or one JSON object."""
    if not request.body.get("stream"):
        return json_reply(200, whole(turn, request.wire, by=by))
    return (head(), *stream_frames(told(turn, request.wire, by=by).frames), BODY_END)
