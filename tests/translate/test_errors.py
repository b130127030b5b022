"""From upstream errors to faults. The bodies are those that providers send, shortened."""

import json
from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec import Raw

from ccproxy_trio.translate.errors import classify, classify_object
from ccproxy_trio.wire.faults import FaultKind, Overflow, UpstreamFault

K = FaultKind
TOO_LONG = "Your input exceeds the context window of this model."


def fault(
    status: int, body: object = b"", *, headers: Mapping[str, str] | None = None, profile: str = "openai"
) -> UpstreamFault:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, headers or {}, raw, profile=profile, wall_now=1_700_000_000.0)


def error(message: str = "", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


def anthropics(type_: str, message: str) -> dict[str, object]:
    """An error as Anthropic's API has it, in a body and in a stream alike."""
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_01"}


def responses_failed(code: str, message: str) -> dict[str, object]:
    """The event that ends an answer of OpenAI's Responses API which failed."""
    inner = {"object": "response", "status": "failed", "error": {"code": code, "message": message}}
    return {"type": "response.failed", "sequence_number": 3, "response": inner}


# -- by status alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (100, K.PROTOCOL),
        (199, K.PROTOCOL),
        (201, K.PROTOCOL),
        (204, K.PROTOCOL),
        (299, K.PROTOCOL),
        (300, K.MISCONFIGURED),
        (301, K.MISCONFIGURED),
        (307, K.MISCONFIGURED),
        (399, K.MISCONFIGURED),
        (400, K.BAD_REQUEST),
        (401, K.AUTH),
        (402, K.QUOTA),
        (403, K.AUTH),
        (404, K.MISCONFIGURED),
        (405, K.MISCONFIGURED),
        (406, K.BAD_REQUEST),
        (407, K.MISCONFIGURED),
        (408, K.REQUEST_TIMEOUT),
        (409, K.CONFLICT),
        (410, K.MISCONFIGURED),
        (413, K.CONTEXT_OVERFLOW),
        (415, K.BAD_REQUEST),
        (418, K.BAD_REQUEST),
        (422, K.BAD_REQUEST),
        (425, K.CONFLICT),
        (429, K.RATE_LIMITED),
        (451, K.MODEL_ACCESS),
        (498, K.OVERLOADED),
        (499, K.SERVER_ERROR),
        (500, K.SERVER_ERROR),
        (502, K.SERVER_ERROR),
        (503, K.SERVER_ERROR),
        (504, K.GATEWAY_TIMEOUT),
        (520, K.SERVER_ERROR),
        (524, K.GATEWAY_TIMEOUT),
        (529, K.OVERLOADED),
        (530, K.SERVER_ERROR),
        (999, K.SERVER_ERROR),
    ],
)
def test_a_status_without_a_word(status: int, kind: FaultKind) -> None:
    given_ = fault(status)
    assert (given_.kind, given_.status, given_.message) == (kind, status, f"HTTP {status}")
    assert (given_.retry_after, given_.refused, given_.overflow) == (None, (), None)


def test_words_do_not_make_an_error_of_a_redirect_or_a_success() -> None:
    assert fault(204, error("Rate limit", code="invalid_api_key")).kind is K.PROTOCOL
    assert fault(302, error("prompt is too long")).kind is K.MISCONFIGURED


# -- by code and by words ------------------------------------------------------------------------------

