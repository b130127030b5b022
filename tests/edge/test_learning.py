"""Learning from refusals, through the whole proxy: one detour, none for the next request, told once."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio.testing

from ccproxy_trio.journal import AttemptEnded, Entry, ParameterLearned
from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.question import Outgoing
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock
Body = dict[str, Any]
Complaint = tuple[int, str, str | None]  # status, message, param

EFFORT: Body = {"thinking": {"type": "adaptive"}}
TOOLS: Body = {"tools": [{"name": "T", "input_schema": {"type": "object"}}]}
BY_EFFORT = DialectOptions(reasoning="effort")
ON_CHAT_ALONE = DialectOptions(reasoning="effort", wire="chat")


class Choosy(FakeUpstream):
    """Answers what its rule has no complaint about; keeps the bodies it was sent."""

    def __init__(self, *rules: Callable[[Body], Complaint | None]) -> None:
        super().__init__(hello)
        self._rules = rules
        self.bodies: list[Body] = []

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        read: Body = msgspec.json.decode(asked.body)
        self.bodies.append(read)
        complaint = next((found for rule in self._rules if (found := rule(read))), None)
        if complaint is not None:
            status, message, param = complaint
            error = {"error": {"message": message, "type": "invalid_request_error", "param": param}}
            raise classify(status, {}, msgspec.json.encode(error), profile=dialect.profile, wall_now=0.0)
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


def without(name: str) -> Callable[[Body], Complaint | None]:
    """A rule: `name` is not taken."""
    return lambda body: (400, f"Unsupported parameter: '{name}'", name) if name in body else None


def capped(limit: int) -> Callable[[Body], Complaint | None]:
    """A rule: answers are no longer than that."""
    said = f"max_tokens is too large. This model supports at most {limit} completion tokens"
    return lambda body: (400, said, "max_tokens") if body["max_tokens"] > limit else None


def no_reasoning_beside_tools(body: Body) -> Complaint | None:
    """gpt-5.6: its default effort is refused as well."""
    if "tools" not in body or body.get("reasoning_effort") == "none":
        return None
    said = (
        "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. "
        "Please use /v1/responses or set reasoning_effort to 'none'."
    )
    return (400, said, "reasoning_effort")


async def ask(house: House, **body: Any) -> int:
    client = Client(house.connect())
    await client.post(body)
    status = await client.head()
    await client.body()
    return status


async def learned(house: House) -> dict[str, Any]:
    """What `/health` shows of provider a."""
    health = await Client(house.connect()).get("/health")
    shown: dict[str, Any] = health["providers"]["a"]["learned"]
    return shown


def told(journal: list[Entry]) -> list[ParameterLearned]:
    return [entry for entry in journal if isinstance(entry, ParameterLearned)]


async def test_a_parameter_is_left_out_once_refused_and_from_then_on(autojump_clock: Clock) -> None:
    upstream = Choosy(without("reasoning_effort"))
    async with virtual_house(settings_for("a", options=BY_EFFORT), a=upstream) as house:
        assert [await ask(house, **EFFORT) for _ in range(3)] == [200, 200, 200]
        assert [body.get("reasoning_effort") for body in upstream.bodies] == ["medium", None, None, None]
        assert await learned(house) == {"m": ['reasoning_effort: "reasoning": "none"']}
        assert (await house.snapshot("a")).failure_count == 0
    assert told(house.journal) == [
        ParameterLearned(
            provider="a",
            model="m",
            lesson='reasoning_effort: "reasoning": "none"',
            line='"options": {"reasoning": "none"}',
        )
    ]


async def test_the_printed_line_saves_the_detour(autojump_clock: Clock) -> None:
    rules = (without("reasoning_effort"), without("stop"), capped(4096))
    wish: Body = {**EFFORT, "stop_sequences": ["x"], "max_tokens": 64_000}
    first = Choosy(*rules)
    async with virtual_house(settings_for("a", options=BY_EFFORT), a=first) as house:
        assert await ask(house, **wish) == 200
    line = told(house.journal)[-1].line
    options = msgspec.convert(json.loads(f"{{{line}}}")["options"], DialectOptions)
    second = Choosy(*rules)
    async with virtual_house(settings_for("a", options=options), a=second) as house:
        assert await ask(house, **wish) == 200
    assert (len(first.bodies), len(second.bodies)) == (4, 1)
    assert second.bodies == first.bodies[-1:]


async def test_the_cap_of_the_answer_is_met_once(autojump_clock: Clock) -> None:
    upstream = Choosy(capped(16_384))
    async with virtual_house(settings_for("a"), a=upstream) as house:
        for wished in (64_000, 32_000, 1_000):
            assert await ask(house, max_tokens=wished) == 200
        assert await learned(house) == {"m": ['max_tokens: "output_cap": 16384']}
    assert [body["max_tokens"] for body in upstream.bodies] == [64_000, 16_384, 16_384, 1_000]


async def test_the_room_beside_one_prompt_says_nothing_of_the_next(autojump_clock: Clock) -> None:
    def window(body: Body) -> Complaint | None:
        said = (
            "This model's maximum context length is 32768 tokens. However, you requested 70000 tokens "
            "(6000 in the messages, 64000 in the completion)."
        )
        return (400, said, None) if body["max_tokens"] > 32_768 - 6_000 else None

    upstream = Choosy(window)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        assert [await ask(house, max_tokens=64_000) for _ in range(2)] == [200, 200]
        assert await learned(house) == {}
    assert [body["max_tokens"] == 64_000 for body in upstream.bodies] == [True, False, True, False]


@pytest.mark.parametrize("wish", [{**EFFORT, **TOOLS}, TOOLS])
async def test_reasoning_is_switched_off_beside_tools_where_it_must_be(
    wish: Body, autojump_clock: Clock
) -> None:
    """Also when nothing was said of reasoning: the model's own default is refused too."""
    upstream = Choosy(no_reasoning_beside_tools)
    async with virtual_house(settings_for("a", options=ON_CHAT_ALONE), a=upstream) as house:
        assert [await ask(house, **wish) for _ in range(2)] == [200, 200]
        assert await ask(house, **EFFORT) == 200
    assert [body.get("reasoning_effort") for body in upstream.bodies[1:]] == ["none", "none", "medium"]
    assert all(body["tools"] for body in upstream.bodies[:3])


