from typing import Any

import pytest

from ccproxy_trio.translate.stream import Part, Text, ToolArguments, ToolEnd, ToolStart
from tests.support.answers import call, delta, parts_of, reader_of

A, B = '{"a":1}', '{"b":2}'


def dealt(*deltas: dict[str, Any]) -> list[tuple[str, str]]:
    """The name and arguments of each call, in order, when these deltas come."""
    told: list[tuple[str, str]] = []
    for part in parts_of(reader_of(), [*(delta(**members) for members in deltas), delta("tool_calls")]):
        match part:
            case ToolStart():
                told.append((part.name, ""))
            case ToolArguments():
                name, text = told[-1]
                told[-1] = (name, text + part.json_text)
            case _:
                pass
    return told


def pieces(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"tool_calls": [item]} for item in items]


@pytest.mark.parametrize(
    ("items", "calls"),
    [
        pytest.param([call(0, name="X", args=A)], [("X", A)], id="at once"),
        pytest.param([call(1, name="X", args=A)], [("X", A)], id="numbered from one"),
        pytest.param([call("0", name="X"), call("0", args=A)], [("X", A)], id="numbered with text"),
        pytest.param(
            [call(0, id="a", name="X", args=A), call(0, id="b", name="X", args=B)],
            [("X", A), ("X", B)],
            id="always 0, by id",
        ),
        pytest.param(
            [call(0, name="X", args=A), call(0, id="b", args=" ")], [("X", A + " ")], id="id comes late"
        ),
        pytest.param(
            [call(0, name="X", args=A), call(0, name="Y", args=B)],
            [("X", A), ("Y", B)],
            id="always 0, by name",
        ),
        pytest.param(
            [call(0, name="X", args='{"a"'), call(0, name="X", args=":1}")], [("X", A)], id="name repeated"
        ),
        pytest.param(
            [call(0, name="X", args=A), call(0, name="X", args="")], [("X", A)], id="name repeated last"
        ),
        pytest.param(
            [call(0, name="Mu"), call(0, name="lti"), call(0, args=A)], [("Multi", A)], id="name grows"
        ),
        pytest.param([call(0, args=A), call(0, name="X")], [("X", A)], id="name behind the arguments"),
        pytest.param(
            [call(None, id="a", name="X"), call(None, id="b", name="Y", args=B), call(None, id="a", args=A)],
            [("X", A), ("Y", B)],
            id="by id alone",
        ),
        pytest.param(
            [call(None, name="X", args=A[:3]), call(None, args=A[3:]), call(None, name="Y", args=B)],
            [("X", A), ("Y", B)],
            id="by nothing but names",
        ),
        pytest.param(
            [call(None, name="X", args=A[:3]), call(None, name="X", args=A[3:])],
            [("X", A)],
            id="unnumbered name repeated",
        ),
        pytest.param(
            [call(None, args=A), call(None, name="X")], [("X", A)], id="unnumbered and nameless at first"
        ),
        pytest.param([{"index": 0}, call(0, name="X", args=A)], [("X", A)], id="an item without a function"),
        pytest.param(
            [call(0, name="X"), call(1, name="Y"), call(0, args=A), call(1, args=B)],
            [("X", A), ("Y", B)],
            id="alternating",
        ),
        pytest.param(
            [call(0, name="X", args='{"a":"}'), call(1, name="Y", args=B), call(0, args='"}')],
            [("X", '{"a":"}"}'), ("Y", B)],
            id="a brace in a string is no end",
        ),
        pytest.param(
            [call(0, name="X", args="1"), call(1, name="Y", args=B), call(0, args="2")],
            [("X", "12"), ("Y", B)],
            id="a number may go on",
        ),
        pytest.param(
            [call(0, name="X", args=A), call(0, args="\n"), call(1, name="Y", args=B), call(1, args=" ")],
            [("X", A + "\n"), ("Y", B + " ")],
            id="white space behind the arguments",
        ),
        pytest.param(
            [call(0, name="X"), call(1, args=B), call(2, name="Z", args=A)],
            [("X", ""), ("Z", A)],
            id="no arguments, no name",
        ),
        pytest.param([call(0, name="X", args={"a": 1})], [("X", '{"a": 1}')], id="an object"),
        pytest.param(
            [
                call(0, id="a", name="X", args=A[:3]),
                call(0, id="b", args=A[3:5]),
                call(0, id="c", args=A[5:]),
            ],
            [("X", A)],
            id="a new id with every piece",
        ),
        pytest.param(
            [call(0, id="a", name="X"), call(0, id="b", args=A)], [("X", A)], id="a new id behind the name"
        ),
        pytest.param(
            [call(0, id="a", name="X", args=A[:3]), call(0, id="b", args=""), call(0, id="c", args=A[3:])],
            [("X", A)],
            id="a new id with nothing",
        ),
        pytest.param(
            [call(None, id="a", name="X", args=A[:3]), call(None, id="b", args=A[3:])],
            [("X", A)],
            id="unnumbered, a new id with every piece",
        ),
        pytest.param(
            [call(None, name="X"), call(None, id="b", name="Y", args=B)],
            [("X", ""), ("Y", B)],
            id="unnumbered, the first without an id",
        ),
        pytest.param(
            [call(0, id="a", name="X", args=A), call(0, id="b"), call(0, name="Y", args=B)],
            [("X", A), ("Y", B)],
            id="an id behind whole arguments, its name later",
        ),
        pytest.param(
            [
                call(0, id="a", name="X"),
                call(0, id="b", name="Y"),
                call(0, id="a", args=A),
                call(0, id="b", args=B),
            ],
            [("X", A), ("Y", B)],
            id="always 0 and alternating, by id",
        ),
        pytest.param([call(0, name="X", args=[1])], [("X", "[1]")], id="a list"),
        pytest.param([call(0, name="X", args=5)], [("X", "5")], id="a number"),
    ],
)
def test_calls_come_out_whole_however_they_are_dealt(
    items: list[dict[str, Any]], calls: list[tuple[str, str]]
) -> None:
    assert dealt(*pieces(*items)) == calls
    if all(item.get("index") is not None for item in items):
        assert dealt({"tool_calls": items}) == calls


