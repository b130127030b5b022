import json

from ccproxy_trio.wire.openai import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    ToolCall,
    ToolMessage,
    UserMessage,
    encode,
)


def test_fields_left_out_are_not_written() -> None:
    assert json.loads(encode(ChatRequest(model="m", messages=(UserMessage("hi"),)))) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_null_content_of_an_assistant_is_written() -> None:
    calls = (ToolCall(id="t", function=FunctionCall("n", '{"a": 1}')),)
    chat = ChatRequest(
        model="m", messages=(AssistantMessage(content=None, tool_calls=calls), ToolMessage("t", "ok"))
    )
    assert json.loads(encode(chat))["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"type": "function", "id": "t", "function": {"name": "n", "arguments": '{"a": 1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "t", "content": "ok"},
    ]


def test_text_is_written_as_utf_8_without_escapes() -> None:
    assert "日本\u2028😀".encode() in encode(ChatRequest(model="m", messages=(UserMessage("日本\u2028😀"),)))
