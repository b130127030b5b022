"""The history on this wire: thinking that may stay, blocks that not all take, system text between turns."""

from typing import Any

import pytest

from ccproxy_trio.translate.native.thoughts import REMOVED
from ccproxy_trio.translate.state import ReplayState, seal
from tests.translate.asking import assistant, call, instruct, result, text, tool, user
from tests.translate.native.asking import THIRD, body, native, question, sent

OURS = {"type": "thinking", "thinking": "hm", "signature": seal(ReplayState("beta", "m"))}
OUR_STATE = {"type": "redacted_thinking", "data": seal(ReplayState("beta", "m"))}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
BARE = {"type": "thinking", "thinking": "hm"}
THEIRS = {"type": "thinking", "thinking": "hm", "signature": "EqMB"}
THEIR_STATE = {"type": "redacted_thinking", "data": "EuYB"}
ADAPTIVE = {"thinking": {"type": "adaptive"}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 4000}}
CLEARING = {"type": "clear_thinking_20251015", "keep": "all"}
CLEARING_TOOLS = {"type": "clear_tool_uses_20250919"}


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        ("signed", [OURS, OUR_STATE, UNSIGNED, BARE]),
        ("any", [OURS, OUR_STATE]),
        ("none", [OURS, OUR_STATE, UNSIGNED, BARE, THEIRS, THEIR_STATE]),
    ],
)
@pytest.mark.parametrize("block", [OURS, OUR_STATE, UNSIGNED, BARE, THEIRS, THEIR_STATE])
def test_thinking_goes_to_who_takes_it(kept: str, gone: list[Any], block: dict[str, Any]) -> None:
    talk = (user("a"), assistant(block, "b"), user("c"), assistant(block), user("d"))
    passed = sent(body(*talk), thinking_blocks=kept)["messages"]
    if block in gone:
        assert [passed[1]["content"], passed[3]["content"]] == [[text("b")], [text(REMOVED)]]
    else:
        assert passed == list(talk)


def search(sealed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = {
        "type": "web_search_result",
        "title": "T",
        "url": "https://t.example",
        "encrypted_content": sealed,
    }
    return (
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [found]},
    )


def test_what_this_proxy_found_itself_is_told_in_words_since_it_bears_no_seal() -> None:
    theirs, ours = (
        body(user("a"), assistant(*search(sealed), "b"), user("c")) for sealed in ("EqgfCioIARgBIiQ", "")
    )
    assert sent(theirs)["messages"] == theirs["messages"]
    told = sent(ours)["messages"][1]["content"]
    assert {block["type"] for block in told} == {"text"}
    assert "https://t.example" in str(told)


def test_a_conversation_that_the_model_began_has_a_loop_too() -> None:
    what = body(assistant(OURS, call("t1")), user(result("t1")), tools=[tool()], **ADAPTIVE)
    assert sent(what)["thinking"] == {"type": "disabled"}


