"""What refusals teach, that it helps, and that the line printed for it does the same from the start."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.health.lessons import Lesson, Notebook
from ccproxy_trio.settings.model import DialectOptions, ProviderSettings
from ccproxy_trio.translate.adjust import PARTS, Repair, established, repair
from ccproxy_trio.translate.complaint import Complaint
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.refusals import CONTENT, ORDER, PLACE, ROLE, WIRE, refusals
from ccproxy_trio.translate.request import Target, Translated, translate
from ccproxy_trio.translate.state import ReplayState, seal
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import FaultKind, Overflow, Refused, UpstreamFault
from ccproxy_trio.wire.openai import encode
from tests.translate.asking import (
    assistant,
    call,
    instruct,
    provider,
    request,
    result,
    text,
    tool,
    user,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = {**SCHEMA, "additionalProperties": False}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}}
ID = json.dumps({"session_id": "s"})
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": seal(ReplayState("alpha", "m"))}
HISTORY = (user("go on"), assistant(THOUGHT, call("c1")), user(result("c1"), "and?"))
MARK = {"cache_control": {"type": "ephemeral"}}


class Asked(msgspec.Struct):
    """A request to a provider."""

    request: MessagesRequest
    provider: ProviderSettings
    model: str = "m"

    def dialect(self) -> Dialect:
        return resolve(self.provider, self.model)

    def put(self, dialect: Dialect | None = None) -> Translated:
        target = Target(provider="alpha", model=self.model, dialect=dialect or self.dialect())
        return translate(self.request, target)

    def body(self, dialect: Dialect | None = None) -> dict[str, Any]:
        written: dict[str, Any] = json.loads(encode(self.put(dialect).chat))
        return written


def asked(
    profile: str = "generic", *messages: Any, fields: Any = None, model: str = "m", **options: Any
) -> Asked:
    return Asked(request(*messages, **(fields or {})), provider(profile, **options), model)


def refuses(parameter: str, objection: Any = "parameter", *allowed: str) -> UpstreamFault:
    refused = Refused(parameter=parameter, objection=objection, allowed=allowed)
    return UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, refused=(refused,))


def repaired(ask: Asked, fault: UpstreamFault, dialect: Dialect | None = None) -> Repair:
    dialect = dialect or ask.dialect()
    found = repair(fault, dialect, ask.put(dialect).chat)
    assert found is not None
    return found


TOOLS = {"tools": [tool()], "thinking": {"type": "adaptive"}}
REASONING = {"thinking": {"type": "adaptive"}}
STRICT = {"tools": [{"name": "T", "input_schema": CLOSED, "strict": True}]}
FORCED = {"tools": [tool()], "tool_choice": {"type": "any"}}
TWO_USERS = (user("a"), user("b"))

# part -> a request that has it, the refusal, and what the request has instead (None: nothing)
ROWS: list[tuple[str, Asked, UpstreamFault, dict[str, Any]]] = [
    ("temperature", asked(fields={"temperature": 1}), refuses("temperature"), {"temperature": None}),
    ("top_p", asked(fields={"top_p": 1}), refuses("top_p"), {"top_p": None}),
    ("top_k", asked(fields={"top_k": 5}, top_k=True), refuses("top_k"), {"top_k": None}),
    ("stop", asked(fields={"stop_sequences": ["x"]}), refuses("stop[0]"), {"stop": None}),
    (
        "parallel_tool_calls",
        asked(
            fields={"tools": [tool()], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
        ),
        refuses("parallel_tool_calls"),
        {"parallel_tool_calls": None, "tool_choice": "auto"},
    ),
    ("stream", asked(), refuses("stream"), {"stream": None}),
    ("stream_options", asked(), refuses("stream_options.include_usage"), {"stream_options": None}),
    (
        "strict",
        asked(fields=STRICT, strict=True),
        refuses("tools[0].function.strict"),
        {"tools.0.function.strict": None, "tools.0.function.name": "T"},
    ),
    (
        "safety_identifier",
        asked("openai", fields={"metadata": {"user_id": ID}}),
        refuses("safety_identifier"),
        {"safety_identifier": None, "user": None},
    ),
    ("user", asked("groq", fields={"metadata": {"user_id": ID}}), refuses("user"), {"user": None}),
    (
        "prompt_cache_key",
        asked("openai", fields={"metadata": {"user_id": ID}}),
        refuses("prompt_cache_key"),
        {"prompt_cache_key": None},
    ),
    (
        "service_tier",
        asked("openai", fields={"speed": "fast"}),
        refuses("service_tier"),
        {"service_tier": None},
    ),
    ("thinking", asked("deepseek", fields=REASONING), refuses("thinking"), {"thinking": None}),
    (
        "enable_thinking",
        asked(fields=REASONING, reasoning="qwen"),
        refuses("enable_thinking"),
        {"enable_thinking": None},
    ),
    (
        "chat_template_kwargs",
        asked("vllm", fields=REASONING, reasoning="qwen"),
        refuses("chat_template_kwargs.enable_thinking"),
        {"chat_template_kwargs": None},
    ),
    (
        "add_generation_prompt",
        asked("vllm", user("a"), assistant("b")),
        refuses("add_generation_prompt"),
        {"add_generation_prompt": None, "continue_final_message": None, "messages.1.content": "b"},
    ),
    (
        "continue_final_message",
        asked("vllm", user("a"), assistant("b")),
        refuses("continue_final_message"),
        {"continue_final_message": None},
    ),
    (
        "prefix",
        asked("mistral", user("a"), assistant("b")),
        refuses("messages.1.assistant.prefix"),
        {"messages.1.prefix": None, "messages.1.content": "b"},
    ),
    (
        "cache_control",
        asked("generic", user(text("a", **MARK)), cache="cache_control"),
        refuses("messages.0.content.0.cache_control"),
        {"messages.0.content": "a"},
    ),
    (
        "prompt_cache_breakpoint",
        asked("generic", user(text("a", **MARK)), cache="openai_breakpoint"),
        refuses("messages[0].content[0].prompt_cache_breakpoint"),
        {"messages.0.content": "a"},
    ),
    (
        "reasoning_content",
        asked("generic", *HISTORY, replay="reasoning_content"),
        refuses("messages.1.assistant.reasoning_content"),
        {"messages.1.reasoning_content": None},
    ),
    (
        "reasoning_content",
        asked("generic", *HISTORY),
        refuses("reasoning_content", "absence"),
        {"messages.1.reasoning_content": "hm"},
    ),
    (
        "reasoning_details",
        asked(
            "openrouter",
            user("a"),
            assistant({**THOUGHT, "signature": seal(ReplayState("alpha", "m", [msgspec.Raw(b"{}")]))}, "b"),
            user("c"),
        ),
        refuses("messages.1.reasoning_details"),
        {"messages.1.reasoning_details": None},
    ),
    (
        "extra_content",
        asked("gemini", *HISTORY),
        refuses("messages[1].tool_calls[0].extra_content"),
        {"messages.1.tool_calls.0.extra_content": None, "messages.1.tool_calls.0.function.name": "Bash"},
    ),
    (
        ROLE,
        asked("openai", user("a"), fields={"system": "s"}, model="o3"),
        refuses(ROLE, "value"),
        {"messages.0.role": "system"},
    ),
    (
        ORDER,
        asked("generic", *TWO_USERS),
        refuses(ORDER),
        {"messages.0.content": "a\n\nb", "messages.1": None},
    ),
    (
        PLACE,
        asked("generic", user("a"), assistant("b"), instruct("s"), user("c"), mid_system="keep"),
        refuses(PLACE),
        {"messages.2.role": "user"},
    ),
    ("max_tokens", asked(), refuses("max_tokens"), {"max_tokens": None, "max_completion_tokens": 1000}),
    (
        "max_completion_tokens",
        asked("openai"),
        refuses("max_completion_tokens", "unsaid"),
        {"max_tokens": 1000, "max_completion_tokens": None},
    ),
    (
        "reasoning_effort",
        asked("openai", fields=REASONING, model="o3"),
        refuses("reasoning_effort"),
        {"reasoning_effort": None},
    ),
    (
        "reasoning_effort",
        asked("azure", fields=TOOLS, model="prod"),
        refuses("reasoning_effort", "tools"),
        {"reasoning_effort": "none"},
    ),
    (
        "reasoning_effort",
        asked("azure", fields={"tools": [tool()]}, model="prod-gpt-4"),
        refuses("reasoning_effort", "tools"),
        {"reasoning_effort": "none"},
    ),
    (
        "reasoning_effort",
        asked("openai", fields={"output_config": {"effort": "max"}}, efforts=["low", "xhigh", "max"]),
        refuses("reasoning_effort", "value", "supported", "low", "medium", "high"),
        {"reasoning_effort": "high"},
    ),
    (
        "reasoning_effort",
        asked("openai", fields={"output_config": {"effort": "xhigh"}}, efforts=["xhigh"]),
        refuses("reasoning_effort", "value"),
        {"reasoning_effort": "high"},
    ),
    (
        "reasoning_effort",
        asked("groq", fields={"output_config": {"effort": "high"}}, reasoning="effort"),
        refuses("reasoning_effort", "value", "none", "default"),
        {"reasoning_effort": None},
    ),
    (
        "reasoning",
        asked("openrouter", fields={"output_config": {"effort": "xhigh"}}),
        refuses("reasoning.effort", "value", "low", "medium", "high"),
        {"reasoning.effort": "high"},
    ),
    ("reasoning", asked("openrouter", fields=REASONING), refuses("reasoning"), {"reasoning": None}),
    (
        "response_format",
        asked(fields=FORMAT),
        refuses("response_format", "value"),
        {"response_format.type": "json_object", "messages.0.role": "system"},
    ),
    (
        "response_format",
        asked(fields=FORMAT, json_schema=False),
        refuses("response_format"),
        {"response_format": None, "messages.0.role": "system"},
    ),
    ("tool_choice", asked(fields=FORCED), refuses("tool_choice", "value"), {"tool_choice": "auto"}),
    ("tool_choice", asked(fields=FORCED, tool_choice=False), refuses("tool_choice"), {"tool_choice": None}),
    (
        CONTENT,
        asked("generic", *HISTORY),
        refuses(CONTENT),
        {"messages.1.content": ""},
    ),
    (
        CONTENT,
        asked("generic", user(text("a", **MARK)), cache="cache_control"),
        refuses(CONTENT),
        {"messages.0.content": "a"},
    ),
    (
        "max_tokens",
        asked(fields={"max_tokens": 64_000}),
        UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(limit=16_384, completion=64_000)),
        {"max_tokens": 16_384},
    ),
    (
        "max_completion_tokens",
        asked("openai", fields={"max_tokens": 64_000}),
        UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(limit=16_384)),
        {"max_completion_tokens": 16_384},
    ),
]  # fmt: skip


def at(body: Any, path: str) -> Any:
    for member in path.split("."):
        if isinstance(body, list):
            body = body[int(member)] if int(member) < len(body) else None
        else:
            body = None if body is None else body.get(member)
    return body


@pytest.mark.parametrize(("part", "ask", "fault", "then"), ROWS)
def test_what_is_refused_is_put_otherwise(
    part: str, ask: Asked, fault: UpstreamFault, then: dict[str, Any]
) -> None:
    before = ask.body()
    after = ask.body(repaired(ask, fault).dialect)
    assert {path: at(after, path) for path in then} == then
    assert any(at(before, path) != value for path, value in then.items())


@pytest.mark.parametrize(("part", "ask", "fault", "then"), ROWS)
def test_the_printed_line_makes_the_first_request_the_repaired_one(
    part: str, ask: Asked, fault: UpstreamFault, then: dict[str, Any]
) -> None:
    found = repaired(ask, fault)
    assert [lesson.parameter for lesson in found.lessons] == [part]
    notebook = Notebook(ask.provider.options)
    lines = [notebook.learn(ask.model, lesson) for lesson in found.lessons]
    assert lines[-1] is not None
    options = msgspec.convert(json.loads(f"{{{lines[-1].line}}}")["options"], DialectOptions)
    pasted = Asked(ask.request, msgspec.structs.replace(ask.provider, options=options), ask.model)
    assert pasted.put() == ask.put(found.dialect)


def test_every_part_that_can_be_done_without_has_its_row() -> None:
    assert {part for part, *_ in ROWS} == set(PARTS) - {WIRE}


BREAKING = [(ask, fault) for _, ask, fault, _ in ROWS]


def spoken(chat: dict[str, Any]) -> str:
    """All that is said by anybody but the system, as one text, and the calls' arguments."""
    words: list[str] = []
    for message in chat["messages"]:
        if message["role"] in ("system", "developer"):
            continue
        content = message["content"] or ""
        words += [content] if isinstance(content, str) else [part["text"] for part in content]
        words += [one["function"]["arguments"] for one in message.get("tool_calls", ())]
    return "\n\n".join(word for word in words if word)


