"""What a request tries next, situation by situation. The clock stands at 100 unless said otherwise."""

import math
from typing import Any

import pytest

from ccproxy_trio.health.snapshot import Flag, Snapshot, State
from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import VISION, Query, Rules, Size
from ccproxy_trio.routing.strategy import GiveUp, Use, Wait
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import Models, ProviderSettings, RetryBudget, Secret, Settings
from ccproxy_trio.wire.faults import FaultKind, Overflow
from tests.routing.asking import (
    A2,
    B2,
    A,
    B,
    C,
    ask,
    failed,
    health,
    query,
    rules,
    shut,
    used,
    view_of,
    waited,
)

K = FaultKind


# -- the first choice ----------------------------------------------------------------------------------


def test_a_first_request_goes_to_the_best_candidate_at_once_and_for_free() -> None:
    budget = Budget(RetryBudget())
    assert ask(query(turn=3), budget=budget) == Use(candidate=A, turn=3)
    assert budget.left(100.0) == 10.0


def test_a_turn_that_was_not_drawn_counts_as_the_first() -> None:
    assert ask(query(turn=None)) == Use(candidate=A, turn=0)


@pytest.mark.parametrize(
    "unfit",
    [
        shut("a", 100.1),
        health("a", State.HALF_OPEN, trial_taken=True, reopens_at=130.0),
        health("a", cooling={"m": 101.0}),
        health("a", cooling={"*": 101.0}),
        health("a", excluded={"m": 101.0}),
        health("a", cooling={"*": math.inf}),
    ],
)
def test_a_candidate_that_is_not_ready_is_passed_over(unfit: Snapshot) -> None:
    assert used(ask(query(), view=view_of(unfit))) == B


def test_a_provider_that_never_reported_is_passed_over() -> None:
    seen = view_of()
    del seen["a"]
    assert used(ask(query(), view=seen)) == B


def test_a_recovered_primary_gets_its_trial_from_the_next_request() -> None:
    assert used(ask(query(), view=view_of(shut("a", 100.0)))) == A
    assert used(ask(query(), view=view_of(health("a", State.HALF_OPEN)))) == A


def test_a_resting_model_leaves_the_providers_other_models_in_play() -> None:
    assert used(ask(query(), candidates=(A, A2, B), view=view_of(health("a", cooling={"m": 200.0})))) == A2


@pytest.mark.parametrize(("turn", "candidate"), [(0, A), (1, C), (2, C), (3, A)])
def test_skipping_a_refused_member_does_not_move_the_ring_twice(turn: int, candidate: Candidate) -> None:
    seen, ring = view_of(health("b", cooling={"*": math.inf})), rules(strategy="round_robin")
    assert used(ask(query(turn=turn), view=seen, rules_=ring)) == candidate


def test_a_request_with_images_prefers_those_that_see() -> None:
    blind = rules(blind=frozenset({A}))
    assert used(ask(query(needs=frozenset({VISION})), rules_=blind)) == B
    seen = view_of(health("b", cooling={"*": math.inf}), health("c", cooling={"*": math.inf}))
    assert used(ask(query(needs=frozenset({VISION})), rules_=blind, view=seen)) == A


# -- falling over --------------------------------------------------------------------------------------

ELSEWHERE = [
    K.TLS,
    K.POOL,
    K.RESET,
    K.PROTOCOL,
    K.CONNECT_TIMEOUT,
    K.HEADERS_TIMEOUT,
    K.CONTENT_TIMEOUT,
    K.TRUNCATED,
    K.OVERLOADED,
    K.QUOTA,
    K.AUTH,
    K.LOGIN,
    K.MISCONFIGURED,
    K.UPSTREAM_ERROR,
    K.CONFIG,
    K.SERVER_ERROR,
    K.EMPTY,
    K.UNSUPPORTED_PARAMETER,
    K.INTERNAL,
]


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_failed_provider_is_out_for_the_round_with_all_its_models(kind: FaultKind) -> None:
    assert used(ask(query(failed(A, kind)), candidates=(A, A2, B))) == B


