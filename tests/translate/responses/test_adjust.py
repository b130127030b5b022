"""What refusals on the Responses wire teach, and when a request goes back to Chat Completions."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from ccproxy_trio.health.lessons import Lesson, Notebook
from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.translate.adjust import Repair, established
from ccproxy_trio.translate.adjust import repair as repair_chat
from ccproxy_trio.translate.dialect import Dialect, resolve, with_lessons
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.refusals import ORDER, PLACE, ROLE, WIRE
from ccproxy_trio.translate.request import Target, translate
from ccproxy_trio.translate.responses.adjust import PARTS
from ccproxy_trio.translate.state import ReplayState, seal
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import FaultKind, Overflow, Refused, UpstreamFault
from tests.translate.asking import assistant, instruct, provider, request, text, tool, user
from tests.translate.responses.asking import MODEL, body, dialect, question

CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
ITEM = Raw(b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}')
THOUGHT = {
    "type": "thinking",
    "thinking": "",
    "signature": seal(ReplayState("alpha", MODEL, [ITEM], wire="responses")),
}
HISTORY = (user("go on"), assistant(THOUGHT, "hello"), user("more"))
ADAPTIVE: dict[str, Any] = {"thinking": {"type": "adaptive"}}
FORMAT: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}}
ID = json.dumps({"session_id": "s"})


def says(
    message: str, param: str | None = None, code: str | None = None, *, status: int = 400
) -> UpstreamFault:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return classify(status, {}, json.dumps({"error": error}).encode(), profile="openai", wall_now=0.0)


def refuses(parameter: str, objection: Any = "parameter", *allowed: str) -> UpstreamFault:
    refused = Refused(parameter=parameter, objection=objection, allowed=allowed)
    return UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, refused=(refused,))


class Ask(msgspec.Struct):
    """A request to a model of OpenAI's."""

    request: MessagesRequest
    options: dict[str, Any]
    model: str = MODEL

    def dialect(self) -> Dialect:
        return dialect(model=self.model, **self.options)

    def body(self, spoken: Dialect | None = None) -> dict[str, Any]:
        return body(question(self.request, model=self.model, put_in=spoken or self.dialect()))

    def repair(self, fault: UpstreamFault) -> Repair | None:
        return question(self.request, model=self.model, put_in=self.dialect()).repair(fault, self.dialect())


def ask(*messages: Any, fields: dict[str, Any] | None = None, model: str = MODEL, **options: Any) -> Ask:
    return Ask(request(*messages, **(fields or {})), options, model)


CANNOT_SUMMARISE = says(
    "Your organization must be verified to generate reasoning summaries. Please go to the settings.",
    "reasoning.summary",
    "unsupported_value",
)
NOT_ENCRYPTED = says("Encrypted content is not supported with this model.", "include")
SAMPLING: dict[str, Any] = {"temperature": 1, "top_p": 1}
FORCED: dict[str, Any] = {"tools": [tool()], "tool_choice": {"type": "any"}}
ONE_AT_A_TIME = {"tools": [tool()], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}