CASES: list[tuple[str, int, object, FaultKind]] = [
    # keys
    ("OpenAI key", 401, error("Incorrect API key provided", code="invalid_api_key"), K.AUTH),
    ("key under another status", 400, error("Invalid", code="invalid_api_key"), K.AUTH),
    ("key under a 5xx", 500, error("Invalid", code="invalid_api_key"), K.AUTH),
    (
        "Gemini key",
        400,
        [{"error": {"code": 400, "message": "API key not valid. Pass one.", "status": "INVALID_ARGUMENT"}}],
        K.AUTH,
    ),
    (
        "Gemini key by reason",
        400,
        error("Bad", details=[{"@type": "x"}, {"reason": "API_KEY_INVALID"}]),
        K.AUTH,
    ),
    ("Azure key", 401, {"error": {"code": "401", "message": "Access denied due to invalid key"}}, K.AUTH),
    ("forbidden", 403, error("You have insufficient permissions", type="permission_error"), K.AUTH),
    ("DeepSeek key", 401, error("Authentication Fails", type="authentication_error", code=None), K.AUTH),
    # accounts
    (
        "OpenAI quota",
        429,
        error("You exceeded your current quota, check your plan", type="insufficient_quota"),
        K.QUOTA,
    ),
    (
        "hard limit",
        400,
        error("Billing hard limit has been reached"),
        K.QUOTA,
    ),
    ("spend limit", 429, error("Limit", code="enforced_spend_limit_reached"), K.QUOTA),
    ("OpenRouter credits", 402, error("Insufficient credits. Add more", code=402), K.QUOTA),
    ("DeepSeek balance", 402, error("Insufficient Balance", code="invalid_request_error"), K.QUOTA),
    ("balance under 403", 403, error("insufficient balance"), K.QUOTA),
    ("Anthropic balance", 400, error("Your credit balance is too low to access the API"), K.QUOTA),
    ("quota by words", 429, error("You exceeded your current quota"), K.QUOTA),
    (
        "Gemini's quota is a limit by the minute",
        429,
        [
            {
                "error": {
                    "code": 429,
                    "message": "You exceeded your current quota, please check your plan",
                    "status": "RESOURCE_EXHAUSTED",
                }
            }
        ],
        K.RATE_LIMITED,
    ),
    # content
    (
        "Azure filter",
        400,
        error(
            "The response was filtered due to the prompt triggering Azure's content management policy.",
            type=None,
            param="prompt",
            code="content_filter",
            innererror={"code": "ResponsibleAIPolicyViolation"},
        ),
        K.CONTENT_POLICY,
    ),
    (
        "Azure inner code",
        400,
        error("No", innererror={"code": "ResponsibleAIPolicyViolation"}),
        K.CONTENT_POLICY,
    ),
    ("OpenAI policy", 400, error("Rejected", code="content_policy_violation"), K.CONTENT_POLICY),
    ("policy by words", 400, error("was rejected as a result of our safety system"), K.CONTENT_POLICY),
    (
        "OpenRouter moderation",
        403,
        error("Input flagged", code=403, metadata={"reasons": ["violence"], "flagged_input": "x"}),
        K.CONTENT_POLICY,
    ),
    # models
    (
        "OpenAI model",
        404,
        error("The model `gpt-9` does not exist", code="model_not_found"),
        K.MODEL_NOT_FOUND,
    ),
    (
        "model under 403",
        403,
        error("Project has no access to model", code="model_not_found"),
        K.MODEL_NOT_FOUND,
    ),
    (
        "Azure deployment",
        404,
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource"}},
        K.MODEL_NOT_FOUND,
    ),
    ("Ollama model", 404, {"error": "model 'llama9' not found, try pulling it first"}, K.MODEL_NOT_FOUND),
    ("vLLM model", 404, {"object": "error", "message": "The model `x` does not exist."}, K.MODEL_NOT_FOUND),
    ("OpenRouter", 404, error("No endpoints found for acme/x.", code=404), K.MODEL_NOT_FOUND),
    ("OpenRouter id", 400, error("acme/x is not a valid model ID", code=400), K.MODEL_NOT_FOUND),
    ("DeepSeek model", 400, error("Model Not Exist", type="invalid_request_error"), K.MODEL_NOT_FOUND),
    ("Groq model", 400, error("The model `x` is not supported"), K.MODEL_NOT_FOUND),
    ("Gemini model", 404, [error("models/gemini-9 is not found for API version v1")], K.MODEL_NOT_FOUND),
    ("a model in passing", 500, error("The model does not exist yet in memory"), K.SERVER_ERROR),
    ("region", 403, error("Country, region, or territory not supported"), K.MODEL_ACCESS),
    ("region by code", 403, error("No", code="unsupported_country_region_territory"), K.MODEL_ACCESS),
    ("Gemini region", 400, [error("User location is not supported for the API use.")], K.MODEL_ACCESS),
    ("no access", 403, error("You do not have access to the model"), K.MODEL_ACCESS),
    ("Anthropic model", 404, anthropics("not_found_error", "model: claude-opus-9"), K.MODEL_NOT_FOUND),
    ("no model", 400, anthropics("invalid_request_error", "model: Field required"), K.BAD_REQUEST),
    # Anthropic's own
    ("Anthropic key", 401, anthropics("authentication_error", "invalid x-api-key"), K.AUTH),
    ("Anthropic's no", 403, anthropics("permission_error", "OAuth token has been revoked."), K.AUTH),
    (
        "Anthropic's no to an organization",
        400,
        anthropics("invalid_request_error", "This organization has been disabled."),
        K.AUTH,
    ),
    (
        "a login used for something else",
        400,
        anthropics("invalid_request_error", "This credential is only authorized for use with Claude Code."),
        K.AUTH,
    ),
    (
        "a limit that somebody set",
        400,
        anthropics("invalid_request_error", "You have reached your specified API usage limits."),
        K.QUOTA,
    ),
    ("Anthropic's bill", 402, anthropics("billing_error", "No payment"), K.QUOTA),
    ("Anthropic's path", 404, anthropics("not_found_error", "Not Found"), K.MISCONFIGURED),
    ("Anthropic's size", 413, anthropics("request_too_large", "Request too large"), K.CONTEXT_OVERFLOW),
    ("Anthropic's limit", 429, anthropics("rate_limit_error", "Slow down"), K.RATE_LIMITED),
    ("Anthropic's failure", 500, anthropics("api_error", "Internal server error"), K.SERVER_ERROR),
    ("Anthropic's time-out", 504, anthropics("timeout_error", "Timed out"), K.GATEWAY_TIMEOUT),
    ("Anthropic's overload", 529, anthropics("overloaded_error", "Overloaded"), K.OVERLOADED),
    (
        "Anthropic's filter",
        400,
        anthropics("invalid_request_error", "Output blocked by content filtering policy"),
        K.CONTENT_POLICY,
    ),
    # OpenAI's on Responses
    (
        "a prompt that was flagged",
        400,
        error("Invalid prompt: your prompt was flagged as potentially violating our policy"),
        K.CONTENT_POLICY,
    ),
    ("too long", 400, error(TOO_LONG), K.CONTEXT_OVERFLOW),
    # overload
    ("overloaded 503", 503, error("The engine is currently overloaded"), K.OVERLOADED),
    ("overloaded by code", 503, error("Try later", type="overloaded_error"), K.OVERLOADED),
    ("capacity 503", 503, error("No capacity available"), K.OVERLOADED),
    ("another 503", 503, error("Upstream connect error"), K.SERVER_ERROR),
    ("overloaded 500 stays one", 500, error("The server is overloaded"), K.SERVER_ERROR),
    # routers
    ("a 5xx in disguise", 400, error("Provider returned error", code=400), K.SERVER_ERROR),
    (
        "a 5xx in disguise, quoted",
        400,
        error(
            "Provider returned error", code=400, metadata={"raw": '{"error":{"message":"boom","code":502}}'}
        ),
        K.SERVER_ERROR,
    ),
    (
        "a true 400 behind a router",
        400,
        error(
            "Provider returned error",
            code=400,
            metadata={"raw": '{"error":{"message":"bad tool","type":"invalid_request_error"}}'},
        ),
        K.BAD_REQUEST,
    ),
    (
        "a limit behind a router",
        429,
        error("Provider returned error", code=429, metadata={"raw": "acme/x is rate-limited upstream"}),
        K.RATE_LIMITED,
    ),
    # plain requests
    ("schema", 400, error("Invalid type for 'messages[0].role'", param="messages[0].role"), K.BAD_REQUEST),
    ("a 404 page", 404, b"<html><head><title>404 Not Found</title></head></html>", K.MISCONFIGURED),
    ("a path", 404, {"detail": "Not Found"}, K.MISCONFIGURED),
]