def tools_of(chat: dict[str, Any]) -> list[Any]:
    """Names, descriptions and schemas."""
    return [{**one["function"], "strict": None} for one in chat.get("tools", ())]


TALK = (
    user(text("hi", **MARK), "there"),
    assistant(THOUGHT, "let me see", call("c1", command="ls"), call("c2", "Read")),
    user(result("c1", "files"), result("c2"), "well?"),
    user("still there?"),
    assistant("yes", "indeed"),
)
FULL: dict[str, Any] = {
    **FORMAT,
    **STRICT,
    "system": [text("be brief", **MARK)],
    "temperature": 1,
    "top_k": 3,
    "stop_sequences": ["x"],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "metadata": {"user_id": ID},
    "thinking": {"type": "adaptive"},
    "speed": "fast",
}


@given(
    st.sampled_from(
        ["openai", "azure", "openrouter", "deepseek", "gemini", "groq", "mistral", "vllm", "generic"]
    ),
    st.lists(st.sampled_from([fault for _, fault in BREAKING]), min_size=1, max_size=6),
    st.sampled_from(["none", "cache_control", "openai_breakpoint"]),
)
def test_no_refusal_costs_a_message_or_a_tool(profile: str, faults: list[UpstreamFault], cache: str) -> None:
    ask = asked(profile, *TALK, fields=FULL, cache=cache)
    before, dialect = ask.body(), ask.dialect()
    for fault in faults:
        found = repair(fault, dialect, ask.put(dialect).chat)
        dialect = dialect if found is None else found.dialect
    after = ask.body(dialect)
    assert spoken(after) == spoken(before)
    assert tools_of(after) == tools_of(before)
    assert "be brief" in json.dumps(after["messages"][0]["content"])
    stops = [*(ask.put(dialect).chat.stop or ()), *ask.put(dialect).stop_sequences]
    assert stops == ["x"]