@pytest.mark.parametrize("kind", [K.RATE_LIMITED, K.MODEL_NOT_FOUND, K.MODEL_ACCESS])
def test_a_limited_or_missing_model_is_followed_by_the_providers_next(kind: FaultKind) -> None:
    assert used(ask(query(failed(A, kind)), candidates=(A, A2, B))) == A2
    assert used(ask(query(failed(A, kind), failed(A2, kind)), candidates=(A, A2, B))) == B


def test_a_limit_on_the_account_is_followed_by_the_next_provider() -> None:
    attempt = failed(A, K.RATE_LIMITED, whole_provider=True)
    assert used(ask(query(attempt), candidates=(A, A2, B))) == B


def test_a_refused_lease_puts_the_candidate_out_of_the_round() -> None:
    assert used(ask(query(failed(A, None)))) == B
    assert used(ask(query(failed(A, None)), candidates=(A, A2, B))) == A2


@pytest.mark.parametrize("kind", [K.BAD_REQUEST, K.CONTENT_POLICY, K.TOTAL_TIMEOUT, K.CLIENT_STALLED])
def test_what_would_fail_everywhere_stops_the_request(kind: FaultKind) -> None:
    assert ask(query(failed(A, kind), turn=7)) == GiveUp(turn=7)


def test_a_bad_request_goes_on_where_the_operator_wants_that() -> None:
    wanted = rules(failover_on_400=True)
    assert used(ask(query(failed(A, K.BAD_REQUEST)), rules_=wanted)) == B
    everywhere = [failed(candidate, K.BAD_REQUEST) for candidate in (A, B, C)]
    assert ask(query(*everywhere), rules_=wanted) == GiveUp(turn=0)
    assert ask(query(failed(A, K.CONTENT_POLICY)), rules_=wanted) == GiveUp(turn=0)


@pytest.mark.parametrize("kind", [K.EMPTY, K.UNSUPPORTED_PARAMETER])
def test_what_may_be_the_requests_own_doing_gets_one_second_opinion(kind: FaultKind) -> None:
    assert used(ask(query(failed(A, kind)))) == B
    assert ask(query(failed(A, kind), failed(B, kind))) == GiveUp(turn=0)
    assert used(ask(query(failed(A, K.RESET), failed(B, kind)))) == C


def test_an_overflow_goes_only_where_the_window_is_known_to_be_larger() -> None:
    attempt = failed(A, K.CONTEXT_OVERFLOW, overflow=Overflow(prompt=1500, limit=1000))
    assert used(ask(query(attempt), rules_=rules(windows={A: 1000, B: 1200, C: 2000}))) == C
    assert ask(query(attempt), rules_=rules(windows={A: 1000})) == GiveUp(turn=0)


def test_a_larger_model_of_the_same_provider_will_do() -> None:
    attempt = failed(A, K.CONTEXT_OVERFLOW, overflow=Overflow(prompt=1500, limit=1000))
    assert used(ask(query(attempt), candidates=(A, A2, B), rules_=rules(windows={A2: 2000}))) == A2


def test_a_prompt_too_long_for_every_known_window_is_not_sent_at_all() -> None:
    windows = rules(windows={A: 10, B: 10, C: 10})
    assert ask(query(size=Size(tokens=13)), rules_=windows) == GiveUp(turn=0)


def test_a_round_makes_no_more_attempts_than_allowed() -> None:
    attempts = [failed(A, K.RESET), failed(B, K.RESET)]
    assert used(ask(query(*attempts), rules_=rules(max_attempts=3))) == C
    step = ask(query(*attempts), rules_=rules(max_attempts=2))
    assert step == Wait(until=101.0, turn=0, round=1, patient_until=120.0)


def test_refused_leases_are_no_attempts() -> None:
    attempts = [failed(A, None), failed(B, None)]
    assert used(ask(query(*attempts), rules_=rules(max_attempts=1))) == C


def test_past_the_deadline_nothing_is_tried() -> None:
    assert used(ask(query(deadline=100.1))) == A
    assert ask(query(deadline=100.0)) == GiveUp(turn=0)