# the part of the request, the request, the refusal, and what the request has instead (None: nothing)
ROWS: list[tuple[str, Ask, UpstreamFault, dict[str, Any]]] = [
    ("summary", ask(fields=ADAPTIVE), CANNOT_SUMMARISE, {"reasoning": {"effort": "medium"}}),
    ("summary", ask(fields=ADAPTIVE), refuses("reasoning.summary"), {"reasoning": {"effort": "medium"}}),
    ("include", ask(), NOT_ENCRYPTED, {"include": None}),
    (
        "include",
        ask(),
        says("Unknown parameter: 'include'.", "include", "unknown_parameter"),
        {"include": None},
    ),
    (
        "include",
        ask(),
        says("Invalid value: 'reasoning.encrypted_content'.", "include[0]", "invalid_value"),
        {"include": None},
    ),
    (
        "encrypted_content",
        ask(*HISTORY),
        says(
            "Unknown parameter: 'input[1].encrypted_content'.",
            "input[1].encrypted_content",
            "unknown_parameter",
        ),
        {"include": None},
    ),
    (
        "reasoning",
        ask(fields={"output_config": {"effort": "max"}}, efforts=["low", "xhigh", "max"]),
        says(
            "Unsupported value: 'max'. Supported values are: 'low', 'medium', and 'high'.",
            "reasoning.effort",
            "unsupported_value",
        ),
        {"reasoning": {"effort": "high"}},
    ),
    (
        "reasoning_effort",
        ask(fields={"output_config": {"effort": "xhigh"}}),
        refuses("reasoning_effort", "value"),
        {"reasoning": {"effort": "high"}},
    ),
    ("reasoning", ask(fields=ADAPTIVE), refuses("reasoning.effort"), {"reasoning": None}),
    (
        "temperature",
        ask(fields=SAMPLING, sampling=True),
        refuses("temperature"),
        {"temperature": None, "top_p": 1},
    ),
    ("top_p", ask(fields=SAMPLING, sampling=True), refuses("top_p"), {"top_p": None}),
    (
        "text",
        ask(fields=FORMAT),
        refuses("text.format", "value"),
        {"text": {"format": {"type": "json_object"}}},
    ),
    ("text", ask(fields=FORMAT, json_schema=False), refuses("text.format"), {"text": None}),
    (
        "response_format",
        ask(fields=FORMAT),
        refuses("response_format"),
        {"text": {"format": {"type": "json_object"}}},
    ),
    ("tool_choice", ask(fields=FORCED), refuses("tool_choice", "value"), {"tool_choice": "auto"}),
    ("tool_choice", ask(fields=FORCED, tool_choice=False), refuses("tool_choice"), {"tool_choice": None}),
    (
        "parallel_tool_calls",
        ask(fields=ONE_AT_A_TIME),
        refuses("parallel_tool_calls"),
        {"parallel_tool_calls": None},
    ),
    (
        "prompt_cache_key",
        ask(fields={"metadata": {"user_id": ID}}),
        refuses("prompt_cache_key"),
        {"prompt_cache_key": None},
    ),
    (
        "safety_identifier",
        ask(fields={"metadata": {"user_id": ID}}),
        refuses("safety_identifier"),
        {"safety_identifier": None},
    ),
    ("user", ask(fields={"metadata": {"user_id": ID}}, user_field="user"), refuses("user"), {"user": None}),
    ("service_tier", ask(fields={"speed": "fast"}), refuses("service_tier"), {"service_tier": None}),
    (
        "strict",
        ask(fields={"tools": [{"name": "T", "input_schema": CLOSED, "strict": True}]}),
        refuses("tools[0].strict"),
        {"tools": [{"type": "function", "name": "T", "parameters": CLOSED, "strict": False}]},
    ),
    (
        "prompt_cache_breakpoint",
        ask(user(text("a", cache_control={"type": "ephemeral"})), cache="openai_breakpoint"),
        refuses("input[0].content[0].prompt_cache_breakpoint"),
        {"input": [{"type": "message", "role": "user", "content": "a"}]},
    ),
    (
        "stream",
        ask(),
        says("Your organization must be verified to stream this model.", "stream", "unsupported_value"),
        {"stream": None},
    ),
    (
        ROLE,
        ask(instruct("s"), user("a"), instruct("b")),
        refuses(ROLE, "value"),
        {
            "input": [
                {"type": "message", "role": "user", "content": "a"},
                {"type": "message", "role": "system", "content": "b"},
            ]
        },
    ),
    (
        PLACE,
        ask(user("a"), assistant("b"), instruct("s"), user("c")),
        refuses(PLACE),
        {},
    ),
    (
        ORDER,
        ask(user("a"), user("b")),
        refuses(ORDER),
        {"input": [{"type": "message", "role": "user", "content": "a\n\nb"}]},
    ),
    ("max_output_tokens", ask(), refuses("max_output_tokens"), {"max_output_tokens": None}),
    (
        "max_output_tokens",
        ask(fields={"max_tokens": 64_000}),
        says(
            "Invalid 'max_output_tokens': integer above maximum value. "
            "Expected a value <= 16384, but got 64000 instead."
        ),
        {"max_output_tokens": 16_384},
    ),
    (
        "max_output_tokens",
        ask(fields={"max_tokens": 64_000}),
        UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(limit=16_384, completion=64_000)),
        {"max_output_tokens": 16_384},
    ),
]


