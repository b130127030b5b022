"""The retry budget against a bucket that remembers every token and when it was put in or taken out.

The budget forgets in steps of a tenth of its time to live, so it may forget up to a tenth early. The model
forgets each token at its own instant; between the two forgetful readings of it the budget must lie.
"""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.settings.model import RetryBudget

SLACK = 1e-6


class Ledger:
    """Every token in and out, for ever."""

    def __init__(self, ratio: float, per_second: float, ttl: float) -> None:
        self.ratio, self.floor, self.ttl = ratio, per_second * ttl, ttl
        self.requests: list[float] = []
        self.extra: list[float] = []

    def since(self, instants: list[float], now: float, share: float) -> int:
        return sum(now - at < share * self.ttl for at in instants)

    def most(self, now: float) -> float:
        return (
            self.floor + self.ratio * self.since(self.requests, now, 1.0) - self.since(self.extra, now, 0.9)
        )

    def least(self, now: float) -> float:
        return (
            self.floor + self.ratio * self.since(self.requests, now, 0.9) - self.since(self.extra, now, 1.0)
        )


STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.01, 0.3, 0.9, 1.0, 4.0, 11.0]), st.sampled_from("rrrtttt")),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(
    STEPS,
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    st.sampled_from([1.0, 7.3, 10.0]),
)
def test_it_lies_between_the_two_readings_of_the_ledger(
    steps: list[tuple[float, str]], ratio: float, per_second: float, ttl: float
) -> None:
    budget = Budget(RetryBudget(ratio=ratio, min_per_s=per_second, ttl=ttl))
    ledger, now = Ledger(ratio, per_second, ttl), 1000.0
    for passed, what in steps:
        now += passed
        if what == "r":
            budget.deposit(now)
            ledger.requests.append(now)
        else:
            had = budget.left(now)
            taken = budget.take(now)
            assert taken == (had >= 1.0)
            if taken:
                ledger.extra.append(now)
        assert ledger.least(now) - SLACK <= budget.left(now) <= ledger.most(now) + SLACK


@pytest.mark.parametrize("rate", [1, 10, 100])  # requests a second
@pytest.mark.parametrize("ratio", [0.0, 0.2])
def test_a_total_outage_makes_no_more_extra_attempts_than_the_share_and_the_floor(
    rate: int, ratio: float
) -> None:
    """Every request asks for as much as it can get, for five minutes."""
    budget = Budget(RetryBudget(ratio=ratio, min_per_s=1.0, ttl=10.0))
    requests, extra = 300 * rate, 0
    for number in range(requests):
        now = number / rate
        budget.deposit(now)
        while budget.take(now):
            extra += 1
    # What the bucket holds at first, and a tenth for what expires early.
    assert extra <= 1.1 * (ratio * requests + 1.0 * 300) + 10
    assert extra >= 0.9 * (ratio * requests + 1.0 * 300)
