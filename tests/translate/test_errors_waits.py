"""The `Retry-After` family. The wall clock stands at 2023-11-14T22:13:20Z."""

from email.utils import formatdate

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ccproxy_trio.translate.waits import asked_wait, duration, wait_in_text

NOW = 1_700_000_000.0
WAITS = ["retry-after", "retry-after-ms", "x-ratelimit-reset", "anthropic-ratelimit-unified-reset"]


def asked(status: int = 429, **headers: str) -> float | None:
    return asked_wait(status, {k.replace("_", "-"): v for k, v in headers.items()}, wall_now=NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("99999999", 99_999_999.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:14:20", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("1e400", None),
        ("0x10", None),
        ("9" * 400, None),
        ("١٢", None),
        ("Tue, 14 Nov 99999999999 22:14:20 GMT", None),
        ("2, 3", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert asked(retry_after=value) == seconds


@pytest.mark.parametrize("name", ["retry_after_ms", "x_ms_retry_after_ms"])
def test_milliseconds_go_before_seconds(name: str) -> None:
    assert asked(**{name: "1250", "retry_after": "9"}) == 1.25
    assert asked(**{name: "-1", "retry_after": "9"}) == 9.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800.0),
        ("7.66s", 7.66),
        ("8", 8.0),
        ("1700000030", 30.0),
        ("1700000030000", 30.0),
        ("1600000000", 0.0),
        ("-3s", None),
        ("", None),
        ("later", None),
    ],
)
def test_the_reset_of_a_rate_limit(value: str, seconds: float | None) -> None:
    assert asked(x_ratelimit_reset_requests=value) == seconds
    assert asked(x_ratelimit_reset=value) == seconds


def test_the_limit_that_was_hit_is_the_one_with_nothing_remaining() -> None:
    both = {"x_ratelimit_reset_requests": "6m0s", "x_ratelimit_reset_tokens": "20s"}
    assert asked(**both) == 20.0
    assert asked(**both, x_ratelimit_remaining_requests="0", x_ratelimit_remaining_tokens="5") == 360.0
    assert asked(**both, x_ratelimit_remaining_requests="0", x_ratelimit_remaining_tokens="0") == 360.0


def test_resets_come_with_every_answer_and_mean_a_wait_only_with_a_429() -> None:
    assert asked(200, x_ratelimit_reset_tokens="20s") is None
    assert asked(503, x_ratelimit_reset_tokens="20s") is None
    assert asked(503, retry_after="4") == 4.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2023-11-14T22:14:20Z", 60.0),
        ("2023-11-14t22:14:20.75z", 60.0),
        ("2023-11-14 23:14:20+01:00", 60.0),
        ("2023-11-14T17:44:20-04:30", 60.0),
        ("2023-11-14T22:00:00Z", 0.0),
        ("1700000060", 60.0),
        ("45s", 45.0),
        ("2023-11-14T22:14:20", None),
        ("2023-13-14T22:14:20Z", None),
        ("2023-02-31T00:00:00Z", 0.0),
        ("0000-01-01T00:00:00Z", None),
        ("٢٠٢٣-11-14T22:14:20Z", None),
        ("soon", None),
    ],
)
def test_the_reset_of_a_limit_of_anthropics(value: str, seconds: float | None) -> None:
    assert asked(anthropic_ratelimit_input_tokens_reset=value) == seconds
    assert asked(529, anthropic_ratelimit_input_tokens_reset=value) is None


def test_of_anthropics_limits_the_one_that_was_hit_counts() -> None:
    both = {
        "anthropic_ratelimit_requests_reset": "2023-11-14T22:13:30Z",
        "anthropic_ratelimit_tokens_reset": "2023-11-14T22:23:20Z",
    }
    assert asked(**both) == 10.0
    left = {"anthropic_ratelimit_requests_remaining": "49", "anthropic_ratelimit_tokens_remaining": "0"}
    assert asked(**both, **left) == 600.0


def test_of_a_subscriptions_limits_the_one_that_refused_counts_and_no_other() -> None:
    limits = {
        "anthropic_ratelimit_unified_status": "rejected",
        "anthropic_ratelimit_unified_reset": "1700007200",
        "anthropic_ratelimit_unified_5h_status": "rejected",
        "anthropic_ratelimit_unified_5h_reset": "1700007200",
        "anthropic_ratelimit_unified_7d_status": "allowed_warning",
        "anthropic_ratelimit_unified_7d_reset": "1700400000",
    }
    assert asked(**limits) == 7200.0
    assert asked(**limits, retry_after="30") == 30.0
    not_it = {
        "anthropic_ratelimit_unified_status": "allowed",
        "anthropic_ratelimit_unified_reset": "1700007200",
    }
    assert asked(**not_it) is None
    assert asked(**not_it, anthropic_ratelimit_requests_reset="2023-11-14T22:13:30Z") == 10.0


def test_a_wait_that_is_told_goes_before_a_reset() -> None:
    assert asked(retry_after="0", x_ratelimit_reset_tokens="20s") == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.2s. Visit", 1.2),
        ("Please try again in 6m0s.", 360.0),
        ("try again in 20ms", 0.02),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("Please retry after 2h", 7200.0),
        ("try again in a while", None),
        ("", None),
    ],
)
def test_a_time_in_a_sentence(text: str, seconds: float | None) -> None:
    assert wait_in_text(text) == (None if seconds is None else pytest.approx(seconds))


def test_an_empty_duration_is_none() -> None:
    assert duration("  ") is None


@given(st.dictionaries(st.sampled_from(WAITS), st.text()))
def test_no_header_makes_it_fail_and_no_wait_is_negative(headers: dict[str, str]) -> None:
    wait = asked_wait(429, headers, wall_now=NOW)
    assert wait is None or 0.0 <= wait < 1e19
