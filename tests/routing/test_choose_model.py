"""`choose` as a whole, against what it promises: requests are led through providers that change at random.

Nothing here plays a provider: after every step the whole view is drawn anew, leases are refused and attempts
fail in any way. The promises are checked from the history alone, in words of their own.
"""

import math
from random import Random

import hypothesis.strategies as st
from hypothesis import given, settings

from ccproxy_trio.health.snapshot import Flag, Snapshot, State
from ccproxy_trio.health.verdict import judge
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import Attempt, Query, Rules, Use, Wait
from ccproxy_trio.routing.strategy import choose
from ccproxy_trio.routing.telling import tell
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import RetryBudget
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.routing.asking import health

K = FaultKind
CANDIDATES = tuple(Candidate(name, model) for name in "abcd" for model in "mn")[:7]
# What will not pass for this request: the key, the account, the address, the request itself, our own bug,
# nothing in the answer, and whoever let it hang.
LOST_PROVIDERS = {
    *(K.AUTH, K.LOGIN, K.QUOTA, K.TLS, K.MISCONFIGURED, K.CONFIG, K.BAD_REQUEST, K.UNSUPPORTED_PARAMETER),
    *(K.INTERNAL, K.EMPTY, K.HEADERS_TIMEOUT, K.CONTENT_TIMEOUT, K.IDLE_TIMEOUT, K.OVERTIME),
}
LOST_MODELS = {K.MODEL_NOT_FOUND, K.MODEL_ACCESS}
FINAL = {K.BAD_REQUEST, K.CONTENT_POLICY, K.TOTAL_TIMEOUT, K.CLIENT_STALLED}


