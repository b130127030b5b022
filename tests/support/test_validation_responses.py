"""The judge of Responses requests, judged: it must pass what is right and name what is wrong."""

from typing import Any

import pytest

from tests.support.chunks import Call, Turn, calls
from tests.support.seals import Teller
from tests.support.told import whole
from tests.support.validation_responses import violations

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "name": "Bash", "parameters": {"anything": {"goes": 1}}, "strict": False}
Item = dict[str, Any]


def call(call_id: str = "c1", *, arguments: str = "{}", name: str = "Bash", **more: Any) -> Item:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments} | more


def result(call_id: str = "c1", output: Any = "out") -> Item:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def body(*items: Item, **more: Any) -> dict[str, Any]:
    return {"model": "m", "store": False, "input": [USER, *items]} | more


def parts(*content: Item, role: str = "user") -> Item:
    return {"type": "message", "role": role, "content": list(content)}


def image(url: str) -> Item:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def thought(number: int = 1, *, name: str = "alpha", turn: Turn | None = None, **changes: Any) -> list[Item]:
    """A reasoning item as `name` gave it with its how-manieth answer, and the call that followed."""
    made = turn or calls(Call("Bash", {}), reasoning=("hm",))
    reasoning, made_call = whole(made, "responses", by=Teller(name=name, number=number))["output"]
    kept = {key: made_call[key] for key in ("type", "call_id", "name", "arguments")}
    return [reasoning | changes, kept, result(made_call["call_id"])]