@pytest.mark.parametrize(
    ("ask", "fault"),
    [
        (asked(), refuses("messages")),
        (asked(), refuses("tools")),
        (asked(), refuses("logprobs")),
        (asked(), refuses("")),
        (asked(), refuses("max_completion_tokens")),
        (asked(), refuses("max_tokens", "value")),
        (asked(), refuses("reasoning_effort")),
        (asked(), refuses("reasoning")),
        (asked(), refuses("response_format")),
        (asked(), refuses("tool_choice")),
        (asked(), refuses(CONTENT)),
        (asked(stop=False), refuses("stop")),
        (
            asked(fields={"tools": [tool()], "tool_choice": {"type": "none"}}),
            refuses("tool_choice"),
        ),
        (
            asked("openai", fields=TOOLS, model="gpt-5.4"),
            refuses("reasoning_effort", "tools"),
        ),
        (asked(), UpstreamFault(FaultKind.BAD_REQUEST, refused=(Refused(parameter="stop"),))),
        (asked(), UpstreamFault(FaultKind.OUTPUT_OVERFLOW)),
        (asked(), UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(prompt=10))),
        (asked(), UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(limit=16_384))),
        (asked(), UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(limit=200))),
        (asked(), UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=Overflow(prompt=7_900, limit=8_192))),
    ],
)  # fmt: skip
def test_what_is_not_ours_to_change_stays(ask: Asked, fault: UpstreamFault) -> None:
    assert repair(fault, ask.dialect(), ask.put().chat) is None