class World:
    """Providers of the moment, drawn anew whenever somebody looks."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 1000.0
        self.gloom = chance.choice([0.2, 0.6, 0.95])  # how likely a provider is not well

    def view(self) -> dict[str, Snapshot]:
        return {name: self.snapshot(name) for name in "abcd" if self.chance.random() > 0.02}

    def snapshot(self, name: str) -> Snapshot:
        chance = self.chance
        if chance.random() > self.gloom:
            return health(name, failure_count=chance.choice([0, 0, 2]))
        soon = self.now + chance.choice([-1.0, 0.0, 0.3, 4.0, 15.0, 100.0])
        return health(
            name,
            chance.choice([State.OPEN, State.OPEN, State.HALF_OPEN, State.CLOSED]),
            reopens_at=chance.choice([None, soon, soon, soon]),
            opens=chance.choice([1, 2, 3]),
            trial_taken=chance.random() < 0.3,
            flag=chance.choice([None, None, None, *Flag]),
            cooling={chance.choice(["m", "n", "*"]): soon} if chance.random() < 0.3 else {},
            excluded={chance.choice("mn"): soon} if chance.random() < 0.1 else {},
            panic_at=self.now + chance.choice([-1.0, 0.0, 0.7]),
            failure_count=chance.choice([0, 5]),
        )


def rests_or_is_out(snapshot: Snapshot, model: str, now: float) -> bool:
    ends = [*(snapshot.cooling.get(key, 0.0) for key in (model, "*")), snapshot.excluded.get(model, 0.0)]
    return any(end > now for end in ends)


def is_admitted(snapshot: Snapshot | None, model: str, now: float) -> bool:
    if snapshot is None or rests_or_is_out(snapshot, model, now):
        return False
    is_shut = snapshot.state is not State.CLOSED and snapshot.reopens_at is not None
    return not is_shut or (snapshot.reopens_at or 0.0) <= now


class Walk:
    """One request, led by `choose` until it is answered or told."""

    def __init__(self, seed: int) -> None:
        chance = self.chance = Random(seed)
        self.world = World(chance)
        self.rules = Rules(
            priorities={name: chance.choice([1, 1, 2]) for name in "abcd"},
            max_retries=dict.fromkeys("abcd", chance.choice([0, 1, 3, 50])),
            strategy=chance.choice(["priority", "round_robin", "random"]),
            max_attempts=chance.choice([1, 2, 6]),
            queue_wait=chance.choice([0.0, 5.0]),
            patience=chance.choice([0.0, 3.0, 20.0]),
            panics=chance.random() < 0.8,
            failover_on_400=chance.random() < 0.3,
            affinity=chance.random() < 0.3,
        )
        self.budget = Budget(RetryBudget(min_per_s=chance.choice([0.0, 1.0, 100.0])))
        self.kinds = chance.sample(sorted(FaultKind), chance.choice([1, 3, len(FaultKind)]))
        self.deadline = chance.choice([math.inf, 1000.0 + 50.0 * chance.random()])
        self.began_waiting: float | None = None
        self.steps = 0
        self.query = Query(
            tier="big",
            model="claude-opus",
            turn=chance.randrange(100),
            deadline=self.deadline,
            session=chance.choice([None, "s"]),
            pinned=chance.choice([None, "a"]),
            avoid=frozenset(chance.choice(["", "a", "ab"])),
        )

    def run(self) -> None:
        """Walk to the end, checking every step."""
        while True:
            self.steps += 1
            assert self.steps < 1500, "it never ends"
            view, now, left = self.world.view(), self.world.now, self.budget.left(self.world.now)
            step = choose(
                self.query,
                candidates=CANDIDATES,
                view=view,
                rules=self.rules,
                budget=self.budget,
                now=now,
            )
            match step:
                case Use():
                    self.check_use(step, view, now)
                    assert self.budget.left(now) in (left, left - 1.0)
                    if self.attempt(step):
                        return
                case Wait():
                    assert self.budget.left(now) == left
                    self.check_wait(step, now)
                    # Woken by a change on the way, or at its end.
                    self.world.now += (step.until - now) * self.chance.choice([1.0, 1.0, 0.4])
                    self.query = step.resumed(self.query)
                case _:
                    told = tell(self.query, candidates=CANDIDATES, view=view, rules=self.rules, now=now)
                    assert told.message
                    met_login = any(attempt.kind is K.LOGIN for attempt in self.query.attempts)
                    finals = {400, 402, 404, 413, 429, 500, 502, 504}
                    assert told.status in (finals | {401} if met_login else finals)
                    return

    # -- what is checked --

    def made(self) -> list[Attempt]:
        return [attempt for attempt in self.query.attempts if attempt.kind is not None]

    def check_use(self, step: Use, view: dict[str, Snapshot], now: float) -> None:
        provider, model = step.candidate.provider, step.candidate.model
        assert step.candidate in CANDIDATES
        assert now + step.after < self.deadline
        this_round = [attempt for attempt in self.made() if attempt.round == self.query.round]
        assert len(this_round) < self.rules.max_attempts
        tries = sum(attempt.candidate == step.candidate for attempt in this_round)
        assert tries <= self.rules.max_retries[provider]
        last = self.query.attempts[-1] if self.query.attempts else None
        if last is not None and last.kind in FINAL:
            assert last.kind is K.BAD_REQUEST
            assert self.rules.failover_on_400
        for attempt in self.made():
            assert attempt.kind not in LOST_PROVIDERS or attempt.candidate.provider != provider
            assert attempt.kind not in LOST_MODELS or attempt.candidate != step.candidate
        refused = [a.candidate for a in self.query.attempts if a.kind is None and a.round == self.query.round]
        assert step.candidate not in refused
        if step.forced:
            self.check_forced(step, view, now)
        else:
            assert is_admitted(view.get(provider), model, now)

    def check_forced(self, step: Use, view: dict[str, Snapshot], now: float) -> None:
        assert self.rules.panics
        provider, model = step.candidate.provider, step.candidate.model
        snapshot = view[provider]
        assert snapshot.state is State.OPEN
        assert snapshot.flag not in (Flag.AUTH, Flag.QUOTA)
        assert snapshot.panic_at <= now
        assert not rests_or_is_out(snapshot, model, now)
        # Nobody who has not been asked at all would have taken it, and nobody who could be forced is better.
        touched = {attempt.candidate.provider for attempt in self.query.attempts}
        for candidate in CANDIDATES:
            other = view.get(candidate.provider)
            if other is None or candidate.provider in touched or candidate == step.candidate:
                continue
            strained = bool(self.made()) and self.budget.left(now) < 2.0
            assert strained or not is_admitted(other, candidate.model, now)
            forcible = (
                other.state is State.OPEN
                and other.flag not in (Flag.AUTH, Flag.QUOTA)
                and other.panic_at <= now
                and not rests_or_is_out(other, candidate.model, now)
            )
            if forcible and not strained:
                assert (snapshot.opens, snapshot.reopens_at or 0.0) <= (other.opens, other.reopens_at or 0.0)

    def check_wait(self, step: Wait, now: float) -> None:
        assert self.rules.patience > 0
        if self.began_waiting is None:
            self.began_waiting = now
        assert step.patient_until == self.began_waiting + self.rules.patience
        assert now <= step.until <= step.patient_until
        assert step.until < self.deadline
        assert step.until > now or step.round > self.query.round

    # -- what happens --

    def attempt(self, step: Use) -> bool:
        """Act the step out; True if it was answered."""
        chance = self.chance
        self.world.now += step.after
        if chance.random() < 0.1:  # another was quicker
            self.note(step, None)
            return False
        if chance.random() < 0.05:
            return True
        self.world.now += chance.choice([0.0, 0.0, 0.01, 2.0])
        self.note(step, K(chance.choice(self.kinds)))
        return False

    def note(self, step: Use, kind: FaultKind | None) -> None:
        whole = self.chance.random() < 0.2
        made = Attempt(
            candidate=step.candidate,
            kind=kind,
            next=judge(UpstreamFault(kind or K.RESET), shown=False).next,
            ended_at=self.world.now,
            round=self.query.round,
            whole_provider=whole,
        )
        self.query = Query(
            **{
                **{name: getattr(self.query, name) for name in Query.__struct_fields__},
                "attempts": (*self.query.attempts, made),
            }
        )


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32))
def test_every_walk_ends_and_every_step_of_it_keeps_what_is_promised(seed: int) -> None:
    Walk(seed).run()
