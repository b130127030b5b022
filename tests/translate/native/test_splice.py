"""Members of a JSON text are written anew, and no other byte changes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccproxy_trio.translate.native.splice import edited, put

ODD = b' { "a" : 1 ,\t"b":{"x":[1,{"a":2},"]}"],"z":"}\\"{,"} , "c":"q" }  '


@pytest.mark.parametrize(
    ("path", "members", "expected"),
    [
        ((), {"a": b"7"}, ODD.replace(b"1 ,\t", b"7 ,\t")),
        ((), {"c": b"null", "a": b"[1, 2]"}, ODD.replace(b"1 ,\t", b"[1, 2] ,\t").replace(b'"q"', b"null")),
        (("b",), {"z": b"0"}, ODD.replace(b'"}\\"{,"', b"0")),
        ((), {"d": b"7"}, ODD.replace(b"{ ", b'{"d":7, ', 1)),
        (("b", "y"), {"k": b"7"}, ODD.replace(b'{"x"', b'{"y":{"k":7},"x"')),
        (("a",), {"k": b"7"}, ODD.replace(b"1 ,\t", b'{"k":7} ,\t')),
    ],
)
def test_only_what_is_put_changes(path: tuple[str, ...], members: dict[str, bytes], expected: bytes) -> None:
    assert put(ODD, path, members) == expected


def test_an_empty_object_gets_members_without_a_comma_too_many() -> None:
    assert put(b"{ }", (), {"a": b"1"}) == b'{"a":1 }'
    assert put(b"{}", ("m", "n"), {"a": b"1", "b": b"2"}) == b'{"m":{"n":{"a":1,"b":2}}}'


def test_of_a_name_that_occurs_twice_all_are_written() -> None:
    assert put(b'{"a":1,"a":2}', (), {"a": b"3"}) == b'{"a":3,"a":3}'


def test_a_name_is_known_however_it_is_spelt() -> None:
    assert put(rb'{"\u0061":1,"\ud800":2}', (), {"a": b"3"}) == rb'{"\u0061":3,"\ud800":2}'


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abmn{,"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from("abmn{,"), documents, max_size=4),
    st.lists(st.sampled_from("mn"), max_size=2),
    st.dictionaries(st.sampled_from("abx"), st.integers(), min_size=1, max_size=2),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]),
)
def test_what_is_put_is_there_and_all_else_is_as_it_was(
    document: dict[str, Any], path: list[str], members: dict[str, int], separators: tuple[str, str]
) -> None:
    text = json.dumps(document, separators=separators).encode()
    expected = document
    for name in path:
        if not isinstance(expected.get(name), dict):
            expected[name] = {}
        expected = expected[name]
    expected.update(members)
    after = put(text, path, {name: str(value).encode() for name, value in members.items()})
    assert json.loads(after) == document
    assert put(after, path, {}) == after


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"event: x\ndata: {}\n\n", b'event: x\ndata: {"a":1}\n\n'),
        (b": y\r\ndata:{}\r\nid: 7\r\n\r\n", b': y\r\ndata:{"a":1}\r\nid: 7\r\n\r\n'),
        (b"data: {\ndata: }\n\n", b'data: {"a":1\ndata: }\n\n'),
        (b"data: {}\n\ndata: {}\n\n", b'data: {"a":1}\n\ndata: {"a":1}\n\n'),
        (b"\ndata: {}\r\r", b'\ndata: {"a":1}\r\r'),
        (b'data:{"a":1}\n\n', b'data:{"a":1}\n\n'),
        (b": nothing\n\n", b": nothing\n\n"),
    ],
)
def test_the_data_of_frames_are_edited_and_nothing_beside_them(raw: bytes, expected: bytes) -> None:
    assert edited(raw, lambda data: put(data, (), {"a": b"1"})) == expected
