"""A session may move between providers of all wires, in any direction: what holds for every request of it.

`claims.py` says what; here are the sessions. In a tour one model alternates with each of the others, in the
middle of tool loops and between them, so each history that one leaves is read by every other.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate import claims
from tests.translate.seats import NATIVE, SEATS, Seat
from tests.translate.sessions import Client, Sent, Session, Step

SHAPES = ("tc", "htscc", "c", "c", "ts", "tcsc", "sc", "hs", "tthc", "s", "tsttctc")
CLIENTS = (
    Client(),
    Client(thinking="enabled"),
    Client(),
    Client(thinking="disabled", keeps="all"),
    Client(),
    Client(thinking="enabled", keeps="all"),
)
Claim = Callable[[Sent], Iterator[str]]


@cache
def tours() -> tuple[Session, ...]:
    """Sessions in which a model alternates with some of those that come after it in the list."""
    shapes, asking = itertools.cycle(SHAPES), itertools.cycle(CLIENTS)
    return tuple(
        _tour(
            [each for other in SEATS[first : first + 4] for each in (seat, other)] + [seat],
            next(asking),
            shapes,
        )
        for place, seat in enumerate(SEATS)
        for first in range(place + 1, len(SEATS), 4)
    )


def _tour(seats: list[Seat], client: Client, shapes: Iterator[str]) -> Session:
    session = Session(client)
    session.play(
        Step(
            seat=seat,
            shape=next(shapes),
            waits=place % 4 == 1,
            streams=place % 3 != 2,
            failed=place % 5 == 2,
            seen=place % 7 == 3,
            swapped=place % 2 == 1,
            also=place % 3 == 1,
            instructed=place % 5 == 4,
        )
        for place, seat in enumerate(seats)
    )
    return session


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.__name__)
def test_between_any_two_models_in_both_directions(claim: Claim) -> None:
    assert [fault for session in tours() for fault in claims.broken(session.sent, claim)] == []


def test_the_tours_lead_from_every_model_to_every_other_in_the_middle_of_a_tool_loop() -> None:
    moves = {
        (before.seat.name, after.seat.name)
        for session in tours()
        for before, after in itertools.pairwise(session.sent)
    }
    assert moves >= {(one.name, other.name) for one in SEATS for other in SEATS if one is not other}


@pytest.mark.parametrize("seat", NATIVE, ids=lambda seat: seat.name)
def test_a_loop_in_which_others_called_without_a_thought_can_be_gone_on_with(seat: Seat) -> None:
    for other in SEATS:
        session = Session(Client())
        session.play([Step(seat=other, shape="c"), Step(seat=seat)])
        for claim in claims.CLAIMS:
            assert claims.broken(session.sent[1:], claim) == []


def test_no_id_of_a_message_or_a_call_occurs_twice() -> None:
    for session in tours():
        assert len(set(session.ids)) == len(session.ids)


seats = st.sampled_from(SEATS)
flags = st.booleans()
steps = st.builds(
    Step,
    seat=seats,
    shape=st.text("thsc", min_size=1, max_size=6).map(lambda shape: shape + "c" * (shape[-1] in "th")),
    before=st.lists(seats, max_size=1).map(tuple),
    waits=flags,
    streams=flags,
    failed=flags,
    seen=flags,
    swapped=flags,
    also=flags,
    instructed=flags,
    restart=st.sampled_from(["no"] * 6 + ["summed up", "oldest dropped"]),
)
clients = st.builds(
    Client,
    thinking=st.sampled_from(["adaptive", "enabled", "disabled", "unsaid"]),
    keeps=st.sampled_from(["known", "all"]),
)


@given(clients, st.lists(steps, min_size=2, max_size=8))
@settings(max_examples=25)
def test_in_any_session_whoever_asks_and_whatever_happens(client: Client, played: list[Step]) -> None:
    session = Session(client)
    session.play(played)
    for claim in claims.CLAIMS:
        assert claims.broken(session.sent, claim) == []
    assert len(set(session.ids)) == len(session.ids)