# -- the same provider again ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "after"), [(K.CONNECT, 0.0), (K.STALE, 0.0)])
def test_where_nothing_was_sent_the_same_candidate_is_asked_once_more_at_once(
    kind: FaultKind, after: float
) -> None:
    assert ask(query(failed(A, kind))) == Use(candidate=A, turn=0, after=after, paid=True)
    assert used(ask(query(failed(A, kind), failed(A, kind)))) == B


@pytest.mark.parametrize("kind", [K.REQUEST_TIMEOUT, K.CONFLICT])
def test_a_conflict_is_repeated_once_after_a_moment(kind: FaultKind) -> None:
    step = ask(query(failed(A, kind)))
    assert isinstance(step, Use)
    assert step.candidate == A
    assert 0.0 < step.after < 0.5
    assert used(ask(query(failed(A, kind), failed(A, kind)))) == B


def test_a_server_error_is_repeated_only_where_there_is_no_other() -> None:
    assert used(ask(query(failed(A, K.SERVER_ERROR)))) == B
    assert used(ask(query(failed(A, K.SERVER_ERROR)), candidates=(A,))) == A
    others_out = view_of(shut("b", 200.0), health("c", cooling={"m": 200.0}))
    assert used(ask(query(failed(A, K.SERVER_ERROR)), view=others_out)) == A


def test_another_model_of_the_same_provider_is_no_other_provider() -> None:
    assert used(ask(query(failed(A, K.SERVER_ERROR)), candidates=(A, A2))) == A


@pytest.mark.parametrize("kind", [K.SERVER_ERROR, K.CONNECT])
def test_alone_it_is_asked_as_often_as_the_provider_allows_with_growing_pauses(kind: FaultKind) -> None:
    attempts = [failed(A, kind, at=100.0 + n / 1000) for n in range(4)]
    alone: dict[str, Any] = {"candidates": (A,), "rules_": rules(max_retries={"a": 3}), "now": 100.1}
    for tries in (1, 2, 3):
        step = ask(query(*attempts[:tries]), **alone)
        assert isinstance(step, Use)
        assert 0.0 <= step.after < 0.5 * 2 ** (tries - 1)
    assert isinstance(ask(query(*attempts), **alone), Wait)


def test_the_pause_is_full_jitter_below_its_ceiling() -> None:
    def pauses(tries: int) -> list[float]:
        steps = [
            ask(
                query(*[failed(A, K.SERVER_ERROR, at=100.0 + n / 997) for _ in range(tries)]),
                candidates=(A,),
                rules_=rules(max_retries={"a": 99}, max_attempts=99),
                budget=Budget(RetryBudget(min_per_s=1000)),
                now=101.0,
            )
            for n in range(300)
        ]
        return [step.after for step in steps if isinstance(step, Use)]

    for tries, ceiling in [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (6, 8.0), (40, 8.0)]:
        drawn = pauses(tries)
        assert len(drawn) == 300
        assert max(drawn) < ceiling
        assert max(drawn) > 0.95 * ceiling
        assert min(drawn) < 0.05 * ceiling


def test_a_provider_that_allows_no_retries_gets_none() -> None:
    assert used(ask(query(failed(A, K.CONNECT)), rules_=rules(max_retries={"a": 0}))) == B
    assert used(ask(query(failed(A, K.CONNECT)), rules_=rules(max_retries={}))) == B


def test_no_retry_is_made_of_a_provider_that_rests_or_has_opened() -> None:
    for snapshot in (shut("a", 200.0), health("a", cooling={"m": 200.0})):
        assert used(ask(query(failed(A, K.CONNECT)), view=view_of(snapshot))) == B


def test_no_retry_is_made_past_the_rounds_attempts_or_the_deadline() -> None:
    assert isinstance(ask(query(failed(A, K.CONNECT)), rules_=rules(max_attempts=1)), Wait)
    attempt = failed(A, K.SERVER_ERROR)
    step = ask(query(attempt), candidates=(A,))
    assert isinstance(step, Use)
    assert ask(query(attempt, deadline=100.0 + step.after), candidates=(A,)) == GiveUp(turn=0)


