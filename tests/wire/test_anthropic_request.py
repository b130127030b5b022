import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.wire import anthropic, blocks
from ccproxy_trio.wire.anthropic import decode_count, decode_request
from ccproxy_trio.wire.faults import RequestRefused


def body(**fields: Any) -> bytes:
    whole = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **fields}
    return json.dumps(whole).encode()


def refusal(raw: bytes) -> str:
    with pytest.raises(RequestRefused) as caught:
        decode_request(raw)
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request_error")
    return caught.value.message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"null", "Expected `object`, got `null`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"x"', "Expected `object`, got `str`"),
        (b"\xef\xbb\xbf" + body(), "byte order mark"),
        (body().decode().encode("utf-16"), "UTF-16"),
        (body().decode().encode("utf-16-be"), "UTF-16"),
        (body() + b" x", "trailing characters"),
        (body()[:-1], "cut short"),
        (body(temperature=float("nan")), "not valid JSON"),
        (body(x=float("inf")), "not valid JSON"),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"\\ud800"}]}', "surrogate pair"),
        (b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"\\udc00"}]}', "surrogate pair"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_body_that_is_not_a_json_object_is_refused_in_plain_words(raw: bytes, words: str) -> None:
    assert words in refusal(raw)


@pytest.mark.parametrize(
    "inside", [b'"\xff"', b'"\\ud800"', b"NaN", b"Infinity", b"[" * 100_000 + b"]" * 100_000, b'"\\q"', b"01"]
)
def test_faults_inside_of_what_is_only_passed_on_are_found_too(inside: bytes) -> None:
    call = b'{"type":"tool_use","id":"t","name":"n","input":{"a":' + inside + b"}}"
    raw = b'{"model":"m","max_tokens":5,"messages":[{"role":"assistant","content":[' + call + b"]}]}"
    assert refusal(raw)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": "5"}, "max_tokens: Expected `int`, got `str`"),
        ({"max_tokens": 1.5}, "max_tokens: Expected `int`, got `float`"),
        ({"max_tokens": -1}, "max_tokens: Expected `int` >= 0"),
        ({"max_tokens": 10**12}, "max_tokens: Expected `int` <= 2147483647"),
        ({"max_tokens": 10**4000}, "max_tokens: Expected `int` <= 2147483647"),
        ({"messages": []}, "messages: Expected `array` of length >= 1"),
        ({"messages": None}, "messages: Expected `array`, got `null`"),
        ({"messages": [5]}, "messages.0: Expected `object`, got `int`"),
        ({"messages": [{"content": "x"}]}, "messages.0.role: field required"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Invalid value 'tool'"),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages.0.content: Expected `str | array`, got `int`",
        ),
        (
            {"messages": [{"role": "user", "content": ["x"]}]},
            "messages.0.content.0: Expected `object`, got `str`",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text: field required",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages.0.content.0.type: field required",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": ""}]}]},
            "messages.0.content.0.tool_use_id: field required",
        ),
        ({"model": ""}, "model: Expected `str` of length >= 1"),
        ({"temperature": 3}, "temperature: Expected `float` <= 2.0"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type: Invalid value 'some'"),
        ({"container": {"a": 1}, "stream": "yes"}, "stream: Expected `bool | null`, got `str`"),
    ],
)
def test_refusal_names_the_path_as_anthropic_does(fields: dict[str, Any], message: str) -> None:
    assert refusal(body(**fields)).startswith(message)


def test_missing_fields_are_named() -> None:
    assert refusal(b"{}") == "model: field required"
    assert refusal(b'{"model":"m"}') == "messages: field required"
    assert (
        refusal(b'{"model":"m","messages":[{"role":"user","content":"x"}]}') == "max_tokens: field required"
    )


def test_unknown_fields_are_accepted_everywhere() -> None:
    request = decode_request(
        body(
            brand_new={"a": [1]},
            system=[{"type": "text", "text": "S", "new": 1}],
            messages=[{"role": "user", "new": 1, "content": [{"type": "text", "text": "x", "new": {}}]}],
        )
    )
    assert request.messages == (anthropic.UserMessage((blocks.TextBlock("x"),)),)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_system_role_is_accepted_first_in_the_middle_and_last(place: int) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    messages.insert(place, {"role": "system", "content": "s"})
    assert isinstance(decode_request(body(messages=messages)).messages[place], anthropic.SystemMessage)


