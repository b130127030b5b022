"""Long steps run one in each turn of the event loop."""

from collections import Counter

import pytest
import trio

from ccproxy_trio import attempt
from ccproxy_trio.edge import routes
from ccproxy_trio.turns import Turns
from tests.edge.virtual import Client, FakeUpstream, hello, settings_for, virtual_house


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


async def test_a_rush_translates_one_request_a_turn(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    ticker = Ticker()
    long_steps: Counter[int] = Counter()

    def counted(step):  # type: ignore[no-untyped-def]
        def counting(*arguments, **named):  # type: ignore[no-untyped-def]
            long_steps[ticker.turn] += 1
            return step(*arguments, **named)

        return counting

    monkeypatch.setattr(attempt, "translate", counted(attempt.translate))
    monkeypatch.setattr(routes, "decode_request", counted(routes.decode_request))
    nursery.start_soon(ticker.tick)
    upstream = FakeUpstream(hello)
    async with virtual_house(settings_for("a"), a=upstream) as house:

        async def ask() -> None:
            client = Client(house.connect())
            await client.post({})
            assert await client.head() == 200
            await client.body()

        async with trio.open_nursery() as clients:
            for _ in range(30):
                clients.start_soon(ask)
    nursery.cancel_scope.cancel()
    assert sum(long_steps.values()) == 60
    assert max(long_steps.values()) <= 2
