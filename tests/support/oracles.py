"""What must hold after every fault, whatever it was.

The proxy lives; nothing is left over of what the fault began: tasks, file descriptors, connections; no secret
was told anywhere; each answer was one that Anthropic's API could have given, or a clean error; and a request
that nothing is wrong with works at once.

    watch = await Watch.over(proxy, providers)   # once it is started
    ...
    await watch.judge(control)                   # afterwards; raises with everything that is wrong
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import httpx
import msgspec
import trio
from msgspec import Struct

from tests.support.answer_validation import error_violations, event_violations, message_violations
from tests.support.client import asks, get, post
from tests.support.grammar import check, read_frames
from tests.support.inside import Inside, descriptors
from tests.support.proxy import Heard, Proxy, ProxyError
from tests.support.scripted import ScriptedProvider
from tests.support.warm import Forked

Writer = Literal["the proxy", "anybody"]  # of an answer
CLEAN_WITHIN = 2.0  # seconds after which nothing may be left over
WORKS_WITHIN = 1.0  # seconds for a request that nothing is wrong with
_LOOK_EVERY = 0.02
_COMMENTS = re.compile(rb"^:[^\n]*\n\n?", re.MULTILINE)
_HALVES = re.compile(rb"\\u[dD][89a-fA-F]..")  # of a character beyond the first 65536
_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Control(Struct, frozen=True, kw_only=True):
    """The request that must work afterwards: its model, and the header that opens the proxy to it."""

    model: str
    headers: dict[str, str] = {}


class Holdings(Struct, frozen=True, kw_only=True):
    """What a proxy holds at an instant. `inside` is None where nobody tells of it."""

    descriptors: Counter[str]
    inside: Inside | None


class Watch:
    """The judge of one proxy. What it holds now is what it may hold in the end."""

    def __init__(self, proxy: Proxy, providers: Sequence[ScriptedProvider], before: Holdings) -> None:
        self._proxy = proxy
        self._providers = providers
        self._before = before

    @classmethod
    async def over(cls, proxy: Proxy, providers: Sequence[ScriptedProvider]) -> Self:
        """The judge of a proxy that has just been started, once nobody is connected to it any more."""
        before = holdings_of(proxy)
        with trio.fail_after(CLEAN_WITHIN):
            while (inside := before.inside) is not None and any(map(_serves, inside.tasks)):
                await trio.sleep(_LOOK_EVERY)
                before = holdings_of(proxy)
        return cls(proxy, providers, before)

    async def judge(self, control: Control, *, mishaps: int = 0) -> None:
        """Hold the proxy to all of it. `mishaps`: how many faults of its own were caused in it on purpose.

        Raises:
            ProxyError: everything that is wrong, a line each.
        """
        if self._proxy.process.poll() is not None:
            raise ProxyError(f"the proxy has ended: {self._proxy.process.returncode}\n{self._proxy.output}")
        wrong = [*await self._left_over(), *await self._health(mishaps), *await self._works(control)]
        wrong += [*self._told(), *self._out_of_shape()]
        if wrong:
            raise ProxyError("\n".join(wrong))

    async def _left_over(self) -> list[str]:
        give_up_at = trio.current_time() + CLEAN_WITHIN
        while True:
            left = self._leftovers()
            if not left or trio.current_time() > give_up_at:
                return left
            await trio.sleep(_LOOK_EVERY)

    def _leftovers(self) -> list[str]:
        busy = [
            f"{provider.name} is still answering {len(provider.under_way)} request(s)"
            for provider in self._providers
            if provider.under_way
        ]
        now = holdings_of(self._proxy)
        idle = sum(provider.open_connections for provider in self._providers)
        if now.inside is not None and idle > now.inside.kept:
            busy.append(f"providers see {idle} connections, and only {now.inside.kept} are kept")
        kept = idle if now.inside is None else now.inside.kept
        return busy + list(growth(self._before, now, kept=kept))

    async def _health(self, mishaps: int) -> list[str]:
        """`/health` answers, and tells of no fault of the proxy's own."""
        counted = (await get(self._proxy, "/health")).json()["internal_errors"]
        return [f"internal errors: {counted}"] if sum(counted.values()) != mishaps else []

    async def _works(self, control: Control) -> list[str]:
        answer: httpx.Response | None = None
        with trio.move_on_after(WORKS_WITHIN):
            answer = await post(self._proxy, asks(model=control.model), **control.headers)
        if answer is None:
            return [f"a request without any fault took longer than {WORKS_WITHIN:g} s"]
        return [] if answer.status_code == 200 else [f"a request without any fault: {answer.text}"]

    def _told(self) -> Iterator[str]:
        """The places where a secret was shown."""
        places = {"the log": self._proxy.output}
        for number, heard in enumerate(self._proxy.heard):
            place = f"answer {number} ({heard.path})"
            places[f"the body of {place}"] = heard.body.decode(errors="replace")
            places[f"the headers of {place}"] = repr(heard.headers)
        for place, text in places.items():
            try:
                self._proxy.assert_discreet(text)
            except ProxyError as error:
                yield f"{place}: {error}"

    def _out_of_shape(self) -> Iterator[str]:
        is_native = any(provider.wire == "anthropic" for provider in self._providers)
        for number, heard in enumerate(self._proxy.heard):
            for fault in misshapen(heard, by="anybody" if is_native else "the proxy"):
                yield f"answer {number} ({heard.path}, {heard.status}): {fault}"


