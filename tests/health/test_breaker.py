"""What the breaker promises, rule by rule. `test_breaker_model.py` holds it against a model."""

import itertools

import pytest

from ccproxy_trio.health.breaker import TABLE, Breaker, Moved, Permit, Stage, State
from ccproxy_trio.health.verdict import Flag, Verdict
from ccproxy_trio.settings.model import BreakerSettings


def breaker(*, jitter: float = 0.0, draw: float = 0.0, **settings: object) -> Breaker:
    defaults: dict[str, object] = {"failure_threshold": 3, "recovery_jitter": jitter, "minimum_requests": 0}
    return Breaker(BreakerSettings(**(defaults | settings)), trial_timeout=120.0, draw=lambda: draw)


def permit(b: Breaker, now: float = 0.0) -> Permit:
    granted = b.acquire(now)
    assert granted is not None
    return granted


def end(b: Breaker, verdict: Verdict, now: float = 0.0) -> Moved | None:
    return b.settle(permit(b, now), verdict, now)


def opened(**settings: object) -> Breaker:
    """Open since 0, until 60 unless the settings say otherwise."""
    b = breaker(**settings)
    for _ in range(3):
        end(b, Verdict.FAULTY)
    assert b.state is State.OPEN
    return b


def half_open(**settings: object) -> tuple[Breaker, Permit]:
    """Half open at 60, with its trial."""
    b = opened(**settings)
    return b, permit(b, 60.0)


# -- counting ------------------------------------------------------------------------------------------


def test_one_failure_less_than_the_threshold_a_success_and_as_many_again_leave_it_closed() -> None:
    b = breaker()
    for verdict in [Verdict.FAULTY] * 2 + [Verdict.HEALTHY] + [Verdict.FAULTY] * 2:
        assert end(b, verdict) is None
    assert b.state is State.CLOSED
    assert b.failure_count == 2


def test_the_threshold_of_failures_opens_it_and_nobody_is_admitted_before_the_wait_is_over() -> None:
    b = breaker()
    moves = [end(b, Verdict.FAULTY) for _ in range(3)]
    assert moves == [None, None, Moved(State.CLOSED, State.OPEN, "3 failures in a row")]
    assert (b.reopens_at, b.failure_count, b.opens) == (60.0, 3, 1)
    assert [b.acquire(now) for now in (0.0, 30.0, 59.999)] == [None] * 3
    assert not b.admits(59.999)
    assert b.admits(60.0)


@pytest.mark.parametrize("verdict", [Verdict.SILENT, Verdict.LIMITED])
def test_a_verdict_that_says_nothing_of_health_neither_counts_nor_clears(verdict: Verdict) -> None:
    b = breaker()
    end(b, Verdict.FAULTY)
    end(b, Verdict.FAULTY)
    for _ in range(1000):
        assert end(b, verdict) is None
    assert b.failure_count == 2
    assert end(b, Verdict.FAULTY) is not None


def test_failures_older_than_their_time_to_live_are_forgotten() -> None:
    b = breaker(failure_ttl=300.0)
    assert end(b, Verdict.FAULTY, 0.0) is None
    assert end(b, Verdict.FAULTY, 100.0) is None
    assert end(b, Verdict.FAULTY, 300.1) is None  # the first is too old
    assert end(b, Verdict.FAULTY, 400.0) is not None  # the second is just young enough


@pytest.mark.parametrize(
    ("settings", "opens"),
    [({"minimum_requests": 10}, True), ({"minimum_requests": 0}, False), ({"minimum_requests": 21}, False)],
)
def test_a_provider_that_fails_every_other_request_is_opened_by_the_rate_rule_only(
    settings: dict[str, object], opens: bool
) -> None:
    b = breaker(**settings)
    moves = [end(b, v) for v in itertools.islice(itertools.cycle([Verdict.HEALTHY, Verdict.FAULTY]), 10)]
    reason = moves[-1].reason if moves[-1] else None
    assert reason == ("5 of 10 attempts failed within 60 s" if opens else None)
    assert not any(moves[:-1])


def test_the_rate_rule_looks_no_further_back_than_its_window() -> None:
    b = breaker(minimum_requests=4, window=60.0)
    for verdict in (Verdict.FAULTY, Verdict.HEALTHY, Verdict.FAULTY):
        end(b, verdict, 0.0)
    assert end(b, Verdict.HEALTHY, 61.0) is None
    assert end(b, Verdict.FAULTY, 61.0) is None  # 1 of 2, where 3 of 5 would do
    assert b.state is State.CLOSED


