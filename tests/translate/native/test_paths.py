"""Members left out by their paths, and what stays whatever is asked for."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy_trio.translate.native.paths import (
    ESSENTIAL,
    ESSENTIAL_INSIDE,
    chains_to,
    leaves_out,
    may_go,
    path_of,
    without,
)
from ccproxy_trio.translate.native.places import place_of, type_of
from tests.translate.asking import assistant, call, result, text, tool, user
from tests.translate.native.asking import body, encoded, sent


def cleaned(what: dict[str, Any], *paths: str) -> dict[str, Any]:
    written = encoded(what)
    left = without(msgspec.json.decode(written, type=dict[str, Raw]), paths, text=written)
    read: dict[str, Any] = json.loads(msgspec.json.encode(left))
    return read


@pytest.mark.parametrize(
    ("paths", "before", "after"),
    [
        (["a"], {"a": 1, "b": {"a": 1}}, {"b": {"a": 1}}),
        (["b.a"], {"a": 1, "b": {"a": 1, "c": 2}}, {"a": 1, "b": {"c": 2}}),
        (["b.a"], {"b": {"a": 1}}, {}),
        (["b.a"], {"b": {}}, {"b": {}}),
        (["b.a"], {"b": [{"a": 1}, [{"a": 2}], 3]}, {"b": [{}, [{}], 3]}),
        (["b.a"], {"b": {"x": {"y": [{"a": 1}]}}}, {"b": {"x": {"y": [{}]}}}),
        (["x.y.a"], {"b": {"x": {"z": {"y": {"a": 1, "k": 0}}}}}, {"b": {"x": {"z": {"y": {"k": 0}}}}}),
        (["y.x.a"], {"b": {"x": {"y": {"a": 1}}}}, {"b": {"x": {"y": {"a": 1}}}}),
        (["b.a"], {"b": "a", "c": {"a": 1}}, {"b": "a", "c": {"a": 1}}),
        (["b.a"], {"b": {"input": {"a": 1}, "input_schema": {"a": 1}, "schema": {"a": 1}}}, None),
        (["model", "messages", "max_tokens", "system", "tools", "stream"], dict.fromkeys(ESSENTIAL, 1), None),
        ([f"b.{name}" for name in sorted(ESSENTIAL_INSIDE)], {"b": dict.fromkeys(ESSENTIAL_INSIDE, 1)}, None),
    ],
)
def test_a_path_means_its_last_name_where_the_others_lead_to_it(
    paths: list[str], before: dict[str, Any], after: dict[str, Any] | None
) -> None:
    assert cleaned(before, *paths) == (before if after is None else after)


def test_a_name_that_is_spelt_in_escapes_is_found_too() -> None:
    written = rb'{"b":{"\u0061":1,"c":2}}'
    left = without(msgspec.json.decode(written, type=dict[str, Raw]), ["b.a"], text=written)
    assert msgspec.json.encode(left) == b'{"b":{"c":2}}'


def test_what_is_nested_beyond_all_sense_is_not_followed() -> None:
    deep: Any = {"a": 1}
    for _ in range(200):
        deep = [deep]
    assert cleaned({"b": deep, "c": {"a": 1, "k": 0}}, "b.a", "c.a") == {"b": deep, "c": {"k": 0}}
    assert chains_to(Raw(encoded({"b": deep})), "a") == []


MEMBER = st.sampled_from(["a", "b", "defer_loading", "cache_control", "citations", "type", "text"])
INPUT = st.dictionaries(MEMBER, st.dictionaries(MEMBER, st.integers(0, 2), max_size=2), max_size=3)


@given(
    INPUT, st.lists(st.tuples(st.sampled_from(["messages", "tools", "a"]), MEMBER), min_size=1, max_size=4)
)
def test_no_path_reaches_into_a_calls_input_or_a_tools_schema(
    inside: dict[str, Any], paths: list[tuple[str, str]]
) -> None:
    what = body(
        user("go"),
        assistant(call("t1", **inside)),
        user(result("t1")),
        tools=[tool("A", input_schema={"type": "object", "properties": inside})],
    )
    passed = sent(what, leave_out=[".".join(path) for path in paths] + [name for _, name in paths])
    assert passed["messages"] == what["messages"]
    assert passed["tools"] == what["tools"]


@pytest.mark.parametrize(
    ("chain", "path"),
    [
        (("context_management",), "context_management"),
        (("tools", "defer_loading"), "tools.defer_loading"),
        (("messages", "content", "content", "citations"), "messages.citations"),
        (("messages", "content", "cache_control", "ttl"), "cache_control.ttl"),
        (("system", "cache_control"), "system.cache_control"),
    ],
)
def test_a_path_is_written_so_that_it_means_all_members_alike(chain: tuple[str, ...], path: str) -> None:
    assert path_of(chain) == path
    assert leaves_out([path], chain)
    assert may_go(path)


def test_what_is_left_out_is_left_out_with_all_that_is_in_it() -> None:
    assert leaves_out(["output_config"], ("output_config", "format"))
    assert not leaves_out(["output_config.effort"], ("output_config", "format"))
    assert not leaves_out(["format"], ("output_config", "format"))


SENT = encoded(
    body(
        user({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "scope": "global"}}),
        assistant({"type": "thinking", "thinking": "hm", "cache_control": 1}),
        tools=[tool(defer_loading=True)],
    )
)


MARKED = ("messages", "content", "cache_control")


@pytest.mark.parametrize(
    ("path", "chain", "is_there", "is_element"),
    [
        ("tools.0.custom.defer_loading", ("tools", "defer_loading"), True, False),
        ("tools[0].defer_loading", ("tools", "defer_loading"), True, False),
        ("messages.0.content.0.text.text", ("messages", "content", "text"), True, False),
        ("messages.0.content.0.text", ("messages", "content"), False, True),
        ("messages.0.content.0.cache_control.ephemeral.scope", (*MARKED, "scope"), True, False),
        ("messages.1.content.0.thinking.cache_control", MARKED, True, False),
        ("messages.1.content.0", ("messages", "content"), True, True),
        ("messages.7", ("messages",), False, False),
        ("model.inside", ("model",), False, False),
        ("nowhere", (), False, False),
    ],
)  # fmt: skip
def test_a_validators_path_is_followed_past_the_types_in_it(
    path: str, chain: tuple[str, ...], is_there: bool, is_element: bool
) -> None:
    place = place_of(path, SENT)
    assert (place.chain, place.is_there, place.is_element) == (chain, is_there, is_element)


def test_the_element_that_was_passed_last_is_known() -> None:
    assert json.loads(bytes(place_of("tools.0.custom.defer_loading", SENT).element))["name"] == "Bash"
    assert type_of(place_of("messages.1.content.0", SENT).value) == "thinking"
    assert [type_of(Raw(b"[]")), type_of(Raw(b"{}")), text("a")["type"]] == ["", "", "text"]
