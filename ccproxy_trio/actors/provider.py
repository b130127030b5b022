"""A provider's actor: it owns the breaker, the cool-downs and the count of attempts in flight.

It grants *leases*, the right to make one attempt, and hears how each ended. It never carries a request's
bytes, so neither a slow client nor a crash in here touches a running stream. What it knows is published as
a `Snapshot` after every change; where that goes is not its business.
"""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, assert_never

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.actors.draining import Draining
from ccproxy_trio.actors.kit import ActorDown, Mailbox, Question, ReplySlot
from ccproxy_trio.health.breaker import Breaker, Moved, Permit
from ccproxy_trio.health.cooldown import EXCLUSION, CoolDowns
from ccproxy_trio.health.lessons import Lesson, Notebook
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.health.snapshot import EVERY_MODEL, Flag, Snapshot
from ccproxy_trio.health.verdict import Ruling, Verdict
from ccproxy_trio.journal import BreakerMoved, Cooling, Journal, ModelExcluded, ParameterLearned
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

_PROBE_VERDICTS = {
    ProbeVerdict.OK: Verdict.HEALTHY,
    ProbeVerdict.FAIL: Verdict.FAULTY,
    ProbeVerdict.AUTH: Verdict.AUTH,
    ProbeVerdict.QUOTA: Verdict.BILLING,
    ProbeVerdict.LIMITED: Verdict.LIMITED,
}


# -- the mailbox ---------------------------------------------------------------------------------------


class Grant(Struct, frozen=True, kw_only=True):
    """The right to make one attempt. `learned`: what this model is known to refuse."""

    epoch: int
    model: str
    permit: Permit
    learned: tuple[Lesson, ...]


class Refusal(Struct, frozen=True, kw_only=True):
    """No attempt now. `ready_at` is when asking again makes sense, where that is known."""

    why: str
    ready_at: float | None = None


class Acquire(Question["Grant | Refusal"], frozen=True, kw_only=True):
    """May I make one attempt? `forced` asks for one although the breaker is open (nothing else is left)."""

    model: str
    forced: bool


class FirstContent(Struct, frozen=True, kw_only=True):
    """The attempt has yielded content: the provider works, whatever becomes of this stream."""

    grant: Grant


class Settle(Struct, frozen=True, kw_only=True):
    """The attempt is over."""

    grant: Grant
    ruling: Ruling
    fault: UpstreamFault | None


class Learn(Struct, frozen=True, kw_only=True):
    """The model took a request only with the lesson's switches."""

    grant: Grant
    lesson: Lesson


class ProbeEnded(Struct, frozen=True, kw_only=True):
    """The provider's own probe has a result."""

    result: ProbeResult


class Drain(Question[None], frozen=True, kw_only=True):
    """Refuse new leases; answer once none is in flight."""


class Describe(Question[Snapshot], frozen=True, kw_only=True):
    """What do you know of yourself?"""


Message = Acquire | FirstContent | Settle | Learn | ProbeEnded | Drain | Describe


# -- the incarnation -----------------------------------------------------------------------------------


class Surroundings(Struct, frozen=True, kw_only=True):
    """What an incarnation needs of the world. `now` is monotonic seconds, `wall` epoch seconds."""

    name: str
    breaker: BreakerSettings
    trial_timeout: float
    now: Callable[[], float]
    wall: Callable[[], float]
    draw: Callable[[], float]
    publish: Callable[[Snapshot], None]
    journal: Journal
    drain: Draining
    notebook: Notebook


