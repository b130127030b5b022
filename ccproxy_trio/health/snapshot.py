"""What others may know of a provider: a frozen picture that its actor publishes after every change."""

from collections.abc import Mapping

from msgspec import Struct

from ccproxy_trio.health.breaker import State
from ccproxy_trio.health.lessons import Lesson
from ccproxy_trio.health.verdict import Flag
from ccproxy_trio.wire.faults import FaultKind

__all__ = ["EVERY_MODEL", "Flag", "Snapshot", "State"]

EVERY_MODEL = "*"  # the key of `cooling` that speaks of the provider as a whole


class Snapshot(Struct, frozen=True, kw_only=True):
    """A provider at one instant.

    Instants (`reopens_at`, `panic_at`, the values of `cooling` and `excluded`) are on the publisher's
    monotonic clock, in seconds; `last_success` and `last_failure` are epoch seconds and only for show.

    A picture ages without being republished, so readiness is judged against `now`: a breaker admits when it
    is closed, or from `reopens_at` on (its trial; for a trial under way that is when its lease runs out).
    """

    provider: str
    epoch: int  # which incarnation of the actor speaks
    state: State
    reopens_at: float | None
    trial_taken: bool
    flag: Flag | None
    opens: int  # how often the breaker has opened since it last held
    failure_count: int  # failures in a row
    cooling: Mapping[str, float]  # model (or EVERY_MODEL) -> rests until
    excluded: Mapping[str, float]  # model -> left out until
    barred: frozenset[str] = frozenset()  # the excluded ones that it has, but not for us
    in_flight: int
    last_success: float | None
    last_failure: float | None
    last_error: FaultKind | None
    panic_at: float  # no forced attempt before this
    learned: Mapping[str, tuple[Lesson, ...]]  # model -> what its refusals taught