def loop(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return body(user("go"), *turns, tools=[tool()], **fields)


LOST = (assistant(OURS, call("t1")), user(result("t1"), "a reminder"))
KEPT = (assistant(THEIRS, call("t1")), user(result("t1")))
NEVER = (assistant(call("t1")), user(result("t1")))


@pytest.mark.parametrize(
    ("turns", "asked", "after"),
    [
        (LOST, ADAPTIVE, {"type": "disabled"}),
        (LOST, BUDGET, {"type": "disabled"}),
        (LOST, {"thinking": {"type": "between_tools"}}, {"type": "disabled"}),
        (LOST, {"thinking": {"type": "disabled"}}, {"type": "disabled"}),
        (LOST, {}, None),
        ((*LOST, assistant(THEIRS, call("t2")), user(result("t2"))), ADAPTIVE, {"type": "disabled"}),
        ((*KEPT, assistant(OURS, call("t2")), user(result("t2"))), ADAPTIVE, {"type": "disabled"}),
        ((*LOST, assistant("done"), user("more")), ADAPTIVE, {"type": "adaptive"}),
        ((assistant(text("a"), OURS, call("t1")), user(result("t1"))), ADAPTIVE, {"type": "adaptive"}),
        (KEPT, ADAPTIVE, {"type": "adaptive"}),
        (KEPT, BUDGET, BUDGET["thinking"]),
        (NEVER, ADAPTIVE, {"type": "adaptive"}),
        (NEVER, BUDGET, {"type": "disabled"}),
        ((*KEPT, assistant(call("t2")), user(result("t2"))), BUDGET, BUDGET["thinking"]),
        ((*LOST, instruct("still going")), ADAPTIVE, {"type": "disabled"}),
        ((assistant("said", OURS),), ADAPTIVE, {"type": "adaptive"}),
        ((assistant("said"),), BUDGET, BUDGET["thinking"]),
        ((assistant(),), BUDGET, BUDGET["thinking"]),
    ],
)
def test_thinking_is_off_while_the_loop_at_hand_lacks_its_own(
    turns: tuple[Any, ...], asked: dict[str, Any], after: dict[str, Any] | None
) -> None:
    dialect = native(model="claude-opus-4-5" if asked == BUDGET else "m")
    assert sent(loop(*turns, **asked), dialect).get("thinking") == after


BEATEN = {"type": "thinking", "thinking": "", "signature": "ccpx1.abc"}  # it kept a client waiting


@pytest.mark.parametrize(
    ("turn", "after"),
    [
        ((BEATEN, THEIRS, call("t1")), {"type": "adaptive"}),
        ((BEATEN, call("t1")), {"type": "adaptive"}),
        ((BEATEN, OURS, call("t1")), {"type": "disabled"}),
        ((OURS, THEIRS, call("t1")), {"type": "adaptive"}),
    ],
)
def test_a_heartbeat_before_an_answer_was_nobodys_thought(
    turn: tuple[Any, ...], after: dict[str, Any]
) -> None:
    assert sent(loop(assistant(*turn), user(result("t1")), **ADAPTIVE))["thinking"] == after


def test_where_a_budget_is_asked_for_a_loop_without_thought_goes_on_without() -> None:
    """Claude Code said `adaptive`; what is sent is a budget, with which Anthropic wants to see a thought."""
    assert sent(loop(*NEVER, **ADAPTIVE), model="claude-sonnet-4-5")["thinking"] == {"type": "disabled"}
    assert sent(loop(*NEVER, **ADAPTIVE), native("zai", "glm-4.7"))["thinking"]["type"] == "enabled"


@pytest.mark.parametrize("asked", [ADAPTIVE, BUDGET, {}])
def test_some_want_a_thought_before_every_call_there_ever_was(asked: dict[str, Any]) -> None:
    dialect = native("deepseek", "deepseek-v4-pro")
    spoken = (assistant("done"), user("more"))
    for turns in (LOST, NEVER):
        assert sent(loop(*turns, *spoken, **asked), dialect)["thinking"] == {"type": "disabled"}
    kept = sent(loop(assistant(UNSIGNED, call("t1")), user(result("t1")), *spoken, **asked), dialect)
    assert kept.get("thinking", {"type": "enabled"})["type"] == "enabled"


def test_thinking_can_be_switched_off_whatever_the_client_says() -> None:
    for asked in (ADAPTIVE, BUDGET, {}, {"thinking": {"type": "disabled"}}):
        assert sent(loop(*KEPT, **asked), thinking_style="off")["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("management", "after"),
    [
        ({"edits": [CLEARING]}, None),
        ({"edits": [CLEARING, CLEARING_TOOLS]}, {"edits": [CLEARING_TOOLS]}),
        ({"edits": [CLEARING], "odd": 1}, {"edits": [], "odd": 1}),
        ({"edits": [CLEARING_TOOLS]}, {"edits": [CLEARING_TOOLS]}),
        ({"edits": ["odd"]}, {"edits": ["odd"]}),
        ({}, {}),
        ([], []),
        (None, None),
    ],
)
def test_what_clears_thinking_goes_with_it(management: Any, after: Any) -> None:
    passed = sent(loop(*LOST, **ADAPTIVE, context_management=management))
    assert passed.get("context_management") == after
    assert (
        sent(loop(*KEPT, **ADAPTIVE, context_management=management)).get("context_management") == management
    )
    assert sent(loop(*LOST, context_management=management)).get("context_management") == management


@pytest.mark.parametrize(
    ("model", "asked", "after"),
    [
        ("claude-haiku-4-5", {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 16_000}),
        ("claude-haiku-4-5", {"type": "between_tools"}, {"type": "enabled", "budget_tokens": 16_000}),
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 31_999}, None),
        ("claude-haiku-4-5", {"type": "disabled"}, None),
        ("claude-opus-4-7", {"type": "enabled", "budget_tokens": 31_999}, {"type": "adaptive"}),
        ("claude-opus-4-7", {"type": "enabled", "budget_tokens": 9, "display": "omitted"},
         {"type": "adaptive", "display": "omitted"}),
        ("claude-opus-4-7", {"type": "adaptive", "display": "updates"}, None),
        ("claude-opus-4-6", {"type": "enabled", "budget_tokens": 31_999}, None),
        ("claude-opus-4-6", {"type": "adaptive"}, None),
        ("m", {"type": "of_tomorrow", "odd": 1}, None),
    ],
)  # fmt: skip
def test_thinking_is_asked_for_in_the_form_that_the_model_takes(
    model: str, asked: dict[str, Any], after: dict[str, Any] | None
) -> None:
    assert sent(body(thinking=asked), native(model=model))["thinking"] == (after or asked)


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"output_config": {"effort": "low"}}, 2_048),
        ({"output_config": {"effort": "medium"}}, 8_192),
        ({"output_config": {"effort": "max"}}, 31_999),
        ({"output_config": {"effort": "xhigh"}}, 24_576),
        ({}, 16_384),
        ({"max_tokens": 9_000}, 4_500),
        ({"max_tokens": 1_500}, 1_024),
    ],
)
def test_a_budget_follows_the_effort_and_leaves_room_for_the_answer(
    fields: dict[str, Any], tokens: int
) -> None:
    passed = sent(body(**{"max_tokens": 64_000, **ADAPTIVE, **fields}), model="claude-haiku-4-5")
    assert passed["thinking"] == {"type": "enabled", "budget_tokens": tokens}
    assert "output_config" not in passed


