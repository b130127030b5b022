from collections import Counter

import pytest

from ccproxy_trio.health.snapshot import State
from ccproxy_trio.routing.order import fits, in_order
from ccproxy_trio.routing.question import VISION, Rules, Size
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import FaultKind, Overflow
from tests.routing.asking import A2, B2, NO_NUMBERS, A, B, C, failed, health, query, rules, shut, view_of

ALL = (A, B, C)


def names(ordered: list[Candidate]) -> str:
    return "".join(candidate.provider for candidate in ordered)


def test_priority_sorts_by_number_and_keeps_the_files_order_among_equals() -> None:
    equal = rules(priorities={"a": 2, "b": 1, "c": 1})
    assert names(in_order(query(), ALL, view_of(), equal)) == "bca"


def test_a_provider_without_a_priority_has_the_default_one() -> None:
    assert names(in_order(query(), ALL, view_of(), rules(priorities={"a": 2, "c": 0}))) == "cba"


def test_a_providers_models_stay_together_in_their_order() -> None:
    candidates = (A, A2, B, B2)
    assert in_order(query(), candidates, view_of(), rules(priorities={"a": 2, "b": 1})) == [B, B2, A, A2]


@pytest.mark.parametrize(("turn", "order"), [(None, "abc"), (0, "abc"), (1, "bca"), (2, "cab"), (3, "abc")])
def test_the_ring_starts_where_the_turn_says(turn: int | None, order: str) -> None:
    assert names(in_order(query(turn=turn), ALL, view_of(), rules(strategy="round_robin"))) == order


def test_a_ring_of_nobody_is_no_error() -> None:
    assert in_order(query(), (), {}, rules(strategy="round_robin")) == []


def test_a_random_order_follows_from_its_seed_and_is_even_over_the_seeds() -> None:
    def drawn(seed: int) -> str:
        return names(in_order(query(turn=seed), ALL, view_of(), rules(strategy="random")))

    first = Counter(drawn(seed)[0] for seed in range(3000))
    assert drawn(7) == drawn(7)
    assert sum((first[name] - 1000) ** 2 / 1000 for name in "abc") < 13.8  # chi-square, 2 degrees, 99.9 %


@pytest.mark.parametrize("strategy", ["round_robin", "random"])
def test_a_ring_or_shuffle_prefers_those_known_to_work(strategy: str) -> None:
    seen = view_of(shut("b", 10.0))
    order = names(in_order(query(turn=0), ALL, seen, rules(strategy=strategy)))
    assert order[-1] == "b" or order[0] == "b"
    assert names(in_order(query(turn=0), ALL, seen, rules(strategy="round_robin"))) == "acb"


def test_whose_turn_it_is_keeps_its_place_though_it_is_due_for_a_trial() -> None:
    seen = view_of(health("b", State.HALF_OPEN), shut("c", 10.0))
    assert names(in_order(query(turn=1), ALL, seen, rules(strategy="round_robin"))) == "bac"


def test_a_provider_that_never_reported_comes_after_those_that_did() -> None:
    seen = view_of()
    del seen["b"]
    assert names(in_order(query(turn=0), ALL, seen, rules(strategy="round_robin"))) == "acb"


def test_under_priority_a_provider_due_for_its_trial_keeps_its_place() -> None:
    assert names(in_order(query(), ALL, view_of(shut("a", 10.0)), rules())) == "abc"


def test_with_images_those_that_see_come_first_and_without_it_does_not_matter() -> None:
    blind = rules(blind=frozenset({A}))
    assert names(in_order(query(needs=frozenset({VISION})), ALL, view_of(), blind)) == "bca"
    assert names(in_order(query(needs=frozenset({"tools"})), ALL, view_of(), blind)) == "abc"


def test_providers_to_avoid_come_last() -> None:
    assert names(in_order(query(avoid=frozenset({"a"})), ALL, view_of(), rules())) == "bca"


# -- context windows -----------------------------------------------------------------------------------

WINDOWS = {A: 1000, B: 2000}


@pytest.mark.parametrize(
    ("prompt", "fitting"), [(0, "abc"), (1200, "abc"), (1201, "bc"), (2400, "bc"), (2401, "c")]
)
def test_an_estimate_rules_out_only_what_cannot_fit_however_wrong_it_is(prompt: int, fitting: str) -> None:
    known = rules(windows=WINDOWS)
    assert names([c for c in ALL if fits(c, query(size=Size(tokens=prompt)), known)]) == fitting


@pytest.mark.parametrize(
    ("prompt", "fitting"), [(1000, "abc"), (1001, "bc"), (2000, "bc"), (2001, "c"), (9000, "c")]
)
def test_who_cuts_without_a_word_is_held_to_the_estimate_itself(prompt: int, fitting: str) -> None:
    silent = rules(windows=WINDOWS, silent=frozenset(ALL))
    assert names([c for c in ALL if fits(c, query(size=Size(tokens=prompt)), silent)]) == fitting


@pytest.mark.parametrize("silent", [frozenset(), frozenset(ALL)])
@pytest.mark.parametrize(("exact", "fitting"), [(1000, "abc"), (1001, "bc")])
def test_an_exact_count_decides_exactly(exact: int, fitting: str, silent: frozenset[Candidate]) -> None:
    """Whatever the estimate says, in either direction."""
    for estimate in (10, 5000):
        size = Size(tokens=estimate, exact={A: exact, B: 1})
        known = rules(windows=WINDOWS, silent=silent)
        assert names([c for c in ALL if fits(c, query(size=size), known)]) == fitting


def test_the_guess_at_media_is_held_only_against_those_who_cut_without_a_word() -> None:
    """One provider weighs a page at 260 tokens, another at 3,000."""
    photos = query(size=Size(tokens=9000, media=8500))
    counted = query(size=Size(tokens=9000, media=8500, exact={A: 9100}))
    for question in (photos, counted):
        assert fits(A, question, rules(windows=WINDOWS))
        assert not fits(A, question, rules(windows=WINDOWS, silent=frozenset({A})))


def test_the_best_figure_for_a_candidate_is_its_own_count() -> None:
    size = Size(tokens=10, exact={A: 12})
    assert (size.at(A), size.at(B)) == (12, 10)


@pytest.mark.parametrize(
    ("told", "prompt", "fitting"),
    [
        (Overflow(prompt=1500, limit=1000), 0, "b"),
        (Overflow(prompt=2500, limit=1000), 0, ""),
        (Overflow(limit=2000), 0, ""),
        (Overflow(limit=1999), 0, "b"),
        (NO_NUMBERS, 0, "b"),  # more than the window of the one that said so
        (None, 1500, "b"),
        (None, 2400, "b"),
        (None, 2401, ""),
    ],
)
def test_after_an_overflow_only_a_window_known_to_be_larger_will_do(
    told: Overflow | None, prompt: int, fitting: str
) -> None:
    question = query(failed(A, FaultKind.CONTEXT_OVERFLOW, overflow=told), size=Size(tokens=prompt))
    known: Rules = rules(windows=WINDOWS)
    assert names([c for c in ALL if fits(c, question, known)]) == fitting


def test_the_largest_of_several_overflows_counts() -> None:
    question = query(
        failed(A, FaultKind.CONTEXT_OVERFLOW, overflow=Overflow(limit=5000)),
        failed(B, FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(limit=10)),
    )
    known = rules(windows={A: 5000, B: 10, C: 4000})
    assert not any(fits(c, question, known) for c in ALL)
