import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.translate.context import Ids, Names
from tests.translate.asking import dialect


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=50), max_size=20),
    st.sampled_from(["plain40", "mistral9"]),
)
def test_ids_are_unique_and_fit_whatever_the_client_sends(client_ids: list[str], form: str) -> None:
    ids = Ids(dialect(tool_id=form))
    made = [ids.of_call(client_id) for client_id in client_ids]
    assert len(set(made)) == len(made)
    fits = re.compile(r"[a-z0-9]{9}" if form == "mistral9" else r"[A-Za-z0-9_-]{1,40}")
    assert all(fits.fullmatch(upstream_id) for upstream_id in made)


def test_good_ids_go_through() -> None:
    assert Ids(dialect()).of_call("toolu_01AbC-x") == "toolu_01AbC-x"
    assert Ids(dialect()).of_call("x" * 40) == "x" * 40


def test_ids_are_the_same_on_every_turn() -> None:
    first, second = Ids(dialect()), Ids(dialect())
    assert [first.of_call("functions.Bash:0") for _ in range(3)] == [
        second.of_call("functions.Bash:0") for _ in range(3)
    ]


def test_id_that_equals_the_hash_of_another_gets_its_own() -> None:
    hashed = Ids(dialect()).of_call("é")
    ids = Ids(dialect())
    assert ids.of_call("é") == hashed
    assert ids.of_call(hashed) != hashed


def test_hash_that_is_taken_is_hashed_again() -> None:
    hashed = Ids(dialect()).of_call("é")
    ids = Ids(dialect())
    assert ids.of_call(hashed) == hashed
    assert ids.of_call("é") != hashed


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("Bash", "Bash"),
        ("mcp__a-b__c", "mcp__a-b__c"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 55 + "_"),
        ("a b", "a_b_"),
        ("", "__"),
        ("日本", "___"),
    ],
)
def test_names_fit_and_can_be_told_apart(name: str, upstream: str) -> None:
    names = Names(dialect())
    made = names.of(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made)
    assert made.startswith(upstream)
    assert names.changed() == ({} if made == name else {made: name})


def test_gemini_wants_a_letter_first() -> None:
    names = Names(dialect("gemini"))
    assert names.of("3d-print").startswith("_3d-print_")
    assert names.of("_ok") == "_ok"
    assert Names(dialect()).of("3d-print") == "3d-print"
