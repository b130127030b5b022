import json
from typing import Any

import pytest

from ccproxy_trio.translate.adjust import adjust, lower_max_tokens, without
from ccproxy_trio.wire.faults import Overflow
from ccproxy_trio.wire.openai import ChatRequest, encode
from tests.translate.asking import request, text, tool, translated

FULL: dict[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "top_k": 5,
    "stop_sequences": ["x"],
    "tools": [tool()],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "metadata": {"user_id": json.dumps({"session_id": "s"})},
    "speed": "fast",
}


def chat(profile: str = "openai", **options: Any) -> ChatRequest:
    return translated(request(**FULL), profile, model="gpt-4o", **options).chat


def written(chat: ChatRequest | None) -> dict[str, Any]:
    assert chat is not None
    body: dict[str, Any] = json.loads(encode(chat))
    return body


@pytest.mark.parametrize(
    "parameter",
    [
        "temperature", "top_p", "top_k", "stop", "parallel_tool_calls", "stream_options", "safety_identifier",
        "prompt_cache_key", "service_tier",
    ],
)  # fmt: skip
def test_optional_parameter_is_left_out_and_nothing_else_changes(parameter: str) -> None:
    before = chat(top_k=True)
    expected = written(before)
    del expected[parameter]
    assert written(adjust(before, parameter)) == expected


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"reasoning": "openrouter"}, "reasoning"),
        ({"reasoning": "deepseek"}, "thinking"),
        ({"reasoning": "qwen"}, "enable_thinking"),
        ({"user_field": "user"}, "user"),
    ],
)
def test_parameters_of_other_vendors_are_optional_too(options: dict[str, Any], parameter: str) -> None:
    before = translated(request(**FULL, thinking={"type": "adaptive"}), **options).chat
    assert parameter in written(before)
    assert parameter not in written(adjust(before, parameter))


@pytest.mark.parametrize(
    "parameter", ["messages", "tools", "tool_choice", "model", "stream", "", "nonsense", "logprobs"]
)
def test_what_is_not_optional_stays(parameter: str) -> None:
    assert adjust(chat(), parameter) is None


@pytest.mark.parametrize(
    "parameter", ["user", "reasoning", "reasoning_effort", "max_tokens", "response_format"]
)
def test_parameter_that_was_not_sent_cannot_be_left_out(parameter: str) -> None:
    assert adjust(chat(), parameter) is None


def test_path_of_a_parameter_counts_by_its_first_member() -> None:
    assert "stream_options" not in written(adjust(chat(), "stream_options.include_usage"))
    assert "stop" not in written(adjust(chat(), "stop[0]"))


def test_output_limit_changes_its_name_both_ways() -> None:
    old = adjust(chat(), "max_completion_tokens")
    assert written(old)["max_tokens"] == 1000
    assert "max_completion_tokens" not in written(old)
    assert old is not None
    new = adjust(old, "max_tokens")
    assert written(new) == written(chat())


@pytest.mark.parametrize(
    ("effort", "then"),
    [("max", "high"), ("xhigh", "high"), ("high", None), ("low", None), ("minimal", "low"), ("none", "low")],
)
def test_effort_is_lowered_to_what_most_models_take_or_left_out(effort: str, then: str | None) -> None:
    before = translated(
        request(thinking={"type": "adaptive"}), "openai", model="gpt-5", efforts=(effort,)
    ).chat
    assert before.reasoning_effort == effort
    after = adjust(before, "reasoning_effort")
    assert after is not None
    assert after.reasoning_effort == then


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}


@pytest.mark.parametrize(
    ("system", "start"),
    [
        (None, "Answer with one JSON"),
        ("S", "S\n\nAnswer"),
        ([text("S", cache_control={"type": "ephemeral"})], None),
    ],
)
def test_schema_that_is_refused_is_told_in_words(system: Any, start: str | None) -> None:
    before = translated(request(**FORMAT, system=system), cache="cache_control").chat
    after = adjust(before, "response_format")
    body = written(after)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    said = body["messages"][0]["content"]
    assert said.startswith(start) if start else said[1]["text"].startswith("Answer with one JSON")
    assert len(body["messages"]) == 2
    assert after is not None
    assert "response_format" not in written(adjust(after, "response_format"))


def test_stop_sequences_that_are_no_longer_sent_are_ours_to_find() -> None:
    before = translated(request(stop_sequences=["a", "b", "c", "d", "e"]))
    after = without(before, "stop")
    assert after is not None
    assert after.chat.stop is None
    assert after.stop_sequences == ("a", "b", "c", "d", "e")


def test_other_parameters_leave_the_stop_sequences_alone() -> None:
    before = translated(request(stop_sequences=["a"], temperature=1))
    after = without(before, "temperature")
    assert after is not None
    assert (after.chat.stop, after.stop_sequences) == (("a",), ())
    assert without(before, "messages") is None
    assert without(translated(request()), "stream_options") is not None


@pytest.mark.parametrize(
    ("overflow", "lowered"),
    [
        (Overflow(prompt=100_000, limit=128_000), 128_000 - 100_000 - 64),
        (Overflow(limit=16_384, completion=64_000), 16_384),
        (Overflow(prompt=127_900, limit=128_000), None),
        (Overflow(prompt=130_000, limit=128_000), None),
        (Overflow(prompt=10, limit=128_000), None),
        (Overflow(prompt=10), None),
    ],
)
@pytest.mark.parametrize("profile", ["generic", "openai"])
def test_output_limit_is_lowered_to_the_room_there_is(
    profile: str, overflow: Overflow, lowered: int | None
) -> None:
    before = translated(request(max_tokens=64_000), profile).chat
    after = lower_max_tokens(before, overflow)
    assert (after and (after.max_tokens or after.max_completion_tokens)) == lowered


def test_request_without_a_limit_cannot_be_lowered() -> None:
    assert lower_max_tokens(ChatRequest(model="m", messages=()), Overflow(prompt=1, limit=2000)) is None