TEXT = {"type": "input_text", "text": "look"}
RIGHT = {
    "plain": body(),
    "a text for input": {"model": "m", "store": False, "input": "hi"},
    "stream": body(stream=True, instructions="be brief", max_output_tokens=16),
    "options": body(reasoning={"effort": "high", "summary": "auto"}, include=["reasoning.encrypted_content"]),
    "tools": body(call("a"), call("b"), result("b"), result("a"), USER, tools=[TOOL], tool_choice="auto"),
    "a chosen tool": body(tools=[TOOL], tool_choice={"type": "function", "name": "Bash"}),
    "image": body(parts(TEXT, image("data:image/png;base64,aGk="))),
    "image in a result": body(call(), result("c1", [TEXT, image("https://example.com/a.png")])),
    "file": body(parts({"type": "input_file", "filename": "a", "file_data": "data:a/pdf;base64,aGk="})),
    "an empty result": body(call(), result("c1", "")),
    "system": body(parts(TEXT, role="developer"), {"role": "system", "content": "s"}),
    "words of the model": body({"role": "assistant", "content": "said"}, USER),
    "words between calls and results": body(call(), {"role": "assistant", "content": "said"}, result()),
    "its own reasoning": body(*thought()),
    "its own reasoning twice": body(*thought(1), *thought(2)),
    "reasoning without a summary": body(*thought(turn=calls(Call("Bash", {}), reasoning=("",)))),
    "schema": body(text={"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_request_has_no_violations(name: str) -> None:
    assert violations(RIGHT[name], name="alpha") == []


LONG = "c" * 65
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (body(messages=[]), "messages"),
    "unknown key of an item": (body({"role": "user", "content": "x", "cache_control": {}}), "cache_control"),
    "unknown key of a part": (body(parts(TEXT | {"cache_control": {}})), "cache_control"),
    "unknown key of a result's part": (body(call(), result("c1", [TEXT | {"odd": 1}])), "odd"),
    "unknown key of a tool": (body(tools=[TOOL | {"eager": True}]), "eager"),
    "unknown key of reasoning": (body(reasoning={"efort": "low"}), "efort"),
    "unknown key of a format": (body(text={"format": {"type": "text", "odd": 1}}), "odd"),
    "wrong type": (body(max_output_tokens="5"), "max_output_tokens"),
    "wrong effort": (body(reasoning={"effort": "extreme"}), "effort"),
    "nested tool": (body(tools=[{"type": "function", "function": {"name": "B"}}]), "function"),
    "tool without strict": (body(tools=[{"type": "function", "name": "B", "parameters": {}}]), "strict"),
    "chat's parts": (body({"role": "user", "content": [{"type": "text", "text": "x"}]}), "type"),
    "role unknown": (body({"role": "tool", "content": "x"}), "role"),
    "kept there": (body(store=True), "store"),
    "kept there unsaid": ({"model": "m", "input": [USER]}, "store"),
    "goes on from what is kept": (body(previous_response_id="resp_1"), "previous_response_id"),
    "in a conversation": (body(conversation="conv_1"), "conversation"),
    "an item that is kept": (body({"type": "item_reference", "id": "msg_1"}), "item_reference"),
    "answer without call": (body(result()), "not an open call"),
    "answer before its call": (body(result(), call()), "not an open call"),
    "answer twice": (body(call(), result(), result()), "not an open call"),
    "answer late": (body(call(), USER, result()), "were not answered"),
    "never answered": (body(call()), "never answered"),
    "one id for two calls": (body(call(), call(), result()), "share the id"),
    "no content": (body(parts()), "no content"),
    "empty content": (body({"role": "user", "content": ""}), "no content"),
    "no input": ({"model": "m", "store": False, "input": []}, "input: empty"),
    "long id": (body(call(LONG), result(LONG)), "65 characters"),
    "bad call name": (body(call(name="a b"), result()), "call's name"),
    "bad tool name": (body(tools=[TOOL | {"name": "a.b"}]), "the name 'a.b'"),
    "double tool name": (body(tools=[TOOL, TOOL]), "occurs twice"),
    "no tools in tools": (body(tools=[]), "tools: empty"),
    "choice without tools": (body(tool_choice="auto"), "without tools"),
    "choice of another": (body(tools=[TOOL], tool_choice={"type": "function", "name": "B"}), "not on offer"),
    "broken arguments": (body(call(arguments="{"), result()), "not JSON"),
    "list as arguments": (body(call(arguments="[]"), result()), "not an object"),
    "too little room": (body(max_output_tokens=15), "less than 16"),
    "stream options alone": (body(stream_options={"include_obfuscation": False}), "without stream"),
    "long user": (body(safety_identifier="u" * 65), "64 characters"),
    "strange image": (body(parts(image("file:///etc/passwd"))), "unknown form"),
    "broken image": (body(parts(image("data:image/png;base64,a"))), "not base64"),
    "no image": (body(parts({"type": "input_image", "detail": "auto"})), "without anything"),
    "schema's name": (
        body(text={"format": {"type": "json_schema", "name": "a b", "schema": {}}}),
        "text.format.name",
    ),
    "reasoning of another": (body(*thought(name="beta")), "not given by this provider"),
    "reasoning of nobody": (body(*thought(encrypted_content="gAAA")), "not given by this provider"),
    "reasoning left at the provider": (body(*thought(encrypted_content=None)), "nothing is stored"),
    "reasoning under another id": (body(*thought(id="rs_alpha0002")), "not as it was given"),
    "reasoning retold": (
        body(*thought(summary=[{"type": "summary_text", "text": "ha"}])),
        "not as it was given",
    ),
    "reasoning alone": (body(thought()[0]), "required following item"),
    "reasoning before a question": (body(thought()[0], USER), "required following item"),
    "reasoning before other words": (
        body(thought()[0], {"role": "assistant", "content": "x"}, *thought()[1:]),
        "required following item",
    ),
    "reasoning twice": (body(*thought(1), thought(1)[0], call("c2"), result("c2")), "is not behind"),
    "reasoning out of order": (body(*thought(2), *thought(1)), "is not behind"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(name: str) -> None:
    wrong, phrase = WRONG[name]
    assert phrase in "\n".join(violations(wrong, name="alpha"))


def test_a_key_of_another_dialect_may_be_allowed() -> None:
    assert violations(body(top_k=5), name="alpha", also_allowed=frozenset({"top_k"})) == []


def test_only_the_fitting_branch_of_a_union_complains() -> None:
    assert len(violations(body(parts(TEXT | {"cache_control": {}})), name="alpha")) == 1
