"""What providers write when they do not take something, and what it is about."""

import json

import pytest

from ccproxy_trio.translate.complaint import read_body
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.refusals import CONTENT, ORDER, PLACE, ROLE, WIRE, refusals, subject
from ccproxy_trio.wire.faults import FaultKind, Refused


def refused(body: object) -> tuple[Refused, ...]:
    return refusals(read_body(json.dumps(body).encode()))


def openai(message: str, param: str | None = None, code: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def extra(*path: object) -> dict[str, object]:
    return {
        "type": "extra_forbidden",
        "loc": ["body", *path],
        "msg": "Extra inputs are not permitted",
        "input": 0,
    }


@pytest.mark.parametrize(
    "body",
    [
        openai(
            "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. "
            "Please use /v1/responses or set reasoning_effort to 'none'.",
            "reasoning_effort",
        ),
        openai("Please use /v1/responses instead, or set reasoning_effort to 'none'."),
        openai("'reasoning_effort' is not supported with this. reasoning_effort is not supported with tools"),
    ],
)
def test_reasoning_that_is_refused_beside_tools_is_not_taken_for_an_unknown_parameter(body: object) -> None:
    assert [one for one in refused(body) if one.parameter != WIRE] == [
        Refused(parameter="reasoning_effort", objection="tools")
    ]


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (
            openai(
                "Unsupported value: 'xhigh' is not supported with this model. "
                "Supported values are: 'low', 'medium', and 'high'.",
                "reasoning_effort",
                "unsupported_value",
            ),
            {"low", "medium", "high"},
        ),
        (
            openai(
                "Unsupported value: 'reasoning_effort' does not support 'none' with this model. "
                "Supported values are: 'minimal', 'low', 'medium', and 'high'."
            ),
            {"minimal", "low", "medium", "high"},
        ),
        (
            {
                "detail": [
                    {
                        "type": "literal_error",
                        "loc": ["body", "reasoning_effort"],
                        "msg": "Input should be 'low', 'medium' or 'high'",
                    }
                ]
            },
            {"low", "medium", "high"},
        ),
        (
            openai(
                "Unsupported value: 'xhigh' is not supported with this model. "
                "Supported values are: 'low', 'medium', 'high'."
            ),
            {"low", "medium", "high"},
        ),
        (openai("`reasoning_effort` must be one of `none` or `default`", "reasoning_effort"), {"none"}),
        (openai("Invalid reasoning effort", "reasoning_effort", "invalid_value"), set()),
    ],
)
def test_values_that_a_provider_lists_are_read(body: object, allowed: set[str]) -> None:
    (one,) = refused(body)
    assert one.parameter == "reasoning_effort"
    assert set(one.allowed) & {"none", "minimal", "low", "medium", "high", "xhigh"} == allowed


