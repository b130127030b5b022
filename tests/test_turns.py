"""Long steps run one in each turn of the event loop."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from ccproxy_trio import attempt
from ccproxy_trio.edge import routes
from ccproxy_trio.settings.model import RetryBudget
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.turns import Turns
from ccproxy_trio.wire.faults import FaultKind, Refused, UpstreamFault
from tests.edge.virtual import (
    Client,
    FakeAnswer,
    FakeUpstream,
    House,
    hello,
    settings_for,
    virtual_house,
)


class Ticker:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.turn = 0

    async def tick(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.turn += 1


async def test_each_caller_has_a_turn_of_its_own(nursery: trio.Nursery) -> None:
    turns, ticker = Turns(), Ticker()
    nursery.start_soon(ticker.tick)
    taken: list[tuple[int, int]] = []

    async def caller(number: int) -> None:
        await turns.take()
        taken.append((ticker.turn, number))

    async with trio.open_nursery() as callers:
        for number in range(20):
            callers.start_soon(caller, number)
    # Two turns of the loop may see the same count, since it runs its tasks in any order; three may not.
    assert max(Counter(turn for turn, _ in taken).values()) <= 2
    assert len(taken) == 20


async def test_who_leaves_while_waiting_holds_nobody_up(nursery: trio.Nursery) -> None:
    turns = Turns()
    with trio.CancelScope() as leaving:
        leaving.cancel()
        await turns.take()
    assert leaving.cancelled_caught
    with trio.fail_after(1):
        await turns.take()


class LongSteps:
    """Decodings and translations, by the turn in which they ran."""

    def __init__(self, ticker: Ticker, patch: pytest.MonkeyPatch) -> None:
        self._ticker = ticker
        self.by_turn: Counter[int] = Counter()
        patch.setattr(attempt, "put", self._counted(attempt.put))
        patch.setattr(routes, "decode_request", self._counted(routes.decode_request))

    def _counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            self.by_turn[self._ticker.turn] += 1
            return step(*arguments, **named)

        return counting


@pytest.fixture
def long_steps(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> LongSteps:
    ticker = Ticker()
    nursery.start_soon(ticker.tick)
    return LongSteps(ticker, monkeypatch)


async def ask(house: House) -> None:
    client = Client(house.connect())
    await client.post({"temperature": 0.3})
    assert await client.head() == 200
    await client.body()


async def test_a_rush_translates_one_request_a_turn(
    long_steps: LongSteps, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async with (
        virtual_house(settings_for("a"), a=FakeUpstream(hello)) as house,
        trio.open_nursery() as clients,
    ):
        for _ in range(30):
            clients.start_soon(ask, house)
    nursery.cancel_scope.cancel()
    assert sum(long_steps.by_turn.values()) == 60
    assert max(long_steps.by_turn.values()) <= 2


class Gathering(FakeUpstream):
    """Keeps requests with a temperature waiting until `released`, then refuses it to all of them at once."""

    def __init__(self) -> None:
        super().__init__(hello)
        self.waiting = 0
        self.released = trio.Event()

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        if b'"temperature"' in asked.body:
            self.waiting += 1
            await self.released.wait()
            refused = (Refused(parameter="temperature"),)
            raise UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, status=400, refused=refused)
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


async def test_those_who_are_refused_together_are_translated_anew_one_a_turn(
    long_steps: LongSteps, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing else keeps them apart: no actor is asked in between."""
    a = Gathering()
    async with virtual_house(settings_for("a"), a=a) as house, trio.open_nursery() as clients:
        for _ in range(30):
            clients.start_soon(ask, house)
        while a.waiting < 30:
            await trio.lowlevel.checkpoint()
        long_steps.by_turn.clear()
        a.released.set()
    nursery.cancel_scope.cancel()
    assert a.opened == 30
    assert sum(long_steps.by_turn.values()) == 30
    assert max(long_steps.by_turn.values()) <= 2


async def test_those_who_fall_over_together_wait_for_their_turns(
    autojump_clock: trio.testing.MockClock,
) -> None:
    failing = trio.Event()

    async def gather(_: FakeAnswer) -> None:
        await failing.wait()

    a, b = FakeUpstream(gather), FakeUpstream(hello)
    settings = settings_for("a", "b", retry_budget=RetryBudget(min_per_s=1000.0))
    async with virtual_house(settings, a=a, b=b) as house, trio.open_nursery() as clients:
        for _ in range(30):
            clients.start_soon(ask, house)
        await trio.testing.wait_all_tasks_blocked()
        async with house.running.services.turns._one:  # somebody else's long step
            failing.set()
            await trio.testing.wait_all_tasks_blocked()
            assert (a.opened, b.opened) == (30, 0)
    assert b.opened == 30
