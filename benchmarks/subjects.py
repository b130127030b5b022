"""Who is measured with the load engine: the proxy before its upstream, the upstream alone, the floor."""

import enum
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct

from benchmarks.answers import Shape, shape_of
from benchmarks.load import (
    MESSAGES_STREAM,
    MESSAGES_WHOLE,
    OPENAI_STREAM,
    OPENAI_WHOLE,
    Ask,
)
from benchmarks.processes import cores, pin
from benchmarks.prompt import completion_request, messages_request
from benchmarks.proxy import running_proxy
from benchmarks.upstream import CannedUpstream, canned_upstream

MESSAGES, COMPLETIONS = "/v1/messages?beta=true", "/v1/chat/completions"
MODELS = {"big": "claude-opus-4-8", "middle": "claude-sonnet-5", "small": "claude-haiku-4-5"}
ALONE, PROXY, FLOOR = "alone", "proxy", "floor"
FLOOR_APP = "benchmarks.floor:create_app()"
_MODEL = re.compile(rb'"model":"[^"]*"')

_Row = TypeVar("_Row")


class Mode(enum.StrEnum):
    """How an answer comes."""

    WHOLE = "non-stream"
    STREAM = "stream"


class Subject(Struct, frozen=True, kw_only=True):
    """Something that answers on `port`, as the process tree `pid`. `shapes`: what each tier means to it."""

    name: str
    port: int
    pid: int
    shapes: Mapping[str, str]

    def ask(self, mode: Mode, *, tier: str = "big") -> Ask:
        """The usual request of 76 kB, for the shape of that tier."""
        if self.name == ALONE:
            return completion_ask(self.shapes[tier], mode)
        model = MODELS[tier]
        return messages_ask(messages_request(model, stream=mode is Mode.STREAM), mode, self.shapes[tier])


class Cast(Struct, frozen=True, kw_only=True):
    """The upstream, and who stands before it. The upstream is a subject, too: `alone`."""

    upstream: CannedUpstream
    alone: Subject
    proxy: Subject

    @property
    def cpu_of(self) -> Mapping[str, int]:
        """For `load`: the proxy's CPU time, and the upstream's."""
        return {PROXY: self.proxy.pid, "upstream": self.upstream.pid}


@asynccontextmanager
async def proxied_upstream(
    shapes: Mapping[str, str], *, workers: int = 1, pinned_to: frozenset[int] | None = None
) -> AsyncIterator[Cast]:
    """Start the upstream and the proxy before it; `shapes` says what answer each tier gets.

    The proxy is kept on the cores of `pinned_to`, or the subject's. Both are stopped on leaving.
    """
    async with (
        canned_upstream() as upstream,
        running_proxy(proxy_config(upstream.base_url, shapes), workers=workers) as proxy,
    ):
        pin(proxy.pid, cores().subject if pinned_to is None else pinned_to)
        yield Cast(
            upstream=upstream,
            alone=Subject(name=ALONE, port=upstream.port, pid=upstream.pid, shapes=shapes),
            proxy=Subject(name=PROXY, port=proxy.port, pid=proxy.pid, shapes=shapes),
        )


@asynccontextmanager
async def running_floor(upstream: CannedUpstream, shapes: Mapping[str, str]) -> AsyncIterator[Subject]:
    """Start what the proxy cannot go below with its libraries (see `floor.py`)."""
    env = {"FLOOR_UPSTREAM": str(upstream.port), "FLOOR_MODEL": shapes["big"]}
    async with running_proxy({}, app=FLOOR_APP, env=env) as floor:
        pin(floor.pid, cores().subject)
        yield Subject(name=FLOOR, port=floor.port, pid=floor.pid, shapes=shapes)


def proxy_config(base_url: str, shapes: Mapping[str, str]) -> Mapping[str, object]:
    """The proxy's configuration with one provider and nothing that disturbs: no probes, room for all."""
    models = {tier: [shape] for tier, shape in shapes.items()}
    provider = {"name": "canned", "api_key": "none", "base_url": base_url, "models": models}
    return {"providers": [provider], "health_check_interval": 0, "max_exchanges": 10_000}


def messages_ask(body: bytes, mode: Mode, shape: str) -> Ask:
    """A request in Anthropic's format, to whoever speaks it."""
    ends_with = MESSAGES_STREAM if mode is Mode.STREAM else MESSAGES_WHOLE
    return Ask(path=MESSAGES, body=body, words=_known(shape).words, ends_with=ends_with)


def completion_ask(shape: str, mode: Mode) -> Ask:
    """A request of the same size straight to the upstream."""
    body = msgspec.json.decode(completion_request()) | {"model": shape, "stream": mode is Mode.STREAM}
    ends_with = OPENAI_STREAM if mode is Mode.STREAM else OPENAI_WHOLE
    return Ask(
        path=COMPLETIONS, body=msgspec.json.encode(body), words=_known(shape).words, ends_with=ends_with
    )


def straight_ask(body: bytes, mode: Mode, shape: str) -> Ask:
    """A body in Anthropic's format, to the upstream all the same: it looks at model and stream only."""
    named = _MODEL.sub(b'"model":"' + shape.encode() + b'"', body, count=1)
    return msgspec.structs.replace(completion_ask(shape, mode), body=named)


def in_turn(rows: Sequence[_Row], turn: int) -> Iterator[_Row]:
    """The rows in another order each round, so that none always follows the same one."""
    begin = turn % len(rows)
    yield from rows[begin:]
    yield from rows[:begin]


def _known(name: str) -> Shape:
    shape = shape_of(name)
    if shape is None:
        raise ValueError(f"no shape has the name {name!r}")
    return shape