@pytest.mark.parametrize(("status", "body", "kind"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_complaint_as_providers_write_it(status: int, body: object, kind: FaultKind) -> None:
    assert fault(status, body).kind is kind


def test_the_word_quota_means_a_limit_where_a_time_is_named_or_gemini_says_it() -> None:
    body = error("You exceeded your current quota")
    assert fault(429, body).kind is K.QUOTA
    assert fault(429, body, headers={"retry-after": "30"}).kind is K.RATE_LIMITED
    assert fault(429, body, profile="gemini").kind is K.RATE_LIMITED
    by_code = error("You exceeded your current quota", code="insufficient_quota")
    assert fault(429, by_code, headers={"retry-after": "30"}, profile="gemini").kind is K.QUOTA


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Rate limit reached for gpt-4o in organization org-1 on tokens per min", False),
        ("This request would exceed your organization's rate limit of 5", True),
        ("Account-level limit reached", True),
        ("Rate limit exceeded for your API key: limit 5", True),
        ("slow down", False),
    ],
)
def test_a_limit_on_the_account_is_told_from_one_on_a_model(text: str, whole: bool) -> None:
    assert fault(429, error(text)).whole_provider is whole


@pytest.mark.parametrize(
    ("status", "headers", "whole"),
    [
        (429, {"status": "rejected", "representative-claim": "five_hour"}, True),
        (429, {"status": "rejected", "representative-claim": "seven_day"}, True),
        (429, {"status": "rejected", "representative-claim": "seven_day_opus"}, False),
        (429, {"status": "allowed", "representative-claim": "five_hour"}, False),
        (429, {"status": "rejected"}, False),
        (529, {"status": "rejected", "representative-claim": "five_hour"}, False),
    ],
)
def test_a_subscriptions_limit_is_on_all_models_unless_it_names_one(
    status: int, headers: dict[str, str], *, whole: bool
) -> None:
    named = {f"anthropic-ratelimit-unified-{name}": value for name, value in headers.items()}
    refused = anthropics("rate_limit_error", "This request would exceed the limit.")
    assert fault(status, refused, headers=named).whole_provider is whole


