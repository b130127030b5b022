"""What refusals on this wire teach: from a provider's sentence to the next request, and to `options`."""

import json
from typing import Any

import msgspec
import pytest

from ccproxy_trio.health.lessons import Lesson, Notebook
from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.translate.adjust import Repair, complaint, established
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.native.learning import MOST_LEFT_OUT
from ccproxy_trio.translate.native.question import NativeQuestion
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.translate.asking import assistant, call, instruct, provider, result, text, tool, user
from tests.translate.native.asking import OPUS, asked, body, native, question, sent

MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "EqMB"}
HEADERS = (("anthropic-beta", "effort-2025-11-24, context-1m-2025-08-07,mid-conversation-system-2026-04-07"),)
FULL: dict[str, Any] = {
    "system": [text("a"), text("b", **MARK)],
    "tools": [tool(defer_loading=True), SEARCH],
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "metadata": {"user_id": "u"},
    "temperature": 1,
}
TALK = (
    user("go", text("x", citations=None)),
    instruct("agents"),
    assistant(THOUGHT, call("t1", defer_loading=1, context_management={})),
    user(result("t1", [text("y"), {"type": "tool_reference", "tool_name": "X"}])),
)


def refused(message: str, status: int = 400, **wrapped: Any) -> UpstreamFault:
    """The fault that such an answer becomes, as everywhere."""
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message, **wrapped}}
    return classify(status, {}, json.dumps(error).encode(), profile="generic", wall_now=0.0)


def put(dialect: Dialect | None = None, *messages: Any, **fields: Any) -> NativeQuestion:
    what = body(*(messages or TALK), **{**FULL, **fields})
    return question(
        asked({name: value for name, value in what.items() if value is not None}, headers=HEADERS), dialect
    )


def learned(message: str, dialect: Dialect | None = None, *, status: int = 400, **fields: Any) -> Repair:
    spoken = dialect or native(model="m")
    found = put(spoken, **fields).repair(refused(message, status), spoken)
    assert found is not None, message
    return found


# what is said, the lesson's name, the switches that it changes
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "context_management: Extra inputs are not permitted",
        "context_management",
        {"leave_out": ["context_management"]},
    ),
    (
        "tools.0.custom.defer_loading: Extra inputs are not permitted",
        "tools.defer_loading",
        {"leave_out": ["tools.defer_loading"]},
    ),
    (
        "system.1.cache_control.ephemeral.scope: Extra inputs are not permitted",
        "cache_control.scope",
        {"leave_out": ["cache_control.scope"]},
    ),
    (
        "messages.0.content.1.text.citations: Extra inputs are not permitted",
        "messages.citations",
        {"leave_out": ["messages.citations"]},
    ),
    ("output_config: Extra inputs are not permitted", "output_config", {"leave_out": ["output_config"]}),
    (
        "[{'type': 'extra_forbidden', 'loc': ('body', 'context_management'), 'msg': 'Extra inputs are not "
        "permitted'}]",
        "context_management",
        {"leave_out": ["context_management"]},
    ),
    (
        "unknown field `defer_loading`, expected one of `name`, `type`",
        "tools.defer_loading",
        {"leave_out": ["tools.defer_loading"]},
    ),
    ("Unknown parameter: 'metadata'.", "metadata", {"leave_out": ["metadata"]}),
    ("`temperature` is deprecated for this model.", "temperature", {"leave_out": ["temperature"]}),
    (
        "`temperature` and `top_p` cannot both be specified for this model.",
        "temperature",
        {"leave_out": ["temperature"]},
    ),
    (
        "Unexpected value(s) `effort-2025-11-24`, `context-1m-2025-08-07` for the `anthropic-beta` header. "
        "Please consult our documentation at docs.anthropic.com or try again without the header.",
        "anthropic-beta",
        {"refused_betas": ["effort-2025-11-24", "context-1m-2025-08-07"]},
    ),
    ("invalid beta flag", "anthropic-beta", {"betas": "none"}),
    (
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
        '"system" as an input message role.',
        "messages.role",
        {"mid_system": "user"},
    ),
    ("role 'system' is not supported on this model", "messages.role", {"mid_system": "user"}),
    (
        "messages[1].role: unknown variant `system`, expected `user` or `assistant`",
        "messages.role",
        {"mid_system": "user"},
    ),
    ("body.messages.1.role: Input should be 'user' or 'assistant'", "messages.role", {"mid_system": "user"}),
    (
        "[{'type': 'literal_error', 'loc': ('body', 'messages', 1, 'role'), 'msg': \"Input should be 'user' "
        "or 'assistant'\", 'input': 'system'}]",
        "messages.role",
        {"mid_system": "user"},
    ),
    ("System message must be at the beginning.", "messages.role", {"mid_system": "user"}),
    ('Messages API 不支持 role="system"', "messages.role", {"mid_system": "user"}),
    (
        "Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/...",
        "messages.order",
        {"merge_users": True},
    ),
    ("adaptive thinking is not supported on this model", "thinking", {"thinking_style": "budget"}),
    (
        "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: "
        "'disabled', 'enabled'",
        "thinking",
        {"thinking_style": "budget"},
    ),
    (
        "invalid thinking: only type=enabled is allowed for this model",
        "thinking",
        {"thinking_style": "budget"},
    ),
    ("This model does not support thinking.", "thinking", {"thinking_style": "none"}),
    ("thinking: Extra inputs are not permitted", "thinking", {"thinking_style": "none"}),
    (
        "This model does not support the effort parameter.",
        "output_config.effort",
        {"leave_out": ["output_config.effort"]},
    ),
    (
        "output_config.effort: Input should be 'low', 'medium' or 'high'",
        "output_config.effort",
        {"efforts": ["low", "medium", "high"]},
    ),
    (
        "This model does not support effort level 'max'. Supported levels: high, low, medium.",
        "output_config.effort",
        {"efforts": ["low", "medium", "high"]},
    ),
    (
        "failed to convert tool result content: unsupported content type in ContentBlockParamUnion: "
        "tool_reference",
        "messages.tool_reference",
        {"tool_references": False},
    ),
    (
        "messages.3.content.0.tool_result.content.1: Extra inputs are not permitted",
        "messages.tool_reference",
        {"tool_references": False},
    ),
    (
        "messages.2.content.0: Input tag 'thinking' found using 'type' does not match any of the expected "
        "tags: 'text'",
        "messages.thinking",
        {"thinking_blocks": "none"},
    ),
    (
        "messages.2.content.0: Input should be a valid dictionary or object to extract fields from",
        "messages.thinking",
        {"thinking_blocks": "none"},
    ),
    (
        "tools.1: Input tag 'web_search_20250305' found using 'type' does not match any of the "
        "expected tags: 'custom'",
        "tools.type",
        {"server_tools": False},
    ),
    ("tools.1.type: Input should be 'custom'", "tools.type", {"server_tools": False}),
    (
        "[{'type': 'missing', 'loc': ('body', 'tools', 1, 'input_schema'), 'msg': 'Field required'}]",
        "tools.type",
        {"server_tools": False},
    ),
    ("unsupported tool type: web_search_20250305", "tools.type", {"server_tools": False}),
    (
        "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for m",
        "max_tokens",
        {"output_cap": 8192},
    ),
]