@pytest.mark.parametrize("profile", ["generic", "openai"])
def test_the_room_beside_a_prompt_is_used_once_and_teaches_nothing(profile: str) -> None:
    ask = asked(profile, fields={"max_tokens": 64_000})
    overflow = Overflow(prompt=100_000, limit=128_000)
    found = repaired(ask, UpstreamFault(FaultKind.OUTPUT_OVERFLOW, overflow=overflow))
    chat = ask.put(found.dialect).chat
    assert (chat.max_tokens or chat.max_completion_tokens) == 128_000 - 100_000 - 64
    assert found.lessons == ()


def test_every_parameter_that_one_answer_names_goes_at_once() -> None:
    ask = asked(fields={"temperature": 1, "stop_sequences": ["x"]}, user_field="user")
    named = [Refused(parameter=name) for name in ("temperature", "stop", "user", "logit_bias")]
    found = repaired(ask, UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, refused=tuple(named)))
    assert {"temperature", "stop", "user"}.isdisjoint(ask.body(found.dialect))
    assert [lesson.parameter for lesson in found.lessons] == ["temperature", "stop", "user"]


def test_no_effort_is_dropped_when_it_is_refused_beside_tools_too() -> None:
    ask = asked("azure", fields=TOOLS, model="prod")
    first = repaired(ask, refuses("reasoning_effort", "tools"))
    refused = refuses("reasoning_effort", "value", "low", "medium", "high")
    second = repaired(ask, refused, first.dialect)
    assert "reasoning_effort" not in ask.body(second.dialect)


