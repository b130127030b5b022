"""The dispatcher actor: turns, a view that may be stale, waiters, and what survives its crash."""

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from ccproxy_trio.actors.dispatcher import Choose, Dispatcher, Exhausted, Incarnation, Routes
from ccproxy_trio.actors.kit import RestartPolicy, supervise
from ccproxy_trio.health.breaker import State
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.affinity import by_affinity
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import Attempt, Query, Rules, Use, Wait
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import RetryBudget, Strategy
from ccproxy_trio.wire.faults import FaultKind

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
        learned={},
    )


def routes(strategy: Strategy, names: tuple[str, ...] = NAMES, **fields: Any) -> Routes:
    rules = Rules(
        priorities=dict.fromkeys(names, 1),
        max_retries=dict.fromkeys(names, 0),
        strategy=strategy,
        panics=False,
        **fields,
    )
    candidates = tuple(Candidate(name, "m") for name in names)
    return Routes(candidates={"big": candidates, "middle": candidates, "small": ()}, rules=rules)


def incarnation(dispatcher: Dispatcher) -> Incarnation:
    seeds = iter(range(1000))
    return Incarnation(
        view=dispatcher.view,
        budget=Budget(RetryBudget()),
        now=trio.current_time,
        seed=lambda: next(seeds),
    )


@pytest.fixture
def dispatcher() -> Dispatcher:
    """One that has heard of every provider."""
    informed = Dispatcher()
    for name in NAMES:
        informed.publish(snapshot(name))
    return informed


def waiting(dispatcher: Dispatcher, until: float) -> Wait:
    """The answer of a dispatcher that knows of everything so far."""
    return Wait(until=until, turn=0, round=0, patient_until=until, seen=dispatcher.changes)


async def served(dispatcher: Dispatcher, *rides: tuple[int, Routes]) -> list[str]:
    """The first choice of so many requests along each of these routes, one after the other."""
    chosen: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        for count, along in rides:
            for _ in range(count):
                step = await dispatcher.choose(Query(tier="big", model="claude-opus-4"), along)
                assert isinstance(step, Use)
                chosen.append(step.candidate.provider)
        nursery.cancel_scope.cancel()
    return chosen


async def test_round_robin_goes_round_and_random_does_not_go_in_order(dispatcher: Dispatcher) -> None:
    assert await served(dispatcher, (7, routes("round_robin"))) == ["a", "b", "c", "a", "b", "c", "a"]
    assert await served(dispatcher, (3, routes("priority"))) == ["a", "a", "a"]
    shuffled = await served(dispatcher, (60, routes("random")))
    assert {shuffled.count(name) >= 8 for name in NAMES} == {True}
    assert shuffled[:6] != ["a", "b", "c", "a", "b", "c"]


async def test_a_ring_goes_on_behind_the_same_provider_after_a_reload(dispatcher: Dispatcher) -> None:
    dispatcher.publish(snapshot("z"))
    before, grown = routes("round_robin"), routes("round_robin", ("z", "a", "b", "c"))
    assert await served(dispatcher, (2, before), (3, grown)) == ["a", "b", "c", "z", "a"]
    assert await served(dispatcher, (2, before), (2, routes("round_robin", ("a", "c")))) == [
        "a",
        "b",
        "c",
        "a",
    ]


async def test_each_tier_has_a_ring_of_its_own(dispatcher: Dispatcher) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        steps = [
            await dispatcher.choose(Query(tier=tier, model="m"), routes("round_robin"))
            for tier in ("big", "middle", "big", "middle")
        ]
        nursery.cancel_scope.cancel()
    assert [step.candidate.provider for step in steps if isinstance(step, Use)] == ["a", "a", "b", "b"]


async def test_a_tier_nobody_serves_is_told_at_once(dispatcher: Dispatcher) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        step = await dispatcher.choose(Query(tier="small", model="claude-haiku"), routes("priority"))
        nursery.cancel_scope.cancel()
    assert isinstance(step, Exhausted)
    assert (step.told.status, step.told.kind) == (404, "not_found_error")
    assert step.told.message.startswith("model: ")


