"""Requests written short, and what they become, as plain JSON."""

import json
from typing import Any

import msgspec

from ccproxy_trio.settings.model import DialectOptions, Models, ProviderSettings, Secret
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.request import Target, Translated, translate
from ccproxy_trio.wire.anthropic import MessagesRequest, decode_request
from ccproxy_trio.wire.openai import encode

UNKNOWN_HOST = "https://llm.example/v1"


def provider(
    profile: str = "generic", *, base_url: str = UNKNOWN_HOST, api_version: str | None = None, **options: Any
) -> ProviderSettings:
    return ProviderSettings(
        name="alpha",
        api_key=Secret("key"),
        base_url=base_url,
        api_version=api_version,
        models=Models(),
        profile=profile,
        options=msgspec.convert(options, DialectOptions),
    )


def dialect(profile: str = "generic", *, model: str = "m", **options: Any) -> Dialect:
    return resolve(provider(profile, **options), model)


def request(*messages: dict[str, Any], **fields: Any) -> MessagesRequest:
    body = {"model": "claude-opus-4-8", "max_tokens": 1000, "messages": messages or [user("hi")], **fields}
    return decode_request(json.dumps(body, ensure_ascii=False).encode())


def translated(
    asked: MessagesRequest, profile: str = "generic", *, model: str = "m", **options: Any
) -> Translated:
    target = Target(provider="alpha", model=model, dialect=dialect(profile, model=model, **options))
    return translate(asked, target)


def upstream(
    asked: MessagesRequest, profile: str = "generic", *, model: str = "m", **options: Any
) -> dict[str, Any]:
    """The body as the upstream reads it."""
    body: dict[str, Any] = json.loads(encode(translated(asked, profile, model=model, **options).chat))
    return body


def said(*messages: dict[str, Any], profile: str = "generic", **options: Any) -> list[dict[str, Any]]:
    """The Chat messages that a conversation becomes."""
    chat: list[dict[str, Any]] = upstream(request(*messages), profile, **options)["messages"]
    return chat


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": _content(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": _content(content)}


def instruct(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "system", "content": _content(content), **fields}


def call(id: str, name: str = "Bash", **input: Any) -> dict[str, Any]:  # noqa: A002 - the wire's word
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def result(id: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:  # noqa: A002 - the wire's word
    return {"type": "tool_result", "tool_use_id": id, "content": content, **fields}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def tool(name: str = "Bash", **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": name, "input_schema": {"type": "object", "properties": {}}, **fields}


def _content(content: tuple[Any, ...]) -> Any:
    if len(content) == 1 and isinstance(content[0], str):
        return content[0]
    return [text(block) if isinstance(block, str) else block for block in content]
