"""Rests and exclusions against a model that keeps the log and reads it whole for every answer.

The code keeps an instant and a streak for each model. The model keeps neither: how long something rests is
the latest of all ends that were ever set, and how often it was limited in a row is counted back from there.
"""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Struct

from ccproxy_trio.health.cooldown import CoolDowns
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

MODELS = ("m", "n")
ALL = "*"


class Said(Struct, frozen=True):
    """One line of the log: a limit of `what` (a model, or all), its success, or its being left out."""

    at: float
    event: str
    what: str
    asked: float | None = None
    barred: bool = False


class Reading:
    """What the log says."""

    def __init__(self, log: list[Said], default: float, longest: float) -> None:
        self.log, self.default, self.longest = log, default, longest

    def seconds(self, index: int) -> float:
        """How long the limit at `index` rests what it limits."""
        said = self.log[index]
        if said.asked is not None:
            return sorted((0.0, said.asked, self.longest))[1]
        twice = self.in_a_row(index) - 1
        guess = self.default
        for _ in range(twice):
            guess = min(guess * 2, 60.0)
        return min(guess, 60.0, self.longest)

    def in_a_row(self, index: int) -> int:
        """Rests up to this limit since a success; those that came while it rested already are one with it."""
        what, count = self.log[index].what, 0
        for at in range(index, -1, -1):
            said = self.log[at]
            if said.event == "success" and (what == ALL or said.what == what):
                break
            if said.event == "limit" and said.what == what and self.rest_of(what, at) <= said.at:
                count += 1
        return max(count, 1)

    def rest_of(self, what: str, before: int) -> float:
        """The end of its rest as the first `before` lines have it."""
        limits = [i for i, said in enumerate(self.log[:before]) if (said.event, said.what) == ("limit", what)]
        return max((self.log[i].at + self.seconds(i) for i in limits), default=0.0)

    def excluded_until(self, model: str) -> float:
        return max((s.at + 600.0 for s in self.log if (s.event, s.what) == ("exclude", model)), default=0.0)

    def barred(self, model: str, now: float) -> bool:
        reasons = [said.barred for said in self.log if (said.event, said.what) == ("exclude", model)]
        return bool(reasons) and reasons[-1] and self.excluded_until(model) > now


class CoolDownMachine(RuleBasedStateMachine):
    @initialize(
        default=st.sampled_from([1.0, 5.0, 40.0, 90.0]), longest=st.sampled_from([30.0, 100.0, 3600.0])
    )
    def begin(self, default: float, longest: float) -> None:
        self.rests = CoolDowns(BreakerSettings(cooldown_default=default, cooldown_max=longest))
        self.default, self.longest = default, longest
        self.now = 0.0
        self.log: list[Said] = []
        self.known = dict.fromkeys(MODELS, 0.0)

    @rule(seconds=st.sampled_from([0.5, 4.0, 5.0, 31.0, 200.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        model=st.sampled_from(MODELS),
        whole=st.booleans(),
        asked=st.sampled_from([None, None, 0.0, -3.0, 2.5, 60.0, 99_999_999.0]),
    )
    def limit(self, model: str, whole: bool, asked: float | None) -> None:
        fault = UpstreamFault(FaultKind.RATE_LIMITED, retry_after=asked, whole_provider=whole)
        rested = self.rests.limit(model, fault, self.now)
        what = ALL if whole else model
        self.log.append(Said(self.now, "limit", what, asked))
        assert rested == self.reading().rest_of(what, len(self.log)) - self.now

    @rule(model=st.sampled_from(MODELS))
    def empty_account(self, model: str) -> None:
        self.rests.limit(model, UpstreamFault(FaultKind.QUOTA, retry_after=50.0), self.now)
        self.log.append(Said(self.now, "limit", ALL, 50.0))

    @rule(model=st.sampled_from(MODELS))
    def succeed(self, model: str) -> None:
        self.rests.succeeded(model)
        self.log.append(Said(self.now, "success", model))

    @rule(model=st.sampled_from(MODELS), barred=st.booleans())
    def exclude(self, model: str, barred: bool) -> None:
        why = FaultKind.MODEL_ACCESS if barred else FaultKind.MODEL_NOT_FOUND
        self.rests.exclude(model, self.now, why=why)
        self.log.append(Said(self.now, "exclude", model, barred=barred))

    def reading(self) -> Reading:
        return Reading(self.log, self.default, self.longest)

    @invariant()
    def it_agrees_with_the_model(self) -> None:
        read, end = self.reading(), len(self.log)
        for model in MODELS:
            ends = (read.rest_of(model, end), read.rest_of(ALL, end), read.excluded_until(model), self.now)
            assert self.rests.ready_at(model, self.now) == max(ends)
        cooling = {what: read.rest_of(what, end) for what in (*MODELS, ALL)}
        assert self.rests.cooling(self.now) == {w: until for w, until in cooling.items() if until > self.now}
        barred = {model for model in MODELS if read.barred(model, self.now)}
        assert self.rests.barred(self.now) == barred

    @invariant()
    def a_rest_is_never_shortened(self) -> None:
        for model in MODELS:
            ready = self.rests.ready_at(model, self.now)
            assert ready >= self.known[model] or self.known[model] <= self.now
            self.known[model] = ready

    @invariant()
    def nothing_rests_for_longer_than_allowed(self) -> None:
        assert all(until <= self.now + self.longest for until in self.rests.cooling(self.now).values())


CoolDownMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestCoolDownsAgainstModel = CoolDownMachine.TestCase