async def test_what_a_provider_publishes_changes_the_next_choice(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        dispatcher.publish(snapshot("a", State.OPEN, trio.current_time() + 60))
        query, along = Query(tier="big", model="m"), routes("priority")
        first = await dispatcher.choose(query, along)
        await trio.sleep(61)
        second = await dispatcher.choose(query, along)
        nursery.cancel_scope.cancel()
    assert isinstance(first, Use)
    assert isinstance(second, Use)
    assert (first.candidate.provider, second.candidate.provider) == ("b", "a")


async def test_a_waiter_is_woken_by_readiness_and_not_by_traffic(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    woken: list[float] = []

    async def wait() -> None:
        await dispatcher.wait_for_change(waiting(dispatcher, trio.current_time() + 60))
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(5)
        dispatcher.publish(snapshot("a"))
        await trio.sleep(5)
        assert woken == []
        dispatcher.publish(snapshot("a", State.OPEN, trio.current_time() + 60))
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [trio.current_time()]
        nursery.cancel_scope.cancel()


async def test_a_waiter_gives_up_at_its_instant(autojump_clock: Clock, dispatcher: Dispatcher) -> None:
    started_at = trio.current_time()
    await dispatcher.wait_for_change(waiting(dispatcher, started_at + 7))
    assert trio.current_time() == started_at + 7


async def test_a_question_that_met_a_crash_is_asked_again_and_no_news_is_lost(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    crashed = False

    async def incarnate(epoch: int) -> None:
        inner = incarnation(dispatcher)

        def handle(message: object) -> None:
            nonlocal crashed
            if isinstance(message, Choose) and not crashed:
                crashed = True
                dispatcher.publish(snapshot("b", State.OPEN, trio.current_time() + 60))
                raise RuntimeError("injected")
            inner.handle(message)  # type: ignore[arg-type]

        await dispatcher.mailbox.serve(handle)  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(supervise, incarnate, name="dispatcher", policy=RestartPolicy(), report=lambda _: None)
        )
        dispatcher.publish(snapshot("a", State.OPEN, trio.current_time() + 60))
        step = await dispatcher.choose(Query(tier="big", model="m"), routes("priority"))
        assert isinstance(step, Use)
        assert step.candidate.provider == "c"
        assert (await dispatcher.describe()).snapshots["a"].state is State.OPEN
        nursery.cancel_scope.cancel()


# -- no wake-up is lost ----------------------------------------------------------------------------------


def shut(*names: str) -> list[Snapshot]:
    """So many providers out until in three seconds."""
    return [snapshot(name, State.OPEN, trio.current_time() + 3.0) for name in names]


async def asked(dispatcher: Dispatcher) -> Wait:
    """The answer where all are out for a moment."""
    step = await dispatcher.choose(Query(tier="big", model="m"), routes("priority"))
    assert isinstance(step, Wait)
    return step


async def test_a_change_between_the_answer_and_the_wait_ends_the_wait_at_once(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    for out in shut(*NAMES):
        dispatcher.publish(out)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        wait, started_at = await asked(dispatcher), trio.current_time()
        dispatcher.publish(snapshot("b"))
        await dispatcher.wait_for_change(wait)
        assert trio.current_time() == started_at
        step = await dispatcher.choose(wait.resumed(Query(tier="big", model="m")), routes("priority"))
        nursery.cancel_scope.cancel()
    assert isinstance(step, Use)
    assert step.candidate.provider == "b"


async def test_a_change_while_the_question_is_on_its_way_is_no_reason_to_sleep_either(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    """The actor may have answered before it, and the asker not have run since."""
    for out in shut(*NAMES):
        dispatcher.publish(out)
    waits: list[Wait] = []

    async def ask() -> None:
        waits.append(await asked(dispatcher))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        inner, started_at = incarnation(dispatcher), trio.current_time()

        def handle(message: object) -> None:
            inner.handle(message)  # type: ignore[arg-type]
            dispatcher.publish(snapshot("c"))  # after the answer was given, before it was received

        nursery.start_soon(dispatcher.mailbox.serve, handle)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        await dispatcher.wait_for_change(waits[0])
        assert trio.current_time() == started_at
        nursery.cancel_scope.cancel()


async def test_traffic_is_no_change_and_ends_no_wait(autojump_clock: Clock, dispatcher: Dispatcher) -> None:
    for out in shut(*NAMES):
        dispatcher.publish(out)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        wait, started_at = await asked(dispatcher), trio.current_time()
        dispatcher.publish(dispatcher.view["a"])
        await dispatcher.wait_for_change(wait)
        assert trio.current_time() == started_at + 3.0
        nursery.cancel_scope.cancel()


async def test_those_who_wait_while_the_dispatcher_crashes_are_woken_by_the_next_news(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    for out in shut(*NAMES):
        dispatcher.publish(out)
    incarnations: list[int] = []
    woken: list[float] = []

    async def sleep(wait: Wait) -> None:
        await dispatcher.wait_for_change(wait)
        woken.append(trio.current_time())

    async def incarnate(epoch: int) -> None:
        incarnations.append(epoch)
        await dispatcher.mailbox.serve(incarnation(dispatcher).handle)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(supervise, incarnate, name="dispatcher", policy=RestartPolicy(), report=lambda _: None)
        )
        wait, started_at = await asked(dispatcher), trio.current_time()
        nursery.start_soon(sleep, wait)
        dispatcher.mailbox.post(object())  # type: ignore[arg-type]
        await trio.sleep(0.01)
        dispatcher.publish(snapshot("a"))  # while it is down
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [trio.current_time()]
        step = await dispatcher.choose(Query(tier="big", model="m"), routes("priority"))
        assert isinstance(step, Use)
        assert step.candidate.provider == "a"
        assert incarnations == [0, 1]
        assert trio.current_time() < started_at + 1.0
        nursery.cancel_scope.cancel()


# -- affinity --------------------------------------------------------------------------------------------

AFFINE = routes("round_robin", affinity=True)
HOMES = {by_affinity(f"s{n}", NAMES)[0]: f"s{n}" for n in range(60)}


async def first(dispatcher: Dispatcher, session: str | None, along: Routes = AFFINE) -> str:
    """Who is chosen first for a request of this session."""
    step = await dispatcher.choose(Query(tier="big", model="m", session=session), along)
    assert isinstance(step, Use)
    return step.candidate.provider


async def test_a_session_goes_where_it_belongs_until_another_has_served_it(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        assert [await first(dispatcher, HOMES[name]) for name in "abc"] == ["a", "b", "c"]
        dispatcher.served("c", HOMES["a"], tier="big", routes=AFFINE)
        assert [await first(dispatcher, HOMES[name]) for name in "abc"] == ["c", "b", "c"]
        dispatcher.served("a", HOMES["a"], tier="big", routes=AFFINE)
        assert await first(dispatcher, HOMES["a"]) == "a"
        nursery.cancel_scope.cancel()


async def test_sessions_take_nobodys_turn_in_the_ring(autojump_clock: Clock, dispatcher: Dispatcher) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        sessions = (None, HOMES["c"], None, HOMES["c"], None)
        assert [await first(dispatcher, session) for session in sessions] == ["a", "c", "b", "c", "c"]
        nursery.cancel_scope.cancel()


async def test_without_affinity_nothing_is_said_of_who_served(dispatcher: Dispatcher) -> None:
    dispatcher.served("c", "s", tier="big", routes=routes("round_robin"))
    dispatcher.served("c", None, tier="big", routes=AFFINE)
    assert dispatcher.mailbox.depth == 0


async def test_a_reload_that_takes_a_pins_provider_away_sends_its_session_by_the_hash(
    autojump_clock: Clock, dispatcher: Dispatcher
) -> None:
    smaller = routes("round_robin", ("a", "b"), affinity=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, incarnation(dispatcher).handle)
        dispatcher.served("c", HOMES["a"], tier="big", routes=AFFINE)
        assert await first(dispatcher, HOMES["a"], smaller) == "a"
        nursery.cancel_scope.cancel()


async def test_what_a_refused_lease_would_have_cost_is_given_back(dispatcher: Dispatcher) -> None:
    one_token = Incarnation(
        view=dispatcher.view,
        budget=Budget(RetryBudget(ratio=0.0, min_per_s=0.1, ttl=10.0)),
        now=trio.current_time,
        seed=lambda: 0,
    )
    timed_out = Attempt(
        candidate=Candidate("a", "m"),
        kind=FaultKind.CONTENT_TIMEOUT,
        next=Next.TRY_ANOTHER,
        ended_at=trio.current_time(),
    )
    query, ways = Query(tier="big", model="claude-opus", turn=0, attempts=(timed_out,)), routes("priority")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.mailbox.serve, one_token.handle)
        step = await dispatcher.choose(query, ways)
        assert isinstance(step, Use)
        assert not isinstance(await dispatcher.choose(query, ways), Use)
        dispatcher.unspent(step)
        assert isinstance(await dispatcher.choose(query, ways), Use)
        dispatcher.unspent(Use(candidate=step.candidate, turn=0))  # it was free
        assert not isinstance(await dispatcher.choose(query, ways), Use)
        nursery.cancel_scope.cancel()
