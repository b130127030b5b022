"""The JSON Schema of the configuration file, for editors: made from the Structs, with a sentence a key.

`python -m ccproxy_trio.settings.schema` prints it. The file is shipped in the package (beside this module)
and in `config/`; a test compares both with what this makes.
"""

import json
import sys
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from ccproxy_trio.settings.model import Settings

FILE_NAME = "providers.schema.json"

DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "Settings": {
        "providers": "The providers, each with its models by tier.",
        "fallback_strategy": "Which provider a request tries first: by priority, in turn, or at random.",
        "health_check_interval": "Seconds between health checks of a provider; 0 switches them off.",
        "circuit_breaker": "When a failing provider is left out, and for how long.",
        "default_tier": "The tier of model names that contain neither opus, sonnet nor haiku.",
        "patience": "Seconds to wait for a provider to come back when all have failed.",
        "on_exhaustion": "When all have failed: tell the user at once, or make the client wait and repeat.",
        "panic": "When every breaker is open: try the least bad provider, or fail.",
        "queue_wait": "Seconds a request may wait for a free place.",
        "max_attempts": "The most attempts in one round over the providers.",
        "retry_budget": "How many extra attempts the whole proxy may make.",
        "commit_after": "Seconds without content after which the response begins; falling over goes on.",
        "keepalive_interval": "Seconds between pings while an answer is quiet.",
        "heartbeat_interval": "Seconds of quiet after which an empty piece of content is sent.",
        "stall_limit": "Seconds a client may stop reading before its request is given up.",
        "drain_timeout": "Seconds that running requests get to finish at shutdown.",
        "max_exchanges": "Requests served at the same time; more are told to come back.",
        "client_api_keys": "Keys that clients may send, beside ANTHROPIC_API_KEY; none: all may.",
        "allowed_hosts": "Host names clients may use beside this machine's own.",
        "allowed_origins": "Web origins whose pages may call the proxy.",
        "failover_on_400": "Try another provider even after one called the request itself wrong.",
        "session_affinity": "Under round_robin and random: a Claude Code session stays with one provider, "
        "whose prompt cache it keeps warm.",
        "scale_usage_to_window": "Tell Claude Code token counts scaled to the window it believes in, so that "
        "it compacts in time; a number is the window it was told by CLAUDE_CODE_AUTO_COMPACT_WINDOW.",
        "web_search": "Who answers Claude Code's web searches; null: they are told to be unavailable.",
        "transport": "What carries requests to providers: trio is our own, httpx and httpx-http2 (HTTP/2, "
        "where the provider speaks it) are httpx's, which also carry what goes through a proxy.",
        "proxy": "The outgoing proxy for all providers but those on this machine, as "
        "http://user:password@host:port or https://..., best as ${HTTPS_PROXY}. The environment's own is "
        "never used unasked.",
        "ca_bundle": "A PEM file with certificates to trust beside the system's; a relative path begins at "
        "this file's folder.",
        "hedge_after": "Seconds without content after which a second provider is asked the same; the first "
        "content wins. p95: what 95 of 100 of a provider's last answers needed. null or 0: never.",
        "$schema": "The address of this schema, for editors.",
    },
    "ProviderSettings": {
        "name": "A name of its own, as it appears in logs and /health.",
        "api_key": "The provider's API key, best as ${VARIABLE}. passthrough: each client's own, for "
        "providers on Anthropic's wire.",
        "base_url": "The OpenAI-compatible address, usually ending in /v1; Azure's resource address; on "
        "Anthropic's wire, with or without /v1/messages.",
        "models": "The provider's models by tier.",
        "enabled": "Whether the provider takes part.",
        "priority": "Lower numbers come first.",
        "api_version": "Azure OpenAI's API version, such as 2024-10-21.",
        "timeout": "Seconds to the first content of an answer.",
        "max_retries": "Further attempts with the same provider before the next one.",
        "custom_headers": "Headers to send with every request; they go before the proxy's own.",
        "profile": "The provider's dialect; auto decides by host, then by model name.",
        "options": "Single switches of the dialect, overriding the profile.",
        "context_window": "The models' context window in tokens: one number, or one a model.",
        "connect_timeout": "Seconds to connect.",
        "first_content_timeout": "Seconds to the first content; null: timeout.",
        "idle_timeout": "Seconds that content may pause.",
        "total_timeout": "Seconds a whole answer may take; null: as long as content flows.",
        "probe": "How health is checked: by listing models, by a tiny completion, or not.",
        "health_check_interval": "Seconds between health checks of this provider; null: the file's.",
        "transport": "What carries requests to this provider; null: the file's, or httpx with a proxy.",
        "hedge_after": "Seconds without content, or p95, after which a second provider is asked beside this "
        "one; null: the file's; 0: never.",
        "proxy": "The outgoing proxy for this provider; left out: the file's; null or none: no proxy.",
        "ca_bundle": "A PEM file with certificates to trust for this provider, beside the system's; left "
        "out: the file's; null or none: the system's alone.",
    },
    "Models": {
        "big": "For opus, and for names of no known tier. Tried in order.",
        "middle": "For sonnet. Tried in order.",
        "small": "For haiku. Tried in order.",
    },
    "BreakerSettings": {
        "failure_threshold": "Failures in a row that open the circuit.",
        "recovery_timeout": "Seconds before the first trial.",
        "max_recovery_timeout": "The longest wait between trials, in seconds, as they keep failing.",
        "recovery_jitter": "By which part waits vary, so that many proxies do not return together.",
        "success_threshold": "Successful trials that close the circuit.",
        "trial_timeout": "Seconds a trial may take; null: the provider's timeout and 30.",
        "failure_ttl": "Seconds after which a failure no longer counts.",
        "failure_rate_threshold": "The share of failures within the window that opens the circuit.",
        "window": "Seconds the failure rate looks back.",
        "minimum_requests": "Requests in the window before the rate counts; 0 switches that rule off.",
        "cooldown_default": "Seconds a model rests after a rate limit that names no time.",
        "cooldown_max": "The longest such rest in seconds.",
    },
    "RetryBudget": {
        "ratio": "Extra attempts for each request.",
        "min_per_s": "Extra attempts a second that are always allowed.",
        "ttl": "Seconds a request counts.",
    },
    "WebSearch": {
        "searxng": "The address of a SearXNG instance that has json among its search.formats.",
        "timeout": "Seconds a search may take.",
        "max_results": "The most results to tell the model of.",
        "categories": "SearXNG's categories to search in; none: its own choice.",
        "language": "The language to search in, such as en or de-AT; null: its own choice.",
        "safesearch": "0, 1 or 2, from off to strict; null: its own choice.",
    },
    "DialectOptions": {
        "wire": "The protocol spoken.",
        "max_tokens_field": "The name of the output limit; none: no limit is sent.",
        "output_cap": "The most output tokens to ask for; null: no cap.",
        "system_role": "The role of the system prompt.",
        "mid_system": "System messages in mid-conversation: wrapped as user, kept, or hoisted to the top.",
        "reasoning": "How reasoning is asked for.",
        "efforts": "The reasoning efforts the model takes.",
        "reasoning_with_tools": "May reason when tools are offered; false: effort none is asked for then.",
        "qwen_template": "Reasoning qwen: goes into chat_template_kwargs.",
        "replay": "How earlier reasoning is sent back.",
        "empty_reasoning": "Sent back as reasoning_content with calls whose reasoning is not known.",
        "tool_media": "Where images of tool results go.",
        "schema": "The dialect of tools' JSON schemas.",
        "tool_id": "The form of tool call ids.",
        "sampling": "Takes temperature and top_p, unless the next two say otherwise.",
        "temperature": "Takes temperature, where it takes sampling at all.",
        "top_p": "Takes top_p, where it takes sampling at all.",
        "top_k": "Takes top_k.",
        "stop": "Takes stop sequences.",
        "parallel": "Takes parallel_tool_calls.",
        "stream_usage": "Takes stream_options.include_usage.",
        "json_schema": "Takes response_format json_schema.",
        "json_object": "Takes response_format json_object, used where json_schema is not taken.",
        "strict": "Takes strict tools and schemas.",
        "tool_choice": "Takes tool_choice required and named; false: auto is sent instead.",
        "auto_choice": "Takes tool_choice auto; false: it is left out.",
        "cache": "How prompt caching is marked.",
        "prompt_cache_key": "Takes prompt_cache_key.",
        "user_field": "The field that carries a hashed user id.",
        "merge_users": "Join neighbouring user messages, for strict templates.",
        "leading_user": "The first message after the system prompt must be the user's.",
        "prefill": "How a last assistant message is continued: not, by prefix, or by vLLM's flags.",
        "encrypted_reasoning": "Wire responses: gives reasoning in a form that can be sent back.",
        "reasoning_summary": "Wire responses: tells a summary of its reasoning.",
        "service_tier": "Takes service_tier.",
        "vision": "Takes images.",
        "files": "Takes files such as PDF.",
        "file_urls": "Fetches a file from a URL itself.",
        "null_content": "Takes content null beside tool calls.",
        "think_tags": "Thinks inside <think> tags of the text.",
        "streaming": "Can stream.",
        "max_tools": "The most tools in a request; null: no limit.",
        "lenient": "Send content blocks of unknown types as text instead of refusing them.",
        "leave_out": "On Anthropic's wire: members that are not sent, by path, such as context_management, "
        "output_config.effort, tools.defer_loading or cache_control.scope.",
        "betas": "On Anthropic's wire: whether the values of anthropic-beta go on.",
        "refused_betas": "On Anthropic's wire: values of anthropic-beta that do not go on.",
        "thinking_blocks": "On Anthropic's wire: which earlier thinking is sent back; signed leaves out what "
        "bears no signature. Thinking of other providers never is.",
        "thinking_style": "On Anthropic's wire: how thinking is asked for; any: as the client does, always: "
        "it cannot be switched off, none: it is not spoken of, off: it is switched off.",
        "thinking_before_calls": "On Anthropic's wire: which turns that call tools must begin with thinking "
        "while it is on: those of the tool loop at hand, or all. Where one does not, thinking is off.",
        "server_tools": "On Anthropic's wire: runs Anthropic's own tools, such as web_search.",
        "tool_references": "On Anthropic's wire: takes tool_reference blocks; false: they become text.",
        "billing_header": "On Anthropic's wire: is sent Claude Code's line about its build, which spoils "
        "others' prompt caches.",
        "key_header": "On Anthropic's wire: the header that bears the key.",
    },
}

