"""Memory is given back when a rush is over, and only then."""

from contextlib import ExitStack

import trio
from trio.testing import MockClock

from ccproxy_trio.edge.rush import A_RUSH, LOOK_EVERY, UnderWay, give_back_memory, tidy_up


async def _given_back(under_way: UnderWay, nursery: trio.Nursery) -> list[float]:
    times: list[float] = []
    nursery.start_soon(tidy_up, under_way, lambda: times.append(trio.current_time()))
    await trio.sleep(LOOK_EVERY / 2)
    return times


async def test_once_when_three_quarters_of_a_rush_have_gone(autojump_clock: MockClock) -> None:
    under_way = UnderWay()
    async with trio.open_nursery() as nursery:
        times = await _given_back(under_way, nursery)
        exchanges = ExitStack()
        for _ in range(A_RUSH // 4):
            exchanges.enter_context(under_way)
        with ExitStack() as more:
            for _ in range(A_RUSH):
                more.enter_context(under_way)
            await trio.sleep(LOOK_EVERY)
            assert not times
        await trio.sleep(LOOK_EVERY * 5)
        assert len(times) == 1
        nursery.cancel_scope.cancel()


async def test_not_for_the_traffic_of_every_day(autojump_clock: MockClock) -> None:
    under_way = UnderWay()
    async with trio.open_nursery() as nursery:
        times = await _given_back(under_way, nursery)
        for _ in range(1000):
            with under_way:
                pass
        await trio.sleep(LOOK_EVERY * 2)
        assert not times
        nursery.cancel_scope.cancel()


def test_giving_back_does_what_it_says_on_any_system() -> None:
    class Cycle:
        alive = 0

        def __init__(self) -> None:
            self.itself = self
            Cycle.alive += 1

        def __del__(self) -> None:
            Cycle.alive -= 1

    Cycle()
    give_back_memory()
    assert Cycle.alive == 0