@pytest.mark.parametrize(("message", "name", "switches"), ROWS)
def test_a_refusal_teaches_the_switch_that_does_without(
    message: str, name: str, switches: dict[str, Any]
) -> None:
    found = learned(message)
    assert found.lessons == (Lesson(name, msgspec.convert(switches, DialectOptions)),)
    assert put(found.dialect).outgoing() != put(native(model="m")).outgoing()
    # The same from the start, where the operator pastes what is printed.
    notebook = Notebook(msgspec.convert({"wire": "anthropic"}, DialectOptions))
    told = notebook.learn("m", found.lessons[0])
    assert told is not None
    options = json.loads("{" + told.line + "}")["options"]
    assert resolve(provider("anthropic", **options), "m") == found.dialect


@pytest.mark.parametrize(("message", "name", "switches"), ROWS)
def test_no_refusal_costs_what_the_client_said_or_a_tool_of_its_own(
    message: str, name: str, switches: dict[str, Any]
) -> None:
    before, after = (json.loads(put(dialect).outgoing().body) for dialect in (None, learned(message).dialect))
    assert [one["name"] for one in after["tools"]][:1] == ["Bash"]
    assert after["tools"][0]["input_schema"] == before["tools"][0]["input_schema"]
    spoken = json.dumps(after["messages"])
    assert all(words in spoken for words in ('"go"', '"x"', "agents", '"y"'))
    call_of = [block for message in after["messages"] for block in message["content"] if "input" in block]
    assert call_of == [TALK[2]["content"][1]]


def test_what_was_left_out_already_is_left_out_again() -> None:
    first = learned("context_management: Extra inputs are not permitted")
    second = learned("metadata: Extra inputs are not permitted", first.dialect)
    assert second.dialect.leave_out == ("context_management", "metadata")
    assert second.lessons[0].words() == 'metadata: "leave_out": ["context_management", "metadata"]'


def test_several_complaints_of_one_answer_are_heard_at_once() -> None:
    found = learned(
        "context_management: Extra inputs are not permitted\nmetadata: Extra inputs are not permitted"
    )
    assert [lesson.parameter for lesson in found.lessons] == ["context_management", "metadata"]
    assert found.dialect.leave_out == ("context_management", "metadata")


