import json

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ccproxy_trio.demo import answers

BASH = {"type": "function", "function": {"name": "Bash", "parameters": {}}}
USER = {"role": "user", "content": "Please list the files"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}


def asked(*messages, tools=(), **more):
    body = {"model": "m", "messages": list(messages), "tools": list(tools)} | more
    return answers.decode(json.dumps(body).encode())


def reply(*messages, tools=()):
    return answers.reply(asked(*messages, tools=tools), "steady")


def test_a_plain_question_is_answered_by_name():
    said = reply({"role": "user", "content": "hello\nWhat are you?"})
    assert "steady" in said.text
    assert '"What are you?"' in said.text
    assert said.call is None


def test_asked_for_files_it_calls_the_shell_if_there_is_one():
    said = reply(USER, tools=[BASH])
    assert said.call is not None
    assert (said.call.name, json.loads(said.call.arguments)["command"]) == ("Bash", "ls")
    assert reply(USER).call is None


def test_claude_codes_own_remarks_about_files_are_no_request_for_a_tool():
    remark = {"type": "text", "text": "<system-reminder>Use tools\nto list files.</system-reminder>"}
    words = {"type": "text", "text": "Good morning"}
    said = reply({"role": "user", "content": [remark, words]}, tools=[BASH])
    assert said.call is None
    assert '"Good morning"' in said.text


def test_after_the_tools_result_the_turn_ends_even_with_a_remark_behind_it():
    result = {"role": "tool", "tool_call_id": "1", "content": "a.txt\n\nb.txt"}
    said = reply(USER, CALL, result, {"role": "user", "content": "now list the files"}, tools=[BASH])
    assert said.call is None
    assert '2 lines, the first being "a.txt"' in said.text


@pytest.mark.parametrize(("result", "words"), [("", "printed nothing"), ("x", "printed one line")])
def test_a_short_result_is_told_as_it_is(result, words):
    assert words in reply(USER, CALL, {"role": "tool", "tool_call_id": "1", "content": result}).text


def test_a_new_question_after_an_old_result_is_answered_anew():
    old = [USER, CALL, {"role": "tool", "content": "a"}, {"role": "assistant", "content": "done"}]
    assert reply(*old, USER, tools=[BASH]).call is not None


def test_a_long_prompt_is_quoted_in_short():
    said = reply({"role": "user", "content": "word " * 200})
    assert len(said.text) < 500


def test_no_prompt_at_all_is_answered_too():
    assert "nothing at all" in reply({"role": "user", "content": None}).text


def test_a_streamed_answer_is_what_the_openai_package_understands():
    request = asked(USER, tools=[BASH])
    said = answers.reply(request, "steady")
    chunks = [
        ChatCompletionChunk.model_validate_json(chunk, strict=True)
        for chunk in answers.chunks(said, request, prompt_tokens=7)
    ]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert "".join(delta.content or "" for delta in deltas) == said.text
    assert calls[0].function.name == "Bash"
    assert "".join(call.function.arguments for call in calls) == said.call.arguments
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"
    assert chunks[-1].usage.prompt_tokens == 7


@pytest.mark.parametrize("tools", [[], [BASH]])
def test_a_whole_answer_is_what_the_openai_package_understands(tools):
    request = asked(USER, tools=tools)
    said = answers.reply(request, "steady")
    whole = ChatCompletion.model_validate_json(
        answers.completion(said, request, prompt_tokens=7), strict=True
    )
    assert whole.choices[0].message.content == said.text
    assert whole.choices[0].finish_reason == ("tool_calls" if tools else "stop")
    assert bool(whole.choices[0].message.tool_calls) == bool(tools)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":"m"}', b"\xff"])
def test_what_is_no_request_is_said_to_be_none(body):
    with pytest.raises(msgspec.DecodeError):
        answers.decode(body)
