"""Each strategy over whole requests: whom a request asks, one after the other, if everybody fails."""

import math
from collections import Counter
from itertools import permutations

import pytest

from ccproxy_trio.routing.question import Rules, Use
from ccproxy_trio.settings.model import Strategy
from ccproxy_trio.wire.faults import FaultKind
from tests.routing.asking import A, B, C, ask, failed, health, query, rules, shut, view_of

CHI_SQUARE_5 = 20.5  # 99.9 % of even draws stay below, with five degrees of freedom


def asked(turn: int, *unwell: object, known: Rules) -> str:
    """The providers in the order in which one request comes to them."""
    attempts = []
    view = view_of(*unwell)  # type: ignore[arg-type]
    while isinstance(step := ask(query(*attempts, turn=turn), view=view, rules_=known), Use):
        attempts.append(failed(step.candidate, FaultKind.PROTOCOL))
    return "".join(attempt.candidate.provider for attempt in attempts)


@pytest.mark.parametrize(
    ("priorities", "order"),
    [
        ({"a": 1, "b": 2, "c": 3}, "abc"),
        ({"a": 3, "b": 2, "c": 1}, "cba"),
        ({"a": 1, "b": 1, "c": 1}, "abc"),  # equals in the file's order
        ({"a": 2, "b": 1, "c": 1}, "bca"),
        ({"a": 1, "b": 2, "c": 1}, "acb"),
        ({"a": -5, "b": 0, "c": -5}, "acb"),
    ],
)
@pytest.mark.parametrize("turn", [0, 1, 7])
def test_priority(priorities: dict[str, int], order: str, turn: int) -> None:
    assert asked(turn, known=rules(priorities=priorities)) == order


@pytest.mark.parametrize(("turn", "order"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc"), (4, "bca")])
def test_round_robin(turn: int, order: str) -> None:
    """The turn is the request's: a failure moves nothing."""
    assert asked(turn, known=rules(strategy="round_robin")) == order


@pytest.mark.parametrize(("turn", "order"), [(0, "ac"), (1, "ca"), (2, "ca"), (3, "ac")])
def test_round_robin_skips_a_member_that_is_out(turn: int, order: str) -> None:
    assert asked(turn, health("b", cooling={"*": math.inf}), known=rules(strategy="round_robin")) == order


@pytest.mark.parametrize(
    ("strategy", "turn", "order"),
    [
        ("priority", 0, "abc"),  # it is the trial, and falls over unnoticed
        ("round_robin", 0, "abc"),  # its turn
        ("round_robin", 2, "cba"),  # not its turn: those that work go first
    ],
)
def test_a_member_that_is_due_for_its_trial(strategy: Strategy, turn: int, order: str) -> None:
    assert asked(turn, shut("a", 100.0), known=rules(strategy=strategy)) == order


def test_random_asks_everybody_once_in_an_order_that_its_seed_alone_decides() -> None:
    known = rules(strategy="random")
    orders = [asked(seed, known=known) for seed in range(3000)]
    assert orders[:50] == [asked(seed, known=known) for seed in range(50)]
    drawn = Counter(orders)
    assert set(drawn) == {"".join(order) for order in permutations("abc")}
    assert sum((count - 500) ** 2 / 500 for count in drawn.values()) < CHI_SQUARE_5


def test_random_shares_those_of_a_member_that_is_out_among_all_others() -> None:
    known = rules(strategy="random")
    drawn = Counter(asked(seed, health("b", cooling={"*": math.inf}), known=known) for seed in range(3000))
    assert set(drawn) == {"ac", "ca"}
    assert abs(drawn["ac"] - 1500) < 3.3 * 750**0.5  # standard deviations


def test_the_candidates_order_in_the_file_is_what_a_ring_goes_by() -> None:
    ring = rules(strategy="round_robin")
    steps = [ask(query(turn=turn), candidates=(C, A, B), rules_=ring) for turn in range(3)]
    assert [step.candidate for step in steps if isinstance(step, Use)] == [C, A, B]
