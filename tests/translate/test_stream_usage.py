import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from ccproxy_trio.translate.usage import read_usage
from ccproxy_trio.wire.events import OutputTokensDetails, Usage


def read(usage: object) -> Usage | None:
    return read_usage(Raw(json.dumps(usage).encode()))


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 7}, Usage(100, 7)),
        (
            {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 80}},
            Usage(20, 7, 0, 80),
        ),
        (
            {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5}},
            Usage(15, 0, 5, 80),
        ),
        ({"prompt_tokens": 50, "completion_tokens": 1, "prompt_cache_hit_tokens": 32}, Usage(18, 1, 0, 32)),
        ({"prompt_tokens": 50, "completion_tokens": 1, "cached_tokens": 20}, Usage(30, 1, 0, 20)),
        ({"prompt_tokens": 10, "completion_tokens": 1, "cached_tokens": 20}, Usage(0, 1, 0, 10)),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 9}},
            Usage(0, 0, 2, 8),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}, Usage(10, 30)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 12}, Usage(10, 5)),
        ({"completion_tokens": 5, "total_tokens": 40}, Usage(0, 5)),
        ({"prompt_tokens": 10.0, "completion_tokens": "5"}, Usage(10, 5)),
        ({"prompt_tokens": 1e1, "completion_tokens": "five"}, Usage(10, 0)),
        ({"prompt_tokens": True, "completion_tokens": [5]}, None),
        ({"prompt_tokens": 10, "prompt_tokens_details": [], "completion_tokens_details": 5}, Usage(10, 0)),
        ({"prompt_tokens": -10, "completion_tokens": 5}, Usage(0, 5)),
        ({"prompt_tokens": 10**30, "completion_tokens": 5}, Usage(10**12, 5)),
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 9,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(1, 9, output_tokens_details=OutputTokensDetails(4)),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": None, "prompt_tokens_details": None}, None),
        ({}, None),
        ("many", None),
    ],
)
def test_counts_are_read(usage: object, counts: Usage | None) -> None:
    assert read(usage) == counts


anything = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
details = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens"]), anything
)
counts = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": anything,
        "completion_tokens": anything,
        "total_tokens": anything,
        "prompt_tokens_details": details | st.none(),
        "completion_tokens_details": details | st.none(),
        "prompt_cache_hit_tokens": anything,
        "cached_tokens": anything,
    },
)


@given(counts)
def test_counts_are_never_negative_and_add_up_to_the_prompt(usage: dict[str, Any]) -> None:
    told = read(usage)
    if told is None:
        return
    parts = (told.input_tokens, told.cache_creation_input_tokens, told.cache_read_input_tokens)
    assert min(*parts, told.output_tokens) >= 0
    prompt = usage.get("prompt_tokens")
    assert sum(parts) == _as_count(prompt)
    if told.output_tokens_details is not UNSET:
        assert 0 < told.output_tokens_details.thinking_tokens <= told.output_tokens


def _as_count(value: object) -> int:
    match value:
        case bool():
            return 0
        case int() | float():
            return int(min(max(value, 0), 10**12))
        case str() if value.isascii() and value.isdigit():
            return min(int(value), 10**12)
        case _:
            return 0


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (b'{"prompt_tokens":1e400,"completion_tokens":7}', Usage(10**12, 7)),
        (b'{"prompt_tokens":100,"completion_tokens":%b}' % (b"9" * 5000), Usage(100, 10**12)),
        (b'{"prompt_tokens":100,"completion_tokens":-1e400}', Usage(100, 0)),
    ],
)
def test_a_count_that_no_number_can_hold_spoils_no_other(usage: bytes, counts: Usage) -> None:
    assert read_usage(Raw(usage)) == counts