def test_a_result_exactly_as_old_as_the_window_still_counts() -> None:
    b = breaker(minimum_requests=2, window=60.0)
    assert end(b, Verdict.FAULTY, 1000.0) is None
    assert end(b, Verdict.FAULTY, 1060.0) is not None


def test_the_rate_rule_starts_anew_after_it_opened() -> None:
    b = breaker(minimum_requests=2, window=1000.0, failure_threshold=2)
    end(b, Verdict.FAULTY, 0.0)
    end(b, Verdict.FAULTY, 0.0)
    end(b, Verdict.HEALTHY, 60.0)
    assert end(b, Verdict.FAULTY, 60.0) is None


def test_a_lower_rate_of_failures_is_borne() -> None:
    b = breaker(minimum_requests=4, failure_rate_threshold=0.5)
    cycle = [Verdict.HEALTHY, Verdict.HEALTHY, Verdict.FAULTY]
    assert not any(end(b, verdict) for verdict in cycle * 20)


# -- waits ---------------------------------------------------------------------------------------------


def test_every_failed_trial_doubles_the_wait_up_to_the_limit() -> None:
    b = opened()
    now, waits = 0.0, []
    for _ in range(6):
        assert b.reopens_at is not None
        waits.append(b.reopens_at - now)
        now = b.reopens_at
        end(b, Verdict.FAULTY, now)
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_jitter_only_lengthens_the_wait(draw: float) -> None:
    assert opened(jitter=0.1, draw=draw).reopens_at == pytest.approx(60.0 * (1 + 0.1 * draw))


def test_the_doubling_starts_again_after_a_success_late_enough_in_closed_operation() -> None:
    b, trial = half_open(failure_ttl=300.0)
    b.settle(trial, Verdict.HEALTHY, 60.0)
    end(b, Verdict.HEALTHY, 359.0)
    assert b.opens == 1
    end(b, Verdict.HEALTHY, 360.0)
    assert b.opens == 0


def test_opening_soon_after_closing_waits_longer_than_the_first_time() -> None:
    b, trial = half_open()
    b.settle(trial, Verdict.HEALTHY, 60.0)
    for _ in range(3):
        end(b, Verdict.FAULTY, 70.0)
    assert b.reopens_at == 70.0 + 120.0


# -- trials --------------------------------------------------------------------------------------------


def test_of_a_hundred_that_come_at_once_exactly_one_gets_the_trial() -> None:
    b = opened()
    assert sum(b.acquire(60.0) is not None for _ in range(100)) == 1
    assert b.state is State.HALF_OPEN
    assert b.trial_taken(60.0)


def test_a_closed_breaker_knows_no_trial_however_much_is_under_way() -> None:
    b = breaker()
    permit(b)
    assert (b.reopens_at, b.trial_taken(0.0)) == (None, False)


def test_the_first_content_of_one_of_several_trials_frees_the_slot() -> None:
    b, trial = half_open(success_threshold=2)
    assert b.first_content(trial, 61.0) is None
    assert b.state is State.HALF_OPEN
    assert permit(b, 61.0).trial


def test_a_trial_that_passes_closes_it_and_forgets_the_failures() -> None:
    b, trial = half_open()
    assert b.settle(trial, Verdict.HEALTHY, 61.0) == Moved(State.HALF_OPEN, State.CLOSED, "its trial passed")
    assert (b.failure_count, b.reopens_at, b.trial_taken(61.0)) == (0, None, False)


@pytest.mark.parametrize("verdict", [Verdict.FAULTY, Verdict.MIDSTREAM, Verdict.AUTH, Verdict.BILLING])
def test_a_trial_that_fails_opens_it_again(verdict: Verdict) -> None:
    b, trial = half_open()
    assert trial.trial
    moved = b.settle(trial, verdict, 61.0)
    assert moved is not None
    assert (moved.before, moved.after, b.opens) == (State.HALF_OPEN, State.OPEN, 2)


def test_a_trial_that_is_rate_limited_closes_it_because_the_provider_answered() -> None:
    b, trial = half_open()
    b.settle(trial, Verdict.LIMITED, 61.0)
    assert b.state is State.CLOSED


