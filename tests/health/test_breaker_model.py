"""The breaker against a model that remembers everything and works everything out anew.

The breaker keeps counters, slots and a generation. The model keeps nothing but the log of what was asked of
it, and reads the whole log again for every answer: what counts is found by looking back for the last success,
what opens is found by filtering, an attempt belongs to the spell (the time between two changes of state) in
which it was let in. Two mistakes alike in both are unlikely.
"""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Struct

from ccproxy_trio.health.breaker import LONGEST_MEMORY, Breaker, Moved, Permit, State
from ccproxy_trio.health.verdict import Flag, Verdict
from ccproxy_trio.settings.model import BreakerSettings

TRIAL_TIMEOUT = 40.0
DRAW = 0.25
LEGAL = {
    (State.CLOSED, State.OPEN),
    (State.OPEN, State.HALF_OPEN),
    (State.HALF_OPEN, State.OPEN),
    (State.HALF_OPEN, State.CLOSED),
    (State.OPEN, State.CLOSED),  # by a forced attempt, or another key
}


class Said(Struct, frozen=True):
    """One line of the log."""

    at: float
    what: str  # ask, force, content, end, probe, rekey
    who: int = -1  # the how-manieth attempt let in
    verdict: Verdict = Verdict.SILENT


class Mark(Struct, frozen=True):
    """Something that counts. `kind`: bad, dead, good, whole."""

    at: float
    kind: str
    who: int
    rated: bool = False  # it is a result for the rate rule


class Attempt(Struct):
    spell: int
    trial: bool
    slot_until: float | None
    forced: bool
    streaming: bool = False
    ended: bool = False