def test_every_block_type_of_an_assistant_is_read() -> None:
    tags = anthropic._KNOWN["assistant"] - {"unknown"}
    needed = {
        "text": "x", "thinking": "t", "data": "d", "id": "i", "name": "n", "input": {}, "tool_use_id": "t",
        "source": {"type": "url", "url": "https://x"}, "content": None, "tool": {"name": "n"},
    }  # fmt: skip
    message = {"role": "assistant", "content": [{"type": tag, **needed} for tag in sorted(tags)]}
    content = decode_request(body(messages=[message])).messages[0].content
    assert not any(isinstance(block, blocks.UnknownBlock) for block in content)


def test_unknown_block_is_kept_with_its_bytes() -> None:
    raw = '{"type": "hologram", "n": 1.50, "s": "\u00e9"}'
    sent = '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[%s]}]}' % raw  # noqa: UP031 - braces
    (block,) = decode_request(sent.encode()).messages[0].content
    assert isinstance(block, blocks.UnknownBlock)
    assert (block.name, bytes(block.raw).decode()) == ("hologram", raw)


def test_block_that_calls_itself_unknown_is_an_unknown_block() -> None:
    sent = {"type": "unknown", "x": 1}
    (block,) = decode_request(body(messages=[{"role": "user", "content": [sent]}])).messages[0].content
    assert isinstance(block, blocks.UnknownBlock)
    assert json.loads(bytes(block.raw)) == sent


def test_unknown_item_of_a_tool_result_is_kept() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "smell"}, {"type": "text", "text": "x"}],
    }
    silent = {"type": "tool_result", "tool_use_id": "u"}
    (first, second) = (
        decode_request(body(messages=[{"role": "user", "content": [result, silent]}])).messages[0].content
    )
    assert isinstance(first, blocks.ToolResultBlock)
    assert isinstance(second, blocks.ToolResultBlock)
    assert isinstance(first.content, tuple)
    assert [type(item) for item in first.content] == [blocks.UnknownBlock, blocks.TextBlock]
    assert second.content is None


def test_fault_beside_an_unknown_block_is_still_named() -> None:
    content = [{"type": "hologram"}, {"type": "text", "text": 5}]
    messages = [{"role": "user", "content": content}, {"role": "user", "content": "x"}, {"role": "user"}]
    assert refusal(body(messages=messages)) == "messages.0.content.1.text: Expected `str`, got `int`"


def test_tool_use_in_a_user_message_is_an_unknown_block_there() -> None:
    sent = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    (block,) = decode_request(body(messages=[{"role": "user", "content": [sent]}])).messages[0].content
    assert isinstance(block, blocks.UnknownBlock)


def test_tool_input_keeps_its_bytes() -> None:
    sent = b'{"b": 1.0, "a": 1e5, "\xc3\xa9": "\\u00e9"}'
    raw = (
        b'{"model":"m","max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t",'
        b'"name":"n","input":%b}]}]}' % sent
    )
    (block,) = decode_request(raw).messages[0].content
    assert isinstance(block, blocks.ToolUseBlock)
    assert bytes(block.input) == sent


def test_count_request_needs_neither_max_tokens_nor_messages() -> None:
    assert decode_count(b'{"model":"m","tools":[]}').tools == ()
    with pytest.raises(RequestRefused):
        decode_count(b'{"model":5}')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*anthropic.MessagesRequest.__struct_fields__, "role", "content", "type"])


@given(st.dictionaries(names, json_values, max_size=6), st.lists(json_values, max_size=3), st.booleans())
def test_no_json_whatever_raises_anything_but_a_refusal(
    fields: dict[str, Any], blocks: list[Any], nest: bool
) -> None:
    messages = (
        [{"role": "user", "content": blocks}, {"role": "assistant", "content": blocks}] if nest else blocks
    )
    raw = json.dumps({"model": "m", "max_tokens": 1, "messages": messages, **fields}).encode(
        "utf-8", "surrogatepass"
    )
    with suppress(RequestRefused):
        decode_request(raw)


@given(st.binary(max_size=64))
def test_no_bytes_whatever_raise_anything_but_a_refusal(raw: bytes) -> None:
    with pytest.raises(RequestRefused):
        decode_request(raw)
