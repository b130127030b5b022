"""Where sessions belong, who holds them for a while, and what that makes of a strategy's order."""

from collections import Counter
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ccproxy_trio.health.snapshot import State
from ccproxy_trio.routing.affinity import IDLE, MOST, Pins, by_affinity
from ccproxy_trio.routing.order import in_order
from ccproxy_trio.routing.question import Rules
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings, Strategy
from ccproxy_trio.wire.faults import FaultKind
from tests.routing.asking import A, B, C, ask, failed, health, query, rules, shut, used, view_of

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
CHI_SQUARE_4 = 18.5  # 99.9 % of even draws stay below, with four degrees of freedom

# -- where a session belongs -----------------------------------------------------------------------------


@given(st.text(), NAMES, st.randoms())
def test_the_order_is_the_sessions_own_whatever_order_the_file_has(
    session: str, names: list[str], chance: Random
) -> None:
    mixed = list(names)
    chance.shuffle(mixed)
    assert by_affinity(session, mixed) == by_affinity(session, names)
    assert sorted(by_affinity(session, names)) == sorted(names)


@given(st.text(), NAMES, st.text(min_size=1, max_size=8))
def test_a_provider_that_comes_or_goes_moves_no_session_between_the_others(
    session: str, names: list[str], other: str
) -> None:
    without = [name for name in names if name != other]
    order = by_affinity(session, [*without, other])
    assert [name for name in order if name != other] == by_affinity(session, without)


