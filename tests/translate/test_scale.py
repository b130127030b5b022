"""Scaled counts: the client's limit is crossed exactly when the real one is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from ccproxy_trio.translate.scale import UNSCALED, Scale, believed_window, scale_for
from ccproxy_trio.wire.events import OutputTokensDetails, ServerToolUsage, Usage

WINDOW = st.integers(1_000, 10_000_000)
COUNT = st.one_of(st.just(0), st.integers(0, 40), st.integers(0, 3_000_000))


def parts(usage: Usage) -> tuple[int, int, int, int]:
    return (
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.output_tokens,
    )


@given(client=WINDOW, real=WINDOW, counts=st.tuples(COUNT, COUNT, COUNT, COUNT))
def test_the_sum_is_scaled_as_one_and_nothing_vanishes(
    client: int, real: int, counts: tuple[int, int, int, int]
) -> None:
    usage = Usage(
        input_tokens=counts[0],
        cache_read_input_tokens=counts[1],
        cache_creation_input_tokens=counts[2],
        output_tokens=counts[3],
    )
    told = parts(Scale(client, real).usage(usage))
    assert [count == 0 for count in told] == [count == 0 for count in parts(usage)]
    crumbs = sum(1 for count in counts if 0 < count * client < 2 * real)
    assert 0 <= sum(told) - sum(counts) * client // real <= crumbs


@given(client=WINDOW, real=WINDOW, off=st.integers(-3, 3), output=st.integers(500, 900))
def test_the_clients_limit_is_reached_exactly_when_the_real_one_is(
    client: int, real: int, off: int, output: int
) -> None:
    scale = Scale(client, real)
    cached = max(real + off - output - 50, 0)
    usage = Usage(input_tokens=50, cache_read_input_tokens=cached, output_tokens=output)
    is_full = sum(parts(usage)) >= real
    if client * 50 >= real:  # otherwise a part of a handful of tokens counts one where it should count none
        assert (sum(parts(scale.usage(usage))) >= client) == is_full
    assert (scale.tokens(sum(parts(usage))) >= client) == is_full


def test_numbers_one_can_check() -> None:
    usage = Usage(
        input_tokens=4_000,
        cache_read_input_tokens=96_000,
        output_tokens=28_000,
        output_tokens_details=OutputTokensDetails(14_000),
        server_tool_use=ServerToolUsage(web_search_requests=1),
    )
    told = Scale(200_000, 128_000).usage(usage)
    assert parts(told) == (6_250, 150_000, 0, 43_750)
    assert told.output_tokens_details == OutputTokensDetails(21_875)
    assert told.server_tool_use == usage.server_tool_use
    assert Scale(200_000, 128_000).factor == 1.5625


def test_little_stays_something() -> None:
    tenth = Scale(200_000, 2_000_000)
    assert (tenth.tokens(0), tenth.tokens(1), tenth.tokens(9), tenth.tokens(25)) == (0, 1, 1, 2)
    told = tenth.usage(Usage(input_tokens=1000, output_tokens=3, cache_read_input_tokens=1))
    assert parts(told) == (98, 1, 0, 1)
    assert told.output_tokens_details is UNSET


def test_without_a_scale_nothing_changes() -> None:
    usage = Usage(input_tokens=3, output_tokens=5)
    assert UNSCALED.usage(usage) is usage
    assert (UNSCALED.tokens(7), UNSCALED.factor) == (7, 1.0)


@pytest.mark.parametrize(
    ("wish", "real", "scale"),
    [
        (False, 128_000, UNSCALED),
        (True, None, UNSCALED),
        (150_000, None, UNSCALED),
        (True, 128_000, Scale(200_000, 128_000)),
        (150_000, 128_000, Scale(150_000, 128_000)),
        (1, 128_000, Scale(1, 128_000)),
    ],
)
def test_the_scale_follows_from_the_setting_and_the_window(
    wish: bool | int, real: int | None, scale: Scale
) -> None:
    assert scale_for(wish, real=real, believed=200_000) == scale


@pytest.mark.parametrize(
    ("betas", "window"),
    [
        ("", 200_000),
        ("claude-code-20250219,interleaved-thinking-2025-05-14", 200_000),
        ("claude-code-20250219, context-1m-2025-08-07", 1_000_000),
        ("context-1m-2027-01-01,x", 1_000_000),
        ("no-context-1m-2025-08-07", 200_000),
    ],
)
def test_the_client_says_which_window_it_believes_in(betas: str, window: int) -> None:
    assert believed_window(betas) == window
