"""Whether a Chat Completions request is one that OpenAI would take. The judge is the `openai` package.

The package's own parameter types are checked with unknown keys forbidden at every depth; what types cannot
say (a tool message answers the call just before it) is checked after them.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from tests.support.typed import adapter, type_violations

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,(.+)", re.DOTALL)


@cache
def judge() -> TypeAdapter[Any]:
    """The types to judge by, made the first time."""
    # Seconds of importing, which many test runs have no use for.
    from openai.types.chat.completion_create_params import CompletionCreateParams

    return adapter(CompletionCreateParams)


def violations(body: dict[str, Any], *, also_allowed: frozenset[str] = frozenset()) -> list[str]:
    """Everything that is wrong with a request body, a sentence each; empty when it is right.

    `also_allowed` names keys of other dialects (`top_k`, a message's `reasoning_content`, a call's
    `extra_content`), which are left unchecked.
    """
    standard = _without(body, also_allowed)
    mistyped = list(type_violations(judge(), standard))
    return mistyped or [*sequence_violations(body["messages"]), *_rule_violations(body)]


def _without(body: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """The body without these keys at its top, in its messages, and in their calls and parts."""

    def left(item: Any) -> Any:
        return {key: value for key, value in item.items() if key not in keys}

    def of_message(message: Any) -> Any:
        lists = {name: message.get(name) for name in ("tool_calls", "content")}
        kept = {name: [left(item) for item in items] for name, items in lists.items() if type(items) is list}
        return left(message) | kept

    return {
        key: [of_message(message) for message in value] if key == "messages" else value
        for key, value in left(body).items()
    }


def sequence_violations(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Every call is answered once, right after the message that made it, before anything else is said."""
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                yield f"messages.{place}: answers {message['tool_call_id']!r}, which is not an open call"
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            yield f"messages.{place}: the calls {sorted(open_calls)} were not answered before it"
        ids = [call["id"] for call in message.get("tool_calls") or ()]
        open_calls = set(ids)
        if len(open_calls) < len(ids):
            yield f"messages.{place}: two calls share an id"
    if open_calls:
        yield f"messages: the calls {sorted(open_calls)} were never answered"


def _rule_violations(body: dict[str, Any]) -> Iterator[str]:
    """The API reference's rules beyond types."""
    if "max_tokens" in body and "max_completion_tokens" in body:
        yield "max_tokens and max_completion_tokens exclude each other"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options without stream"
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        yield "stop: more than 4 sequences"
    if len(body.get("user", "")) > 64 or len(body.get("safety_identifier") or "") > 64:
        yield "user: more than 64 characters"
    yield from _tool_violations(body)
    for place, message in enumerate(body["messages"]):
        yield from _message_violations(message, f"messages.{place}")


def _tool_violations(body: dict[str, Any]) -> Iterator[str]:
    names = [tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function"]
    if "tools" in body and not body["tools"]:
        yield "tools: empty"
    if len(set(names)) < len(names):
        yield "tools: a name occurs twice"
    if not names and ("tool_choice" in body or "parallel_tool_calls" in body):
        yield "tool_choice or parallel_tool_calls without tools"
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"tools: the name {name!r}"


def _message_violations(message: dict[str, Any], place: str) -> Iterator[str]:
    content = message.get("content")
    if message["role"] != "assistant" and content in (None, []):
        yield f"{place}: no content"
    if message["role"] == "assistant" and content in (None, "", []) and not message.get("tool_calls"):
        yield f"{place}: an assistant message with neither content nor calls"
    for call in message.get("tool_calls") or ():
        yield from _call_violations(call, place)
    for part in content if isinstance(content, list) else ():
        if part["type"] == "image_url":
            yield from _image_violations(part["image_url"]["url"], place)


def _call_violations(call: dict[str, Any], place: str) -> Iterator[str]:
    if len(call["id"]) > 40:
        yield f"{place}: a call id of {len(call['id'])} characters"
    if not _NAME.fullmatch(call["function"]["name"]):
        yield f"{place}: the call's name {call['function']['name']!r}"
    try:
        arguments = json.loads(call["function"]["arguments"])
    except ValueError:
        yield f"{place}: arguments that are not JSON"
        return
    if not isinstance(arguments, dict):
        yield f"{place}: arguments that are not an object"


def _image_violations(url: str, place: str) -> Iterator[str]:
    if url.startswith(("https://", "http://")):
        return
    matched = _DATA_URL.fullmatch(url)
    if matched is None:
        yield f"{place}: an image URL of unknown form {url[:40]!r}"
        return
    try:
        base64.b64decode(matched[1], validate=True)
    except binascii.Error:
        yield f"{place}: an image that is not base64"