class Reading:
    """The log as it is understood; one reading an answer."""

    def __init__(self, log: list[Said], config: BreakerSettings) -> None:
        self.config = config
        self.spells: list[tuple[State, float]] = [(State.CLOSED, 0.0)]
        self.attempts: list[Attempt] = []
        self.marks: list[Mark] = []
        self.openings: list[int] = []  # how many marks there were at each opening since the last reset
        self.rated_from = 0
        self.until = 0.0
        self.passed = 0
        self.flag: Flag | None = None
        self.panic_at = 0.0
        self.granted: list[bool] = []
        for said in log:
            getattr(self, said.what)(said)

    @property
    def state(self) -> State:
        return self.spells[-1][0]

    # -- looking back --

    def since_last(self, good: str, bad: str) -> int:
        """Bad marks after the last good one, none older than the time to live when the last came."""
        after = [mark for mark in self.marks if mark.kind in (good, bad)]
        while any(mark.kind == good for mark in after):
            after.pop(0)
        return sum(after[-1].at - mark.at <= self.config.failure_ttl for mark in after)

    @property
    def failures(self) -> int:
        return self.since_last("good", "bad")

    @property
    def dead(self) -> int:
        return self.since_last("whole", "dead")

    def rate_opens(self, now: float) -> bool:
        verdicts: dict[object, tuple[float, bool]] = {}
        for number, mark in enumerate(self.marks[self.rated_from :]):
            if mark.rated:
                key = mark.who if mark.who >= 0 else ("probe", number)
                verdicts[key] = (mark.at, mark.kind != "good")
        recent = [bad for at, bad in verdicts.values() if at >= now - self.config.window]
        enough = 0 < self.config.minimum_requests <= len(recent)
        return enough and sum(recent) / len(recent) >= self.config.failure_rate_threshold

    def holder(self, now: float) -> Attempt | None:
        """The attempt that has the trial slot."""
        spell = len(self.spells) - 1
        held = [a for a in self.attempts if a.slot_until is not None and a.spell == spell]
        return next((a for a in held if not a.ended and not a.streaming and now < (a.slot_until or 0)), None)

    # -- reading on --

    def ask(self, said: Said) -> None:
        if self.state is State.OPEN and said.at >= self.until:
            self.spells.append((State.HALF_OPEN, said.at))
        free = self.state is State.HALF_OPEN and self.holder(said.at) is None
        if self.state is State.CLOSED or free:
            for lost in self.attempts:  # a slot that ran out was taken over: nothing it says counts
                if free and lost.slot_until is not None and not lost.streaming:
                    lost.ended = True
            wait = self.config.trial_timeout or TRIAL_TIMEOUT
            self.let_in(trial=free, slot_until=said.at + wait if free else None)
        self.granted.append(self.state is State.CLOSED or free)

    def force(self, said: Said) -> None:
        may = self.state is State.OPEN and self.flag is None and said.at >= self.panic_at
        if may:
            self.panic_at = said.at + 1.0
            self.let_in(trial=True, slot_until=None, forced=True)
        self.granted.append(may)

    def let_in(self, *, trial: bool, slot_until: float | None, forced: bool = False) -> None:
        spell = len(self.spells) - 1
        self.attempts.append(Attempt(spell=spell, trial=trial, slot_until=slot_until, forced=forced))

    def content(self, said: Said) -> None:
        attempt = self.attempts[said.who]
        if attempt.ended or attempt.streaming or attempt.spell != len(self.spells) - 1:
            return
        attempt.streaming = True
        self.good(said, attempt)
        attempt.spell = len(self.spells) - 1

    def end(self, said: Said) -> None:
        attempt = self.attempts[said.who]
        was_over, attempt.ended = attempt.ended, True
        if was_over or attempt.spell != len(self.spells) - 1:
            return
        if said.verdict is Verdict.HEALTHY:
            self.marks.append(Mark(said.at, "whole", said.who))
        if said.verdict is Verdict.SILENT:
            return
        fine = said.verdict in (Verdict.HEALTHY, Verdict.LIMITED)
        if attempt.streaming:
            if not fine:
                self.bad(said, "dead")
        elif attempt.forced and said.verdict in (Verdict.FAULTY, Verdict.MIDSTREAM):
            return
        elif attempt.trial:
            self.good(said, attempt) if fine else self.open(said, marks=True)
        elif said.verdict is Verdict.HEALTHY:
            self.good(said, attempt)
        elif said.verdict in (Verdict.AUTH, Verdict.BILLING):
            self.open(said, marks=True)
        elif not fine:
            self.bad(said, "dead" if said.verdict is Verdict.MIDSTREAM else "bad")

    def probe(self, said: Said) -> None:
        if self.flag is not None or self.state is State.HALF_OPEN:
            return
        rejected = {Verdict.AUTH: Flag.AUTH, Verdict.BILLING: Flag.QUOTA}.get(said.verdict)
        if self.state is State.OPEN:
            self.flag = rejected
            if said.verdict is Verdict.HEALTHY:
                self.until = min(self.until, said.at)
        elif rejected:
            self.open(said, marks=True)
        elif said.verdict is Verdict.FAULTY:
            self.bad(said, "bad")

    def rekey(self, said: Said) -> None:
        if self.flag is not None:
            self.flag = None
            self.openings.clear()
            self.marks.append(Mark(said.at, "good", -1))
            self.spells.append((State.CLOSED, said.at))

    def good(self, said: Said, attempt: Attempt) -> None:
        if not attempt.trial:
            self.marks.append(Mark(said.at, "good", said.who, rated=True))
            closed_for = said.at - self.spells[-1][1]
            if len(self.spells) > 1 and closed_for >= self.config.failure_ttl:
                self.openings.clear()
            return
        self.passed += 1
        if self.passed >= self.config.success_threshold:
            self.marks.append(Mark(said.at, "good", said.who))
            self.flag = None
            self.spells.append((State.CLOSED, said.at))
        elif self.state is State.OPEN:
            self.spells.append((State.HALF_OPEN, said.at))

    def bad(self, said: Said, kind: str) -> None:
        self.marks.append(Mark(said.at, kind, said.who, rated=True))
        count = self.failures if kind == "bad" else self.dead
        if count >= self.config.failure_threshold or self.rate_opens(said.at):
            self.open(said, marks=False)

    def open(self, said: Said, *, marks: bool) -> None:
        if marks:
            self.marks.append(Mark(said.at, "bad", said.who))
        self.flag = (
            {Verdict.AUTH: Flag.AUTH, Verdict.BILLING: Flag.QUOTA}.get(said.verdict, self.flag)
            if (marks)
            else self.flag
        )
        self.rated_from = len(self.marks)
        self.openings.append(self.rated_from)
        self.passed = 0
        wait, longest = self.config.recovery_timeout, self.config.max_recovery_timeout
        if self.flag is Flag.QUOTA:
            wait = 900.0
        for _ in self.openings[1:]:
            wait = min(wait * 2, max(longest, wait))
        self.until = said.at + wait * (1 + self.config.recovery_jitter * DRAW)
        self.spells.append((State.OPEN, said.at))


