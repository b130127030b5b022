from typing import Any

import pytest

from ccproxy_trio.translate.effort import SCALE, clamp, wanted
from tests.translate.asking import assistant, instruct, request, tool, upstream, user


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"output_config": {"effort": "high"}}, "high"),
        ({"output_config": {}}, None),
        ({"output_config": {"effort": "heroic"}, "thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "between_tools"}}, "medium"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16383}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high"),
        ({"thinking": {"type": "enabled"}}, "low"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 31999}, "output_config": {"effort": "low"}},
            "low",
        ),
    ],
)
def test_effort_is_what_the_client_says_first(fields: dict[str, Any], effort: str | None) -> None:
    assert wanted(request(**fields)) == effort


def low(**fields: Any) -> dict[str, Any]:
    return instruct("s", output_config={"effort": "low"}, **fields)


@pytest.mark.parametrize(
    ("messages", "effort"),
    [
        ([user("a"), low()], "low"),
        ([user("a"), low(), assistant("b")], "low"),
        ([user("a"), low(), instruct("s")], "low"),
        ([user("a"), low(), user("b")], "high"),
        ([user("a"), instruct("s", output_config={"effort": "heroic"})], "high"),
        ([low()], "low"),
        ([instruct("s")], "high"),
    ],
)
def test_effort_of_a_system_message_counts_behind_the_last_user_turn(
    messages: list[dict[str, Any]], effort: str
) -> None:
    assert wanted(request(*messages, output_config={"effort": "high"})) == effort


@pytest.mark.parametrize(
    ("effort", "allowed", "clamped"),
    [
        ("high", ("low", "medium", "high"), "high"),
        ("max", ("low", "medium", "high"), "high"),
        ("xhigh", ("high", "low", "max"), "high"),
        ("none", ("minimal", "low"), "minimal"),
        ("none", ("low", "medium"), "low"),
        ("low", ("high",), "high"),
        ("low", (), None),
    ],
)
def test_effort_is_clamped_downwards_where_possible(effort: Any, allowed: Any, clamped: str | None) -> None:
    assert clamp(effort, allowed) == clamped


def test_scale_rises() -> None:
    assert SCALE == ("none", "minimal", "low", "medium", "high", "xhigh", "max")


ADAPTIVE = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
OFF = {"thinking": {"type": "disabled"}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 8000}}
KEYS = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs")


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({"reasoning": "none"}, ADAPTIVE, {}),
        ({"reasoning": "effort"}, ADAPTIVE, {"reasoning_effort": "high"}),
        ({"reasoning": "effort"}, OFF, {"reasoning_effort": "low"}),
        ({"reasoning": "effort"}, {}, {}),
        ({"reasoning": "effort", "efforts": ()}, ADAPTIVE, {}),
        ({"reasoning": "gemini"}, ADAPTIVE, {"reasoning_effort": "high"}),
        ({"reasoning": "openrouter"}, ADAPTIVE, {"reasoning": {"effort": "high"}}),
        ({"reasoning": "openrouter"}, BUDGET, {"reasoning": {"max_tokens": 8000}}),
        (
            {"reasoning": "openrouter"},
            BUDGET | {"output_config": {"effort": "low"}},
            {"reasoning": {"effort": "low"}},
        ),
        ({"reasoning": "openrouter"}, {"output_config": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": "openrouter"}, OFF, {"reasoning": {"enabled": False}}),
        ({"reasoning": "deepseek"}, ADAPTIVE, {"thinking": {"type": "enabled"}}),
        ({"reasoning": "deepseek"}, OFF, {"thinking": {"type": "disabled"}}),
        ({"reasoning": "qwen"}, ADAPTIVE, {"enable_thinking": True}),
        ({"reasoning": "qwen"}, OFF, {"enable_thinking": False}),
    ],
)
def test_every_upstream_hears_it_in_its_own_words(
    options: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = upstream(request(**fields), **options)
    assert {key: body[key] for key in KEYS if key in body} == expected


def test_vllm_hands_it_to_the_template() -> None:
    assert upstream(request(**OFF), "vllm", reasoning="qwen")["chat_template_kwargs"] == {
        "enable_thinking": False
    }


def test_tools_switch_reasoning_off_where_both_are_refused() -> None:
    assert (
        upstream(request(**ADAPTIVE, tools=[tool()]), "openai", model="gpt-5.6")["reasoning_effort"] == "none"
    )
    assert upstream(request(tools=[tool()]), "openai", model="gpt-5.6")["reasoning_effort"] == "none"
    assert upstream(request(**ADAPTIVE), "openai", model="gpt-5.6")["reasoning_effort"] == "high"
    assert (
        upstream(request(**ADAPTIVE, tools=[tool()]), "openai", model="gpt-6-astra")["reasoning_effort"]
        == "low"
    )
    silent = upstream(request(tools=[tool()]), "openai", model="gpt-5.6", reasoning="none")
    assert "reasoning_effort" not in silent