_VARIABLE = r"\$\{"
"""A string with a variable in it is right wherever a string is."""


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). Strings may hold `${VARIABLE}`; numbers and switches may not."""
    made = msgspec.json.schema(Settings, schema_hook=_secret)
    definitions: dict[str, dict[str, Any]] = made["$defs"]
    for name, definition in definitions.items():
        for key, described in DESCRIPTIONS[name].items():
            definition["properties"][key]["description"] = described
        definition["properties"] = {key: _open(value) for key, value in definition["properties"].items()}
        definition["description"] = definition["description"].partition(".")[0] + "."
    definitions["Models"]["minProperties"] = 1
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ccproxy_trio providers.json",
        "allowComments": True,  # for editors: the file is JSON with comments
        "allowTrailingCommas": True,
        **made,
    }


def text() -> str:
    """The schema as the shipped file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def shipped() -> str:
    """The file in the package."""
    return resources.files("ccproxy_trio.settings").joinpath(FILE_NAME).read_text("utf-8")


def _secret(_: type) -> dict[str, Any]:
    """The one type that msgspec does not know: `Secret`."""
    return {"type": "string", "minLength": 1}


def _open(schema: Any) -> Any:
    """The same schema, taking strings with variables where it asks for certain words or a pattern."""
    match schema:
        case {"enum": [*words]}:
            return {
                **_but(schema, "enum"),
                "anyOf": [{"enum": words}, {"type": "string", "pattern": _VARIABLE}],
            }
        case {"pattern": str(pattern)}:
            return {**schema, "pattern": f"{_VARIABLE}|{pattern}"}
        case dict():
            return {key: _open(value) for key, value in schema.items()}
        case list():
            return [_open(item) for item in schema]
        case _:
            return schema


def _but(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != key}


if __name__ == "__main__":
    sys.stdout.write(text())