def test_without_room_for_the_least_budget_nothing_is_thought() -> None:
    passed = sent(body(max_tokens=1_024, **ADAPTIVE), model="claude-haiku-4-5")
    assert passed["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("asked", "after"),
    [(40_000, 4_096), (8_192, 4_096), (8_191, 8_191), (64_000, 64_000)],
)
def test_a_budget_is_lowered_with_the_limit_but_not_one_that_was_above_it_before(
    asked: int, after: int
) -> None:
    fields = {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": asked}}
    for dialect in (native(output_cap=8_192, model="m"), native(model="claude-sonnet-4-5", output_cap=8_192)):
        passed = sent(body(**fields), dialect)
        assert (passed["max_tokens"], passed["thinking"]["budget_tokens"]) == (8_192, after)


def test_a_small_budget_is_a_small_effort_where_none_can_be_named() -> None:
    for budget, effort in ((2_000, "low"), (8_000, "medium"), (20_000, None)):
        passed = sent(body(thinking={"type": "enabled", "budget_tokens": budget}), model="claude-opus-4-8")
        assert passed.get("output_config", {}).get("effort") == effort


# -- blocks --------------------------------------------------------------------------------------------

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
UPLOADED = {"type": "image", "source": {"type": "file", "file_id": "f"}}
UNSEEN = text("[image: not shown, this model cannot see images]")
MARK = {"cache_control": {"type": "ephemeral"}}


def document(*inside: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "content", "content": list(inside)}}


@pytest.mark.parametrize(
    ("content", "after"),
    [
        ([text("a"), IMAGE], [text("a"), UNSEEN]),
        ([{**IMAGE, **MARK}], [{**UNSEEN, **MARK}]),
        ([UPLOADED], [UNSEEN]),
        ([document(text("a"), IMAGE)], [text("a"), UNSEEN]),
        ([document(text("a"))], [document(text("a"))]),
        ([{**document(), **MARK}, text("b")], [text("b")]),
        ([{"type": "tool_addition", "tool": {"name": "X"}}], [text("[left out]")]),
        ([{"type": "tool_removal", "tool": {"name": "X"}}, text("a")], [text("a")]),
    ],
)
def test_what_cannot_be_shown_becomes_a_note_in_its_place(content: list[Any], after: list[Any]) -> None:
    files = not any(block.get("source", {}).get("content") == [] for block in content)
    passed = sent(body(user(*content)), vision=False, mid_system="user", files=files)["messages"]
    assert passed == [user(*after)] or passed[0]["content"] == after


def test_a_document_with_pictures_stays_what_it_can_where_no_documents_are_taken() -> None:
    passed = sent(body(user(document(text("a"), IMAGE, UPLOADED))), files=False)["messages"]
    assert passed[0]["content"] == [text("a"), IMAGE, text("[image f: not available here]")]


def test_blocks_that_nobody_knows_stay() -> None:
    talk = (user({"type": "future", "x": 1}, IMAGE), assistant({"type": "future", "x": 2}), user("a"))
    assert sent(body(*talk), native(THIRD, vision=True))["messages"] == list(talk)


def test_changes_of_tools_go_from_the_models_turns_too() -> None:
    change = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "Read"}}
    what = body(
        user("a"),
        assistant(change, "b"),
        user("c"),
        assistant(change),
        user("d"),
        tools=[tool("Bash"), tool("Read")],
    )
    passed = sent(what, mid_system="user")
    assert passed["messages"][1] == assistant(text("b"))
    assert passed["messages"][3] == assistant(text("[left out]"))
    assert passed["tools"] == [tool("Bash")]
    assert sent(what)["tools"] == what["tools"]


# -- system text between the turns -----------------------------------------------------------------------


SAID, LAST = assistant("said"), user("last")


