"""What a provider admits, whatever happens to it: breaker and rests together, as its actor holds them."""

from random import Random

import hypothesis.strategies as st
from hypothesis import given, settings
from msgspec.structs import replace

from ccproxy_trio.actors.admission import Incarnation
from ccproxy_trio.actors.kit import ReplySlot
from ccproxy_trio.actors.provider import Acquire, FirstContent, Grant, Settle, Surroundings
from ccproxy_trio.health.lessons import Notebook
from ccproxy_trio.health.snapshot import Flag, Snapshot, State
from ccproxy_trio.health.verdict import Ruling, judge
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

K = FaultKind
TRIAL_TIMEOUT = 40.0
FAULTS = (K.RATE_LIMITED, K.RATE_LIMITED, K.SERVER_ERROR, K.SERVER_ERROR, K.AUTH, K.QUOTA, K.MODEL_NOT_FOUND)


class Desk:
    """A provider's actor without its task, and a record of our own of what it was told."""

    def __init__(self, seed: int) -> None:
        chance = self.chance = Random(seed)
        self.now = 1000.0
        self.published: list[Snapshot] = []
        around = Surroundings(
            name="a",
            breaker=BreakerSettings(
                failure_threshold=chance.choice([1, 3]),
                recovery_timeout=chance.choice([1.0, 60.0]),
                recovery_jitter=0.0,
                success_threshold=chance.choice([1, 2]),
            ),
            trial_timeout=TRIAL_TIMEOUT,
            now=lambda: self.now,
            wall=lambda: 0.0,
            draw=lambda: 0.0,
            publish=self.published.append,
            journal=lambda _: None,
            notebook=Notebook(),
        )
        self.actor = Incarnation(around, epoch=0)
        self.out: list[Grant] = []
        self.rests_until = {"m": 0.0, "n": 0.0}
        self.forced_at: list[float] = []
        self.trials: dict[int, float] = {}  # serial -> when it was let in, while it is out

    def step(self) -> None:
        """One thing that happens."""
        match self.chance.choice("ttaaaaffsssc"):
            case "t":
                self.now += self.chance.choice([0.0, 0.1, 0.9, 1.0, 5.0, 61.0, 700.0])
            case "a":
                self.ask(self.chance.choice("mn"), forced=False)
            case "f":
                self.ask(self.chance.choice("mn"), forced=True)
            case "c" if self.out:
                grant = self.chance.choice(self.out)
                self.trials.pop(grant.permit.serial, None)
                self.actor.handle(FirstContent(grant=grant))
            case _ if self.out:
                self.end(self.out.pop(self.chance.randrange(len(self.out))))

    def ask(self, model: str, *, forced: bool) -> None:
        before, slot = self.published[-1], ReplySlot["Grant"]()
        self.actor.handle(Acquire(slot=slot, era=0, model=model, forced=forced))  # type: ignore[arg-type]
        answer = slot._reply.unwrap()
        if not isinstance(answer, Grant):
            return
        self.out.append(answer)
        assert self.now >= self.rests_until[model], "admitted while it rests"
        if answer.permit.forced:
            assert forced
            assert before.state is State.OPEN
            assert before.flag not in (Flag.AUTH, Flag.QUOTA)
            assert before.reopens_at is not None
            assert self.now < before.reopens_at, "forced although its trial was due"
            assert not self.forced_at or self.now - self.forced_at[-1] >= 1.0, "forced twice in a second"
            self.forced_at.append(self.now)
        elif answer.permit.trial:
            alive = [at for at in self.trials.values() if self.now < at + TRIAL_TIMEOUT]
            assert alive == [], "two trials at a time"
            self.trials = {answer.permit.serial: self.now}
        else:
            assert before.state is State.CLOSED

    def end(self, grant: Grant) -> None:
        self.trials.pop(grant.permit.serial, None)
        kind = self.chance.choice([None, None, *FAULTS])
        if kind is None:
            ruling = self.chance.choice([Ruling.healthy(), Ruling.silent()])
            self.actor.handle(Settle(grant=grant, ruling=ruling, fault=None))
            return
        asked = self.chance.choice([0.0, 3.0, 90.0])
        whole = self.chance.random() < 0.3
        fault = UpstreamFault(kind, retry_after=asked, whole_provider=whole)
        self.actor.handle(Settle(grant=grant, ruling=judge(fault, shown=False), fault=fault))
        seconds = {K.RATE_LIMITED: asked, K.QUOTA: asked, K.SERVER_ERROR: asked, K.MODEL_NOT_FOUND: 600.0}
        models = "mn" if kind is K.QUOTA or (whole and kind is not K.MODEL_NOT_FOUND) else grant.model
        for model in models:
            until = self.now + seconds.get(kind, 0.0)
            self.rests_until[model] = max(self.rests_until[model], until)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32))
def test_nobody_is_let_in_while_it_rests_nor_two_trials_at_once_nor_two_forced_in_a_second(seed: int) -> None:
    desk = Desk(seed)
    for _ in range(120):
        desk.step()
    # In the end it admits.
    desk.now += 1e5
    desk.ask("m", forced=False)
    assert desk.published[-1].in_flight == len(desk.out)
    assert desk.out, "it never admits again"


def test_a_late_rejection_condemns_nobody_who_has_answered_since() -> None:
    """It was let in before the breaker opened and closed again; its key may have been changed meanwhile."""
    desk = Desk(0)
    desk.actor = Incarnation(
        replace(desk.actor._around, breaker=BreakerSettings(failure_threshold=1, recovery_jitter=0.0)),
        epoch=0,
    )
    for _ in range(2):
        desk.ask("m", forced=False)
    early, late = desk.out
    fault = UpstreamFault(K.SERVER_ERROR, status=500)
    desk.actor.handle(Settle(grant=early, ruling=judge(fault, shown=False), fault=fault))
    desk.now += 60.0
    desk.ask("m", forced=False)
    desk.actor.handle(Settle(grant=desk.out[-1], ruling=Ruling.healthy(), fault=None))
    for kind in (K.AUTH, K.QUOTA):
        rejected = UpstreamFault(kind, status=401)
        desk.actor.handle(Settle(grant=late, ruling=judge(rejected, shown=False), fault=rejected))
        assert (desk.published[-1].state, desk.published[-1].flag) == (State.CLOSED, None)
