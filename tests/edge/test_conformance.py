"""Behaviour towards one client that only the whole proxy shows: limits, windows, repairs. In virtual time."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio.testing

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, Overflow, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock


class Picky(FakeUpstream):
    """Raises its faults one after the other, then answers; keeps the bodies it was sent."""

    def __init__(self, *faults: UpstreamFault) -> None:
        super().__init__(hello)
        self._faults = list(faults)
        self.bodies: list[dict[str, Any]] = []

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.bodies.append(msgspec.json.decode(asked.body))
        if self._faults:
            raise self._faults.pop(0)
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


async def ask(house: House, **body: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    client = Client(house.connect())
    await client.post(body)
    status = await client.head()
    return status, json.loads(await client.body()), client.headers


async def test_a_prompt_that_fits_but_not_with_its_answer_is_repeated_with_less(
    autojump_clock: Clock,
) -> None:
    overflow = Overflow(prompt=30_000, limit=32_768, completion=64_000)
    upstream = Picky(UpstreamFault(FaultKind.OUTPUT_OVERFLOW, "too long", status=400, overflow=overflow))
    async with virtual_house(settings_for("a"), a=upstream) as house:
        status, message, _ = await ask(house, max_tokens=64_000)
        assert (await house.snapshot("a")).failure_count == 0
    assert (status, message["content"][0]["text"]) == (200, "hello")
    wished, got = (body["max_tokens"] for body in upstream.bodies)
    assert wished == 64_000
    assert 2_000 < got <= 32_768 - 30_000


@pytest.mark.parametrize("asked_for", [120.0, 99_999_999.0])
async def test_a_long_rest_is_told_as_one_that_the_client_will_wait_for(
    autojump_clock: Clock, asked_for: float
) -> None:
    """Above sixty seconds Claude Code gives up at once."""
    limited = UpstreamFault(FaultKind.RATE_LIMITED, "slow down", status=429, retry_after=asked_for)
    for exhaustion in ("tell", "wait"):
        settings = settings_for("a", on_exhaustion=exhaustion)
        async with virtual_house(settings, a=Picky(limited)) as house:
            status, error, headers = await ask(house)
        assert (status, error["error"]["type"]) == (429, "rate_limit_error")
        assert 1 <= int(headers["retry-after"]) <= 60


async def test_nothing_is_asked_for_where_no_tokens_are_wanted(autojump_clock: Clock) -> None:
    upstream = FakeUpstream(hello)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        status, message, _ = await ask(house, max_tokens=0)
    assert (status, message["content"], message["stop_reason"]) == (200, [], "max_tokens")
    assert upstream.opened == 0


async def test_a_prompt_beyond_every_known_window_is_refused_before_it_is_sent(autojump_clock: Clock) -> None:
    """A provider that truncates in silence would answer to half a prompt."""
    upstream = FakeUpstream(hello)
    settings = settings_for("a")
    small = msgspec.structs.replace(settings.providers[0], context_window=32_768)
    settings = msgspec.structs.replace(settings, providers=(small,))
    async with virtual_house(settings, a=upstream) as house:
        status, error, _ = await ask(house, messages=[{"role": "user", "content": "word " * 34_000}])
    assert status == 400
    assert error["error"]["message"].startswith("prompt is too long: ")
    assert "> 32768 maximum" in error["error"]["message"]
    assert upstream.opened == 0


async def test_a_limited_models_next_is_asked_before_the_next_provider(
    autojump_clock: Clock,
) -> None:
    limited = UpstreamFault(FaultKind.RATE_LIMITED, status=429, retry_after=30.0)
    a, b = Picky(limited), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b", models=("m", "second")), a=a, b=b) as house:
        assert (await ask(house))[0] == 200
    assert [body["model"] for body in a.bodies] == ["m", "second"]
    assert b.opened == 0


async def test_an_empty_answer_is_passed_on_where_nobody_has_a_better_one(autojump_clock: Clock) -> None:
    async def nothing(answer: FakeAnswer) -> None:
        await answer.finish()

    a, b = FakeUpstream(nothing), FakeUpstream(nothing)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        status, message, _ = await ask(house)
    assert (status, message["content"], message["stop_reason"]) == (200, [], "end_turn")
    assert (a.opened, b.opened) == (1, 1)