def test_a_retry_whose_lease_was_refused_is_not_asked_for_again() -> None:
    assert used(ask(query(failed(A, K.CONNECT), failed(A, None)))) == B


def test_a_failure_of_an_earlier_round_is_not_retried_as_if_it_were_new() -> None:
    step = ask(query(failed(A, K.CONNECT, at=99.5), round=1), candidates=(A,))
    assert waited(step) == 100.5


def test_the_same_failure_twice_is_told_apart_by_its_round() -> None:
    """The last attempt equals one of this round in all but the round."""
    attempts = [failed(A, K.CONNECT, at=98.0, round=0), failed(A, K.CONNECT, at=98.0, round=1)]
    assert ask(query(*attempts, round=1), candidates=(A,), now=99.0) == Use(
        candidate=A, turn=0, after=0.0, paid=True
    )


# -- waiting -------------------------------------------------------------------------------------------


def test_a_candidate_that_is_ready_soon_is_waited_for_in_the_same_round() -> None:
    resting = view_of(*(health(name, cooling={"m": at}) for name, at in (("a", 104), ("b", 102), ("c", 130))))
    assert ask(query(round=2), view=resting) == Wait(until=102, turn=0, round=2, patient_until=120.0)


def test_what_is_far_off_is_waited_for_in_a_new_round_and_only_within_patience() -> None:
    resting = view_of(*(health(name, cooling={"m": 112}) for name in "abc"))
    assert ask(query(), view=resting) == Wait(until=112, turn=0, round=1, patient_until=120.0)
    resting = view_of(*(health(name, cooling={"m": 120.1}) for name in "abc"))
    assert ask(query(), view=resting) == GiveUp(turn=0)


def test_patience_counts_from_the_first_exhaustion() -> None:
    resting = view_of(*(health(name, cooling={"m": 112}) for name in "abc"))
    assert ask(query(patient_until=111.9), view=resting) == GiveUp(turn=0)
    step = ask(query(patient_until=112.0), view=resting)
    assert isinstance(step, Wait)
    assert step.patient_until == 112.0


@pytest.mark.parametrize("deadline", [102.0, 101.0])
def test_nothing_is_waited_for_up_to_or_past_the_deadline(deadline: float) -> None:
    resting = view_of(*(health(name, cooling={"m": 102}) for name in "abc"))
    assert ask(query(deadline=deadline), view=resting) == GiveUp(turn=0)
    assert waited(ask(query(deadline=102.1), view=resting)) == 102


def test_without_patience_nothing_is_waited_for_but_the_shut_are_forced() -> None:
    impatient = rules(patience=0.0)
    resting = view_of(*(health(name, cooling={"m": 100.5}) for name in "abc"))
    assert ask(query(), view=resting, rules_=impatient) == GiveUp(turn=0)
    failures = [failed(candidate, K.RESET, at=90.0) for candidate in (A, B, C)]
    assert ask(query(*failures), rules_=impatient) == GiveUp(turn=0)
    assert ask(query(), view=view_of(shut("a", 200.0)), candidates=(A,), rules_=impatient) == Use(
        candidate=A, turn=0, forced=True
    )


def test_a_failure_whose_breaker_is_closed_is_tried_again_a_second_later_in_a_new_round() -> None:
    failures = [failed(A, K.RESET, at=98.0), failed(B, K.RESET, at=99.0), failed(C, K.RESET, at=100.0)]
    assert ask(query(*failures)) == Wait(until=100.0, turn=0, round=1, patient_until=120.0)
    late = [failed(A, K.RESET, at=99.9), failed(B, K.RESET, at=99.7), failed(C, K.RESET, at=100.0)]
    assert waited(ask(query(*late))) == pytest.approx(100.7)


