import hypothesis.strategies as st
from hypothesis import given

from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.settings.model import RetryBudget


def spend(budget: Budget, now: float) -> int:
    return next(taken for taken in range(10_000) if not budget.take(now))


def test_an_idle_process_has_the_floor_for_its_time_to_live() -> None:
    budget = Budget(RetryBudget(ratio=0.2, min_per_s=1.0, ttl=10.0))
    assert spend(budget, 0.0) == 10
    assert budget.left(0.0) == 0.0


def test_what_was_spent_comes_back_as_it_expires() -> None:
    budget = Budget(RetryBudget(ttl=10.0))
    spend(budget, 0.0)
    assert spend(budget, 9.9) == 0
    assert spend(budget, 10.0) == 10


def test_five_requests_pay_for_one_more_attempt() -> None:
    budget = Budget(RetryBudget(ratio=0.2, min_per_s=0.0))
    for _ in range(4):
        budget.deposit(0.0)
    assert not budget.take(0.0)
    budget.deposit(0.5)
    assert budget.take(0.5)
    assert not budget.take(0.5)


def test_deposits_expire() -> None:
    budget = Budget(RetryBudget(ratio=1.0, min_per_s=0.0, ttl=10.0))
    budget.deposit(0.0)
    assert budget.left(9.9) == 1.0
    assert budget.left(10.0) == 0.0


def test_a_refused_token_costs_nothing() -> None:
    budget = Budget(RetryBudget(ratio=0.5, min_per_s=0.0))
    budget.deposit(0.0)
    assert not budget.take(0.0)
    budget.deposit(0.0)
    assert budget.take(0.0)


def test_hours_without_a_failure_leave_nothing_behind() -> None:
    budget = Budget(RetryBudget(ratio=0.2, min_per_s=1.0, ttl=10.0))
    for second in range(10_000):
        budget.deposit(float(second))
    assert len(budget._entries) <= 10


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300))
def test_attempts_stay_within_the_share_of_traffic_plus_the_floor(steps: list[tuple[float, bool]]) -> None:
    budget, now, requests, extra = Budget(RetryBudget(ratio=0.2, min_per_s=1.0, ttl=10.0)), 0.0, 0, 0
    for passed, asks in steps:
        now += passed
        if asks:
            requests += 1
            budget.deposit(now)
        else:
            extra += budget.take(now)
        assert len(budget._entries) <= 10
    # One more time-to-live of the floor: what it starts with, and the slice that expires in one go.
    assert extra <= 0.2 * requests + 1.0 * (now + 2 * 10.0)


def test_other_numbers_count_from_now_on_and_keep_what_was_deposited() -> None:
    budget = Budget(RetryBudget(ratio=1.0, min_per_s=0.0, ttl=10.0))
    budget.deposit(0.0)
    budget.reconfigure(RetryBudget(ratio=2.0, min_per_s=0.5, ttl=10.0))
    budget.deposit(0.0)
    assert budget.left(0.0) == 1.0 + 2.0 + 5.0
    budget.reconfigure(RetryBudget(ratio=2.0, min_per_s=0.5, ttl=20.0))
    assert budget.left(0.0) == 10.0


def test_what_was_not_had_is_given_back() -> None:
    budget = Budget(RetryBudget(ratio=0.0, min_per_s=0.1, ttl=10.0))
    assert budget.take(100.0)
    assert not budget.take(100.0)
    budget.give_back(100.0)
    assert budget.take(100.0)
