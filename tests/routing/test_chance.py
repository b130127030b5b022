import itertools
from collections import Counter

import hypothesis.strategies as st
from hypothesis import given

from ccproxy_trio.routing.chance import fraction, shuffled

# The 99.9 % points of chi-square. The draws are fixed, so these tests pass always or never.
CHI_SQUARE_23 = 49.7
CHI_SQUARE_9 = 27.9


def chi_square(counts: Counter[object], cells: int) -> float:
    expected = counts.total() / cells
    return sum((counts[key] - expected) ** 2 / expected for key in counts) + (cells - len(counts)) * expected


def test_all_orders_are_alike_likely_over_the_seeds() -> None:
    orders = Counter[object](tuple(shuffled("abcd", seed)) for seed in range(24_000))
    assert set(orders) == set(itertools.permutations("abcd"))
    assert chi_square(orders, 24) < CHI_SQUARE_23


def test_fractions_are_spread_evenly() -> None:
    tenths = Counter[object](int(10 * fraction(0, 1, 1000.0 + k / 1e6)) for k in range(10_000))
    assert chi_square(tenths, 10) < CHI_SQUARE_9


@given(st.lists(st.integers()), st.integers(0, 2**80))
def test_a_shuffle_loses_nothing_and_repeats_itself(items: list[int], seed: int) -> None:
    assert sorted(shuffled(items, seed)) == sorted(items)
    assert shuffled(items, seed) == shuffled(items, seed)


@given(st.lists(st.floats(-1e9, 1e9), max_size=4))
def test_a_fraction_is_one(facts: list[float]) -> None:
    assert 0.0 <= fraction(*facts) < 1.0


def test_every_fact_matters() -> None:
    assert (
        len({fraction(1, 2, 3), fraction(1, 2, 4), fraction(1, 3, 3), fraction(2, 2, 3), fraction(1, 2)}) == 5
    )
