import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccproxy_trio.settings.fault import ConfigError, Path
from ccproxy_trio.settings.source import MAX_BYTES, MAX_DEPTH, Spot, read


def refused(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text.encode() if isinstance(text, str) else text, file="f.json")
    (fault,) = caught.value.faults
    return str(fault)


def test_comments_and_trailing_commas_load() -> None:
    text = """// first
    { /* a
         b */ "a": [1, 2,], // behind
      "url": "http://x/*y*/", // not a comment inside
    }
    // last"""
    assert read(text.encode(), file="f").data == {"a": [1, 2], "url": "http://x/*y*/"}


def test_every_key_and_value_knows_its_place() -> None:
    document = read(b'{\n  "a": {"b": [10,\n    -2.5, null]},\r\n  "c": true}', file="f")
    assert document.keys == {("a",): Spot(2, 3), ("a", "b"): Spot(2, 9), ("c",): Spot(4, 3)}
    assert document.values == {
        (): Spot(1, 1),
        ("a",): Spot(2, 8),
        ("a", "b"): Spot(2, 14),
        ("a", "b", 0): Spot(2, 15),
        ("a", "b", 1): Spot(3, 5),
        ("a", "b", 2): Spot(3, 11),
        ("c",): Spot(4, 8),
    }
    assert document.data == {"a": {"b": [10, -2.5, None]}, "c": True}


def test_places_count_characters_after_multi_line_comments_and_a_byte_order_mark() -> None:
    document = read('\ufeff/*\n\n*/ {"é": "ü", "b": 1}'.encode(), file="f")
    assert document.values["b",] == Spot(3, 20)
    assert document.values[()] == Spot(3, 4)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_all_line_endings_count_alike(ending: str) -> None:
    document = read(f'{{{ending}{ending}"a": 1{ending}}}'.encode(), file="f")
    assert document.keys["a",] == Spot(3, 1)


@pytest.mark.parametrize(
    "written",
    [r'"\ud83d\ude00"', r'"\\u0041"', r'"\"\/\b\f\n\r\t"', r'"\u00e9"', '"\u2028"', r'"a\\"', '"//x"'],
)
def test_strings_mean_what_json_says(written: str) -> None:
    data = read(f'{{"a": {written}}}'.encode(), file="f").data
    assert data == json.loads(f'{{"a": {written}}}')


def test_a_key_written_twice_is_a_fault_and_the_first_holds() -> None:
    document = read(b'{"a": 1, "b": {"c": 1,\n "c": 2},\n "a": 3}', file="f.json")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [str(fault) for fault in document.faults] == [
        "f.json:2:2: b.c: is written twice; the first is on line 1.",
        "f.json:3:2: a: is written twice; the first is on line 1.",
    ]


@pytest.mark.parametrize("written", [r'"\x41"', r'"\'"', '"\t"', r'"\u12"', '"\x01"'])
def test_what_json_does_not_allow_in_a_string_is_a_fault(written: str) -> None:
    (fault,) = read(f'{{"a":\n {written}}}'.encode(), file="f.json").faults
    assert str(fault) == (
        "f.json:2:2: a: This string has an escape or a control character that JSON does not allow."
    )


def test_half_a_surrogate_pair_is_a_fault() -> None:
    (fault,) = read(rb'{"a": "\ud800"}', file="f.json").faults
    assert str(fault) == "f.json:1:7: a: This string has half a surrogate pair; write the character itself."