def test_woken_too_early_in_the_new_round_it_goes_on_waiting() -> None:
    failures = [failed(A, K.RESET, at=99.9), failed(B, K.RESET, at=99.7)]
    step = ask(query(*failures, round=1, patient_until=119.0), candidates=(A, B))
    assert waited(step) == pytest.approx(100.7)
    ready = ask(query(*failures, round=1, patient_until=119.0), candidates=(A, B), now=100.7)
    assert used(ready) == B


def test_the_last_failure_of_a_provider_decides_how_long_it_is_left_alone() -> None:
    attempts = [failed(A, K.RESET, at=90.0), failed(A2, K.RESET, at=99.8, round=1)]
    assert waited(ask(query(*attempts, round=2), candidates=(A,))) == pytest.approx(100.8)


def test_a_little_patience_is_patience() -> None:
    resting = view_of(health("a", cooling={"m": 100.4}))
    assert waited(ask(query(), candidates=(A,), view=resting, rules_=rules(patience=0.5))) == 100.4


def test_a_new_round_lets_everybody_in_again() -> None:
    failures = [failed(candidate, K.RESET, at=90.0) for candidate in (A, B, C)]
    assert used(ask(query(*failures, round=1, patient_until=119.0))) == A


def test_the_query_after_a_wait_carries_on() -> None:
    before = query(failed(A, K.RESET), turn=None)
    wait = Wait(until=101.0, turn=4, round=1, patient_until=120.0)
    after = wait.resumed(before)
    assert (after.turn, after.round, after.patient_until) == (4, 1, 120.0)
    assert after.attempts == before.attempts


@pytest.mark.parametrize(
    "kind",
    [
        K.AUTH,
        K.LOGIN,
        K.QUOTA,
        K.MISCONFIGURED,
        K.TLS,
        K.CONFIG,
        K.MODEL_NOT_FOUND,
        K.MODEL_ACCESS,
        K.INTERNAL,
        K.EMPTY,
        K.UNSUPPORTED_PARAMETER,
        K.HEADERS_TIMEOUT,
        K.CONTENT_TIMEOUT,
        K.IDLE_TIMEOUT,
    ],
)
def test_what_no_waiting_mends_is_told_at_once(kind: FaultKind) -> None:
    assert ask(query(failed(A, kind)), candidates=(A,)) == GiveUp(turn=0)
    assert waited(ask(query(failed(A, kind), failed(B, K.RESET)), candidates=(A, B))) == 101.0


def test_who_is_hopeless_is_left_out_of_later_rounds_too() -> None:
    attempts = [failed(A, K.CONTENT_TIMEOUT, at=50.0), failed(B, K.RESET, at=60.0)]
    assert used(ask(query(*attempts, round=1), candidates=(A, B))) == B


def test_a_hopeless_provider_is_hopeless_with_all_its_models_and_a_missing_model_alone() -> None:
    assert ask(query(failed(A, K.TLS)), candidates=(A, A2)) == GiveUp(turn=0)
    attempts = [failed(A, K.MODEL_NOT_FOUND), failed(A2, K.RATE_LIMITED)]
    assert waited(ask(query(*attempts), candidates=(A, A2))) == 101.0


@pytest.mark.parametrize(
    "snapshot",
    [
        shut("a", 103.0, flag=Flag.AUTH),
        shut("a", 103.0, flag=Flag.QUOTA),
        health("a", excluded={"m": 103.0}),
        health("a", cooling={"*": math.inf}),
    ],
)
def test_a_state_that_no_waiting_mends_is_not_waited_for(snapshot: Snapshot) -> None:
    assert ask(query(), candidates=(A,), view=view_of(snapshot)) == GiveUp(turn=0)


def test_a_rejected_key_still_gets_its_trial_when_its_wait_is_over() -> None:
    assert used(ask(query(), candidates=(A,), view=view_of(shut("a", 100.0, flag=Flag.AUTH)))) == A


def test_no_candidates_at_all_is_the_end() -> None:
    assert ask(query(), candidates=()) == GiveUp(turn=0)


# -- panic ---------------------------------------------------------------------------------------------

