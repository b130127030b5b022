"""Learning on Anthropic's own wire, through the whole proxy: a strict gateway is known by its refusals."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio.testing

from ccproxy_trio.journal import ParameterLearned
from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.question import Outgoing
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, settings_for, virtual_house

Clock = trio.testing.MockClock
Body = dict[str, Any]
NATIVE = DialectOptions(wire="anthropic")
EVENTS: tuple[Body, ...] = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
)


async def greet(answer: FakeAnswer) -> None:
    for event in EVENTS:
        frame = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        await answer.send.send(frame.encode())


def complaint_of(body: Body) -> str | None:
    """One thing at a time, as validators in a row have it."""
    for name in ("context_management", "output_config"):
        if name in body:
            return f"{name}: Extra inputs are not permitted"
    for place, tool in enumerate(body.get("tools", ())):
        if "defer_loading" in tool:
            return f"tools.{place}.custom.defer_loading: Extra inputs are not permitted"
    for place, block in enumerate(body.get("system", ())):
        if "scope" in block.get("cache_control", {}):
            return f"system.{place}.cache_control.ephemeral.scope: Extra inputs are not permitted"
    for place, message in enumerate(body["messages"]):
        if message["role"] == "system":
            return f"messages.{place}.role: Input should be 'user' or 'assistant'"
    if body.get("thinking", {}).get("type") == "adaptive":
        return "adaptive thinking is not supported on this model"
    return None


class Strict(FakeUpstream):
    """A gateway of Anthropic's shape that reads the least of it; keeps the bodies it was sent."""

    def __init__(self) -> None:
        super().__init__(greet)
        self.bodies: list[Body] = []

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        read: Body = msgspec.json.decode(asked.body)
        self.bodies.append(read)
        complaint = complaint_of(read)
        if complaint is not None:
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": complaint}}
            raise classify(400, {}, msgspec.json.encode(error), profile=dialect.profile, wall_now=0.0)
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


WISH: Body = {
    "system": [{"type": "text", "text": "brief", "cache_control": {"type": "ephemeral", "scope": "global"}}],
    "tools": [{"name": "T", "input_schema": {"type": "object"}, "defer_loading": True}],
    "messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "agents"}],
    "thinking": {"type": "adaptive"},
    "max_tokens": 32_000,
    "output_config": {"effort": "high"},
    "context_management": {"edits": []},
}
SEVEN = 7  # requests: one for each complaint, and the one that there is none about


async def ask(house: House) -> tuple[int, bytes]:
    client = Client(house.connect())
    await client.post(WISH)
    status = await client.head()
    return status, await client.body()


async def test_a_strict_gateway_is_understood_within_one_request_and_from_then_on(
    autojump_clock: Clock,
) -> None:
    upstream = Strict()
    async with virtual_house(settings_for("a", options=NATIVE), a=upstream) as house:
        for answered in (SEVEN, SEVEN + 1):
            status, body = await ask(house)
            assert (status, b"hello" in body, len(upstream.bodies)) == (200, True, answered)
        assert (await house.snapshot("a")).failure_count == 0
    lines = [entry.line for entry in house.journal if isinstance(entry, ParameterLearned)]
    options = msgspec.convert(json.loads(f"{{{lines[-1]}}}")["options"], DialectOptions)
    again = Strict()
    async with virtual_house(settings_for("a", options=options), a=again) as house:
        assert (await ask(house))[0] == 200
    assert again.bodies == upstream.bodies[-1:]
    last = upstream.bodies[-1]
    assert last["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "text", "text": "<system-reminder>\nagents\n</system-reminder>"},
            ],
        }
    ]
    assert last["tools"] == [{"name": "T", "input_schema": {"type": "object"}}]


class Deaf(Strict):
    """Says the same of every request."""

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.bodies.append(json.loads(asked.body))
        text = {"error": {"type": "invalid_request_error", "message": "role 'system' is not supported"}}
        raise classify(400, {}, json.dumps(text).encode(), profile=dialect.profile, wall_now=0.0)
        yield  # what makes it a context manager


async def test_nothing_is_learned_of_who_says_the_same_whatever_is_asked(autojump_clock: Clock) -> None:
    upstream = Deaf()
    async with virtual_house(settings_for("a", options=NATIVE), a=upstream) as house:
        assert (await ask(house))[0] == 400
        assert len(upstream.bodies) == 2
        assert not [entry for entry in house.journal if isinstance(entry, ParameterLearned)]