def test_a_trial_whose_client_left_is_free_at_once_for_the_next_request() -> None:
    b, trial = half_open()
    assert b.acquire(61.0) is None
    assert b.settle(trial, Verdict.SILENT, 61.0) is None
    assert b.state is State.HALF_OPEN
    assert permit(b, 61.0).trial


def test_a_trial_that_is_never_settled_runs_out_and_its_late_result_means_nothing() -> None:
    b, lost = half_open()
    assert b.reopens_at == 180.0
    assert b.acquire(179.9) is None
    assert not b.trial_taken(180.0)
    second = permit(b, 180.0)
    assert b.settle(lost, Verdict.FAULTY, 181.0) is None
    assert b.state is State.HALF_OPEN
    assert b.settle(second, Verdict.HEALTHY, 182.0) is not None


def test_the_settings_may_name_the_trials_time() -> None:
    b, _ = half_open(trial_timeout=5.0)
    assert b.reopens_at == 65.0


def test_as_many_trials_as_configured_must_pass() -> None:
    b, trial = half_open(success_threshold=2)
    assert b.settle(trial, Verdict.HEALTHY, 61.0) is None
    assert b.state is State.HALF_OPEN
    assert b.reopens_at is None
    assert b.settle(permit(b, 62.0), Verdict.HEALTHY, 62.0) is not None


# -- generations ---------------------------------------------------------------------------------------


def test_fifty_in_flight_that_all_fail_open_it_once() -> None:
    b = breaker()
    permits = [permit(b) for _ in range(50)]
    moves = [b.settle(p, Verdict.FAULTY, 1.0) for p in permits]
    assert sum(move is not None for move in moves) == 1
    assert (b.opens, b.reopens_at) == (1, 61.0)


def test_a_success_from_before_it_opened_changes_nothing() -> None:
    b = breaker()
    early = permit(b)
    for _ in range(3):
        end(b, Verdict.FAULTY)
    assert b.first_content(early, 5.0) is None
    assert b.settle(early, Verdict.HEALTHY, 6.0) is None
    assert (b.state, b.failure_count, b.reopens_at) == (State.OPEN, 3, 60.0)


def test_a_permit_counts_once() -> None:
    b = breaker()
    p = permit(b)
    for _ in range(5):
        b.settle(p, Verdict.FAULTY, 0.0)
    assert b.failure_count == 1
    assert b.first_content(p, 0.0) is None


# -- streams -------------------------------------------------------------------------------------------


def stream(b: Breaker, ending: Verdict, now: float = 0.0) -> Moved | None:
    p = permit(b, now)
    b.first_content(p, now)
    return b.settle(p, ending, now)


def test_a_provider_that_always_starts_and_always_dies_opens_after_the_threshold_of_streams() -> None:
    b = breaker()
    moves = [stream(b, Verdict.MIDSTREAM) for _ in range(3)]
    assert moves[:2] == [None, None]
    assert moves[2] == Moved(State.CLOSED, State.OPEN, "3 dead streams in a row")


def test_only_a_complete_answer_clears_the_count_of_dead_streams() -> None:
    b = breaker()
    stream(b, Verdict.MIDSTREAM)
    stream(b, Verdict.MIDSTREAM)
    running = permit(b)
    b.first_content(running, 0.0)
    assert b.failure_count == 2
    b.settle(running, Verdict.HEALTHY, 0.0)
    assert b.failure_count == 0


def test_first_content_clears_the_failures_in_a_row() -> None:
    b = breaker()
    end(b, Verdict.FAULTY)
    end(b, Verdict.FAULTY)
    b.first_content(permit(b), 0.0)
    assert b.failure_count == 0


def test_a_stream_that_was_already_counted_as_started_does_not_clear_later_failures_at_its_end() -> None:
    b = breaker()
    running = permit(b)
    b.first_content(running, 0.0)
    end(b, Verdict.FAULTY)
    b.settle(running, Verdict.HEALTHY, 1.0)
    assert b.failure_count == 1


def test_the_first_content_of_a_trial_closes_it_and_its_death_counts_afterwards() -> None:
    b, trial = half_open(failure_threshold=3)
    assert b.first_content(trial, 61.0) == Moved(State.HALF_OPEN, State.CLOSED, "its trial passed")
    assert b.first_content(trial, 61.0) is None
    b.settle(trial, Verdict.MIDSTREAM, 62.0)
    assert (b.state, b.failure_count) == (State.CLOSED, 1)