async def test_what_does_not_help_is_not_remembered_and_another_provider_is_asked(
    autojump_clock: Clock,
) -> None:
    def stubborn(body: Body) -> Complaint | None:
        return (400, "Unsupported parameter: 'stop'", "stop")

    a, b = Choosy(stubborn), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        assert await ask(house, stop_sequences=["x"]) == 200
        assert await learned(house) == {}
    assert ["stop" in body for body in a.bodies] == [True, False]
    assert b.opened == 1
    assert told(house.journal) == []


async def test_two_names_that_are_refused_in_turn_end_the_attempt(autojump_clock: Clock) -> None:
    a, b = Choosy(without("max_tokens"), without("max_completion_tokens")), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        assert await ask(house) == 200
        assert await learned(house) == {}
    assert (len(a.bodies), b.opened) == (2, 1)


@pytest.mark.parametrize("status", [500, 429, 503])
async def test_a_repetition_that_breaks_down_proves_nothing(status: int, autojump_clock: Clock) -> None:
    def broken(body: Body) -> Complaint | None:
        return None if "stop" in body else (status, "sorry", None)

    a, b = Choosy(without("stop"), broken), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        assert await ask(house, stop_sequences=["x"]) == 200
        assert await learned(house) == {}
    assert b.opened == 1


async def test_a_lesson_is_kept_when_the_provider_goes_on_to_refuse_something_else(
    autojump_clock: Clock,
) -> None:
    def too_long(body: Body) -> Complaint | None:
        return None if "stop" in body else (400, "prompt is too long: 9000 tokens > 8000 maximum", None)

    upstream = Choosy(without("stop"), too_long)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        assert await ask(house, stop_sequences=["x"]) == 400
        assert await learned(house) == {"m": ['stop: "stop": false']}


async def test_several_parameters_of_one_answer_go_in_one_repetition(autojump_clock: Clock) -> None:
    def strict(body: Body) -> Complaint | None:
        extra = sorted(body.keys() & {"stream_options", "temperature", "stop"})
        listed = "".join(f"{name}: Extra inputs are not permitted. " for name in extra)
        return (422, listed, None) if extra else None

    upstream = Choosy(strict)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        assert await ask(house, stop_sequences=["x"], temperature=0.5) == 200
    assert len(upstream.bodies) == 2
    assert {entry.lesson.partition(":")[0] for entry in told(house.journal)} == {
        "stream_options",
        "temperature",
        "stop",
    }


async def test_a_lesson_is_one_about_its_model_and_the_line_says_who_else_it_would_bind(
    autojump_clock: Clock,
) -> None:
    upstream = Choosy(without("stop"))
    async with virtual_house(settings_for("a", models=("m", "other")), a=upstream) as house:
        assert await ask(house, stop_sequences=["x"]) == 200
        assert list(await learned(house)) == ["m"]
    assert [(entry.model, entry.others) for entry in told(house.journal)] == [("m", ("other",))]


async def test_stop_sequences_that_may_not_be_sent_are_found_all_the_same(autojump_clock: Clock) -> None:
    upstream = Choosy(without("stop"))
    async with virtual_house(settings_for("a"), a=upstream) as house:
        client = Client(house.connect())
        await client.post({"stop_sequences": ["ll"]})
        assert await client.head() == 200
        message = json.loads(await client.body())
    assert (message["content"][0]["text"], message["stop_sequence"]) == ("he", "ll")


async def test_a_repair_is_part_of_the_attempt(autojump_clock: Clock) -> None:
    upstream = Choosy(without("stop"))
    async with virtual_house(settings_for("a"), a=upstream) as house:
        assert await ask(house, stop_sequences=["x"]) == 200
    assert [entry.outcome for entry in house.journal if isinstance(entry, AttemptEnded)] == ["ok"]


async def test_a_crash_of_the_actor_forgets_nothing(autojump_clock: Clock) -> None:
    upstream = Choosy(without("stop"))
    async with virtual_house(settings_for("a"), a=upstream) as house:
        assert await ask(house, stop_sequences=["x"]) == 200
        house.crash("a")
        await trio.sleep(5)
        assert await ask(house, stop_sequences=["x"]) == 200
    assert ["stop" in body for body in upstream.bodies] == [True, False, False]
    assert len(told(house.journal)) == 1
