"""The judge of requests, judged: it must pass what is right and name what is wrong."""

from typing import Any

import pytest

from tests.support.validation import violations

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "Bash", "parameters": {"anything": {"goes": 1}}}}


def call(call_id: str = "c1", *, arguments: str = "{}", name: str = "Bash", **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments} | more}


def calling(*made: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(made)}


def result(call_id: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "out"}


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER, *messages]} | more


def parts(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


RIGHT = {
    "plain": body(),
    "stream": body(stream=True, stream_options={"include_usage": True}),
    "options": body(max_completion_tokens=5, reasoning_effort="high", stop=["a"], temperature=1, user="u"),
    "tools": body(
        calling(call("a"), call("b")), result("b"), result("a"), USER, tools=[TOOL], tool_choice="auto"
    ),
    "image": body(parts({"type": "text", "text": "look"}, image("data:image/png;base64,aGk="))),
    "system": body({"role": "system", "content": "s"}, {"role": "developer", "content": "d"}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_request_has_no_violations(name: str) -> None:
    assert violations(RIGHT[name]) == []


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (body(thinking={"type": "adaptive"}), "thinking"),
    "unknown key of a message": (
        body({"role": "user", "content": "x", "cache_control": {}}),
        "cache_control",
    ),
    "unknown key of a part": (body(parts({"type": "text", "text": "x", "citations": []})), "citations"),
    "unknown key of a call": (body(calling(call(extra=1)), result()), "extra"),
    "unknown key of a tool": (body(tools=[TOOL | {"eager": True}]), "eager"),
    "unknown key of a function": (body(tools=[{"type": "function", "function": {"name": "B", "q": 1}}]), "q"),
    "unknown key of stream options": (body(stream=True, stream_options={"all": True}), "all"),
    "wrong type": (body(max_tokens="5"), "max_tokens"),
    "wrong effort": (body(reasoning_effort="extreme"), "reasoning_effort"),
    "no model": ({"messages": [USER]}, "model"),
    "role unknown": (body({"role": "model", "content": "x"}), "role: Input should be"),
    "answer without call": (body(result()), "not an open call"),
    "answer twice": (body(calling(call()), result(), result()), "not an open call"),
    "answer late": (body(calling(call()), USER, result()), "were not answered"),
    "never answered": (body(calling(call())), "never answered"),
    "one id for two calls": (body(calling(call(), call()), result()), "share an id"),
    "no content": (body(parts()), "no content"),
    "empty assistant": (body({"role": "assistant", "content": ""}), "neither content nor calls"),
    "long id": (body(calling(call("c" * 41)), result("c" * 41)), "41 characters"),
    "bad call name": (body(calling(call(name="a b")), result()), "call's name"),
    "bad tool name": (body(tools=[{"type": "function", "function": {"name": "a.b"}}]), "the name 'a.b'"),
    "double tool name": (body(tools=[TOOL, TOOL]), "occurs twice"),
    "no tools in tools": (body(tools=[]), "tools: empty"),
    "choice without tools": (body(tool_choice="auto"), "without tools"),
    "broken arguments": (body(calling(call(arguments="{")), result()), "not JSON"),
    "list as arguments": (body(calling(call(arguments="[]")), result()), "not an object"),
    "both limits": (body(max_tokens=1, max_completion_tokens=1), "exclude"),
    "stream options alone": (body(stream_options={"include_usage": True}), "without stream"),
    "five stops": (body(stop=["a", "b", "c", "d", "e"]), "more than 4"),
    "long user": (body(user="u" * 65), "64 characters"),
    "strange image": (body(parts(image("file:///etc/passwd"))), "unknown form"),
    "broken image": (body(parts(image("data:image/png;base64,a"))), "not base64"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(name: str) -> None:
    wrong, phrase = WRONG[name]
    assert phrase in "\n".join(violations(wrong))


def test_a_key_of_another_dialect_may_be_allowed() -> None:
    assert violations(body(top_k=5), also_allowed=frozenset({"top_k"})) == []


def test_it_is_allowed_in_messages_and_calls_and_all_else_is_still_judged() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}}
    said = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
    allowed = frozenset({"extra_content", "reasoning_content"})
    assert violations(body(said), also_allowed=allowed) == ["messages: the calls ['c'] were never answered"]
    assert violations(body(said), also_allowed=frozenset({"reasoning_content"})) != violations(
        body(said), also_allowed=allowed
    )


def test_only_the_fitting_branch_of_a_union_complains() -> None:
    assert violations(body({"role": "user", "content": "x", "cache_control": {}})) == [
        "1.ChatCompletionUserMessageParam.cache_control: Extra inputs are not permitted"
    ]
