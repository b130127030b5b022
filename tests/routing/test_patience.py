"""A request's whole way, with the providers' breakers and the exchange acted out in virtual time.

The exchange here is the plainest one: it does what `choose` says, and hears of every change at once.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.health.breaker import Breaker
from ccproxy_trio.health.cooldown import CoolDowns
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.health.verdict import Ruling, Verdict, judge
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import Query, Rules, Use, Wait
from ccproxy_trio.routing.strategy import choose
from ccproxy_trio.routing.telling import Told, tell
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import BreakerSettings, RetryBudget
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.routing.asking import failed, health, rules

K = FaultKind
Script = Callable[[float], FaultKind | None]  # what a provider does at an instant; None: it answers


class Provider:
    """A scripted provider with its real breaker and rests."""

    def __init__(
        self,
        name: str,
        script: Script,
        *,
        takes: float = 0.05,
        retry_after: float | None = None,
        **breaker: int,
    ) -> None:
        settings = BreakerSettings(recovery_jitter=0.0, **breaker)
        self.name, self.script, self.takes, self.retry_after = name, script, takes, retry_after
        self.breaker = Breaker(settings, trial_timeout=120.0, draw=lambda: 0.0)
        self.rests = CoolDowns(settings)
        self.asked_at: list[float] = []

    def snapshot(self, now: float) -> Snapshot:
        return health(
            self.name,
            self.breaker.state,
            reopens_at=self.breaker.reopens_at,
            opens=self.breaker.opens,
            flag=self.breaker.flag,
            panic_at=self.breaker.panic_at,
            cooling=self.rests.cooling(now),
            excluded=self.rests.excluded(now),
        )

    def attempt(self, use: Use, now: float) -> tuple[FaultKind | None, Ruling | None]:
        """What came of it; no ruling if the lease was refused."""
        permit = self.breaker.acquire(now)
        if permit is None and use.forced:
            permit = self.breaker.force(now)
        if permit is None:
            return None, None
        self.asked_at.append(now)
        kind, end = self.script(now), now + self.takes
        if kind is None:
            self.breaker.settle(permit, Verdict.HEALTHY, end)
            self.rests.succeeded(use.candidate.model)
            return None, Ruling.healthy()
        fault = UpstreamFault(kind, retry_after=self.retry_after)
        ruling = judge(fault, shown=False)
        self.breaker.settle(permit, ruling.verdict, end)
        if ruling.cools:
            self.rests.limit(use.candidate.model, fault, end)
        if ruling.excludes:
            self.rests.exclude(use.candidate.model, end)
        return kind, ruling

    def open(self, now: float) -> None:
        """Fail it as often as it takes."""
        while (permit := self.breaker.acquire(now)) is not None:
            self.breaker.settle(permit, Verdict.FAULTY, now)


class Outcome(Struct, frozen=True):
    at: float
    by: str | None
    told: Told | None
    attempts: int


class Request:
    """One request on its way; `step` takes it to its next moment."""

    def __init__(
        self,
        providers: list[Provider],
        *,
        at: float = 0.0,
        deadline: float = math.inf,
        rules_: Rules | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.now = at
        self.outcome: Outcome | None = None
        self._providers = {provider.name: provider for provider in providers}
        self._candidates = tuple(Candidate(provider.name, "m") for provider in providers)
        self._rules = rules() if rules_ is None else rules_
        self._budget = Budget(RetryBudget()) if budget is None else budget
        self._query = Query(tier="big", model="claude-opus", turn=0, deadline=deadline)
        self._due: Use | None = None

    def step(self) -> None:
        if self._due is not None:
            self._attempt(self._due)
            return
        view = {name: provider.snapshot(self.now) for name, provider in self._providers.items()}
        known, candidates, query = self._rules, self._candidates, self._query
        step = choose(query, candidates=candidates, view=view, rules=known, budget=self._budget, now=self.now)
        if isinstance(step, Use):
            self._due = step
            self.now += step.after
        elif isinstance(step, Wait):
            assert step.until >= self.now
            self.now, self._query = step.until, step.resumed(query)
        else:
            told = tell(query, candidates=candidates, view=view, rules=known, now=self.now)
            self.outcome = Outcome(self.now, None, told, len(query.attempts))

    def _attempt(self, use: Use) -> None:
        self._due = None
        provider = self._providers[use.candidate.provider]
        kind, ruling = provider.attempt(use, self.now)
        attempts = self._query.attempts
        self.now += provider.takes if ruling is not None else 0.0
        if ruling is None:  # the lease was refused
            attempts = (*attempts, failed(use.candidate, None, at=self.now, round=self._query.round))
        elif kind is None:
            made = sum(attempt.kind is not None for attempt in attempts)
            self.outcome = Outcome(self.now, provider.name, None, made + 1)
        else:
            attempts = (*attempts, failed(use.candidate, kind, at=self.now, round=self._query.round))
        self._query = replace(self._query, attempts=attempts)


def run_all(requests: list[Request]) -> list[Outcome]:
    """All of them side by side, always the one that is behind next."""
    for _ in range(20_000):
        under_way = [request for request in requests if request.outcome is None]
        if not under_way:
            return [request.outcome for request in requests if request.outcome is not None]
        min(under_way, key=lambda request: request.now).step()
    raise AssertionError("it never ends")


def run(providers: list[Provider], **fields: Any) -> Outcome:
    """One request from beginning to end."""
    return run_all([Request(providers, **fields)])[0]


def always(kind: FaultKind | None) -> Script:
    return lambda now: kind


def until(instant: float, kind: FaultKind) -> Script:
    return lambda now: kind if now < instant else None


def test_a_dead_first_provider_costs_two_refused_connections_and_no_waiting() -> None:
    dead, alive = Provider("a", always(K.CONNECT), takes=0.001), Provider("b", always(None))
    outcome = run([dead, alive])
    assert (outcome.by, outcome.attempts) == ("b", 3)
    assert outcome.at < 0.06


@pytest.mark.parametrize("dead", [1, 2, 3, 4, 5])
def test_however_many_are_refused_the_one_that_works_is_asked_in_the_first_round(dead: int) -> None:
    """Repetitions never use up the attempts that those not yet asked are due."""
    refused = [Provider(f"dead{n}", always(K.CONNECT), takes=0.001) for n in range(dead)]
    outcome = run([*refused, Provider("good", always(None))], rules_=rules(patience=0.0, priorities={}))
    assert outcome.by == "good"
    assert outcome.attempts <= 6


def test_more_providers_than_a_round_has_attempts_are_all_asked_before_any_is_asked_again() -> None:
    broken = [Provider(f"p{n}", always(K.PROTOCOL), takes=0.001) for n in range(8)]
    outcome = run([*broken, Provider("good", always(None))], rules_=rules(priorities={}))
    assert (outcome.by, outcome.attempts) == ("good", 9)
    assert outcome.at < 1.1  # a round of six attempts, a second of rest, the other three


def test_a_single_provider_that_comes_back_answers_within_a_second_of_its_return() -> None:
    lone = Provider("a", until(12.3, K.CONNECT))
    outcome = run([lone])
    assert outcome.by == "a"
    assert 12.3 <= outcome.at <= 13.4


def test_a_single_provider_that_stays_away_is_told_of_when_patience_ends() -> None:
    outcome = run([Provider("a", always(K.CONNECT))])
    assert outcome.told is not None
    assert (outcome.told.status, outcome.told.should_retry) == (502, False)
    assert 19.0 <= outcome.at <= 23.0


def test_an_open_provider_is_forced_at_most_once_a_second_by_all_requests_together() -> None:
    lone = Provider("a", always(K.RESET), takes=0.0)
    lone.open(0.0)
    outcomes = run_all([Request([lone], at=number * 0.1) for number in range(10)])
    assert not any(outcome.by for outcome in outcomes)
    gaps = [after - before for before, after in itertools.pairwise(lone.asked_at)]
    assert min(gaps) >= 1.0
    assert len(lone.asked_at) >= 15


def test_requests_that_find_it_open_all_succeed_soon_after_it_is_back() -> None:
    lone = Provider("a", until(5.0, K.CONNECT), takes=0.0)
    lone.open(0.0)
    outcomes = run_all([Request([lone], at=number * 0.1) for number in range(10)])
    assert {outcome.by for outcome in outcomes} == {"a"}
    assert max(outcome.at for outcome in outcomes) <= 8.0


def test_all_resting_with_the_earliest_in_two_seconds_is_waited_out() -> None:
    providers = [Provider(name, always(None)) for name in "abc"]
    for provider, seconds in zip(providers, (30.0, 2.0, 40.0), strict=True):
        provider.rests.limit("m", UpstreamFault(K.RATE_LIMITED, retry_after=seconds), 0.0)
    outcome = run(providers)
    assert (outcome.by, outcome.attempts) == ("b", 1)
    assert 2.0 <= outcome.at < 2.1


def test_rejected_keys_everywhere_are_told_at_once_and_asked_only_once() -> None:
    providers = [Provider(name, always(K.AUTH)) for name in "abc"]
    first, second = run(providers), run(providers, at=1.0)
    assert [(o.told.status, o.told.should_retry) for o in (first, second) if o.told] == [(502, False)] * 2
    assert (first.attempts, second.attempts, second.at) == (3, 0, 1.0)


def test_where_nothing_else_limits_it_the_budget_keeps_an_outage_from_being_a_storm() -> None:
    def outage(budget: RetryBudget) -> int:
        never_opens = {"failure_threshold": 10_000, "minimum_requests": 0}
        providers = [Provider(name, always(K.CONTENT_TIMEOUT), takes=0.0, **never_opens) for name in "abc"]
        purse = Budget(budget)
        for number in range(300):
            purse.deposit(number * 0.1)
            run(providers, at=number * 0.1, rules_=rules(patience=0.0), budget=purse)
        return sum(len(provider.asked_at) for provider in providers)

    assert outage(RetryBudget(ratio=10.0)) == 3 * 300
    # A fifth of the requests, one for each of the thirty seconds, and what the purse held at first.
    assert 300 * 1.2 <= outage(RetryBudget(ratio=0.2, min_per_s=1.0, ttl=10.0)) <= 300 * 1.2 + 30 + 10


KINDS = st.sampled_from([None, *sorted(FaultKind)])


@given(
    kinds=st.lists(st.lists(KINDS, min_size=1, max_size=6), min_size=1, max_size=3),
    takes=st.sampled_from([0.0, 0.05, 3.0, 30.0]),
    retry_after=st.sampled_from([None, 0.0, 1.5, 30.0]),
    strategy=st.sampled_from(["priority", "round_robin", "random"]),
    patience=st.sampled_from([0.0, 5.0, 20.0]),
)
def test_every_request_ends_in_an_answer_or_in_one_truthful_error_in_time(
    kinds: list[list[FaultKind | None]],
    takes: float,
    retry_after: float | None,
    strategy: str,
    patience: float,
) -> None:
    def script(choices: list[FaultKind | None]) -> Script:
        return lambda now: choices[int(now * 7) % len(choices)]

    providers = [
        Provider(name, script(choices), takes=takes, retry_after=retry_after)
        for name, choices in zip("abc", kinds, strict=False)
    ]
    outcome = run(providers, deadline=300.0, rules_=rules(strategy=strategy, patience=patience))
    assert (outcome.by is None) != (outcome.told is None)
    # One round before the patience begins, one that it may just let begin, and what an attempt takes.
    assert outcome.at <= patience + 12 * takes + 20.0
    if outcome.told is not None:
        assert outcome.told.status in {400, 401, 402, 404, 413, 429, 500, 502, 504}
        assert outcome.told.status in {400, 413} or outcome.told.should_retry is False