def test_a_beta_for_system_messages_takes_them_with_it() -> None:
    found = learned(
        "Unexpected value(s) `mid-conversation-system-2026-04-07` for the `anthropic-beta` header."
    )
    assert {lesson.parameter for lesson in found.lessons} == {"anthropic-beta", "messages.role"}


@pytest.mark.parametrize(
    ("message", "asked_for"),
    [
        ('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
         '"output_config.effort" to control thinking behavior.', {"type": "enabled", "budget_tokens": 4000}),
    ],
)  # fmt: skip
def test_a_budget_that_is_refused_becomes_adaptive(message: str, asked_for: dict[str, Any]) -> None:
    found = learned(message, thinking=asked_for)
    assert found.lessons == (Lesson("thinking", DialectOptions(thinking_style="adaptive")),)


@pytest.mark.parametrize(
    "message",
    [
        "invalid thinking: only type=enabled is allowed for this model",
        '"thinking.type.disabled" is not supported for this model.',
    ],
)
def test_of_thinking_that_cannot_be_switched_off_nothing_is_said(message: str) -> None:
    found = learned(message, thinking={"type": "disabled"})
    assert found.lessons == (Lesson("thinking", DialectOptions(thinking_style="always")),)
    for wished, passed in (
        ({"type": "disabled"}, None),
        ({"type": "adaptive"}, {"type": "adaptive"}),
        ({"type": "enabled", "budget_tokens": 2000}, {"type": "enabled", "budget_tokens": 2000}),
    ):
        assert json.loads(put(found.dialect, thinking=wished).outgoing().body).get("thinking") == passed


def test_a_history_that_wants_thinking_off_gets_nothing_said_of_it_where_that_cannot_be() -> None:
    dialect = msgspec.structs.replace(native(model="m"), thinking_blocks="none", thinking_style="always")
    assert "thinking" not in json.loads(put(dialect).outgoing().body)


@pytest.mark.parametrize(
    "message",
    [
        "messages.2.content.0: Invalid `signature` in `thinking` block",
        "messages.2.content.0: Invalid `data` in `redacted_thinking` block",
        "messages.2.content.0.thinking.signature: Field required",
        "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message "
        "cannot be modified. These blocks must remain as they were in the original response.",
    ],
)
def test_thinking_that_is_refused_goes_this_once(message: str) -> None:
    found = learned(message)
    assert found == Repair(msgspec.structs.replace(native(model="m"), thinking_blocks="none"))
    passed = json.loads(put(found.dialect).outgoing().body)
    assert passed["messages"][2]["content"] == [TALK[2]["content"][1]]
    assert passed["thinking"] == {"type": "disabled"}
    assert put(found.dialect).repair(refused(message), found.dialect) is None


@pytest.mark.parametrize(
    "message",
    [
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
        "`thinking` is enabled, a final `assistant` message must start with a thinking block.",
        "The `content[].thinking` in the thinking mode must be passed back to the API.",
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
    ],
)
@pytest.mark.parametrize("asked_for", [{"type": "adaptive"}, None])
def test_a_turn_without_thinking_is_gone_on_with_without_this_once(
    message: str, asked_for: dict[str, Any] | None
) -> None:
    found = learned(message, thinking=asked_for)
    assert found.lessons == ()
    passed = json.loads(put(found.dialect, thinking=asked_for).outgoing().body)
    assert passed["thinking"] == {"type": "disabled"}
    assert put(found.dialect).repair(refused(message), found.dialect) is None


def test_the_room_beside_a_prompt_is_used_once_and_teaches_nothing() -> None:
    found = learned(
        "input length and `max_tokens` exceed context limit: 180000 + 32000 > 200000, decrease input length"
    )
    assert found.lessons == ()
    assert json.loads(put(found.dialect).outgoing().body)["max_tokens"] == 200_000 - 180_000 - 64
    capped = msgspec.structs.replace(native(model="m"), output_cap=10_000)
    said = refused("input length and `max_tokens` exceed context limit: 180000 + 10000 > 200000")
    assert put(capped).repair(said, capped) is None


@pytest.mark.parametrize("message", ["System message must be at the beginning", "roles must alternate"])
def test_a_template_that_fails_for_a_system_message_is_no_failure_of_the_server(message: str) -> None:
    assert learned(message, status=500).lessons
    said = refused("context_management: Extra inputs are not permitted", 500)
    assert put().repair(said, native()) is None
    assert put().repair(refused(message, 503), native()) is None


