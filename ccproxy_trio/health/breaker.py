"""The circuit breaker: keeps requests away from a provider that fails, and finds out when it works again.

Theory of operation. Three states; `generation` is bumped at every change of state and after every trial that
failed.

    CLOSED ------ too many failures, a rejected key, an empty account ------> OPEN
    OPEN -------- `reopens_at` has come and somebody acquires --------------> HALF_OPEN
    HALF_OPEN --- the trial failed (the next wait is longer) ---------------> OPEN
    HALF_OPEN --- `success_threshold` trials passed ------------------------> CLOSED

Whoever makes an attempt holds a *permit*. What its result means depends on the permit's *stage*, not on the
state the breaker happens to be in by then: that is why `TABLE` is keyed by stage and verdict.

- ORDINARY: admitted while closed. Failures are counted; a failure before content, and a stream that died,
  are counted apart, because every stream of a provider that always starts and always dies looks like a
  success at first. Only a complete answer clears the count of dead streams.
- TRIAL: admitted while half open, one at a time. It decides alone. A trial whose client hangs up says
  nothing and is given back; one that is never settled runs out after `trial_timeout`.
- FORCED: admitted while open because no provider was left. Its success is a trial's. Its failure changes
  nothing: it says what was known, and an outage of everything, with an attempt a second, would otherwise
  lengthen every wait to its limit and keep a recovered provider out for minutes.
- STREAM: its first content has come, which counted as success (and ended a trial). Only how it ends is open.

A permit counts under the generation that admitted it and never under another: fifty requests in flight when
the breaker opens cannot open it fifty times, and a success from before cannot close it. A permit whose first
content caused a change of state moves on with it.

A closed breaker opens after `failure_threshold` failures in a row (or dead streams in a row), none older
than `failure_ttl`; or when at least `failure_rate_threshold` of at least `minimum_requests` results within
`window` failed, which finds the provider that fails every other request. Each wait is twice the one before,
up to a limit, and jitter only lengthens it. After `failure_ttl` of closed operation a success resets the
doubling.

A probe is no request: a good one may end a wait early but never closes; a bad one counts as one failure.
"""

import enum
from collections import deque
from collections.abc import Callable
from typing import assert_never

from msgspec import Struct

from ccproxy_trio.health.verdict import Flag, Verdict
from ccproxy_trio.settings.model import BreakerSettings

BILLING_WAIT = 900.0  # seconds: an empty account is seldom refilled sooner
PANIC_INTERVAL = 1.0  # seconds between forced attempts
LONGEST_MEMORY = 1024  # results kept for the rate rule, however busy the provider


class State(enum.StrEnum):
    """What the breaker does with those who ask."""

    CLOSED = "closed"  # admits all
    OPEN = "open"  # admits none before `reopens_at`
    HALF_OPEN = "half_open"  # admits one trial at a time


class Permit(Struct, frozen=True):
    """The right to one attempt. To be settled exactly once, whatever happens."""

    generation: int
    trial: bool
    forced: bool
    serial: int


class Moved(Struct, frozen=True):
    """A change of state, for the operator."""

    before: State
    after: State
    reason: str


class Stage(enum.Enum):
    """How far a permit has come."""

    ORDINARY = enum.auto()
    TRIAL = enum.auto()
    FORCED = enum.auto()
    STREAM = enum.auto()


class Step(enum.Enum):
    """What a result makes the breaker do."""

    NOTHING = enum.auto()
    SUCCEED = enum.auto()  # failures in a row start again
    COUNT = enum.auto()  # one more failure in a row
    COUNT_DEAD = enum.auto()  # one more dead stream in a row
    PASS = enum.auto()  # a trial went well
    FAIL = enum.auto()  # a trial did not
    REJECT = enum.auto()  # the key or the account: open at once