ALL_SHUT = view_of(shut("a", 160.0, opens=2), shut("b", 170.0, opens=1), shut("c", 165.0, opens=1))


def test_when_all_are_shut_the_least_bad_is_forced() -> None:
    assert ask(query(), view=ALL_SHUT) == Use(candidate=C, turn=0, forced=True)


def test_unless_panic_is_off() -> None:
    assert ask(query(), view=ALL_SHUT, rules_=rules(panics=False)) == GiveUp(turn=0)


def test_each_provider_is_forced_once_a_second_and_the_others_wait_for_the_next_second() -> None:
    taken = view_of(
        *(shut(name, 160.0, panic_at=at) for name, at in (("a", 100.6), ("b", 100.4), ("c", 100.9)))
    )
    assert ask(query(), view=taken) == Wait(until=100.4, turn=0, round=1, patient_until=120.0)
    assert used(ask(query(), view=taken, now=100.4)) == B


def test_a_forced_attempt_that_failed_is_followed_by_the_next_best() -> None:
    step = ask(query(failed(C, K.RESET)), view=ALL_SHUT)
    assert step == Use(candidate=B, turn=0, forced=True)
    failures = [failed(candidate, K.RESET) for candidate in (A, B, C)]
    assert waited(ask(query(*failures), view=ALL_SHUT)) == 101.0


def test_a_resting_or_rejected_provider_is_never_forced() -> None:
    seen = view_of(
        shut("a", 160.0, cooling={"m": 110.0}), shut("b", 160.0, flag=Flag.AUTH), shut("c", 160.0, opens=9)
    )
    assert used(ask(query(), view=seen)) == C
    assert ask(query(), candidates=(B,), view=seen) == GiveUp(turn=0)
    assert waited(ask(query(), candidates=(A,), view=seen)) == 110.0


def test_what_is_ready_soon_goes_before_forcing_and_what_is_not_does_not() -> None:
    def seen(at: float) -> dict[str, Snapshot]:
        return view_of(shut("a", 160.0), shut("b", 160.0), health("c", cooling={"m": at}))

    assert waited(ask(query(), view=seen(105.0))) == 105.0
    assert used(ask(query(), view=seen(105.1))) == A


def test_with_a_broken_certificate_it_is_forced_but_not_waited_for() -> None:
    seen = view_of(shut("a", 160.0, flag=Flag.TLS))
    assert used(ask(query(), candidates=(A,), view=seen)) == A
    later = view_of(shut("a", 160.0, flag=Flag.TLS, panic_at=100.5))
    assert ask(query(), candidates=(A,), view=later) == GiveUp(turn=0)


def test_who_failed_with_a_bad_key_in_this_request_is_not_forced() -> None:
    assert ask(query(failed(A, K.TLS, round=0), round=1), candidates=(A,), view=ALL_SHUT) == GiveUp(turn=0)


def test_a_forced_attempt_counts_in_the_round() -> None:
    step = ask(query(failed(C, K.RESET)), view=ALL_SHUT, rules_=rules(max_attempts=1))
    assert isinstance(step, Wait)


# -- the retry budget ----------------------------------------------------------------------------------


def broke() -> Budget:
    return Budget(RetryBudget(ratio=0.0, min_per_s=0.0))


@pytest.mark.parametrize("kind", [K.CONNECT_TIMEOUT, K.RESET, K.RATE_LIMITED, K.SERVER_ERROR, K.AUTH])
def test_going_elsewhere_after_a_plain_failure_is_free(kind: FaultKind) -> None:
    assert used(ask(query(failed(A, kind)), budget=broke())) == B


@pytest.mark.parametrize("kind", [K.OVERLOADED, K.HEADERS_TIMEOUT, K.CONTENT_TIMEOUT, K.REQUEST_TIMEOUT])
def test_going_elsewhere_after_an_overload_or_a_time_out_is_paid_for(kind: FaultKind) -> None:
    budget, once = Budget(RetryBudget()), rules(max_retries={})
    assert used(ask(query(failed(A, kind)), budget=budget, rules_=once)) == B
    assert budget.left(100.0) == 9.0
    assert waited(ask(query(failed(A, kind)), budget=broke())) == 101.0


