"""The judge of Messages requests, judged: it must pass what is right and name what is wrong."""

from typing import Any

import pytest

from tests.support.validation_anthropic import violations

USER = {"role": "user", "content": "hi"}
TOOL = {"name": "Bash", "description": "Run.", "input_schema": {"anything": {"goes": 1}}}
MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
BETAS = (
    "claude-code-20250219",
    "context-management-2025-06-27",
    "mid-conversation-system-2026-04-07",
    "prompt-caching-scope-2026-01-05",
    "fast-mode-2026-02-01",
)
THINKING = {"type": "enabled", "budget_tokens": 1024}
CLEARING = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
Block = dict[str, Any]


def text(said: str = "hi", **more: Any) -> Block:
    return {"type": "text", "text": said} | more


def user(*blocks: Block) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def model(*blocks: Block) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(use_id: str = "toolu_1", **more: Any) -> Block:
    return {"type": "tool_use", "id": use_id, "name": "Bash", "input": {"cache_control": {}}} | more


def result(use_id: str = "toolu_1", content: Any = "out", **more: Any) -> Block:
    return {"type": "tool_result", "tool_use_id": use_id, "content": content} | more


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 4000, "messages": [USER, *messages]} | more


SYSTEM = {"role": "system", "content": "Agent types: explorer."}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
RIGHT = {
    "plain": body(stream=True),
    "blocks": body(user(text(), IMAGE, text("look", **MARK)), system=[text("be brief", **MARK)]),
    "tools": body(model(use("a"), use("b")), user(result("b"), result("a"), text()), tools=[TOOL]),
    "thinking": body(model(SIGNED, use()), user(result()), tools=[TOOL], thinking=THINKING),
    "adaptive": body(thinking={"type": "adaptive"}, context_management=CLEARING),
    "words between the turns": body(SYSTEM, model(text("ok")), USER, SYSTEM),
    "shared cache": body(system=[text(cache_control={"type": "ephemeral", "scope": "global"})]),
    "as Claude Code has it": body(
        metadata={"user_id": '{"session_id": "x"}'},
        output_config={"effort": "high"},
        speed="fast",
        tools=[TOOL | {"eager_input_streaming": True}],
        tool_choice={"type": "auto"},
        stop_sequences=["</block>"],
    ),
    "a result without content": body(model(use()), user({"type": "tool_result", "tool_use_id": "toolu_1"})),
    "a result with an image": body(model(use()), user(result("toolu_1", [text(), IMAGE]))),
    "prefilled": body(model(text("The answer:"))),
    "four marks and a word about them": body(
        user(*[text("cache_control", **MARK)] * 3), tools=[TOOL | MARK | {"description": '"cache_control"'}]
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_request_has_no_violations(name: str) -> None:
    assert violations(RIGHT[name], betas=BETAS) == []


SEALED = SIGNED | {"signature": "ccpx1.abc"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (body(reasoning_effort="high"), "reasoning_effort"),
    "unknown key of a message": (body({"role": "user", "content": "x", "name": "y"}), "name"),
    "unknown key of a block": (body(user(text(odd=1))), "odd"),
    "unknown key of a result": (body(model(use()), user(result(odd=1))), "odd"),
    "unknown key of a result's block": (body(model(use()), user(result("toolu_1", [text(odd=1)]))), "odd"),
    "unknown key of a tool": (body(tools=[TOOL | {"parameters": {}}]), "parameters"),
    "unknown key of a mark": (body(user(text(cache_control={"type": "ephemeral", "odd": 1}))), "cache_c"),
    "unknown key of thinking": (body(thinking=THINKING | {"effort": "high"}), "effort"),
    "wrong type": (body(max_tokens="5"), "max_tokens"),
    "no limit": ({"model": "m", "messages": [USER]}, "max_tokens"),
    "role unknown": (body({"role": "tool", "content": "x"}), "role"),
    "kind unknown": (body(user({"type": "input_text", "text": "x"})), "type"),
    "nothing said": ({"model": "m", "max_tokens": 5, "messages": []}, "at least one message"),
    "the model first": ({"model": "m", "max_tokens": 5, "messages": [model(text())]}, "first message"),
    "no room": (body(max_tokens=0), "max_tokens"),
    "budget beyond the limit": (body(thinking=THINKING, max_tokens=1024), "budget_tokens"),
    "budget too small": (body(thinking={"type": "enabled", "budget_tokens": 1000}), "budget_tokens"),
    "warm thinking": (body(thinking=THINKING, temperature=0.5), "temperature"),
    "thinking with a forced tool": (
        body(thinking=THINKING, tools=[TOOL], tool_choice={"type": "any"}),
        "forces tool use",
    ),
    "clearing what is off": (body(thinking={"type": "disabled"}, context_management=CLEARING), "clear_think"),
    "clearing what is not on": (body(context_management=CLEARING), "clear_thinking"),
    "choice without tools": (body(tool_choice={"type": "auto"}), "tool_choice"),
    "our own signature": (body(model(SEALED, text()), USER), "of the proxy's own"),
    "our own data": (
        body(model({"type": "redacted_thinking", "data": "ccpx1.abc"}, text()), USER),
        "of the proxy's own",
    ),
    "double tool name": (body(tools=[TOOL, TOOL]), "must be unique"),
    "bad tool name": (body(tools=[TOOL | {"name": "a.b"}]), "match pattern"),
    "bad id": (body(model(use("a|b")), user(result("a|b"))), "match pattern"),
    "one id for two calls": (body(model(use(), use()), user(result())), "must be unique"),
    "an id again": (
        body(model(use()), user(result()), model(use()), user(result())),
        "must be unique",
    ),
    "result without call": (body(user(result())), "unexpected `tool_use_id`"),
    "result late": (body(model(use()), user(text()), user(result())), "immediately after"),
    "result missing": (body(model(use("a"), use("b")), user(result("a"))), "immediately after"),
    "never answered": (body(model(use())), "immediately after"),
    "answered twice": (body(model(use()), user(result(), result())), "single result"),
    "words before results": (body(model(use()), user(text(), result())), "must come first"),
    "words between calls and results": (body(model(use()), SYSTEM, user(result())), "immediately after"),
    "no content": (body(user()), "non-empty content"),
    "empty words": (body({"role": "user", "content": ""}), "non-empty content"),
    "empty text": (body(user(text(""))), "must be non-empty"),
    "blank text": (body(user(text(" \n"))), "non-whitespace"),
    "empty text of the model": (body(model(text("")), USER), "must be non-empty"),
    "empty text of a result": (body(model(use()), user(result("toolu_1", [text("")]))), "must be non-empty"),
    "empty system": (body(system=[text("")]), "system: text content blocks"),
    "trailing space": (body(model(text("The answer: "))), "trailing whitespace"),
    "five marks": (body(user(*[text(**MARK)] * 4), tools=[TOOL | MARK]), "Found 5"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(name: str) -> None:
    wrong, phrase = WRONG[name]
    assert phrase in "\n".join(violations(wrong, betas=BETAS))


@pytest.mark.parametrize(
    ("beta", "fields"),
    [
        ("context-management", {"thinking": THINKING, "context_management": CLEARING}),
        ("fast-mode", {"speed": "fast"}),
        ("mid-conversation-system", {"messages": [USER, SYSTEM]}),
        ("prompt-caching-scope", {"system": [text(cache_control={"type": "ephemeral", "scope": "global"})]}),
    ],
)
def test_what_a_beta_adds_is_taken_with_its_header_only(beta: str, fields: dict[str, Any]) -> None:
    assert violations(body() | fields, betas=BETAS) == []
    others = [each for each in BETAS if not each.startswith(beta)]
    assert len(violations(body() | fields, betas=others)) == 1


def test_a_key_of_another_dialect_may_be_allowed() -> None:
    assert violations(body(top_a=5), also_allowed=frozenset({"top_a"})) == []


def test_only_the_fitting_branch_of_a_union_complains() -> None:
    assert len(violations(body(user(text(odd=1))))) == 1
