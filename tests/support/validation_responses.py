"""Whether a Responses request is one that OpenAI would take from someone who stores nothing there.

The judge is the `openai` package, whose parameter types are checked with unknown keys forbidden at every
depth. After them comes what types cannot say: calls and their outputs belong together, reasoning comes back
as it was given, nothing is kept at the provider.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from tests.support.seals import reasoning_fault
from tests.support.typed import adapter, type_violations, without

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,(.+)", re.DOTALL)
_LONGEST_ID = 64
_LEAST_OUTPUT = 16  # tokens
Item = dict[str, Any]


@cache
def judge() -> TypeAdapter[Any]:
    """The types to judge by, made the first time."""
    # Seconds of importing, which most test runs have no use for.
    from openai.types.responses.response_create_params import ResponseCreateParams

    return adapter(ResponseCreateParams)


def violations(body: dict[str, Any], *, name: str, also_allowed: frozenset[str] = frozenset()) -> list[str]:
    """Everything that is wrong with a request body for the provider `name`, a sentence each.

    `also_allowed` names keys of other dialects, which are left unchecked wherever they are.
    """
    mistyped = list(type_violations(judge(), without(body, also_allowed)))
    if mistyped:
        return mistyped
    items: list[Item] = [] if isinstance(body["input"], str) else list(body["input"])
    return [
        *_storage_violations(body),
        *_rule_violations(body),
        *_tool_violations(body),
        *_call_violations(items),
        *_reasoning_violations(items, name),
        *(fault for place, item in enumerate(items) for fault in _item_violations(item, f"input.{place}")),
    ]


def _storage_violations(body: dict[str, Any]) -> Iterator[str]:
    if body.get("store") is not False:
        yield "store: it has to be false, or the conversation is kept"
    for key in ("previous_response_id", "conversation", "background", "prompt"):
        if body.get(key):
            yield f"{key}: needs what was stored"


def _rule_violations(body: dict[str, Any]) -> Iterator[str]:
    if not body["input"]:
        yield "input: empty"
    if (body.get("max_output_tokens") or _LEAST_OUTPUT) < _LEAST_OUTPUT:
        yield f"max_output_tokens: less than {_LEAST_OUTPUT}"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options without stream"
    for key in ("user", "safety_identifier", "prompt_cache_key"):
        if len(body.get(key) or "") > _LONGEST_ID:
            yield f"{key}: more than {_LONGEST_ID} characters"
    shape = (body.get("text") or {}).get("format") or {}
    if shape.get("type") == "json_schema" and not _NAME.fullmatch(shape["name"]):
        yield f"text.format.name: {shape['name']!r}"


def _tool_violations(body: dict[str, Any]) -> Iterator[str]:
    tools = list(body.get("tools") or ())
    names = [tool["name"] for tool in tools if tool["type"] == "function"]
    if "tools" in body and not tools:
        yield "tools: empty"
    if len(set(names)) < len(names):
        yield "tools: a name occurs twice"
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"tools: the name {name!r}"
    if not tools and ("tool_choice" in body or "parallel_tool_calls" in body):
        yield "tool_choice or parallel_tool_calls without tools"
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function" and choice["name"] not in names:
        yield f"tool_choice: {choice['name']!r} is not on offer"


def _call_violations(items: Sequence[Item]) -> Iterator[str]:
    """Every call is answered once, behind it, and before anything else is said to the model."""
    made: set[str] = set()
    open_calls: set[str] = set()
    for place, item in enumerate(items):
        match item.get("type"):
            case "function_call":
                if item["call_id"] in made:
                    yield f"input.{place}: two calls share the id {item['call_id']!r}"
                made.add(item["call_id"])
                open_calls.add(item["call_id"])
            case "function_call_output":
                if item["call_id"] not in open_calls:
                    yield f"input.{place}: answers {item['call_id']!r}, which is not an open call"
                open_calls.discard(item["call_id"])
            case _ if open_calls and item.get("role") != "assistant" and item.get("type") != "reasoning":
                yield f"input.{place}: the calls {sorted(open_calls)} were not answered before it"
                open_calls = set()
    if open_calls:
        yield f"input: the calls {sorted(open_calls)} were never answered"


def _reasoning_violations(items: Sequence[Item], name: str) -> Iterator[str]:
    """Each came from this provider, is unchanged, in order, once, and what followed it follows it."""
    seen: list[str] = []
    for place, item in enumerate(items):
        if item.get("type") != "reasoning":
            continue
        fault = reasoning_fault(item, name, _kind_of(items[place + 1]) if place + 1 < len(items) else None)
        if fault is not None:
            yield f"input.{place}: the reasoning item {item['id']!r}: {fault}"
        if seen and item["id"] <= seen[-1]:
            yield f"input.{place}: the reasoning item {item['id']!r} is not behind {seen[-1]!r}"
        seen.append(item["id"])


def _kind_of(item: Item) -> str | None:
    """The type of what the model itself said; None: somebody else said it."""
    if item.get("type", "message") == "message":
        return "message" if item["role"] == "assistant" else None
    return str(item["type"]) if item["type"] in ("function_call", "reasoning") else None


def _item_violations(item: Item, place: str) -> Iterator[str]:
    for key in ("id", "call_id"):
        if len(item.get(key) or "") > _LONGEST_ID:
            yield f"{place}: {key} of {len(item[key])} characters"
    match item.get("type", "message"):
        case "message":
            yield from _content_violations(item["content"], place, may_be_empty=False)
        case "function_call":
            yield from _arguments_violations(item, place)
        case "function_call_output":
            yield from _content_violations(item["output"], place, may_be_empty=True)
        case "reasoning":
            return
        case kind:
            yield f"{place}: an item of the type {kind!r}, which nobody who stores nothing has"


def _arguments_violations(item: Item, place: str) -> Iterator[str]:
    if not _NAME.fullmatch(item["name"]):
        yield f"{place}: the call's name {item['name']!r}"
    try:
        arguments = json.loads(item["arguments"])
    except ValueError:
        yield f"{place}: arguments that are not JSON"
        return
    if not isinstance(arguments, dict):
        yield f"{place}: arguments that are not an object"


def _content_violations(content: Any, place: str, *, may_be_empty: bool) -> Iterator[str]:
    if content in ("", []) and not may_be_empty:
        yield f"{place}: no content"
    for part in () if isinstance(content, str) else content:
        url = part.get("image_url") or part.get("file_data")
        if part["type"] in ("input_image", "input_file") and url is not None:
            yield from _data_violations(url, f"{place}.{part['type']}")
        elif part["type"] in ("input_image", "input_file") and not part.get("file_url"):
            yield f"{place}: {part['type']} without anything in it"


def _data_violations(url: str, place: str) -> Iterator[str]:
    if url.startswith(("https://", "http://")):
        return
    matched = _DATA_URL.fullmatch(url)
    if matched is None:
        yield f"{place}: a URL of unknown form {url[:40]!r}"
        return
    try:
        base64.b64decode(matched[1], validate=True)
    except binascii.Error:
        yield f"{place}: not base64"