def test_a_later_call_waits_for_the_open_one() -> None:
    reader = reader_of()
    reader.feed(delta(tool_calls=[call(0, name="X", args='{"a"')]))
    assert reader.feed(delta(tool_calls=[call(1, name="Y", args=B)])) == []
    out = reader.feed(delta(tool_calls=[call(0, args=":1}")]))
    assert [type(part) for part in out] == [ToolArguments, ToolEnd, ToolStart, ToolArguments]


def test_a_name_alone_waits_since_it_may_grow() -> None:
    reader = reader_of()
    assert reader.feed(delta(tool_calls=[call(0, name="X")])) == []
    assert (
        len(reader.feed(delta(tool_calls=[call(1, name="Y")]))) == 2
    )  # the sign for a keep-alive, the start


def told(*deltas: dict[str, Any]) -> list[Part]:
    parts = parts_of(reader_of(), [*(delta(**members) for members in deltas), delta("tool_calls")])
    return [part for part in parts if isinstance(part, Text | ToolStart | ToolEnd)]


def test_text_ends_complete_calls_and_goes_before_those_that_have_not_begun() -> None:
    complete = {"tool_calls": [call(0, name="X", args=A)]}
    begun = {"tool_calls": [call(1, name="Y")]}
    assert [type(part) for part in told(complete, {"content": "t"}, begun, {"content": "u"})] == [
        ToolStart,
        ToolEnd,
        Text,
        Text,
        ToolStart,
        ToolEnd,
    ]
    both = {"tool_calls": [call(0, name="X", args='{"a"'), call(1, name="Y", args=B)]}
    rest = {"tool_calls": [call(0, args=":1}")]}
    assert [type(part) for part in told(both, {"content": "t"}, rest, {"content": "u"})] == [
        ToolStart,
        ToolEnd,
        Text,
        ToolStart,
        ToolEnd,
        Text,
    ]


def test_text_ends_a_call_that_waited_for_nothing_but_its_turn() -> None:
    nameless = {"tool_calls": [call(0, args=A)]}
    assert [type(part) for part in told(nameless, {"content": "t"}, {"tool_calls": [call(0, name="X")]})] == [
        Text,
        ToolStart,
        ToolEnd,
    ]


def test_text_that_waited_keeps_its_place_before_text_that_need_not_wait() -> None:
    broken_off, rest = {"tool_calls": [call(0, name="X", args="{")]}, {"tool_calls": [call(0, args="}")]}
    begun = {"tool_calls": [call(1, name="Y")]}
    shown = told(broken_off, {"content": "t"}, rest, begun, {"content": "u"})
    assert [part.text for part in shown if isinstance(part, Text)] == ["t", "u"]


def test_white_space_behind_a_call_that_has_ended_is_dropped() -> None:
    ended = [{"tool_calls": [call(0, name="X", args=A)]}, {"content": "t"}]
    assert dealt(*ended, {"tool_calls": [call(0, args="\n")]}, {"tool_calls": [call(1, name="Y")]}) == [
        ("X", A),
        ("Y", ""),
    ]


def test_a_call_that_was_named_last_ends_when_text_comes() -> None:
    first = {"tool_calls": [call(0, args='{"a"'), call(1, name="Y", args=B)]}
    named = {"tool_calls": [call(0, name="X", args=":1}"), {"index": 2}]}
    assert dealt(first, named, {"content": "t"}) == [("X", A), ("Y", B)]