TABLE: dict[tuple[Stage, Verdict], Step] = {
    (Stage.ORDINARY, Verdict.HEALTHY): Step.SUCCEED,
    (Stage.ORDINARY, Verdict.FAULTY): Step.COUNT,
    (Stage.ORDINARY, Verdict.MIDSTREAM): Step.COUNT_DEAD,
    (Stage.ORDINARY, Verdict.AUTH): Step.REJECT,
    (Stage.ORDINARY, Verdict.BILLING): Step.REJECT,
    (Stage.ORDINARY, Verdict.LIMITED): Step.NOTHING,
    (Stage.ORDINARY, Verdict.SILENT): Step.NOTHING,
    (Stage.TRIAL, Verdict.HEALTHY): Step.PASS,
    (Stage.TRIAL, Verdict.FAULTY): Step.FAIL,
    (Stage.TRIAL, Verdict.MIDSTREAM): Step.FAIL,
    (Stage.TRIAL, Verdict.AUTH): Step.REJECT,
    (Stage.TRIAL, Verdict.BILLING): Step.REJECT,
    (Stage.TRIAL, Verdict.LIMITED): Step.PASS,  # it answered
    (Stage.TRIAL, Verdict.SILENT): Step.NOTHING,  # given back: the next request is the trial
    (Stage.FORCED, Verdict.HEALTHY): Step.PASS,
    (Stage.FORCED, Verdict.FAULTY): Step.NOTHING,
    (Stage.FORCED, Verdict.MIDSTREAM): Step.NOTHING,
    (Stage.FORCED, Verdict.AUTH): Step.REJECT,
    (Stage.FORCED, Verdict.BILLING): Step.REJECT,
    (Stage.FORCED, Verdict.LIMITED): Step.PASS,
    (Stage.FORCED, Verdict.SILENT): Step.NOTHING,
    (Stage.STREAM, Verdict.HEALTHY): Step.NOTHING,  # its success was counted at its first content
    (Stage.STREAM, Verdict.FAULTY): Step.COUNT_DEAD,
    (Stage.STREAM, Verdict.MIDSTREAM): Step.COUNT_DEAD,
    (Stage.STREAM, Verdict.AUTH): Step.COUNT_DEAD,
    (Stage.STREAM, Verdict.BILLING): Step.COUNT_DEAD,
    (Stage.STREAM, Verdict.LIMITED): Step.NOTHING,
    (Stage.STREAM, Verdict.SILENT): Step.NOTHING,
}

FIRST_CONTENT: dict[Stage, Step] = {
    Stage.ORDINARY: Step.SUCCEED,
    Stage.TRIAL: Step.PASS,
    Stage.FORCED: Step.PASS,
}

PROBES: dict[tuple[State, Verdict], Step] = {
    (State.CLOSED, Verdict.FAULTY): Step.COUNT,
    (State.CLOSED, Verdict.AUTH): Step.REJECT,
    (State.CLOSED, Verdict.BILLING): Step.REJECT,
    # In the other states and for the other verdicts a probe takes no step; see `Breaker.probe`.
}

_FLAGS = {Verdict.AUTH: Flag.AUTH, Verdict.BILLING: Flag.QUOTA}
_REASONS = {Verdict.AUTH: "its key was rejected", Verdict.BILLING: "its quota is exhausted"}


class _Held(Struct):
    """What the breaker remembers of a permit that is out."""

    generation: int
    stage: Stage
    expires_at: float | None  # of a trial that holds the slot


class _Result(Struct, frozen=True):
    """One result for the rate rule."""

    at: float
    failed: bool
    serial: int | None  # None: a probe's


