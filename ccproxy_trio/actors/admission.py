"""What a provider's actor does with each message: whom it admits, and what it learns of how attempts end."""

from typing import assert_never

from msgspec.structs import replace

from ccproxy_trio.actors.provider import (
    Acquire,
    Describe,
    FirstContent,
    Grant,
    Learn,
    Message,
    Outrun,
    ProbeEnded,
    Reconfigure,
    Refusal,
    Settle,
    Surroundings,
)
from ccproxy_trio.health.breaker import Breaker, Moved, Permit
from ccproxy_trio.health.cooldown import EXCLUSION, CoolDowns
from ccproxy_trio.health.lessons import Lesson
from ccproxy_trio.health.pace import Pace
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.health.snapshot import EVERY_MODEL, Flag, Snapshot
from ccproxy_trio.health.verdict import Ruling, Verdict
from ccproxy_trio.journal import BreakerMoved, Cooling, ModelExcluded, Note, ParameterLearned
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

_PROBE_VERDICTS = {
    ProbeVerdict.OK: Verdict.HEALTHY,
    ProbeVerdict.FAIL: Verdict.FAULTY,
    ProbeVerdict.AUTH: Verdict.AUTH,
    ProbeVerdict.QUOTA: Verdict.BILLING,
    ProbeVerdict.LIMITED: Verdict.LIMITED,
}
# What an attempt can learn of the key alone. Of a key that is not in use any more it is no news.
_OF_THE_KEY = frozenset({Verdict.AUTH, Verdict.BILLING, Verdict.LIMITED})
_OF_THE_BREAKER = frozenset({Flag.AUTH, Flag.QUOTA})


