"""Which API a model is asked on, learned from what it says, through the whole proxy."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio.testing

from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.question import Outgoing
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock
Body = dict[str, Any]
Refusal = tuple[int, str, str | None]  # status, message, code
WISH: Body = {
    "thinking": {"type": "adaptive"},
    "tools": [{"name": "T", "input_schema": {"type": "object"}}],
}
ELSEWHERE = (
    "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. "
    "Please use /v1/responses or set reasoning_effort to 'none'."
)
NOT_HERE = "This model is only supported in v1/responses and not in v1/chat/completions."
ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


async def said(answer: FakeAnswer) -> None:
    """`hello`, and the reasoning in front of it, on the Responses wire."""
    await answer.data(json.dumps({"type": "response.output_item.done", "output_index": 0, "item": ITEM}))
    await answer.data(json.dumps({"type": "response.output_text.delta", "output_index": 1, "delta": "hello"}))
    await answer.data(json.dumps({"type": "response.completed", "response": {"status": "completed"}}))


class TwoWires(FakeUpstream):
    """Has Chat Completions and the Responses API, each with a rule; keeps what it was asked, and where."""

    def __init__(
        self,
        *,
        on_chat: Callable[[Body], Refusal | None],
        on_responses: Callable[[Body], Refusal | None] = lambda _: None,
    ) -> None:
        super().__init__(hello)
        self._rules = {"chat": on_chat, "responses": on_responses}
        self._answers = {"chat": hello, "responses": said}
        self.asked: list[tuple[str, Body]] = []

    @property
    def wires(self) -> list[str]:
        return [wire for wire, _ in self.asked]

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        body: Body = json.loads(asked.body)
        self.asked.append((dialect.wire, body))
        refused = self._rules[dialect.wire](body)
        if refused is not None:
            status, message, code = refused
            error = {"error": {"message": message, "type": "invalid_request_error", "code": code}}
            raise classify(status, {}, json.dumps(error).encode(), profile=dialect.profile, wall_now=0.0)
        self._scripts = [self._answers[dialect.wire]]
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


def no_tools_with_reasoning(body: Body) -> Refusal | None:
    return (400, ELSEWHERE, None) if body.get("reasoning_effort") != "none" else None


def never(status: int, message: str) -> Callable[[Body], Refusal | None]:
    return lambda _: (status, message, None)


async def ask(house: House, **body: Any) -> Body:
    client = Client(house.connect())
    await client.post(body)
    assert await client.head() == 200
    answer: Body = json.loads(await client.body())
    return answer


async def learned(house: House) -> Body:
    health = await Client(house.connect()).get("/health")
    shown: Body = health["providers"]["a"]["learned"]
    return shown


@pytest.mark.parametrize("rule", [no_tools_with_reasoning, never(404, NOT_HERE)])
async def test_a_model_that_names_another_wire_is_asked_there_from_then_on(
    rule: Callable[[Body], Refusal | None], autojump_clock: Clock
) -> None:
    upstream = TwoWires(on_chat=rule)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        for _ in range(2):
            assert (await ask(house, **WISH))["content"][-1]["text"] == "hello"
        assert await learned(house) == {"m": ['wire: "wire": "responses"']}
    assert upstream.wires == ["chat", "responses", "responses"]
    assert upstream.asked[-1][1]["store"] is False


@pytest.mark.parametrize("status", [404, 405])
async def test_a_wire_that_is_not_there_sends_the_request_back_without_reasoning(
    status: int, autojump_clock: Clock
) -> None:
    upstream = TwoWires(on_chat=no_tools_with_reasoning, on_responses=never(status, "Not Found"))
    async with virtual_house(settings_for("a"), a=upstream) as house:
        for _ in range(2):
            assert (await ask(house, **WISH))["content"][-1]["text"] == "hello"
        assert '"wire": "chat"' in (await learned(house))["m"][0]
        assert (await house.snapshot("a")).failure_count == 0
    assert upstream.wires == ["chat", "responses", "chat", "chat"]
    assert [body.get("reasoning_effort") for wire, body in upstream.asked if wire == "chat"][1:] == [
        "none"
    ] * 2


async def test_the_operators_wire_is_kept(autojump_clock: Clock) -> None:
    upstream = TwoWires(on_chat=no_tools_with_reasoning)
    options = DialectOptions(wire="chat")
    async with virtual_house(settings_for("a", options=options), a=upstream) as house:
        await ask(house, **WISH)
    assert upstream.wires == ["chat", "chat"]


async def test_reasoning_that_cannot_be_read_any_more_is_left_out_and_nothing_is_learned(
    autojump_clock: Clock,
) -> None:
    def another_key(body: Body) -> Refusal | None:
        found = any(item["type"] == "reasoning" for item in body["input"])
        said_ = "The encrypted content for item rs_1 could not be verified."
        return (400, said_, "invalid_encrypted_content") if found else None

    upstream = TwoWires(on_chat=never(500, "unused"), on_responses=another_key)
    options = DialectOptions(wire="responses")
    async with virtual_house(settings_for("a", options=options), a=upstream) as house:
        answer = await ask(house)
        turns = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "more"},
        ]
        for _ in range(2):
            await ask(house, messages=turns)
        assert await learned(house) == {}
    kinds = [[item["type"] for item in body["input"]] for _, body in upstream.asked]
    assert kinds == [
        ["message"],
        *([["message", "reasoning", "message", "message"], ["message"] * 3] * 2),
    ]