class Breaker:
    """One provider's breaker. Pure and synchronous: `now` is monotonic seconds, `draw` gives [0, 1).

    `trial_timeout` (seconds) is used unless the settings name one.
    """

    def __init__(self, settings: BreakerSettings, *, trial_timeout: float, draw: Callable[[], float]) -> None:
        self.reconfigure(settings, trial_timeout=trial_timeout)
        self._draw = draw
        self._state = State.CLOSED
        self._generation = 0
        self._serial = 0
        self._held: dict[int, _Held] = {}
        self._trial: int | None = None  # the serial that holds the slot
        self._passes = 0  # trials that went well in this half-open spell
        self._failures: list[float] = []
        self._dead: list[float] = []
        self._results: deque[_Result] = deque(maxlen=LONGEST_MEMORY)
        self._opens = 0
        self._open_until = 0.0
        self._closed_at: float | None = None  # None: it has never opened
        self._panic_at = 0.0
        self._flag: Flag | None = None

    def reconfigure(self, settings: BreakerSettings, *, trial_timeout: float) -> None:
        """Go by these numbers from now on. What is counted, and a wait that has begun, stay as they are."""
        self._settings = settings
        self._trial_timeout = trial_timeout if settings.trial_timeout is None else settings.trial_timeout

    # -- what can be seen --

    @property
    def state(self) -> State:
        """The state as of the last call; time alone changes nothing until somebody acquires."""
        return self._state

    @property
    def opens(self) -> int:
        """Times it has opened since it last held: the exponent of the wait."""
        return self._opens

    @property
    def failure_count(self) -> int:
        """Failures and dead streams in a row."""
        return len(self._failures) + len(self._dead)

    @property
    def flag(self) -> Flag | None:
        """AUTH or QUOTA, from the rejection until a trial passes."""
        return self._flag

    @property
    def panic_at(self) -> float:
        """No attempt can be forced before this instant."""
        return self._panic_at

    @property
    def reopens_at(self) -> float | None:
        """From when a trial may be had, of an open breaker and of one whose trial is under way; else None."""
        if self._state is State.OPEN:
            return self._open_until
        return None if self._trial is None else self._held[self._trial].expires_at

    def trial_taken(self, now: float) -> bool:
        """Whether a trial is under way."""
        expires_at = None if self._trial is None else self._held[self._trial].expires_at
        return expires_at is not None and now < expires_at

    def admits(self, now: float) -> bool:
        """Whether `acquire` would grant."""
        if self._state is State.CLOSED:
            return True
        return now >= self._open_until if self._state is State.OPEN else not self.trial_taken(now)

    # -- asking --

    def acquire(self, now: float) -> Permit | None:
        """The right to one attempt, or None. The first to come after the wait becomes the trial."""
        if not self.admits(now):
            return None
        if self._state is State.CLOSED:
            return self._permit(Stage.ORDINARY, now)
        if self._state is State.OPEN:
            self._enter(State.HALF_OPEN, "its wait is over")
        if self._trial is not None:  # never settled; a late result of it means nothing
            del self._held[self._trial]
        return self._permit(Stage.TRIAL, now)

    def force(self, now: float) -> Permit | None:
        """The right to one attempt although the wait is not over, or None.

        At most one in `PANIC_INTERVAL`, and only where plain failures opened the breaker. The attempt does
        not hold the trial slot, so a hanging one keeps nobody out.
        """
        if self._state is not State.OPEN or self._flag is not None or now < self._panic_at:
            return None
        self._panic_at = now + PANIC_INTERVAL
        return self._permit(Stage.FORCED, now)

    def _permit(self, stage: Stage, now: float) -> Permit:
        self._serial += 1
        slot = stage is Stage.TRIAL
        self._held[self._serial] = _Held(
            self._generation, stage, expires_at=now + self._trial_timeout if slot else None
        )
        if slot:
            self._trial = self._serial
        return Permit(
            generation=self._generation,
            trial=stage is not Stage.ORDINARY,
            forced=stage is Stage.FORCED,
            serial=self._serial,
        )

    # -- hearing --

    def first_content(self, permit: Permit, now: float) -> Moved | None:
        """Phase one of a stream went well. The permit is still to be settled."""
        held = self._held.get(permit.serial)
        if held is None or held.generation != self._generation or held.stage is Stage.STREAM:
            return None
        self._give_back(permit)
        moved = self._take(FIRST_CONTENT[held.stage], Verdict.HEALTHY, now, permit.serial)
        held.generation, held.stage = self._generation, Stage.STREAM
        return moved

    def settle(self, permit: Permit, verdict: Verdict, now: float) -> Moved | None:
        """The attempt is over. The first call for a permit counts, under the generation that admitted it."""
        held = self._held.pop(permit.serial, None)
        if held is None or held.generation != self._generation:
            return None
        self._give_back(permit)
        if verdict is Verdict.HEALTHY:
            self._dead.clear()  # nothing else does: a stream that merely starts proves nothing here
        return self._take(TABLE[held.stage, verdict], verdict, now, permit.serial)

    def probe(self, verdict: Verdict, now: float) -> Moved | None:
        """A health probe ended. It touches neither the trial slot nor a breaker whose key is in doubt."""
        if self._flag is not None:
            return None
        if self._state is State.OPEN:
            if verdict is Verdict.HEALTHY:
                self._open_until = min(self._open_until, now)
            self._flag = _FLAGS.get(verdict)
            return None
        return self._take(PROBES.get((self._state, verdict), Step.NOTHING), verdict, now, None)

    def rekeyed(self) -> Moved | None:
        """The provider is asked with another key: what was held against the old one says nothing of it."""
        if self._flag is None:
            return None
        self._flag = None
        self._opens = 0
        self._failures.clear()
        return self._enter(State.CLOSED, "its key was changed")

    def _give_back(self, permit: Permit) -> None:
        if self._trial == permit.serial:
            self._trial = None

    # -- the engine --

    def _take(self, step: Step, verdict: Verdict, now: float, serial: int | None) -> Moved | None:
        match step:
            case Step.NOTHING:
                return None
            case Step.SUCCEED:
                self._succeed(now, serial)
                return None
            case Step.COUNT:
                return self._count(self._failures, "failures", now, serial)
            case Step.COUNT_DEAD:
                return self._count(self._dead, "dead streams", now, serial)
            case Step.PASS:
                return self._pass(now)
            case Step.FAIL | Step.REJECT:
                self._remember(self._failures, now)
                self._flag = _FLAGS.get(verdict, self._flag)
                return self._open(_REASONS.get(verdict, "its trial failed"), now)
            case _:
                assert_never(step)

    def _succeed(self, now: float, serial: int | None) -> None:
        self._failures.clear()
        self._results.append(_Result(now, failed=False, serial=serial))
        if self._closed_at is not None and now - self._closed_at >= self._settings.failure_ttl:
            self._opens = 0

    def _count(self, counted: list[float], what: str, now: float, serial: int | None) -> Moved | None:
        self._remember(counted, now)
        # One result an attempt: the first content of a stream that has died now was noted as a success.
        kept = (result for result in self._results if serial is None or result.serial != serial)
        self._results = deque((*kept, _Result(now, failed=True, serial=serial)), maxlen=LONGEST_MEMORY)
        if len(counted) >= self._settings.failure_threshold:
            return self._open(f"{len(counted)} {what} in a row", now)
        return self._judge_rate(now)

    def _judge_rate(self, now: float) -> Moved | None:
        settings = self._settings
        recent = [result.failed for result in self._results if now - result.at <= settings.window]
        failed = sum(recent)
        if not settings.minimum_requests or len(recent) < settings.minimum_requests:
            return None
        if failed < settings.failure_rate_threshold * len(recent):
            return None
        return self._open(f"{failed} of {len(recent)} attempts failed within {settings.window:g} s", now)

    def _remember(self, counted: list[float], now: float) -> None:
        counted[:] = [at for at in counted if now - at <= self._settings.failure_ttl]
        counted.append(now)

    def _pass(self, now: float) -> Moved | None:
        self._passes += 1
        if self._passes < self._settings.success_threshold:
            return self._enter(State.HALF_OPEN, "a trial passed") if self._state is State.OPEN else None
        self._failures.clear()
        self._flag = None
        self._closed_at = now
        return self._enter(State.CLOSED, "its trial passed")

    def _open(self, reason: str, now: float) -> Moved | None:
        self._opens += 1
        self._passes = 0
        self._results.clear()
        self._open_until = now + self._wait()
        return self._enter(State.OPEN, reason)

    def _wait(self) -> float:
        settings = self._settings
        first = BILLING_WAIT if self._flag is Flag.QUOTA else settings.recovery_timeout
        longest = max(first, settings.max_recovery_timeout)
        wait: float = min(first * 2.0 ** min(self._opens - 1, 30), longest)
        return wait * (1.0 + settings.recovery_jitter * self._draw())

    def _enter(self, state: State, reason: str) -> Moved | None:
        before, self._state = self._state, state
        self._generation += 1
        self._trial = None
        return None if before is state else Moved(before, state, reason)
