"""Whom a request asks beside the attempt that keeps it waiting. The clock stands at 100."""

import math
from typing import Any

import pytest

from ccproxy_trio.health.snapshot import Snapshot, State
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.hedge import hedge
from ccproxy_trio.routing.question import VISION, Query, Use, Wait
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import RetryBudget
from ccproxy_trio.wire.faults import FaultKind
from tests.routing.asking import A2, A, B, C, failed, health, query, rules, shut, view_of

K = FaultKind
RICH = RetryBudget()
POOR = RetryBudget(ratio=0.0, min_per_s=0.05, ttl=10.0)


def beside(
    under_way: Candidate, question: Query, *snapshots: Snapshot, budget: Budget | None = None, **fields: Any
) -> Candidate | None:
    """Who is asked beside `under_way`, of A, its other model, B and C."""
    step = hedge(
        question,
        under_way,
        candidates=(A, A2, B, C),
        view=view_of(*snapshots),
        rules=rules(**fields),
        budget=budget or Budget(RICH),
        now=100.0,
    )
    assert step is None or (isinstance(step, Use) and not step.forced and step.after == 0.0)
    return None if step is None else step.candidate


def test_the_best_candidate_of_another_provider_is_asked() -> None:
    assert beside(A, query()) == B
    assert beside(B, query()) == A


def test_a_hedge_costs_a_token_even_as_the_first_extra_attempt() -> None:
    budget = Budget(RICH)
    before = budget.left(100.0)
    beside(A, query(), budget=budget)
    assert budget.left(100.0) == before - 1


def test_nobody_costs_nothing() -> None:
    budget = Budget(RICH)
    before = budget.left(100.0)
    assert beside(A, query(), shut("b", 200.0), shut("c", 200.0), budget=budget) is None
    assert budget.left(100.0) == before


def test_without_a_token_nobody_is_asked() -> None:
    assert beside(A, query(), budget=Budget(POOR)) is None


@pytest.mark.parametrize(
    "unfit",
    [
        shut("b", 200.0),
        shut("b", 50.0),  # due for its trial
        health("b", State.HALF_OPEN, reopens_at=50.0),
        health("b", cooling={"m": 101.0}),
        health("b", cooling={"*": 101.0}),
        health("b", excluded={"m": 101.0}),
        health("b", cooling={"*": math.inf}),
    ],
)
def test_who_is_not_ready_at_once_or_only_for_a_trial_is_passed_over(unfit: Snapshot) -> None:
    assert beside(A, query(), unfit) == C


def test_nobody_is_forced() -> None:
    assert beside(A, query(), shut("b", 200.0, panic_at=0.0), shut("c", 200.0, panic_at=0.0)) is None


def test_the_attempt_under_way_counts_among_those_of_the_round() -> None:
    question = query(failed(B, K.RESET))
    assert beside(A, question, max_attempts=3) == C
    assert beside(A, question, max_attempts=2) is None


def test_who_has_failed_in_this_round_is_not_asked_again() -> None:
    assert beside(A, query(failed(B, K.RESET), failed(C, K.RESET))) is None


def test_behind_the_deadline_nobody_is_asked() -> None:
    assert beside(A, query(deadline=100.0)) is None


def test_a_ring_keeps_its_order() -> None:
    assert beside(B, query(turn=1), strategy="round_robin") == C
    assert beside(C, query(turn=2), strategy="round_robin") == A


def test_who_broke_the_conversation_off_is_not_asked() -> None:
    assert beside(A, query(avoid=frozenset({"b"}))) == C
    assert beside(A, query(avoid=frozenset({"b", "c"}))) is None


def test_a_model_that_cannot_see_hurries_no_answer_about_an_image() -> None:
    assert beside(A, query(needs=frozenset({VISION})), blind=frozenset({B})) == C
    assert beside(A, query(needs=frozenset({VISION})), blind=frozenset({B, C})) is None
    assert beside(A, query(), blind=frozenset({B, C})) == B


def test_an_attempt_that_was_outrun_has_had_its_place() -> None:
    assert beside(A, query(outrun=1), max_attempts=3) == B
    assert beside(A, query(outrun=1), max_attempts=2) is None


def test_a_new_round_begins_without_those_that_were_outrun() -> None:
    wait = Wait(until=101.0, turn=0, round=1, patient_until=120.0)
    assert wait.resumed(query(outrun=1)).outrun == 0
    assert wait.resumed(query(outrun=1, round=1)).outrun == 1