def test_every_provider_has_its_even_share_and_a_new_one_takes_its_own_from_all() -> None:
    sessions = [f"session-{number}" for number in range(5000)]
    four, five = ["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]
    homes = {session: by_affinity(session, five)[0] for session in sessions}
    shares = Counter(homes.values())
    assert sum((shares[name] - 1000) ** 2 / 1000 for name in five) < CHI_SQUARE_4
    moved = {session for session in sessions if by_affinity(session, four)[0] != homes[session]}
    assert moved == {session for session in sessions if homes[session] == "e"}


def test_where_a_session_belongs_outlives_the_process() -> None:
    """A restart, or another replica, sends it to the same caches."""
    ids = [f"0b3f6c1e-{number}" for number in range(8)]
    assert "".join(by_affinity(one, "abc")[0] for one in ids) == KNOWN


KNOWN = "baaaacac"


def test_a_session_and_a_provider_are_not_run_together() -> None:
    pairs = [by_affinity(f"s{'x' * n}", ["x" * m for m in range(1, 6)]) for n in range(40)]
    assert len({tuple(order) for order in pairs}) > 20


def test_a_name_that_is_no_text_is_no_error() -> None:
    assert by_affinity("\ud800", ["\udfff"]) == ["\udfff"]


# -- pins ------------------------------------------------------------------------------------------------


def test_a_session_that_was_served_elsewhere_stays_there_for_ten_idle_minutes() -> None:
    pins = Pins()
    pins.served("big", "s", by="b", home="a", now=0.0)
    assert pins.of("big", "s", IDLE - 0.1) == "b"
    pins.served("big", "s", by="b", home="a", now=500.0)
    assert pins.of("big", "s", 500.0 + IDLE - 0.1) == "b"
    assert pins.of("big", "s", 500.0 + IDLE) is None


def test_a_pin_is_the_sessions_and_the_tiers_own() -> None:
    pins = Pins()
    pins.served("big", "s", by="b", home="a", now=0.0)
    assert (pins.of("small", "s", 1.0), pins.of("big", "t", 1.0)) == (None, None)


def test_a_session_that_is_served_at_home_again_has_no_pin() -> None:
    pins = Pins()
    pins.served("big", "s", by="b", home="a", now=0.0)
    pins.served("big", "s", by="a", home="a", now=1.0)
    assert pins.of("big", "s", 1.0) is None


def test_a_session_moves_on_with_whoever_served_it_last() -> None:
    pins = Pins()
    pins.served("big", "s", by="b", home="a", now=0.0)
    pins.served("big", "s", by="c", home="a", now=1.0)
    assert pins.of("big", "s", 1.0) == "c"


def test_the_pins_are_bounded_and_the_one_longest_unused_goes_first() -> None:
    pins = Pins()
    for number in range(MOST):
        pins.served("big", str(number), by="b", home="a", now=0.0)
    pins.served("big", "0", by="b", home="a", now=1.0)
    pins.served("big", "new", by="b", home="a", now=1.0)
    assert [pins.of("big", one, 2.0) for one in ("0", "1", "2", "new")] == ["b", None, "b", "b"]


# -- the order -------------------------------------------------------------------------------------------

EVERY = (A, B, C)
ORDERS = {"".join(by_affinity(f"s{n}", "abc")): f"s{n}" for n in range(60)}  # a session for each order
assert len(ORDERS) == 6


def order_of(own: str, *snapshots: object, pinned: str | None = None, strategy: Strategy = "random") -> str:
    question = query(turn=1, session=ORDERS[own], pinned=pinned)
    known: Rules = rules(strategy=strategy, affinity=True)
    ordered = in_order(question, EVERY, view_of(*snapshots), known)  # type: ignore[arg-type]
    return "".join(candidate.provider for candidate in ordered)


@pytest.mark.parametrize("strategy", ["round_robin", "random"])
@pytest.mark.parametrize("own", sorted(ORDERS))
def test_a_session_has_its_own_order_at_every_turn(own: str, strategy: Strategy) -> None:
    assert order_of(own, strategy=strategy) == own


@pytest.mark.parametrize(
    ("own", "pinned", "snapshots", "order"),
    [
        ("abc", "c", (), "cab"),
        ("abc", "a", (), "abc"),
        ("abc", "gone", (), "abc"),  # a reload took it away
        ("abc", None, (shut("b", 100.0),), "acb"),  # due for its trial, and known to work
        ("abc", None, (shut("a", 100.0),), "abc"),  # its own sessions are its trial
        ("abc", "c", (shut("c", 100.0),), "abc"),  # a pin holds while it works
        ("abc", "c", (shut("a", 100.0),), "cba"),
        ("abc", "c", (health("c", State.HALF_OPEN),), "abc"),
    ],
)
def test_the_pin_comes_first_and_then_the_hash(
    own: str, pinned: str | None, snapshots: tuple[object, ...], order: str
) -> None:
    assert order_of(own, *snapshots, pinned=pinned) == order


@pytest.mark.parametrize("strategy", ["round_robin", "random"])
def test_without_a_session_or_the_switch_the_strategy_is_what_it_was(strategy: Strategy) -> None:
    for turn in range(6):
        plain = in_order(query(turn=turn), EVERY, view_of(), rules(strategy=strategy))
        switched = rules(strategy=strategy, affinity=True)
        assert in_order(query(turn=turn), EVERY, view_of(), switched) == plain
        session = query(turn=turn, session=ORDERS["cba"], pinned="b")
        assert in_order(session, EVERY, view_of(), rules(strategy=strategy)) == plain


def test_a_pin_that_rests_is_passed_over_for_the_sessions_own_order() -> None:
    question = query(session=ORDERS["bac"], pinned="c")
    resting = view_of(health("c", cooling={"m": 200.0}))
    known = rules(strategy="random", affinity=True)
    assert used(ask(question, view=resting, rules_=known)) == B
    assert used(ask(question, rules_=known)) == C


def test_who_broke_the_conversation_off_is_asked_last_wherever_the_session_belongs() -> None:
    question = query(session=ORDERS["bac"], avoid=frozenset({"b"}))
    assert used(ask(question, rules_=rules(strategy="random", affinity=True))) == A


def test_what_fails_is_followed_by_the_next_of_the_sessions_order() -> None:
    question = query(failed(B, FaultKind.RESET), session=ORDERS["bca"])
    assert used(ask(question, rules_=rules(strategy="round_robin", affinity=True))) == C


@pytest.mark.parametrize(
    ("strategy", "wished", "affine"),
    [
        ("round_robin", True, True),
        ("random", True, True),
        ("priority", True, False),
        ("random", False, False),
    ],
)
def test_it_is_for_those_strategies_that_would_scatter_a_session(
    strategy: Strategy, wished: bool, affine: bool
) -> None:
    provider = ProviderSettings(
        name="a", api_key=Secret("k"), base_url="https://a.example/v1", models=Models(big=("m",))
    )
    settings = Settings(providers=(provider,), fallback_strategy=strategy, session_affinity=wished)
    assert Rules.of(settings).affinity is affine


def test_a_session_keeps_its_models_together() -> None:
    candidates = (A, Candidate("a", "n"), B)
    known = rules(strategy="random", affinity=True)
    ordered = in_order(query(session=ORDERS["bac"]), candidates, view_of(), known)
    assert ordered == [B, A, Candidate("a", "n")]
