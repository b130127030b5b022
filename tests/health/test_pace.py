"""How long a provider takes to its first content: against sorting the last hundred."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.health.lateness import LATE, was_late
from ccproxy_trio.health.pace import ENOUGH, KEPT, Pace


def paced(*seconds: float) -> float | None:
    pace = Pace()
    for each in seconds:
        pace.note(each)
    return pace.p95


@given(st.lists(st.floats(0, 600), max_size=3 * KEPT))
def test_p95_is_that_of_the_last_hundred(seconds: list[float]) -> None:
    kept = sorted(seconds[-KEPT:])
    expected = None if len(kept) < ENOUGH else kept[math.ceil(len(kept) * 0.95 - 1e-9) - 1]
    assert paced(*seconds) == expected


def test_too_few_tell_nothing() -> None:
    assert paced(*[1.0] * (ENOUGH - 1)) is None
    assert paced(*[1.0] * ENOUGH) == 1.0


def test_what_was_long_ago_is_forgotten() -> None:
    assert paced(*[50.0] * KEPT, *[1.0] * KEPT) == 1.0


@pytest.mark.parametrize(
    ("by", "late"), [(0.0, False), (LATE, False), (LATE + 0.1, True), (-math.inf, False)]
)
def test_a_busy_machine_is_not_late_and_a_stopped_one_is(by: float, late: bool) -> None:
    assert was_late(100.0, 100.0 + by) is late