def reminder(words: str) -> dict[str, Any]:
    return text(f"<system-reminder>\n{words}\n</system-reminder>")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([user("a"), instruct("s")], [user(text("a"), reminder("s"))]),
        ([user("a"), instruct("s"), user("b")], [user(text("a"), reminder("s")), user("b")]),
        ([user("a"), assistant("b"), instruct("s"), user("c")],
         [user("a"), assistant("b"), user(reminder("s"), text("c"))]),
        ([user("a"), assistant("b"), instruct("s")], [user("a"), assistant("b"), user(reminder("s"))]),
        ([user("a"), assistant("b"), instruct("s"), assistant("c"), user("d")],
         [user("a"), assistant("b"), user(reminder("s")), assistant("c"), user("d")]),
        ([user("a"), assistant(call("1")), instruct("s"), user(result("1"), "x")],
         [user("a"), assistant(call("1")), user(result("1"), reminder("s"), "x")]),
        ([user("a"), assistant(call("1")), user(result("1")), instruct("s"), assistant("b"), user("c")],
         [user("a"), assistant(call("1")), user(result("1"), reminder("s")), assistant("b"), user("c")]),
        ([user("a"), assistant(call("1"), call("2")), user(result("1")), instruct("s"), user(result("2"))],
         [user("a"), assistant(call("1"), call("2")), user(result("1"), result("2"), reminder("s"))]),
        ([user("a"), assistant(call("1"), call("2")), user(result("1")), instruct("s"), SAID, LAST],
         [user("a"), assistant(call("1"), call("2")), user(result("1"), reminder("s")), SAID, LAST]),
        ([user("a"), assistant(call("1")), instruct("s"), user("never mind")],
         [user("a"), assistant(call("1")), user(reminder("s"), text("never mind"))]),
        ([user("a"), assistant(call("1")), instruct("s")],
         [user("a"), assistant(call("1")), user(reminder("s"))]),
        ([user("a"), instruct("s", clear_at="next_user_message"), user("b")], [user("a"), user("b")]),
        ([user("a"), instruct("")], [user("a")]),
        ([user("a"), instruct(text("s"), text("t"))], [user(text("a"), reminder("s\n\nt"))]),
    ],
)  # fmt: skip
def test_system_text_between_the_turns_is_said_by_the_user(before: list[Any], after: list[Any]) -> None:
    assert sent(body(*before), mid_system="user")["messages"] == after
    assert sent(body(*before))["messages"] == before


@pytest.mark.parametrize(
    ("fields", "after"),
    [
        ({}, [text("s")]),
        ({"system": None}, [text("s")]),
        ({"system": "be brief"}, [text("be brief"), text("s")]),
        ({"system": [text("be brief", **MARK)]}, [text("be brief", **MARK), text("s")]),
    ],
)
@pytest.mark.parametrize("mid_system", ["user", "hoist"])
def test_system_text_before_all_turns_belongs_to_the_prompt(
    fields: dict[str, Any], after: list[Any], mid_system: str
) -> None:
    assert sent(body(instruct("s"), user("a"), **fields), mid_system=mid_system)["system"] == after


def test_hoisted_text_leaves_the_turns_as_they_are() -> None:
    talk = (user("a"), assistant(call("1")), instruct("s"), user(result("1")), instruct("t"))
    passed = sent(body(*talk, system="be brief"), mid_system="hoist")
    assert passed["messages"] == [talk[0], talk[1], talk[3]]
    assert passed["system"] == [text("be brief"), text("s"), text("t")]


def test_neighbours_are_joined_for_strict_templates_with_results_first() -> None:
    talk = (
        user("a"),
        user("b"),
        assistant(call("1")),
        user(result("1"), "x"),
        user("y"),
        instruct("s"),
        user("z"),
    )
    assert sent(body(*talk), merge_users=True, mid_system="user")["messages"] == [
        user(text("a"), text("b")),
        assistant(call("1")),
        user(result("1"), text("x"), text("y"), reminder("s"), text("z")),
    ]


@pytest.mark.parametrize(
    ("system", "after"),
    [
        ("x-anthropic-billing-header: cc_version=1;\n\nbe brief", "be brief"),
        ([text("x-anthropic-billing-header: 1"), text("be brief", **MARK)], [text("be brief", **MARK)]),
        ([text("be brief", **MARK)], [text("be brief", **MARK)]),
        ("be brief", "be brief"),
        (None, None),
    ],
)
def test_the_line_about_the_clients_build_is_for_anthropic_alone(system: Any, after: Any) -> None:
    assert sent(body(system=system), billing_header=False)["system"] == after
    assert sent(body(system=system))["system"] == system
    assert "system" not in sent(body(), billing_header=False)


def test_what_was_left_out_is_noted() -> None:
    assert question(body(user(IMAGE)), vision=False).notes == (
        "an image was left out: this model cannot see images",
    )