def test_an_empty_account_speaks_of_the_whole_provider() -> None:
    assert fault(402).whole_provider


# -- parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (
            error(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            ),
            "max_tokens",
        ),
        (
            error(
                "Unsupported value: 'temperature' does not support 0.7 with this model.",
                param="temperature",
                code="unsupported_value",
            ),
            "temperature",
        ),
        (error("Unsupported parameter: 'top_p' is not supported with this model."), "top_p"),
        (error("Unrecognized request argument supplied: reasoning_effort"), "reasoning_effort"),
        (error("Unknown parameter: 'stream_options.include_usage'."), "stream_options.include_usage"),
        (error("Invalid value", param="stop"), "stop"),
        ({"detail": [{"loc": ["body", "stop"], "msg": "too long", "type": "string"}]}, "stop"),
        (
            error(
                "Unsupported value: 'messages[0].role' does not support 'developer'", param="messages[0].role"
            ),
            "messages.role",
        ),
        (error("property 'parallel_tool_calls' is unsupported"), "parallel_tool_calls"),
        (error("`logit_bias` is not supported"), "logit_bias"),
        (
            [error('Invalid JSON payload received. Unknown name "prompt_cache_key": Cannot find field.')],
            "prompt_cache_key",
        ),
        ({"error": 'json: unknown field "safety_identifier"'}, "safety_identifier"),
        ({"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs", "type": "extra_forbidden"}]}, "top_k"),
        (
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "user"],
                            "msg": "Extra inputs are not permitted",
                        }
                    ]
                },
                "type": "invalid_request_error",
            },
            "user",
        ),
        (error("create() got an unexpected keyword argument 'metadata'"), "metadata"),
        (error("acme does not support parameters: ['thinking'], for model=x"), "thinking"),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_parameter_that_is_not_taken_is_named(status: int, body: object, parameter: str) -> None:
    given_ = fault(status, body)
    assert (given_.kind, given_.refused[0].parameter) == (K.UNSUPPORTED_PARAMETER, parameter)


@pytest.mark.parametrize(
    "body",
    [
        error("No", param="messages", code="unsupported_value"),
        error("Unsupported parameter: 'tools'"),
        error("Unknown field: body.messages"),
        error("Invalid value", param="messages[3].content"),
        error("`model` is not supported"),
        {"detail": [{"loc": ["body"], "msg": "bad", "type": "extra_forbidden"}]},
    ],
)
def test_a_complaint_about_what_a_request_cannot_do_without_is_one_about_the_request(body: object) -> None:
    given_ = fault(400, body)
    assert given_.kind in (K.BAD_REQUEST, K.MODEL_NOT_FOUND)
    assert given_.refused == ()


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_under_another_status_a_parameter_is_not_the_point(status: int) -> None:
    given_ = fault(status, error("Unsupported parameter: 'top_p'", param="top_p"))
    assert given_.kind is not K.UNSUPPORTED_PARAMETER
    assert given_.refused == ()