def holdings_of(proxy: Proxy) -> Holdings:
    """What a proxy holds now."""
    process = proxy.process
    # First the tasks: each closes what it has before it ends.
    inside = process.line.ask() if isinstance(process, Forked) else None
    return Holdings(descriptors=descriptors(process.pid), inside=inside)


def _serves(task: str) -> bool:
    """Whether a task of this name serves a client's connection."""
    return task.endswith("_run_handler")  # of `trio.serve_tcp` and its like


def growth(before: Holdings, now: Holdings, *, kept: int) -> Iterator[str]:
    """What there is more of than before. `kept` sockets are rightly there: connections for later requests."""
    allowed = before.descriptors + Counter({"socket": kept})
    for kind, count in (now.descriptors - allowed).items():
        yield f"{count} file descriptor(s) too many: {kind}"
    if before.inside is None or now.inside is None:
        return
    if now.inside.lent:
        yield f"{now.inside.lent} connection(s) are still held by requests"
    for task, count in (Counter(now.inside.tasks) - Counter(before.inside.tasks)).items():
        yield f"{count} task(s) too many: {task}"


def misshapen(heard: Heard, *, by: Writer = "the proxy") -> Iterator[str]:
    """What is wrong with an answer to a message, as one of Anthropic's API.

    `by` whom it was written: what is passed on as it came may hold comments, counts that are none, and half a
    character.
    """
    if heard.path != "/v1/messages":
        return
    if heard.ending == "broken":
        yield "it broke off below HTTP"
        return
    kind = _content_type(heard.headers)
    if kind == "text/event-stream" and heard.status == 200:
        yield from _stream_faults(heard, by)
    elif heard.ending == "left":
        return
    elif kind != "application/json":
        yield f"it is {kind}"
    elif heard.status == 200:
        yield from message_violations(_counted_message(bytes(heard.body), by))
    else:
        yield from error_violations(bytes(heard.body))


def _content_type(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Without its parameters; "" where there is none."""
    named = {name.lower(): value.decode() for name, value in headers}
    return named.get(b"content-type", "").partition(";")[0]


def _stream_faults(heard: Heard, by: Writer) -> Iterator[str]:
    is_whole = heard.ending == "whole"
    body = bytes(heard.body)
    if not is_whole:
        body = body[: body.rfind(b"\n\n") + 2] if b"\n\n" in body else b""
    if by == "anybody":
        body = _HALVES.sub(b"?", _COMMENTS.sub(b"", body))
    try:
        events = [_counted(event, by) for event in read_frames(body)]
        check(events, whole=is_whole)
    except (AssertionError, msgspec.DecodeError, ValueError) as wrong:
        yield f"not a word of the grammar: {wrong}"
        return
    for event in events:
        yield from _event_faults(event)


def _counted_message(body: bytes, by: Writer) -> bytes:
    if by == "the proxy":
        return body
    return json.dumps(_counted(json.loads(_HALVES.sub(b"?", body)), by)).encode()


def _counted(told: Any, by: Writer) -> Any:
    """The same event or message; a provider's own counts, right or wrong, are made right ones."""
    if by != "anybody" or not isinstance(told, dict):
        return told
    usage = {"usage": dict.fromkeys(_COUNTS, 1)} if "usage" in told or told["type"] == "message_delta" else {}
    return told | usage | ({"message": _counted(told["message"], by)} if "message" in told else {})


def _event_faults(event: Mapping[str, object]) -> Iterator[str]:
    match event["type"]:
        case "ping":
            return
        case "error":
            yield from error_violations(json.dumps(event))
        case _:
            yield from event_violations(json.dumps(event))
