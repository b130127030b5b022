"""The deadline of one attempt, which moves along with what is waited for, and what it means to miss it."""

import math

import trio
from msgspec import Struct

from ccproxy_trio.health.lateness import was_late
from ccproxy_trio.routing.patience import FAIR_SHARE
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

_TIMEOUT_TEXTS = {
    FaultKind.HEADERS_TIMEOUT: "it did not answer in time",
    FaultKind.CONTENT_TIMEOUT: "it answered, but sent no content in time",
    FaultKind.IDLE_TIMEOUT: "its stream stalled",
    FaultKind.OVERTIME: "its answer took longer than its total_timeout",
    FaultKind.TOTAL_TIMEOUT: "the request's time is up",
    FaultKind.SUSPENDED: "this proxy was suspended while it waited",
}


class Bound(Struct, frozen=True):
    """An instant (Trio's clock) that bounds an attempt as a whole, and what passing it means."""

    at: float
    kind: FaultKind


class Deadline:
    """One cancel scope whose deadline moves along with what is waited for.

    `expect` sets what is waited for next and how long it may take; `pause` stops the clock while the client
    is the one who is slow. A `Bound` limits the attempt as a whole.

    A deadline that fires much too late has not been missed by the provider: we did not run. That is seen by
    how long ago it was due, and must be noted when the deadline moves on: a read that was served in the same
    turn of the event loop lets the attempt go on for a moment although its scope is cancelled.
    """

    def __init__(self, bound: Bound) -> None:
        self.scope = trio.CancelScope()
        self._began_at = trio.current_time()
        self._bound = bound
        self._kind = bound.kind
        self._fired_late = False

    def expect(self, kind: FaultKind, within: float) -> None:
        """From now on: `within` seconds, or it is a fault of this kind."""
        self.rename(kind)
        now = trio.current_time()
        self._move(min(now + within, self._bound.at), now)

    def rename(self, kind: FaultKind) -> None:
        """The same instant, but missing it means something else now."""
        self._kind = kind

    def pause(self) -> None:
        """No deadline until the next `expect`."""
        self._move(math.inf, trio.current_time())

    def _move(self, deadline: float, now: float) -> None:
        before, self.scope.deadline = self.scope.deadline, deadline
        # Asked behind the move, since Trio answers for a deadline that has passed by cancelling.
        if was_late(before, now) and self.scope.cancel_called:
            self._fired_late = True

    def bound_by(self, bound: Bound) -> None:
        """Another limit from now on."""
        self._bound = bound

    def fault(self) -> UpstreamFault:
        """What it means that the scope was cancelled."""
        now, kind = trio.current_time(), self._kind
        if self._fired_late or was_late(self.scope.deadline, now):
            kind = FaultKind.SUSPENDED
        elif now >= self._bound.at and not self._had_its_share(now):
            kind = self._bound.kind
        return UpstreamFault(kind, _TIMEOUT_TEXTS[kind])

    def _had_its_share(self, now: float) -> bool:
        # A provider that hangs until the client's patience ends must not look innocent; one that was asked
        # in the last seconds of a request must not be blamed.
        return self._bound.kind is FaultKind.TOTAL_TIMEOUT and now - self._began_at >= FAIR_SHARE


def suspended() -> UpstreamFault:
    """A deadline of ours fired late."""
    return UpstreamFault(FaultKind.SUSPENDED, _TIMEOUT_TEXTS[FaultKind.SUSPENDED])