# -- overflow ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 422, 429, 500])
def test_an_overflow_is_seen_under_any_status_that_hides_it(status: int) -> None:
    given_ = fault(status, error("prompt is too long: 210000 tokens > 200000 maximum"))
    assert (given_.kind, given_.overflow) == (K.CONTEXT_OVERFLOW, Overflow(210_000, 200_000))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_but_not_under_one_that_cannot_mean_it(status: int) -> None:
    assert fault(status, error("prompt is too long")).kind is not K.CONTEXT_OVERFLOW


def test_an_overflow_by_its_code_alone() -> None:
    given_ = fault(400, error("Too much", code="context_length_exceeded"))
    assert (given_.kind, given_.overflow) == (K.CONTEXT_OVERFLOW, Overflow())


def test_llama_cpp_counts_in_fields() -> None:
    body = error(
        "the request exceeds the available context size, try increasing it",
        code=400,
        type="exceed_context_size_error",
        n_prompt_tokens=9000,
        n_ctx=8192,
    )
    assert fault(400, body).overflow == Overflow(9000, 8192)
    lame = error("x", type="exceed_context_size_error", n_prompt_tokens=True, n_ctx="8192")
    assert fault(400, lame).overflow == Overflow()
    half = error("x", type="exceed_context_size_error", n_prompt_tokens=9000)
    assert fault(500, half).overflow == Overflow()


@pytest.mark.parametrize("status", [413, 429])
def test_a_request_larger_than_a_minutes_allowance_is_no_rate_limit(status: int) -> None:
    body = error(
        "Request too large for model `x` in organization `org_1` on tokens per minute (TPM): "
        "Limit 6000, Requested 7200, please reduce your message size",
        type="tokens",
        code="rate_limit_exceeded",
    )
    given_ = fault(status, body)
    assert (given_.kind, given_.overflow) == (K.CONTEXT_OVERFLOW, Overflow(7200, 6000))


def test_a_request_within_the_allowance_is_one() -> None:
    body = error("on tokens per min (TPM): Limit 30000, Used 29000, Requested 5000. Please try again in 8s.")
    given_ = fault(429, body)
    assert (given_.kind, given_.retry_after) == (K.RATE_LIMITED, 8.0)


def test_an_answer_too_long_is_told_from_a_prompt_too_long() -> None:
    body = error("max_tokens is too large: 64000. This model supports at most 16384 completion tokens")
    given_ = fault(400, body)
    assert (given_.kind, given_.overflow) == (K.OUTPUT_OVERFLOW, Overflow(limit=16_384))


# -- how long to wait ----------------------------------------------------------------------------------


def test_the_headers_say_how_long_before_the_body_does() -> None:
    body = error("Please try again in 20s")
    assert fault(429, body, headers={"retry-after": "3"}).retry_after == 3.0
    assert fault(429, body, headers={"retry-after": "junk"}).retry_after == 20.0
    assert fault(503, body, headers={"retry-after-ms": "1500"}).retry_after == 1.5


def test_gemini_says_it_in_its_details() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]
    assert fault(429, [error("Quota", code=429, details=details)]).retry_after == 34.0
    assert fault(429, [error("Quota", details=[{"retryDelay": "soon"}])]).retry_after is None
    assert fault(429, [error("Quota", details="none")]).retry_after is None


