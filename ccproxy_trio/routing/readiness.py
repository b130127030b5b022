"""When a candidate can be asked, read from its provider's last snapshot. Instants in seconds, as `now`.

`math.inf` means that no waiting makes it ready.
"""

import math

from ccproxy_trio.health.snapshot import EVERY_MODEL, Flag, Snapshot, State


def rests_until(snapshot: Snapshot, model: str) -> float:
    """The end of the model's rest, which may be past; `-inf` if it never rested."""
    cooling = snapshot.cooling
    return max(cooling.get(model, -math.inf), cooling.get(EVERY_MODEL, -math.inf))


def ready_at(snapshot: Snapshot | None, model: str, now: float) -> float:
    """From when the provider itself would admit an attempt: `now`, or later. None: it never reported."""
    if snapshot is None:
        return math.inf
    breaker = (
        -math.inf if snapshot.state is State.CLOSED or snapshot.reopens_at is None else snapshot.reopens_at
    )
    return max(now, breaker, rests_until(snapshot, model), snapshot.excluded.get(model, now))


def forcible_at(snapshot: Snapshot | None, model: str, now: float) -> float:
    """From when an attempt could be forced past an open breaker: never past a rejected key or a rest."""
    if snapshot is None or snapshot.state is not State.OPEN:
        return math.inf
    if snapshot.flag in (Flag.AUTH, Flag.QUOTA):
        return math.inf
    return max(now, snapshot.panic_at, rests_until(snapshot, model), snapshot.excluded.get(model, now))


def mendable(snapshot: Snapshot | None, model: str, now: float) -> bool:
    """Whether waiting some seconds may help: not with a wrong key or a missing model."""
    return snapshot is not None and snapshot.flag is None and snapshot.excluded.get(model, now) <= now