@pytest.mark.parametrize(("part", "asked", "fault", "then"), ROWS)
def test_what_is_refused_is_put_otherwise_and_remembered(
    part: str, asked: Ask, fault: UpstreamFault, then: dict[str, Any]
) -> None:
    before = asked.body()
    found = asked.repair(fault)
    assert found is not None
    after = asked.body(found.dialect)
    assert after != before
    assert {name: after.get(name) for name in then} == then
    assert [lesson.parameter for lesson in found.lessons] == [part]
    # The line printed for it does the same from the start.
    options = msgspec.convert(asked.options, DialectOptions)
    notebook = Notebook(options)
    line = [notebook.learn(asked.model, lesson) for lesson in found.lessons][-1]
    assert line is not None
    written = json.loads(f"{{{line.line}}}")["options"]
    assert asked.body(dialect(model=asked.model, **written)) == after


def test_every_part_that_can_be_done_without_has_its_row() -> None:
    assert {part for part, *_ in ROWS} == PARTS


def test_words_and_calls_stay_what_they_are() -> None:
    asked = ask(*HISTORY, fields={**ADAPTIVE, **FORMAT, **FORCED})
    for _, _, fault, _ in ROWS:
        found = asked.repair(fault)
        if found is not None:
            said = [item for item in asked.body(found.dialect)["input"] if item.get("type") == "message"]
            assert [item["content"] for item in said[-3:]] == ["go on", "hello", "more"]


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (ask(), refuses("input")),
        (ask(), refuses("tools")),
        (ask(), refuses("store")),
        (ask(), refuses("reasoning.effort", "value")),
        (ask(), refuses("text.format")),
        (ask(), refuses("tool_choice")),
        (ask(fields={"tools": [tool()], "tool_choice": {"type": "none"}}), refuses("tool_choice")),
        (ask(), refuses("max_output_tokens", "value")),
        (ask(), refuses("stream_options")),
        (ask(reasoning_summary=False), refuses("reasoning.summary")),
        (ask(), UpstreamFault(FaultKind.BAD_REQUEST)),
        (ask(), UpstreamFault(FaultKind.SERVER_ERROR, status=500)),
        (ask(), UpstreamFault(FaultKind.MISCONFIGURED, status=301)),
    ],
)
def test_what_is_not_ours_to_change_stays(asked: Ask, fault: UpstreamFault) -> None:
    assert asked.repair(fault) is None


@pytest.mark.parametrize(
    "fault",
    [
        says(
            "The encrypted content for item rs_1 could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed.",
            code="invalid_encrypted_content",
        ),
        says("Something is wrong with an item.", code="invalid_encrypted_content"),
        says("Item 'rs_1' of type 'reasoning' was provided without its required following item.", "input"),
    ],
)
def test_reasoning_that_cannot_be_read_is_left_out_this_time_alone(fault: UpstreamFault) -> None:
    asked = ask(*HISTORY)
    found = asked.repair(fault)
    assert found is not None
    assert found.lessons == ()
    kinds = [
        [item["type"] for item in asked.body(spoken)["input"]] for spoken in (asked.dialect(), found.dialect)
    ]
    assert kinds == [["message", "reasoning", "message", "message"], ["message"] * 3]
    # What the answer brings is carried all the same.
    assert asked.body(found.dialect)["include"] == ["reasoning.encrypted_content"]


# -- from one wire to the other ------------------------------------------------------------------------

