"""The dispatcher actor: turns, a view that may be stale, waiters, and what survives its crash."""

from functools import partial

import pytest
import trio
import trio.testing

from ccproxy_trio.actors.dispatcher import Choose, Dispatcher, Exhausted, Incarnation, Routes
from ccproxy_trio.actors.kit import RestartPolicy, supervise
from ccproxy_trio.health.breaker import State
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import Query, Rules, Use
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import RetryBudget, Strategy

Clock = trio.testing.MockClock
NAMES = ("a", "b", "c")


def snapshot(name: str, state: State = State.CLOSED, reopens_at: float | None = None) -> Snapshot:
    return Snapshot(
        provider=name,
        epoch=0,
        state=state,
        reopens_at=reopens_at,
        trial_taken=False,
        flag=None,
        opens=0,
        failure_count=0,
        cooling={},
        excluded={},
        in_flight=0,
        last_success=None,
        last_failure=None,
        last_error=None,
        panic_at=0.0,
        draining=False,
        learned={},
    )


def incarnation(strategy: Strategy, view: dict[str, Snapshot]) -> Incarnation:
    seeds = iter(range(1000))
    rules = Rules(
        priorities=dict.fromkeys(NAMES, 1),
        max_retries=dict.fromkeys(NAMES, 0),
        strategy=strategy,
        panics=False,
    )
    candidates = tuple(Candidate(name, "m") for name in NAMES)
    return Incarnation(
        Routes(candidates={"big": candidates, "middle": candidates, "small": ()}, rules=rules),
        view=view,
        budget=Budget(RetryBudget()),
        now=trio.current_time,
        seed=lambda: next(seeds),
    )


@pytest.fixture
def view() -> dict[str, Snapshot]:
    return {name: snapshot(name) for name in NAMES}


async def served(
    dispatcher: Dispatcher, strategy: Strategy, view: dict[str, Snapshot], count: int
) -> list[str]:
    """The first choice of `count` requests, one after the other."""
    chosen: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(strategy, view).handle)
        for _ in range(count):
            step = await dispatcher.choose(Query(tier="big", model="claude-opus-4"))
            assert isinstance(step, Use)
            chosen.append(step.candidate.provider)
        nursery.cancel_scope.cancel()
    return chosen


async def test_round_robin_goes_round_and_random_does_not_go_in_order(view: dict[str, Snapshot]) -> None:
    assert await served(Dispatcher(), "round_robin", view, 7) == ["a", "b", "c", "a", "b", "c", "a"]
    assert await served(Dispatcher(), "priority", view, 3) == ["a", "a", "a"]
    shuffled = await served(Dispatcher(), "random", view, 60)
    assert {shuffled.count(name) >= 8 for name in NAMES} == {True}
    assert shuffled[:6] != ["a", "b", "c", "a", "b", "c"]


async def test_each_tier_has_a_ring_of_its_own(view: dict[str, Snapshot]) -> None:
    dispatcher = Dispatcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation("round_robin", view).handle)
        steps = [
            await dispatcher.choose(Query(tier=tier, model="m"))
            for tier in ("big", "middle", "big", "middle")
        ]
        nursery.cancel_scope.cancel()
    assert [step.candidate.provider for step in steps if isinstance(step, Use)] == ["a", "a", "b", "b"]


async def test_a_tier_nobody_serves_is_told_at_once(view: dict[str, Snapshot]) -> None:
    dispatcher = Dispatcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation("priority", view).handle)
        step = await dispatcher.choose(Query(tier="small", model="claude-haiku"))
        nursery.cancel_scope.cancel()
    assert isinstance(step, Exhausted)
    assert (step.told.status, step.told.kind) == (404, "not_found_error")
    assert step.told.message.startswith("model: ")


async def test_what_a_provider_publishes_changes_the_next_choice(
    autojump_clock: Clock, view: dict[str, Snapshot]
) -> None:
    dispatcher = Dispatcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation("priority", view).handle)
        dispatcher.publish(snapshot("a", State.OPEN, trio.current_time() + 60))
        query = Query(tier="big", model="m")
        first = await dispatcher.choose(query)
        await trio.sleep(61)
        second = await dispatcher.choose(query)
        nursery.cancel_scope.cancel()
    assert isinstance(first, Use)
    assert isinstance(second, Use)
    assert (first.candidate.provider, second.candidate.provider) == ("b", "a")


async def test_a_waiter_is_woken_by_readiness_and_not_by_traffic(
    autojump_clock: Clock, view: dict[str, Snapshot]
) -> None:
    dispatcher = Dispatcher()
    woken: list[float] = []

    async def wait() -> None:
        await dispatcher.wait_for_change(until=trio.current_time() + 60)
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation("priority", view).handle)
        nursery.start_soon(wait)
        await trio.sleep(5)
        dispatcher.publish(snapshot("a"))
        await trio.sleep(5)
        assert woken == []
        dispatcher.publish(snapshot("a", State.OPEN, trio.current_time() + 60))
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [trio.current_time()]
        nursery.cancel_scope.cancel()


async def test_a_waiter_gives_up_at_its_instant(autojump_clock: Clock, view: dict[str, Snapshot]) -> None:
    dispatcher, started_at = Dispatcher(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation("priority", view).handle)
        await dispatcher.wait_for_change(until=started_at + 7)
        nursery.cancel_scope.cancel()
    assert trio.current_time() == started_at + 7


async def test_a_question_that_met_a_crash_is_asked_again_and_the_view_survives(
    autojump_clock: Clock, view: dict[str, Snapshot]
) -> None:
    dispatcher = Dispatcher()
    crashed = False

    async def incarnate(epoch: int) -> None:
        inner = incarnation("priority", view)

        def handle(message: object) -> None:
            nonlocal crashed
            if isinstance(message, Choose) and not crashed:
                crashed = True
                raise RuntimeError("injected")
            inner.handle(message)  # type: ignore[arg-type]

        await dispatcher.mailbox.serve(handle)  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(supervise, incarnate, name="dispatcher", policy=RestartPolicy(), report=lambda _: None)
        )
        dispatcher.publish(snapshot("a", State.OPEN, trio.current_time() + 60))
        step = await dispatcher.choose(Query(tier="big", model="m"))
        assert isinstance(step, Use)
        assert step.candidate.provider == "b"
        assert (await dispatcher.describe()).snapshots["a"].state is State.OPEN
        nursery.cancel_scope.cancel()