def test_every_parameter_of_a_list_is_named() -> None:
    listed = [extra("stream_options"), extra("user"), extra("messages", 3, "assistant", "reasoning_content")]
    expected = ["stream_options", "user", "messages.3.assistant.reasoning_content"]
    for body in ({"detail": listed}, {"object": "error", "message": {"detail": listed}}):
        found = refused(body)
        assert [one.parameter for one in found] == expected
        assert {one.objection for one in found} == {"parameter"}
    quoted = {"object": "error", "message": json.dumps({"detail": listed}), "code": "1000"}
    assert [one.parameter for one in refused(quoted)] == expected


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (
            'Invalid JSON payload received. Unknown name "parallel_tool_calls": Cannot find field.\n'
            'Invalid JSON payload received. Unknown name "service_tier": Cannot find field.',
            ["parallel_tool_calls", "service_tier"],
        ),
        ("acme does not support parameters: ['thinking', 'top_k'], for model=x", ["thinking", "top_k"]),
        (
            "[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), 'msg': 'Extra inputs are not permitted'}"
            ", {'type': 'extra_forbidden', 'loc': ('body', 'user'), 'msg': 'Extra inputs not permitted'}]",
            ["top_k", "user"],
        ),
        (
            "1 validation error for ChatCompletionRequest\nenable_thinking\n"
            "  Extra inputs are not permitted [type=extra_forbidden]",
            ["enable_thinking"],
        ),
        (
            "'messages.2' : for 'role:assistant' the following must be satisfied"
            "[('messages.2' : property 'reasoning_content' is unsupported)]",
            ["reasoning_content"],
        ),
        ("stream_options: Extra inputs are not permitted", ["stream_options"]),
        ("This model does not support reasoning_effort.", ["reasoning_effort"]),
        ("tool_choice 'required' is not supported by this model", ["tool_choice"]),
        ("This response_format type is unavailable now", ["response_format"]),
        (
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            ["response_format"],
        ),
        ("Parallel tool calls are not supported.", ["parallel_tool_calls"]),
        ("deepseek-reasoner does not support this tool_choice", ["tool_choice"]),
        ("Thinking mode does not support this tool_choice", ["tool_choice"]),
        ("`temperature` and `top_p` cannot both be specified for this model.", ["temperature"]),
        (
            "Missing `reasoning_content` field in the assistant message at message index 2.",
            ["reasoning_content"],
        ),
        (
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
            ["reasoning_content"],
        ),
        ("'developer' is not one of ['system', 'assistant', 'user', 'function'] - 'messages.0.role'", [ROLE]),
        ("Unexpected role developer", [ROLE]),
        ("Unexpected message role.", [ROLE]),
        (
            "Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant "
            "`developer`, expected one of `system`, `user`, `assistant`, `tool` at line 1 column 60",
            [ROLE],
        ),
        (
            "invalid parameter 'messages[0].role': invalid role 'developer', must be one of: system, user",
            [ROLE],
        ),
        ("Input tag 'developer' found using 'role' does not match any of the expected tags", [ROLE]),
        ("Conversation roles must alternate user/assistant/user/assistant/...", [ORDER]),
        ("System message must be at the beginning.", [PLACE]),
        (
            "Only user, assistant and tool roles are supported, with the exception of an initial optional "
            "system message!",
            [PLACE],
        ),
        ("invalid message content type: <nil>", [CONTENT]),
        ("Invalid value for 'content': expected a string, got null.", [CONTENT]),
        ("Invalid 'content': 'content' field must be a string or an array of objects.", [CONTENT]),
        ("messages.1.content: Input should be a valid string", [CONTENT]),
    ],
)  # fmt: skip
def test_what_the_words_are_about(message: str, names: list[str]) -> None:
    assert [one.parameter for one in refused(openai(message))] == names


@pytest.mark.parametrize(
    "message",
    [
        "The model is not supported",
        "Some user_defined_thing is not supported",
        "Invalid value",
        "Unknown field: body.messages",
        "tools[0].function.parameters: schema too deep",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "Invalid content in image",
    ],
)
def test_other_complaints_are_about_no_parameter(message: str) -> None:
    assert refused(openai(message)) == ()


@pytest.mark.parametrize(
    ("parameter", "part"),
    [
        ("stream_options.include_usage", "stream_options"),
        ("stop[0]", "stop"),
        ("body.user", "user"),
        ("messages[0].content[1].cache_control", "cache_control"),
        ("messages.3.assistant.reasoning_content", "reasoning_content"),
        ("tools[0].function.strict", "strict"),
        ("response_format.json_schema.strict", "strict"),
        ("messages.2.content", "messages"),
        (ROLE, ROLE),
        ("", ""),
    ],
)
def test_a_path_is_about_its_first_member_or_about_what_is_ours_deep_inside(
    parameter: str, part: str
) -> None:
    assert subject(parameter) == part


def test_a_choice_of_tools_that_a_router_finds_nobody_for_is_no_missing_model() -> None:
    body = openai("No endpoints found that support the provided 'tool_choice' value.")
    fault = classify(404, {}, json.dumps(body).encode(), profile="openrouter", wall_now=0.0)
    assert (fault.kind, fault.refused[0].parameter) == (FaultKind.UNSUPPORTED_PARAMETER, "tool_choice")
    missing = openai("No endpoints found for acme/model.")
    fault = classify(404, {}, json.dumps(missing).encode(), profile="openrouter", wall_now=0.0)
    assert fault.kind is FaultKind.MODEL_NOT_FOUND