REFUSED_ON_CHAT = [
    says(
        "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. "
        "Please use /v1/responses instead.",
        "reasoning_effort",
    ),
    says("This model is only supported in v1/responses and not in v1/chat/completions.", "model", status=404),
    says("This model can only be used with the Responses API.", status=400),
    says(
        "The chatCompletion operation does not work with the specified model, gpt-5-codex. Please choose "
        "different model and try again.",
        code="OperationNotSupported",
    ),
]


def on_chat(profile: str, **options: Any) -> tuple[Dialect, Any]:
    spoken = resolve(provider(profile, **options), "prod")
    asked = request(**ADAPTIVE, tools=[tool()])
    return spoken, translate(asked, Target(provider="alpha", model="prod", dialect=spoken)).chat


@pytest.mark.parametrize("fault", REFUSED_ON_CHAT)
@pytest.mark.parametrize("profile", ["openai", "azure", "generic"])
def test_a_model_of_the_responses_api_is_asked_there_once_that_is_said(
    profile: str, fault: UpstreamFault
) -> None:
    spoken, chat = on_chat(profile)
    found = repair_chat(fault, spoken, chat)
    assert found is not None
    assert [lesson.parameter for lesson in found.lessons] == [WIRE]
    notebook = Notebook()
    line = notebook.learn("prod", found.lessons[0])
    assert line is not None
    written = resolve(provider(profile, **json.loads(f"{{{line.line}}}")["options"]), "prod")
    assert found.dialect.wire == "responses"
    assert msgspec.structs.replace(written, wire_told=False) == found.dialect
    assert found.dialect.file_urls == (profile != "generic")


@pytest.mark.parametrize("fault", REFUSED_ON_CHAT[1:])
def test_a_wire_that_the_operator_named_is_kept(fault: UpstreamFault) -> None:
    spoken, chat = on_chat("azure", wire="chat")
    assert repair_chat(fault, spoken, chat) is None


def test_on_the_wire_that_the_operator_named_reasoning_is_switched_off_beside_tools() -> None:
    spoken, chat = on_chat("azure", wire="chat")
    found = repair_chat(REFUSED_ON_CHAT[0], spoken, chat)
    assert found is not None
    assert (found.dialect.wire, found.dialect.reasoning_with_tools) == ("chat", False)


@pytest.mark.parametrize(
    "fault",
    [
        UpstreamFault(FaultKind.MISCONFIGURED, status=404),
        UpstreamFault(FaultKind.MISCONFIGURED, status=405),
        says("Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later"),
    ],
)
@pytest.mark.parametrize("profile", ["openai", "azure", "generic"])
def test_a_path_that_does_not_exist_sends_the_request_back_to_chat(
    profile: str, fault: UpstreamFault
) -> None:
    before, chat = on_chat(profile)
    there = repair_chat(REFUSED_ON_CHAT[0], before, chat)
    assert there is not None
    asked = request(**ADAPTIVE, tools=[tool()])
    back = question(asked, put_in=there.dialect, model="prod").repair(fault, there.dialect)
    assert back is not None
    assert established(there.lessons, UpstreamFault(FaultKind.MISCONFIGURED, status=404)) == ()
    # The lesson that led there is overruled by the one that leads back: nothing of it is left.
    assert with_lessons(before, (*there.lessons, *back.lessons)) == back.dialect
    assert [lesson.parameter for lesson in back.lessons] == [WIRE]
    sent = translate(asked, Target(provider="alpha", model="prod", dialect=back.dialect)).chat
    assert (back.dialect.wire, sent.reasoning_effort) == ("chat", "none")
    assert (back.dialect.files, back.dialect.file_urls) == (before.files, before.file_urls)


def test_a_path_that_does_not_exist_is_told_where_the_operator_named_the_wire() -> None:
    asked = ask(wire="responses")
    assert asked.repair(UpstreamFault(FaultKind.MISCONFIGURED, status=404)) is None


def test_a_wire_that_turned_out_right_is_one_lesson() -> None:
    lesson = Lesson(WIRE, DialectOptions(wire="responses"))
    assert established((lesson,), says("Unsupported parameter: 'include'", "include")) == (lesson,)