def test_a_dead_stream_is_one_failed_result_for_the_rate_rule_and_no_success_beside_it() -> None:
    b = breaker(minimum_requests=4, failure_threshold=100)
    outcomes = [Verdict.HEALTHY, Verdict.HEALTHY, Verdict.MIDSTREAM, Verdict.MIDSTREAM]
    assert [stream(b, ending) is not None for ending in outcomes] == [False, False, False, True]


def test_after_a_passed_trial_of_several_a_dying_stream_can_open_it_from_half_open() -> None:
    b = breaker(success_threshold=2, failure_threshold=1)
    end(b, Verdict.FAULTY)
    trial = permit(b, 60.0)
    b.first_content(trial, 60.0)
    assert b.state is State.HALF_OPEN
    moved = b.settle(trial, Verdict.MIDSTREAM, 61.0)
    assert moved is not None
    assert moved.before is State.HALF_OPEN


# -- keys and accounts ---------------------------------------------------------------------------------


def test_one_rejected_key_opens_it_with_the_ordinary_wait() -> None:
    b = breaker()
    assert end(b, Verdict.AUTH) == Moved(State.CLOSED, State.OPEN, "its key was rejected")
    assert (b.flag, b.reopens_at, b.failure_count) == (Flag.AUTH, 60.0, 1)


def test_an_empty_account_opens_it_for_a_quarter_of_an_hour_first() -> None:
    b = breaker()
    assert end(b, Verdict.BILLING) == Moved(State.CLOSED, State.OPEN, "its quota is exhausted")
    assert (b.flag, b.reopens_at) == (Flag.QUOTA, 900.0)
    end(b, Verdict.BILLING, 900.0)
    assert b.reopens_at == 1800.0


def test_the_flag_outlasts_a_trial_that_failed_for_another_reason_and_goes_with_a_passed_one() -> None:
    b = breaker()
    end(b, Verdict.AUTH)
    end(b, Verdict.FAULTY, 60.0)
    assert b.flag is Flag.AUTH
    end(b, Verdict.HEALTHY, 200.0)
    assert b.flag is None


# -- panic ---------------------------------------------------------------------------------------------


def test_an_attempt_can_be_forced_once_a_second_and_only_while_open() -> None:
    b = breaker()
    assert b.force(0.0) is None
    b = opened()
    granted = [now for now in (1.0, 1.5, 1.999, 2.0, 2.5, 3.0) if b.force(now) is not None]
    assert granted == [1.0, 2.0, 3.0]
    assert b.panic_at == 4.0
    assert b.state is State.OPEN


@pytest.mark.parametrize("verdict", [Verdict.AUTH, Verdict.BILLING])
def test_nothing_is_forced_past_a_rejected_key_or_an_empty_account(verdict: Verdict) -> None:
    b = breaker()
    end(b, verdict)
    assert b.force(10.0) is None


def test_a_forced_attempt_that_succeeds_closes_it() -> None:
    b = opened()
    p = b.force(1.0)
    assert p is not None
    assert (p.trial, p.forced) == (True, True)
    assert b.settle(p, Verdict.HEALTHY, 2.0) == Moved(State.OPEN, State.CLOSED, "its trial passed")


@pytest.mark.parametrize("verdict", [Verdict.FAULTY, Verdict.MIDSTREAM])
def test_a_forced_attempt_that_fails_changes_nothing(verdict: Verdict) -> None:
    """Else ten seconds without any provider would keep a recovered one out for ten minutes."""
    b = opened()
    for now in range(1, 10):
        p = b.force(float(now))
        assert p is not None
        assert b.settle(p, verdict, now + 0.5) is None
    assert (b.state, b.opens, b.reopens_at) == (State.OPEN, 1, 60.0)
    assert permit(b, 60.0).trial


def test_a_forced_attempt_whose_key_is_rejected_flags_it() -> None:
    b = opened()
    p = b.force(1.0)
    assert p is not None
    b.settle(p, Verdict.AUTH, 2.0)
    assert b.flag is Flag.AUTH
    assert b.force(10.0) is None


def test_a_forced_attempt_whose_client_left_leaves_everything_as_it_was() -> None:
    b = opened()
    p = b.force(1.0)
    assert p is not None
    assert b.settle(p, Verdict.SILENT, 2.0) is None
    assert (b.state, b.opens, b.reopens_at) == (State.OPEN, 1, 60.0)


