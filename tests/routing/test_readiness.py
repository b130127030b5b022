import math

import pytest

from ccproxy_trio.health.breaker import Breaker
from ccproxy_trio.health.snapshot import Flag, Snapshot, State
from ccproxy_trio.health.verdict import Verdict
from ccproxy_trio.routing.readiness import forcible_at, mendable, ready_at, rests_until
from ccproxy_trio.settings.model import BreakerSettings
from tests.routing.asking import health, shut

NEVER = math.inf


@pytest.mark.parametrize(
    ("snapshot", "ready"),
    [
        (health("a"), 5.0),
        (None, NEVER),
        (shut("a", 9.0), 9.0),
        (shut("a", 2.0), 5.0),
        (health("a", State.HALF_OPEN), 5.0),
        (health("a", State.HALF_OPEN, trial_taken=True, reopens_at=9.0), 9.0),
        (health("a", cooling={"m": 8.0, "x": 99.0}), 8.0),
        (health("a", cooling={"m": 8.0, "*": 9.0}), 9.0),
        (health("a", excluded={"m": 8.0}), 8.0),
        (health("a", excluded={"x": 8.0}), 5.0),
        (health("a", reopens_at=99.0), 5.0),
        (shut("a", 7.0, cooling={"m": 8.0}, excluded={"m": 9.0}), 9.0),
    ],
)
def test_a_candidate_is_ready_when_breaker_rest_and_exclusion_are_over(
    snapshot: Snapshot | None, ready: float
) -> None:
    assert ready_at(snapshot, "m", 5.0) == ready


@pytest.mark.parametrize(
    ("snapshot", "forcible"),
    [
        (shut("a", 99.0), 5.0),
        (shut("a", 99.0, panic_at=6.0), 6.0),
        (shut("a", 99.0, cooling={"*": 7.0}), 7.0),
        (shut("a", 99.0, excluded={"m": 8.0}), 8.0),
        (shut("a", 99.0, flag=Flag.TLS), 5.0),
        (shut("a", 99.0, flag=Flag.AUTH), NEVER),
        (shut("a", 99.0, flag=Flag.QUOTA), NEVER),
        (health("a"), NEVER),
        (health("a", State.HALF_OPEN), NEVER),
        (None, NEVER),
    ],
)
def test_only_a_breaker_that_plain_failures_opened_can_be_forced(
    snapshot: Snapshot | None, forcible: float
) -> None:
    assert forcible_at(snapshot, "m", 5.0) == forcible


@pytest.mark.parametrize(
    ("snapshot", "mends"),
    [
        (health("a"), True),
        (shut("a", 99.0), True),
        (health("a", excluded={"x": 99.0}), True),
        (health("a", excluded={"m": 5.0}), True),
        (health("a", excluded={"m": 5.1}), False),
        (health("a", flag=Flag.MISCONFIGURED), False),
        (None, False),
    ],
)
def test_waiting_mends_neither_a_flag_nor_a_missing_model(snapshot: Snapshot | None, mends: bool) -> None:
    assert mendable(snapshot, "m", 5.0) is mends


def test_a_model_that_never_rested_is_not_resting() -> None:
    assert rests_until(health("a"), "m") == -math.inf


def test_a_closed_breaker_admits_and_its_resting_model_still_is_not_ready() -> None:
    breaker = Breaker(BreakerSettings(), trial_timeout=1.0, draw=lambda: 0.0)
    permit = breaker.acquire(5.0)
    assert permit is not None
    breaker.settle(permit, Verdict.LIMITED, 5.0)
    assert breaker.admits(5.0)
    assert ready_at(health("a", breaker.state, cooling={"m": 35.0}), "m", 5.0) == 35.0
