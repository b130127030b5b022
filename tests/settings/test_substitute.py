import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.settings.substitute import expand, header_problem, key_problem, trim
from tests.settings.making import CANARY

ENVIRON = {"A": "one", "B_2": "two", "EMPTY": "  \n", "MONEY": "$A ${A} $$", "OPENAI_API_KEY": CANARY}
SHAPE = (
    "A `${` must go on as ${NAME} or ${NAME:-default}, with no braces in the default; "
    "write `$${` for the characters themselves."
)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${A}", "one"),
        ("x${A}y${B_2}z${A}", "xoneytwozone"),
        ("${NOT:-default}", "default"),
        ("${NOT:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${A:-default}", "one"),
        ("${NOT:-a:-b}", "a:-b"),
        ("${NOT:-$$}", "$"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$one"),
        ("$", "$"),
        ("a$b $A c", "a$b $A c"),
        ("cost: 5$", "cost: 5$"),
        ("}{", "}{"),
        ("${MONEY}", "$A ${A} $$"),
    ],
)
def test_variables_and_dollars(text: str, result: str) -> None:
    expanded = expand(text, ENVIRON)
    assert expanded.usable
    assert expanded.text == result


@pytest.mark.parametrize(
    "text",
    ["${", "${}", "a${A", "${A-b}", "${A:b}", "${1A}", "${ A }", "${A:-${B_2}}", "${A.B}", "${sk-canary}"],
)
def test_a_reference_that_is_none_is_told(text: str) -> None:
    expanded = expand(text, ENVIRON)
    assert expanded.malformed == (SHAPE,)
    assert not expanded.usable


def test_a_variable_without_braces_is_taken_for_the_mistake_it_is() -> None:
    assert expand("$OPENAI_API_KEY", ENVIRON).malformed == ("Write ${NAME} with braces; `$$` is a dollar.",)


def test_every_variable_without_a_value_is_told_with_the_nearest_name() -> None:
    expanded = expand("${OPENAI_KEY}/${EMPTY}/${XYZ}", ENVIRON)
    assert expanded.missing == (
        "The variable OPENAI_KEY is not set. There is one called OPENAI_API_KEY.",
        "The variable EMPTY is set but empty; ${EMPTY:-default} gives a default.",
        "The variable XYZ is not set.",
    )
    assert not expanded.usable


def test_whether_a_variable_was_named_is_known() -> None:
    assert expand("${A}", ENVIRON).referred
    assert expand("${NOT:-x}", ENVIRON).referred
    assert not expand("plain $$", ENVIRON).referred


def test_a_value_that_is_not_utf_8_is_told() -> None:
    expanded = expand("${A}", {"A": "caf\udce9"})
    assert expanded.malformed == ("The value of the variable A is not UTF-8.",)


@pytest.mark.parametrize(
    ("value", "trimmed"),
    [
        ("k", "k"),
        (" k\r\n", "k"),
        ("\ufeffk", "k"),
        ('"k"', "k"),
        (" 'k' ", "k"),
        ('" k "', "k"),
        ('"a" or "b"', '"a" or "b"'),
        ("'k\"", "'k\""),
        ('"', '"'),
        ("", ""),
        ('""', ""),
    ],
)
def test_what_is_around_a_value_by_accident_goes(value: str, trimmed: str) -> None:
    assert trim(value) == trimmed
    assert expand("<${V:-}>", {"V": value}).text == f"<{trimmed}>"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "is empty"),
        (f"{CANARY}\nx", "line break"),
        (f"{CANARY}\x00", "control character"),
        (f"{CANARY}\x7f", "control character"),
        (f"{CANARY}é", "beyond ASCII"),
        (f"“{CANARY}”", "beyond ASCII"),
        (f"Bearer {CANARY}", "leave that out"),
        (f"{CANARY} # mine", "has a space"),
    ],
)
def test_what_cannot_be_a_key_is_told_without_showing_it(key: str, words: str) -> None:
    problem = key_problem(key)
    assert problem is not None
    assert words in problem
    assert CANARY not in problem


def test_keys_of_all_usual_forms_pass() -> None:
    for key in (CANARY, "a" * 4000, "eyJhbGciOi.J9-_~+/=", "none", "AIza'`"):
        assert key_problem(key) is None


@pytest.mark.parametrize("value", [f"{CANARY}\n", f"{CANARY}\r", f"{CANARY}\x00", f"{CANARY}\x1f"])
def test_a_header_has_no_control_characters(value: str) -> None:
    assert header_problem(value) == (
        "has a line break or another control character in it, which a header must not have."
    )


def test_a_header_is_latin_1() -> None:
    assert header_problem("café\tx") is None
    assert (
        header_problem(f"{CANARY} …") == "has characters beyond Latin-1 in it, which a header cannot carry."
    )


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_expanding_never_fails_and_never_tells_a_value(text: str, environ: dict[str, str]) -> None:
    expanded = expand(text, {**environ, "A": CANARY})
    assert all(CANARY not in problem for problem in expanded.missing + expanded.malformed)


@given(st.text())
def test_doubled_dollars_say_any_text_literally(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}).text == text