def test_an_effort_is_lowered_no_further_than_it_must_be() -> None:
    """The lesson is what the model takes, not what this request came to: a wish for less is still heard."""
    ask = asked(
        "openai", fields={"output_config": {"effort": "max"}}, efforts=["low", "medium", "high", "max"]
    )
    learned = repaired(ask, refuses("reasoning_effort", "value", "low", "medium", "high")).dialect
    low = asked("openai", fields={"output_config": {"effort": "low"}})
    assert low.body(learned)["reasoning_effort"] == "low"


def test_a_minimal_effort_that_is_refused_without_a_list_becomes_low() -> None:
    ask = asked("openai", fields={"thinking": {"type": "disabled"}}, efforts=["minimal"])
    assert ask.body(repaired(ask, refuses("reasoning_effort", "value")).dialect)["reasoning_effort"] == "low"


def test_a_budget_that_is_refused_leaves_nothing_to_lower() -> None:
    ask = asked("openrouter", fields={"thinking": {"type": "enabled", "budget_tokens": 5000}})
    assert "reasoning" not in ask.body(repaired(ask, refuses("reasoning.max_tokens", "value")).dialect)


STOP, CAP = Lesson("stop", DialectOptions(stop=False)), Lesson("max_tokens", DialectOptions(output_cap=4096))


@pytest.mark.parametrize(
    ("fault", "proven"),
    [
        (refuses("top_k"), (STOP, CAP)),
        (refuses("stop[0]"), (CAP,)),
        (refuses("max_tokens"), (STOP,)),
        (refuses("max_completion_tokens"), (STOP,)),
        (UpstreamFault(FaultKind.OUTPUT_OVERFLOW), (STOP,)),
        (UpstreamFault(FaultKind.CONTEXT_OVERFLOW), (STOP, CAP)),
        (UpstreamFault(FaultKind.CONTENT_POLICY), (STOP, CAP)),
        (UpstreamFault(FaultKind.SERVER_ERROR), ()),
        (UpstreamFault(FaultKind.RATE_LIMITED), ()),
        (UpstreamFault(FaultKind.BAD_REQUEST), ()),
        (UpstreamFault(FaultKind.RESET), ()),
    ],
)
def test_a_lesson_holds_once_the_provider_has_gone_on_to_something_else(
    fault: UpstreamFault, proven: tuple[Lesson, ...]
) -> None:
    assert established((STOP, CAP), fault) == proven


def test_a_refusal_in_words_leads_to_the_repair() -> None:
    """From the provider's sentence to the next request."""
    sentence = "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions."
    refused = refusals(Complaint(message=sentence, parameters=("reasoning_effort",)))
    ask = asked("azure", fields=TOOLS, model="prod")
    found = repaired(ask, UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, refused=refused))
    assert ask.body(found.dialect)["reasoning_effort"] == "none"