class Incarnation:
    """A provider actor's state from one start to the next crash. `handle` is all there is to call."""

    def __init__(self, around: Surroundings, *, epoch: int) -> None:
        self._around = around
        self._epoch = epoch
        self._breaker = Breaker(around.breaker, trial_timeout=around.trial_timeout, draw=around.draw)
        self._rests = CoolDowns(around.breaker)
        self._pace = Pace()
        self._in_flight = 0
        self._flag: Flag | None = None
        self._last_success: float | None = None
        self._last_failure: float | None = None
        self._last_error: FaultKind | None = None
        self._publish()

    @property
    def last_success(self) -> float | None:
        """Epoch seconds of the last answer, for the probe: a provider at work need not be asked."""
        return self._last_success

    def handle(self, message: Message) -> None:
        """Handle one message, whole."""
        now = self._around.now()
        match message:
            case Acquire():
                self._acquire(message, now)
            case FirstContent(grant=grant):
                self._first_content(grant, now)
                if not self._has_news():
                    return
            case Outrun(grant=grant):
                self._pace.note(now - grant.at)
                return
            case Settle(grant=grant, ruling=ruling, fault=fault):
                self._settle(grant, ruling, fault, now)
            case Learn(grant=grant, lesson=lesson):
                self._learn(grant.model, lesson)
            case ProbeEnded(result=result):
                self._probed(result, now)
            case Reconfigure(around=around):
                self._reconfigure(around, now)
            case Describe(slot=slot):
                slot.fill(self._snapshot())
                return
            case _:
                assert_never(message)
        self._publish()

    def _acquire(self, message: Acquire, now: float) -> None:
        ready_at = self._rests.ready_at(message.model, now)
        if ready_at > now:
            message.slot.fill(Refusal(why="resting", ready_at=ready_at))
        elif (permit := self._permit(message, now)) is None:
            message.slot.fill(Refusal(why=str(self._breaker.state), ready_at=self._breaker.reopens_at))
        else:
            self._grant(message, permit, now)

    def _permit(self, message: Acquire, now: float) -> Permit | None:
        before = self._breaker.state
        permit = self._breaker.acquire(now)
        if self._breaker.state is not before:
            self._moved(Moved(before, self._breaker.state, "its wait is over"), now)
        if permit is None and message.forced:
            permit = self._breaker.force(now)
            if permit is not None:
                self._tell_forced()
        return permit

    def _tell_forced(self) -> None:
        # At debug: while everything is down, there is one a second.
        text = "Asked although its circuit is open: nobody else is left"
        self._around.journal(
            Note(level="debug", event="breaker.forced", text=text, provider=self._around.name)
        )

    def _grant(self, message: Acquire, permit: Permit, now: float) -> None:
        grant = Grant(
            epoch=self._epoch,
            era=message.era,
            at=now,
            model=message.model,
            permit=permit,
            learned=self._around.notebook.of(message.model),
            p95=self._pace.p95,
        )
        if message.slot.fill(grant):
            self._in_flight += 1
        else:
            # The asker was cancelled while its question waited here. Nobody else would give this back.
            self._breaker.settle(permit, Verdict.SILENT, now)

    def _first_content(self, grant: Grant, now: float) -> None:
        if grant.epoch == self._epoch:
            self._pace.note(now - grant.at)
            self._last_success = self._around.wall()
            self._rests.succeeded(grant.model)
            self._moved(self._breaker.first_content(grant.permit, now), now)

    def _settle(self, grant: Grant, ruling: Ruling, fault: UpstreamFault | None, now: float) -> None:
        if grant.epoch != self._epoch:
            return  # granted before a crash: this incarnation never counted it
        self._in_flight -= 1
        if grant.era != self._around.era and ruling.verdict in _OF_THE_KEY:
            ruling = Ruling.silent()
        if ruling.verdict is Verdict.HEALTHY:
            self._last_success = self._around.wall()
            self._flag = None
            self._rests.succeeded(grant.model)
        elif fault is not None and ruling.verdict is not Verdict.SILENT:
            self._last_failure = self._around.wall()
            self._last_error = fault.kind
            # A rejected key and an empty account are the breaker's to flag, which knows whether the attempt
            # is of its time: a late result must not condemn a provider that has answered since.
            self._flag = None if ruling.flag in _OF_THE_BREAKER else ruling.flag
        self._moved(self._breaker.settle(grant.permit, ruling.verdict, now), now)
        if fault is not None:
            self._rest(grant.model, ruling, fault, now)

    def _rest(self, model: str, ruling: Ruling, fault: UpstreamFault, now: float) -> None:
        name = self._around.name
        if ruling.cools:
            self._cool(model, fault, now)
        if ruling.excludes:
            self._rests.exclude(model, now, why=fault.kind)
            reason = str(fault.kind)
            self._around.journal(ModelExcluded(provider=name, model=model, reason=reason, seconds=EXCLUSION))

    def _cool(self, model: str, fault: UpstreamFault, now: float) -> None:
        seconds = self._rests.limit(model, fault, now)
        cooled = None if fault.whole_provider or fault.kind is FaultKind.QUOTA else model
        reason = str(fault.kind)
        entry = Cooling(provider=self._around.name, model=cooled, reason=reason, seconds=seconds)
        self._around.journal(entry)

    def _learn(self, model: str, lesson: Lesson) -> None:
        new = self._around.notebook.learn(model, lesson)
        if new is not None:
            name = self._around.name
            told = ParameterLearned(
                provider=name, model=model, lesson=new.words, line=new.line, others=new.others
            )
            self._around.journal(told)

    def _probed(self, result: ProbeResult, now: float) -> None:
        verdict = _PROBE_VERDICTS.get(result.verdict)
        if verdict is None:
            return
        if result.kind is not None and verdict is not Verdict.LIMITED:
            self._last_failure = self._around.wall()
            self._last_error = result.kind
        if verdict is Verdict.LIMITED:
            asked = UpstreamFault(FaultKind.RATE_LIMITED, retry_after=result.retry_after, whole_provider=True)
            self._cool(EVERY_MODEL, asked, now)
        self._moved(self._breaker.probe(verdict, now), now)

    def _reconfigure(self, around: Surroundings, now: float) -> None:
        is_rekeyed = around.era != self._around.era
        self._around = around
        self._breaker.reconfigure(around.breaker, trial_timeout=around.trial_timeout)
        self._rests.reconfigure(around.breaker)
        if is_rekeyed:
            self._flag = None
            self._rests.forget()
            self._moved(self._breaker.rekeyed(), now)

    def _moved(self, moved: Moved | None, now: float) -> None:
        if moved is None:
            return
        reopens_at = self._breaker.reopens_at
        self._around.journal(
            BreakerMoved(
                provider=self._around.name,
                before=str(moved.before),
                after=str(moved.after),
                reason=moved.reason,
                reopens_in=None if reopens_at is None else max(0.0, reopens_at - now),
            )
        )

    def _publish(self) -> None:
        self._published = self._snapshot()
        self._around.publish(self._published)

    def _has_news(self) -> bool:
        """More has changed than the instant of the last success, which the attempt's end will tell."""
        return self._snapshot() != replace(self._published, last_success=self._last_success)

    def _snapshot(self) -> Snapshot:
        breaker, now = self._breaker, self._around.now()
        return Snapshot(
            provider=self._around.name,
            epoch=self._epoch,
            state=breaker.state,
            reopens_at=breaker.reopens_at,
            trial_taken=breaker.trial_taken(now),
            flag=self._flag or breaker.flag,
            opens=breaker.opens,
            failure_count=breaker.failure_count,
            cooling=self._rests.cooling(now),
            excluded=self._rests.excluded(now),
            barred=self._rests.barred(now),
            in_flight=self._in_flight,
            last_success=self._last_success,
            last_failure=self._last_failure,
            last_error=self._last_error,
            panic_at=breaker.panic_at,
            learned=self._around.notebook.lessons,
        )
