import json

import pytest

from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.parts import (
    Finished,
    Part,
    Text,
    Thinking,
    ThinkingSignature,
    ToolArguments,
    ToolStart,
)
from ccproxy_trio.wire import events as wire
from ccproxy_trio.wire.events import EMPTY_OBJECT, Usage, encode_message
from tests.support.answers import MODEL, emitter_of


def folded(*parts: Part) -> wire.Message:
    return fold(emitter_of().take([*parts, Finished("tool_use", usage=Usage(1, 2))]))


def test_deltas_become_whole_blocks() -> None:
    parts = (Thinking("a"), Thinking("b"), ThinkingSignature("sig"), Text("c"), Text("d"))
    message = folded(*parts, ToolStart("toolu_1", "Bash"), ToolArguments('{"a"'), ToolArguments(":1}"))
    *blocks, tool = message.content
    assert blocks == [wire.ThinkingBlock("ab", "sig"), wire.TextBlock("cd")]
    assert isinstance(tool, wire.ToolUseBlock)
    assert (tool.id, tool.name, bytes(tool.input)) == ("toolu_1", "Bash", b'{"a":1}')
    assert (message.model, message.stop_reason, message.usage) == (MODEL, "tool_use", Usage(1, 2))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        (" \n", {}),
        ("{}", {}),
        (' {"a": 1.50} ', {"a": 1.5}),
        ("[1]", {"value": [1]}),
        ("null", {"value": None}),
        ('"{}"', {"value": "{}"}),
        ('{"a', {"__unparsedToolInput": {"raw": '{"a', "len": 3}}),
        ("\u65e5" * 3000, {"__unparsedToolInput": {"raw": "\u65e5" * 2048, "len": 3000}}),
        ('{"a":NaN}', {"__unparsedToolInput": {"raw": '{"a":NaN}', "len": 9}}),
        ("[" * 100_000, {"__unparsedToolInput": {"raw": "[" * 2048, "len": 100_000}}),
    ],
)
def test_arguments_become_an_object(text: str, read: object) -> None:
    message = folded(ToolStart("toolu_1", "Bash"), *([ToolArguments(text)] if text else []))
    assert json.loads(encode_message(message))["content"][0]["input"] == read


def test_keep_alives_leave_no_trace_but_an_empty_thought() -> None:
    emitter = emitter_of()
    events = [*emitter.heartbeat(), wire.Ping(), *emitter.take([ThinkingSignature("sig"), Text("a")])]
    events += emitter.heartbeat() + emitter.take([Finished("end_turn")])
    assert fold(events).content == [wire.ThinkingBlock("", "sig"), wire.TextBlock("a")]


def test_half_an_answer_is_no_message() -> None:
    emitter = emitter_of()
    for events in ([], emitter.take([Text("a")]), emitter.fail("api_error", "x")):
        with pytest.raises(ValueError, match="not a whole answer"):
            fold(events)


def test_a_call_without_arguments_has_an_empty_object() -> None:
    (tool,) = folded(ToolStart("toolu_1", "Bash")).content
    assert isinstance(tool, wire.ToolUseBlock)
    assert tool.input == EMPTY_OBJECT