NOT_OURS = [
    ("messages: Extra inputs are not permitted", {}),
    ("messages.0.content.0.text: Extra inputs are not permitted", {}),
    ("tools.0.custom.input_schema: Extra inputs are not permitted", {}),
    ("tools.0.custom.input_schema.properties.command: Extra inputs are not permitted", {}),
    ("messages.2.content.1.tool_use.input: Extra inputs are not permitted", {}),
    ("somewhere: Extra inputs are not permitted", {}),
    ("stop_sequences: Extra inputs are not permitted", {"stop_sequences": ["x"]}),
    ("tool_choice: Extra inputs are not permitted", {"tool_choice": {"type": "none"}}),
    ("messages.0: all messages must have non-empty content", {}),
    ("tools.1.web_search_20250305.max_uses: Input should be greater than 0", {}),
    ("This model does not support the effort parameter.", {"output_config": None}),
    ("invalid beta flag", {"headers": ()}),
    ("something else altogether", {}),
    ("`max_tokens` must be greater than `thinking.budget_tokens`", {}),
    ('"thinking.type.enabled" is not supported for this model.', {}),
    ("tool_reference blocks: unsupported", {"messages": [user("a")]}),
    ("messages.0.content.0: Input should be a valid dictionary", {}),
    ("tools.0.type: Input should be 'custom'", {}),
    ("tools.0: Input tag 'x' found using 'type' does not match", {"tools": [tool()]}),
    ("role 'system' is not supported", {"messages": [user("a")]}),
]


@pytest.mark.parametrize(("message", "changes"), NOT_OURS)
def test_what_is_not_ours_to_change_stays(message: str, changes: dict[str, Any]) -> None:
    fields = {"output_config": {"effort": "max"}, **changes}
    headers = fields.pop("headers", HEADERS)
    messages = fields.pop("messages", TALK)
    what = {name: value for name, value in body(*messages, **{**FULL, **fields}).items() if value is not None}
    one = question(asked(what, headers=headers), native(model="m"))
    assert one.repair(refused(message), native(model="m")) is None


def test_faults_that_are_about_something_else_are_left_alone() -> None:
    fault = UpstreamFault(FaultKind.RATE_LIMITED, "context_management: Extra inputs are not permitted")
    assert put().repair(fault, native()) is None


def test_an_allowance_for_tool_choice_is_taken_away_only_where_that_forbids_nothing() -> None:
    found = learned("tool_choice: Extra inputs are not permitted", tool_choice={"type": "any"})
    assert "tool_choice" not in json.loads(put(found.dialect, tool_choice={"type": "any"}).outgoing().body)


def test_tools_of_anthropics_that_ran_before_are_told_in_words() -> None:
    ran = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    talk = (user("a"), assistant(ran, found, "b"), user("c"))
    message = "messages.1.content.0: Input tag 'server_tool_use' found using 'type' does not match"
    repaired = put(None, *talk).repair(refused(message), native(model="m"))
    assert repaired is not None
    assert repaired.lessons == (Lesson("tools.type", DialectOptions(server_tools=False)),)
    assert json.loads(put(repaired.dialect, *talk).outgoing().body)["messages"][1]["content"][0] == text(
        '[used web_search: {"query":"q"}]'
    )


def test_what_a_model_can_teach_has_an_end() -> None:
    full = native(model="m", leave_out=[f"made_up_{number}" for number in range(MOST_LEFT_OUT)])
    said = refused("metadata: Extra inputs are not permitted")
    assert put(full).repair(said, full) is None


def test_a_lesson_that_is_refused_again_is_not_kept() -> None:
    lesson = Lesson("cache_control.scope", DialectOptions(leave_out=("cache_control.scope",)))
    again = refused("system.1.cache_control.ephemeral.ttl: Extra inputs are not permitted")
    other = refused("context_management: Extra inputs are not permitted")
    assert established((lesson,), again) == ()
    assert established((lesson,), other) == (lesson,)


def test_a_lesson_that_is_answered_with_the_same_words_is_not_kept() -> None:
    """What is understood by its wording has another name here than the parameter that is complained of."""
    lesson = Lesson("messages.role", DialectOptions(mid_system="user"))
    said = refused("role 'system' is not supported")
    other = refused("context_management: Extra inputs are not permitted")
    assert established((lesson,), said) == (lesson,)
    assert established((lesson,), said, before=complaint(said)) == ()
    assert established((lesson,), other, before=complaint(said)) == (lesson,)


def test_a_path_of_the_request_is_found_where_two_members_are_named_alike() -> None:
    talk = (user(text("a", odd=1)), assistant(call("t1", odd=1)), user(result("t1", odd=1)))
    found = put(None, *talk, odd=2).repair(
        refused("Unrecognized request argument supplied: odd"), native(model="m")
    )
    assert found is not None
    assert found.dialect.leave_out == ("odd",)
    found = put(None, *talk).repair(refused("Unknown parameter: odd"), native(model="m"))
    assert found is not None
    assert found.dialect.leave_out == ("messages.odd",)
    passed = json.loads(put(found.dialect, *talk).outgoing().body)["messages"]
    assert passed[1] == talk[1]
    assert sent(body(*talk))["messages"] == list(talk)
    assert OPUS