# -- inside a stream -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (error("Too fast", code=429), K.RATE_LIMITED, 429),
        (error("No", code="401"), K.AUTH, 401),
        (error("Bad", code=400), K.BAD_REQUEST, 400),
        (error("Overloaded", type="overloaded_error"), K.OVERLOADED, None),
        (error("The model is at capacity"), K.OVERLOADED, None),
        (error("Rate limit reached"), K.RATE_LIMITED, None),
        (error("x", code="rate_limit_exceeded"), K.RATE_LIMITED, None),
        (error("prompt is too long: 9 tokens > 8 maximum"), K.CONTEXT_OVERFLOW, None),
        (error("Internal", type="server_error"), K.UPSTREAM_ERROR, None),
        (error("x", code=200), K.UPSTREAM_ERROR, None),
        (error("x", code=True), K.UPSTREAM_ERROR, None),
        (error("x", code=1302), K.UPSTREAM_ERROR, None),
        (error("x", status=503), K.SERVER_ERROR, 503),
        (error("x", code="insufficient_quota"), K.QUOTA, None),
        ({"message": "boom", "code": 500}, K.SERVER_ERROR, 500),
        (anthropics("overloaded_error", "Overloaded"), K.OVERLOADED, None),
        (anthropics("rate_limit_error", "Slow down"), K.RATE_LIMITED, None),
        (anthropics("authentication_error", "No"), K.AUTH, None),
        (anthropics("permission_error", "No"), K.AUTH, None),
        (anthropics("permission_error", "You do not have access to the model x"), K.MODEL_ACCESS, None),
        (anthropics("not_found_error", "model: x"), K.MODEL_NOT_FOUND, None),
        (anthropics("billing_error", "No"), K.QUOTA, None),
        (anthropics("timeout_error", "Late"), K.GATEWAY_TIMEOUT, None),
        (anthropics("request_too_large", "Large"), K.CONTEXT_OVERFLOW, None),
        (anthropics("api_error", "Internal server error"), K.UPSTREAM_ERROR, None),
        (responses_failed("server_error", "The server had an error"), K.UPSTREAM_ERROR, None),
        (responses_failed("rate_limit_exceeded", "Please try again in 2s."), K.RATE_LIMITED, None),
        (responses_failed("context_length_exceeded", "Too long"), K.CONTEXT_OVERFLOW, None),
        (responses_failed("x", TOO_LONG), K.CONTEXT_OVERFLOW, None),
        (responses_failed("insufficient_quota", "You exceeded"), K.QUOTA, None),
        (responses_failed("server_is_overloaded", "Later"), K.OVERLOADED, None),
        ({"type": "error", "code": "slow_down", "message": "x", "param": None}, K.OVERLOADED, None),
        ({"type": "response.failed", "response": {"error": None}}, K.UPSTREAM_ERROR, None),
        ("overloaded", K.OVERLOADED, None),
        ({}, K.UPSTREAM_ERROR, None),
        (None, K.UPSTREAM_ERROR, None),
        (7, K.UPSTREAM_ERROR, None),
        ([], K.UPSTREAM_ERROR, None),
    ],
)
@pytest.mark.parametrize("form", ["decoded", "raw", "bytes"])
def test_an_error_inside_a_stream(body: Any, kind: FaultKind, status: int | None, form: str) -> None:
    encoded = json.dumps(body).encode()
    given_ = {"decoded": body, "raw": Raw(encoded), "bytes": encoded}[form]
    found = classify_object(given_, profile="openai")
    assert (found.kind, found.status) == (kind, status)


def test_an_event_of_the_responses_api_is_quoted_and_says_when_to_come_again() -> None:
    found = classify_object(responses_failed("rate_limit_exceeded", "Please try again in 2s."), profile="x")
    assert (found.message, found.retry_after) == ("Please try again in 2s.", 2.0)


def test_without_a_word_it_is_said_that_there_was_an_error() -> None:
    assert classify_object({}, profile="openai").message == "the provider reported an error"


def test_text_that_is_json_is_read_as_such() -> None:
    assert classify_object('{"error": {"message": "slow", "code": 429}}', profile="x").kind is K.RATE_LIMITED


# -- never ---------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "message",
                    "detail",
                    "code",
                    "type",
                    "param",
                    "metadata",
                    "raw",
                    "details",
                ]
            )
            | st.text(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(st.integers(100, 999), st.binary(max_size=500), st.dictionaries(st.text(), st.text(), max_size=3))
def test_no_body_and_no_header_makes_it_fail(status: int, body: bytes, headers: dict[str, str]) -> None:
    assert fault(status, body, headers=headers).message


@given(JSON)
def test_no_document_makes_it_fail(document: object) -> None:
    found = classify_object(document, profile="openai")
    assert len(found.message.encode()) <= 2000
    body = json.dumps(document).encode()
    assert fault(400, body).message


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"error":' * 50_000, b'{"error":' * 7 + b'"x"' + b"}" * 7]
)
def test_deep_nesting_is_borne(body: bytes) -> None:
    assert fault(500, body).kind is K.SERVER_ERROR


def test_nothing_that_a_provider_echoes_gets_out() -> None:
    body = error("Incorrect API key provided: sk-proj-canary1234567890. Bearer sk-canary-99")
    assert "canary" not in fault(401, body).message