def test_asking_the_same_again_is_paid_for() -> None:
    budget = Budget(RetryBudget())
    assert used(ask(query(failed(A, K.CONNECT)), budget=budget)) == A
    assert budget.left(100.0) == 9.0
    assert used(ask(query(failed(A, K.CONNECT)), budget=broke())) == B


SHAKY = view_of(health("a", failure_count=1))


def test_a_later_round_is_paid_for_too() -> None:
    question = query(failed(A, K.RESET, at=90.0), round=1)
    assert waited(ask(question, candidates=(A,), view=SHAKY, budget=broke())) == 101.0
    budget = Budget(RetryBudget())
    assert used(ask(question, candidates=(A,), view=SHAKY, budget=budget)) == A
    assert budget.left(100.0) == 9.0


def test_a_provider_that_has_recovered_costs_those_who_waited_for_it_nothing() -> None:
    question = query(failed(A, K.RESET, at=90.0), round=1)
    assert used(ask(question, candidates=(A,), budget=broke())) == A


def test_a_repetition_in_the_same_round_is_paid_for_however_well_the_provider_looks() -> None:
    question = query(failed(A, K.CONNECT))
    assert used(ask(question, budget=broke())) == B


def test_without_tokens_one_that_costs_none_is_preferred() -> None:
    question = query(failed(A, K.RESET, at=90.0), round=1)
    assert used(ask(question, view=SHAKY, budget=broke())) == B


def test_forcing_is_paid_for_as_well() -> None:
    question = query(failed(A, K.RESET, at=90.0), round=1)
    assert waited(ask(question, candidates=(A,), view=ALL_SHUT, budget=broke())) == 101.0


def test_a_refused_lease_costs_nothing_and_makes_nothing_dear() -> None:
    assert used(ask(query(failed(A, None)), budget=broke())) == B
    assert used(ask(query(failed(A, None, at=90.0), round=1), budget=broke())) == A


# -- the rules -----------------------------------------------------------------------------------------


def test_the_rules_are_read_from_the_settings() -> None:
    def provider(name: str, **fields: Any) -> ProviderSettings:
        models = Models(big=("m", "n"), small=("s",))
        return ProviderSettings(
            name=name, api_key=Secret("k"), base_url="https://example.org", models=models, **fields
        )

    settings = Settings(
        providers=(
            provider("a", priority=5, max_retries=1, context_window={"n": 4000}),
            provider("b", context_window=8000),
            provider("off", enabled=False),
        ),
        fallback_strategy="random",
        max_attempts=9,
        queue_wait=1.0,
        patience=2.0,
        panic="fail",
        on_exhaustion="wait",
        failover_on_400=True,
    )
    assert Rules.of(settings, blind=frozenset({A})) == Rules(
        priorities={"a": 5, "b": 1},
        max_retries={"a": 1, "b": 3},
        windows={A2: 4000, B: 8000, B2: 8000, Candidate("b", "s"): 8000},
        blind=frozenset({A}),
        strategy="random",
        max_attempts=9,
        queue_wait=1.0,
        patience=2.0,
        panics=False,
        tells=False,
        failover_on_400=True,
    )
    known = Rules.of(settings, windows={A: 5}, silent=frozenset({B}))
    assert (known.windows, known.silent) == ({A: 5}, {B})
    plain = Rules.of(Settings(providers=(provider("a"),)))
    assert (plain.panics, plain.tells, plain.blind, plain.windows) == (True, True, frozenset(), {})
    assert (plain.max_attempts, plain.queue_wait, plain.patience) == (6, 5.0, 20.0)


def test_a_query_needs_only_a_tier_and_a_model() -> None:
    bare = Query(tier="big", model="claude-opus")
    assert (bare.turn, bare.deadline, bare.attempts, bare.round) == (None, math.inf, (), 0)
    assert used(ask(bare)) == A
    assert failed(A, K.CONNECT).next is Next.RETRY_SAME