def test_a_hanging_forced_attempt_keeps_no_trial_out() -> None:
    b = opened()
    hanging = b.force(1.0)
    assert hanging is not None
    assert permit(b, 60.0).trial
    assert b.settle(hanging, Verdict.HEALTHY, 61.0) is None  # it was admitted before
    assert b.state is State.HALF_OPEN


def test_the_first_content_of_a_forced_attempt_counts_as_one_of_several_trials() -> None:
    b = opened(success_threshold=2)
    p = b.force(1.0)
    assert p is not None
    assert b.first_content(p, 2.0) == Moved(State.OPEN, State.HALF_OPEN, "a trial passed")
    assert b.settle(p, Verdict.HEALTHY, 3.0) is None
    assert b.settle(permit(b, 3.0), Verdict.HEALTHY, 4.0) is not None


# -- probes --------------------------------------------------------------------------------------------


def test_a_good_probe_ends_the_wait_but_closes_nothing() -> None:
    b = opened()
    assert b.probe(Verdict.HEALTHY, 10.0) is None
    assert b.state is State.OPEN
    assert b.reopens_at == 10.0
    assert b.probe(Verdict.HEALTHY, 20.0) is None
    assert b.reopens_at == 10.0
    assert permit(b, 20.0).trial


def test_a_bad_probe_counts_one_failure_while_closed_and_nothing_while_open() -> None:
    b = breaker(failure_threshold=2)
    assert b.probe(Verdict.FAULTY, 0.0) is None
    assert b.failure_count == 1
    assert b.probe(Verdict.FAULTY, 0.0) is not None
    assert b.probe(Verdict.FAULTY, 1.0) is None
    assert b.reopens_at == 60.0


def test_a_good_or_limited_probe_of_a_closed_breaker_clears_nothing() -> None:
    b = breaker()
    end(b, Verdict.FAULTY)
    b.probe(Verdict.HEALTHY, 0.0)
    b.probe(Verdict.LIMITED, 0.0)
    assert b.failure_count == 1


@pytest.mark.parametrize(("verdict", "flag"), [(Verdict.AUTH, Flag.AUTH), (Verdict.BILLING, Flag.QUOTA)])
def test_a_probe_that_is_rejected_opens_a_closed_breaker_and_marks_an_open_one(
    verdict: Verdict, flag: Flag
) -> None:
    closed, shut = breaker(), opened()
    assert closed.probe(verdict, 0.0) is not None
    assert shut.probe(verdict, 1.0) is None
    assert (closed.flag, shut.flag) == (flag, flag)
    assert shut.force(2.0) is None


def test_a_probe_says_nothing_once_the_key_is_in_doubt() -> None:
    b = breaker()
    end(b, Verdict.AUTH)
    assert b.probe(Verdict.HEALTHY, 1.0) is None
    assert b.reopens_at == 60.0


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_probe_leaves_a_half_open_breaker_and_its_trial_alone(verdict: Verdict) -> None:
    b, trial = half_open()
    assert b.probe(verdict, 61.0) is None
    assert b.state is State.HALF_OPEN
    assert b.settle(trial, Verdict.HEALTHY, 62.0) is not None


# -- the table -----------------------------------------------------------------------------------------


def test_every_stage_has_an_answer_to_every_verdict() -> None:
    assert set(TABLE) == set(itertools.product(Stage, Verdict))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_stream_that_ends_badly_in_any_way_counts_as_dead_and_never_as_rejected(verdict: Verdict) -> None:
    b = breaker()
    stream(b, verdict)
    assert b.flag is None
    bad = {Verdict.FAULTY, Verdict.MIDSTREAM, Verdict.AUTH, Verdict.BILLING}
    assert b.failure_count == (1 if verdict in bad else 0)


def test_a_whole_answer_that_never_showed_first_content_alone_clears_both_counts() -> None:
    b = breaker()
    end(b, Verdict.MIDSTREAM)
    end(b, Verdict.FAULTY)
    assert b.failure_count == 2
    end(b, Verdict.HEALTHY)
    assert b.failure_count == 0


def test_its_memory_is_bounded_however_busy_the_provider() -> None:
    b = breaker(minimum_requests=1_000_000, failure_threshold=10_000)
    for _ in range(3000):
        end(b, Verdict.HEALTHY)
        end(b, Verdict.FAULTY)
    assert len(b._results) == 1024
    assert len(b._held) == 0