QUOTES = "Text needs double quotes around it, keys too."
NUMBER = "Not a number as JSON writes them, such as 90, -1 or 0.5."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: The file is empty; a configuration is an object: { ... }."),
        ("// nothing\n", "2:1: The file is empty; a configuration is an object: { ... }."),
        ('{"a": 1', "1:8: The file ends too early; a closing `}` or `]` is missing."),
        ('{"a": 1\n "b": 2}', "2:2: Here should be a comma or `}`. Is a comma missing before this?"),
        ('{"a" 1}', "1:6: Here should be a colon."),
        ('{"a": }', "1:7: Here should be a value."),
        ('{"a": [1 2]}', "1:10: Here should be `]` or a comma. Is a comma missing before this?"),
        ('{"a": [1}', "1:9: Here should be `]` or a comma."),
        ("{1: 2}", "1:2: Here should be `}` or a key in double quotes."),
        ('{"a": 1,, "b": 2}', "1:8: Two commas follow each other."),
        ('{"a": 1} {', "1:10: Nothing may follow the end of the configuration."),
        ('{\n"a": "x\n}', "2:6: This string has no closing quote on its line."),
        ("{'a': 1}", "1:2: Strings take double quotes, not single ones."),
        ('{"a": 1 /* x\n\n}', "1:9: This comment is never closed; `*/` is missing."),
        ('{"a": 1 / 2}', "1:9: A comment starts with two slashes."),
        ('{"a":\u00a01}', "1:6: The character U+00A0 may stand in strings and comments only."),
        ("{a: 1}", "1:2: " + QUOTES),
        ('{"a": sk-canary}', "1:7: " + QUOTES),
        ('{"a": #1}', "1:7: " + QUOTES),
        ('{"a": True}', "1:7: Write true here."),
        ('{"a": None}', "1:7: Write null here."),
        ('{"a": NaN}', "1:7: " + NUMBER),
        ('{"a": -Infinity}', "1:7: " + NUMBER),
        ('{"a": 0x10}', "1:7: " + NUMBER),
        ('{"a": 010}', "1:7: " + NUMBER),
        ('{"a": +1}', "1:7: " + NUMBER),
        ('{"a": .5}', "1:7: " + NUMBER),
        ('{"a": 5.}', "1:7: " + NUMBER),
        ('{"a": 1e400}', "1:7: " + NUMBER),
        ('{"a": ' + "9" * 5000 + "}", "1:7: " + NUMBER),
        ('{"a": \u0663}', "1:7: " + QUOTES),
        ("[" * (MAX_DEPTH + 1), f"1:{MAX_DEPTH + 1}: Nested more than {MAX_DEPTH} deep."),
    ],
)
def test_what_is_not_json_with_comments_is_refused_at_its_place(text: str, message: str) -> None:
    assert refused(text) == f"f.json:{message}"


def test_a_file_that_is_not_utf_8_is_refused_where_it_stops_being_it() -> None:
    assert refused(b'{\n "a": "\xe9"}') == (
        "f.json:2:8: The file is not UTF-8 from here on; save it as UTF-8."
    )
    assert refused('{"a": 1}'.encode("utf-16")).startswith("f.json:1:1: The file is not UTF-8")


def test_a_file_past_the_limit_is_refused_unread() -> None:
    assert read(b"{}".ljust(MAX_BYTES), file="f.json").data == {}
    assert refused(b"{}".ljust(MAX_BYTES + 1)) == (
        "f.json: The file is larger than 64 KiB, more than a configuration may be."
    )


def test_an_open_comment_before_many_lines_costs_no_time() -> None:
    began = time.process_time()
    assert "never closed" in refused('{"a": 1, /* ' + "\n x" * 20_000)
    assert time.process_time() - began < 5


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Letters, digits, punctuation: what a configuration holds, and no lone surrogates.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(values, st.integers(0, 3))
def test_any_json_reads_as_the_standard_library_reads_it(value: Any, indent: int) -> None:
    text = json.dumps(value, indent=indent or None)
    document = read(text.encode(), file="f")
    assert document.data == json.loads(text)
    assert document.faults == ()


PIECES = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"a"',
    "1",
    "-",
    "true",
    '"',
    "//x\n",
    "/*",
    "*/",
    "'",
    "nan",
    "\n",
    "\\",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14))
@example(["{", '"a"', ":", "-", "}"])
def test_any_other_text_is_refused_with_a_place(pieces: list[str]) -> None:
    text = " ".join(pieces)
    try:
        read(text.encode(), file="f")
    except ConfigError as error:
        (fault,) = error.faults
        assert fault.line is not None
        assert fault.column is not None
        assert 1 <= fault.line <= text.count("\n") + 1
        assert 1 <= fault.column <= len(text) + 1


def test_a_fault_in_a_document_without_text_has_no_place() -> None:
    path: Path = ("a", 0)
    document = read(b"{}", file="f")
    assert str(document.at_value(path, "is wrong.")) == "f: a[0]: is wrong."
    assert str(document.at_key(path, "is wrong.")) == "f: a[0]: is wrong."
