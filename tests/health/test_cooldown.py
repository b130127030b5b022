import hypothesis.strategies as st
import pytest
from hypothesis import given

from ccproxy_trio.health.cooldown import CoolDowns
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault


def rests(**settings: float) -> CoolDowns:
    return CoolDowns(BreakerSettings(**settings))


def limited(retry_after: float | None = None, *, whole_provider: bool = False) -> UpstreamFault:
    return UpstreamFault(FaultKind.RATE_LIMITED, retry_after=retry_after, whole_provider=whole_provider)


def test_a_model_rests_as_long_as_its_provider_asked() -> None:
    r = rests()
    assert r.limit("a", limited(2.0), 10.0) == 2.0
    assert r.cooling(10.0) == {"a": 12.0}
    assert [r.ready_at("a", now) for now in (10.0, 11.9, 12.0, 20.0)] == [12.0, 12.0, 12.0, 20.0]
    assert r.ready_at("b", 10.0) == 10.0
    assert r.cooling(12.0) == {}


@pytest.mark.parametrize(("asked", "rested"), [(99_999_999.0, 3600.0), (0.0, 0.0), (-5.0, 0.0), (1.5, 1.5)])
def test_what_is_asked_is_kept_within_bounds(asked: float, rested: float) -> None:
    assert rests(cooldown_max=3600.0).limit("a", limited(asked), 0.0) == rested


def test_without_a_time_each_rest_is_twice_the_one_before_up_to_a_minute() -> None:
    r, now, seconds = rests(), 0.0, []
    for _ in range(6):
        seconds.append(r.limit("a", limited(), now))
        now = r.ready_at("a", now)
    assert seconds == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_guess_is_no_longer_than_the_longest_rest_allowed() -> None:
    assert rests(cooldown_max=3.0).limit("a", limited(), 0.0) == 3.0


def test_a_success_makes_the_next_guess_small_again_and_ends_no_rest() -> None:
    r = rests()
    r.limit("a", limited(), 0.0)
    r.limit("a", limited(), 5.0)
    r.succeeded("a")
    assert r.ready_at("a", 6.0) == 15.0
    assert r.limit("a", limited(), 15.0) == 5.0


def test_fifty_limits_at_once_are_one_step() -> None:
    r = rests()
    for _ in range(50):
        r.limit("a", limited(), 0.0)
    assert r.ready_at("a", 0.0) == 5.0
    assert r.limit("a", limited(), 5.0) == 10.0


def test_a_limit_during_a_rest_that_a_success_interrupted_guesses_small() -> None:
    r = rests()
    r.limit("a", limited(3.0), 0.0)
    r.succeeded("a")
    assert r.limit("a", limited(), 1.0) == 5.0


def test_a_short_rest_never_swallows_a_longer_one() -> None:
    r = rests()
    r.limit("a", limited(60.0), 0.0)
    assert r.limit("a", limited(1.0), 10.0) == 50.0
    assert r.limit("a", limited(100.0), 10.0) == 100.0


@pytest.mark.parametrize(
    "fault", [limited(30.0, whole_provider=True), UpstreamFault(FaultKind.QUOTA, retry_after=30.0)]
)
def test_a_fault_that_speaks_of_the_account_rests_every_model(fault: UpstreamFault) -> None:
    r = rests()
    r.limit("a", fault, 0.0)
    assert r.cooling(0.0) == {"*": 30.0}
    assert r.ready_at("b", 0.0) == 30.0


def test_a_success_forgets_the_accounts_streak_too() -> None:
    r = rests()
    r.limit("a", limited(whole_provider=True), 0.0)
    r.succeeded("b")
    assert r.limit("a", limited(whole_provider=True), 5.0) == 5.0


def test_a_missing_model_is_left_out_for_ten_minutes_and_the_others_are_not() -> None:
    r = rests()
    r.exclude("a", 0.0)
    r.exclude("b", 0.0, seconds=5.0)
    assert r.excluded(0.0) == {"a": 600.0, "b": 5.0}
    assert r.excluded(5.0) == {"a": 600.0}
    assert (r.ready_at("a", 1.0), r.ready_at("c", 1.0)) == (600.0, 1.0)


def test_an_exclusion_is_never_shortened() -> None:
    r = rests()
    r.exclude("a", 0.0)
    r.exclude("a", 1.0, seconds=5.0)
    assert r.excluded(1.0) == {"a": 600.0}


@given(st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(-10, 1e6), st.booleans()), max_size=20))
def test_readiness_never_moves_nearer(steps: list[tuple[float, float | None, bool]]) -> None:
    r, now, known = rests(), 0.0, 0.0
    for passed, asked, whole in steps:
        now += passed
        seconds = r.limit("a", limited(asked, whole_provider=whole), now)
        ready = r.ready_at("a", now)
        assert ready >= known or known <= now
        assert 0.0 <= seconds <= 3600.0 + 1e-6
        known = ready


def test_what_was_refused_to_one_key_is_forgotten_with_it() -> None:
    r = rests()
    first = r.limit("a", limited(), 0.0)
    r.limit("b", limited(30.0), 0.0)
    r.exclude("c", 0.0, why=FaultKind.MODEL_ACCESS)
    r.forget()
    assert [r.ready_at(model, 1.0) for model in "abc"] == [1.0, 1.0, 1.0]
    assert (r.cooling(1.0), r.excluded(1.0)) == ({}, {})
    assert r.limit("a", limited(), 1.0) == first  # the streak is over too