class Incarnation:
    """A provider actor's state from one start to the next crash. `handle` is all there is to call."""

    def __init__(self, around: Surroundings, *, epoch: int) -> None:
        self._around = around
        self._epoch = epoch
        self._breaker = Breaker(around.breaker, trial_timeout=around.trial_timeout, draw=around.draw)
        self._rests = CoolDowns(around.breaker)
        self._in_flight = 0
        self._flag: Flag | None = None
        self._last_success: float | None = None
        self._last_failure: float | None = None
        self._last_error: FaultKind | None = None
        self._publish()
        self._tell_drained()

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
            case Settle(grant=grant, ruling=ruling, fault=fault):
                self._settle(grant, ruling, fault, now)
            case Learn(grant=grant, lesson=lesson):
                self._learn(grant.model, lesson)
            case ProbeEnded(result=result):
                self._probed(result, now)
            case Drain(slot=slot):
                self._around.drain.begin(slot)
                self._tell_drained()
            case Describe(slot=slot):
                slot.fill(self._snapshot())
                return
            case _:
                assert_never(message)
        self._publish()

    def _acquire(self, message: Acquire, now: float) -> None:
        ready_at = self._rests.ready_at(message.model, now)
        if self._around.drain.is_on:
            message.slot.fill(Refusal(why="draining"))
        elif ready_at > now:
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
        return permit

    def _grant(self, message: Acquire, permit: Permit, now: float) -> None:
        grant = Grant(
            epoch=self._epoch,
            model=message.model,
            permit=permit,
            learned=self._around.notebook.of(message.model),
        )
        if message.slot.fill(grant):
            self._in_flight += 1
        else:
            # The asker was cancelled while its question waited here. Nobody else would give this back.
            self._breaker.settle(permit, Verdict.SILENT, now)

    def _first_content(self, grant: Grant, now: float) -> None:
        if grant.epoch == self._epoch:
            self._last_success = self._around.wall()
            self._rests.succeeded(grant.model)
            self._moved(self._breaker.first_content(grant.permit, now), now)

    def _settle(self, grant: Grant, ruling: Ruling, fault: UpstreamFault | None, now: float) -> None:
        if grant.epoch != self._epoch:
            return  # granted before a crash: this incarnation never counted it
        self._in_flight -= 1
        if ruling.verdict is Verdict.HEALTHY:
            self._last_success = self._around.wall()
            self._flag = None
            self._rests.succeeded(grant.model)
        elif fault is not None and ruling.verdict is not Verdict.SILENT:
            self._last_failure = self._around.wall()
            self._last_error = fault.kind
            self._flag = ruling.flag
        self._moved(self._breaker.settle(grant.permit, ruling.verdict, now), now)
        if fault is not None:
            self._rest(grant.model, ruling, fault, now)
        self._tell_drained()

    def _rest(self, model: str, ruling: Ruling, fault: UpstreamFault, now: float) -> None:
        name = self._around.name
        if ruling.cools:
            self._cool(model, fault, now)
        if ruling.excludes:
            self._rests.exclude(model, now)
            reason = str(fault.kind)
            self._around.journal(ModelExcluded(provider=name, model=model, reason=reason, seconds=EXCLUSION))

    def _cool(self, model: str, fault: UpstreamFault, now: float) -> None:
        seconds = self._rests.limit(model, fault, now)
        cooled = None if fault.whole_provider or fault.kind is FaultKind.QUOTA else model
        self._around.journal(Cooling(provider=self._around.name, model=cooled, seconds=seconds))

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

    def _tell_drained(self) -> None:
        if self._in_flight == 0:
            self._around.drain.tell()

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
            in_flight=self._in_flight,
            last_success=self._last_success,
            last_failure=self._last_failure,
            last_error=self._last_error,
            panic_at=breaker.panic_at,
            draining=self._around.drain.is_on,
            learned=self._around.notebook.lessons,
        )


# -- the handle ----------------------------------------------------------------------------------------


class Lease:
    """One granted attempt. Leaving the `with` block settles it, as SILENT unless `settle` was called.

    Everything here is synchronous: it runs in cancelled scopes.
    """

    def __init__(self, mailbox: Mailbox[Message], grant: Grant) -> None:
        self._mailbox = mailbox
        self._grant = grant
        self._settled = False

    @property
    def learned(self) -> tuple[Lesson, ...]:
        """What this model is known to refuse, later lessons overruling."""
        return self._grant.learned

    def first_content(self) -> None:
        """Say that the attempt has yielded content."""
        self._mailbox.post(FirstContent(grant=self._grant))

    def learn(self, lesson: Lesson) -> None:
        """Say what the model was found to refuse, and how it is asked instead."""
        self._mailbox.post(Learn(grant=self._grant, lesson=lesson))

    def settle(self, ruling: Ruling, fault: UpstreamFault | None = None) -> None:
        """Say how the attempt ended. The first call counts."""
        if not self._settled:
            self._settled = True
            self._mailbox.post(Settle(grant=self._grant, ruling=ruling, fault=fault))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(Ruling.silent())


class Provider:
    """What other tasks hold of a provider actor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mailbox: Mailbox[Message] = Mailbox()

    async def lease(self, model: str, *, forced: bool = False) -> Lease | Refusal:
        """Ask for one attempt. Enter the lease (`with`) before the next checkpoint.

        Cancelling is safe at any time: a grant that nobody receives goes back to the actor.
        """
        slot: ReplySlot[Grant | Refusal] = ReplySlot()
        self.mailbox.post(Acquire(slot=slot, model=model, forced=forced))
        try:
            answer = await slot.wait()
        except ActorDown:
            return Refusal(why="restarting")
        return answer if isinstance(answer, Refusal) else Lease(self.mailbox, answer)

    def probe_ended(self, result: ProbeResult) -> None:
        """Hand in a probe's result."""
        self.mailbox.post(ProbeEnded(result=result))

    async def drain(self) -> None:
        """Refuse new leases and return once none is in flight."""
        slot: ReplySlot[None] = ReplySlot()
        self.mailbox.post(Drain(slot=slot))
        await slot.wait()

    async def settled(self) -> None:
        """Return once all that was posted before is handled and published.

        Asking the dispatcher right after settling an attempt, one would otherwise be quicker than the news.
        """
        with suppress(ActorDown):
            await self.describe()

    async def describe(self) -> Snapshot:
        """The actor's own view of itself."""
        slot: ReplySlot[Snapshot] = ReplySlot()
        self.mailbox.post(Describe(slot=slot))
        return await slot.wait()