class BreakerMachine(RuleBasedStateMachine):
    @initialize(
        threshold=st.integers(1, 4),
        successes=st.integers(1, 2),
        minimum=st.sampled_from([0, 3, 6]),
        trial=st.sampled_from([None, 15.0]),
    )
    def begin(self, threshold: int, successes: int, minimum: int, trial: float | None) -> None:
        self.config = BreakerSettings(
            failure_threshold=threshold,
            success_threshold=successes,
            minimum_requests=minimum,
            failure_rate_threshold=0.5,
            trial_timeout=trial,
            window=60.0,
            failure_ttl=100.0,
        )
        self.breaker = Breaker(self.config, trial_timeout=TRIAL_TIMEOUT, draw=lambda: DRAW)
        self.now = 0.0
        self.log: list[Said] = []
        self.permits: list[Permit] = []

    # -- what is done --

    @rule(seconds=st.sampled_from([0.25, 1.0, 10.0, 30.0, 61.0, 130.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        admits, before = self.breaker.admits(self.now), self.breaker.state
        permit = self.breaker.acquire(self.now)
        assert (permit is not None) == admits
        assert self.breaker.state is before or (before, self.breaker.state) in LEGAL
        self._asked("ask", permit)

    @rule()
    def force(self) -> None:
        self._asked("force", self.breaker.force(self.now))

    def _asked(self, what: str, permit: Permit | None) -> None:
        self.log.append(Said(self.now, what))
        assert Reading(self.log, self.config).granted[-1] == (permit is not None)
        if permit is not None:
            self.permits.append(permit)

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def first_content(self, data: st.DataObject) -> None:
        who = self._one(data)
        self._did(self.breaker.first_content(self.permits[who], self.now), Said(self.now, "content", who))

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def settle(self, data: st.DataObject, verdict: Verdict) -> None:
        who = self._one(data)
        before = self._seen(), self.breaker.failure_count, self.breaker.opens
        stale = self.permits[who].generation != self.breaker._generation
        streaming = Reading(self.log, self.config).attempts[who].streaming
        moved = self.breaker.settle(self.permits[who], verdict, self.now)
        if verdict is Verdict.SILENT or (stale and not streaming):
            after = self._seen(), self.breaker.failure_count, self.breaker.opens
            assert after[0][0] is before[0][0]
            assert after[1:] == before[1:]
            assert moved is None
        self._did(moved, Said(self.now, "end", who, verdict))

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def settle_twice(self, data: st.DataObject, verdict: Verdict) -> None:
        who = self._one(data)
        self._did(
            self.breaker.settle(self.permits[who], Verdict.SILENT, self.now),
            Said(self.now, "end", who, Verdict.SILENT),
        )
        before = self._seen()
        assert self.breaker.settle(self.permits[who], verdict, self.now) is None
        assert self._seen() == before

    @rule(verdict=st.sampled_from(Verdict))
    def probe(self, verdict: Verdict) -> None:
        self._did(self.breaker.probe(verdict, self.now), Said(self.now, "probe", verdict=verdict))

    @rule()
    def another_key(self) -> None:
        self._did(self.breaker.rekeyed(), Said(self.now, "rekey"))

    def _one(self, data: st.DataObject) -> int:
        # The latest permits are the interesting ones, but any may turn up late.
        return max(0, len(self.permits) - 1 - data.draw(st.integers(0, 6)))

    def _did(self, moved: Moved | None, said: Said) -> None:
        self.log.append(said)
        if moved is not None:
            assert (moved.before, moved.after) in LEGAL
            assert moved.after is self.breaker.state

    def _seen(self) -> tuple[object, ...]:
        b = self.breaker
        return (b.state, b.flag, b.opens, b.failure_count, b.panic_at, b.trial_taken(self.now))

    # -- what always holds --

    @invariant()
    def it_agrees_with_the_model(self) -> None:
        model = Reading(self.log, self.config)
        taken = model.state is State.HALF_OPEN and model.holder(self.now) is not None
        assert self._seen() == (
            model.state,
            model.flag,
            len(model.openings),
            model.failures + model.dead,
            model.panic_at,
            taken,
        )
        if model.state is State.OPEN:
            assert self.breaker.reopens_at == model.until

    @invariant()
    def at_most_one_trial_is_under_way(self) -> None:
        live = [
            h for h in self.breaker._held.values() if h.expires_at is not None and h.stage.name == "TRIAL"
        ]
        current = [h for h in live if h.generation == self.breaker._generation]
        assert len(current) <= 1

    @invariant()
    def what_it_remembers_is_bounded(self) -> None:
        assert len(self.breaker._results) <= LONGEST_MEMORY
        assert len(self.breaker._held) <= len(self.permits)

    @invariant()
    def in_the_end_it_admits(self) -> None:
        assert self.breaker.admits(self.now + 1e6)


BreakerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestBreakerAgainstModel = BreakerMachine.TestCase
