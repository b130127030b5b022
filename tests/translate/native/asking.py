"""Requests on Anthropic's wire written short, and what a provider reads of them."""

import json
from typing import Any

from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.native.question import NativeQuestion, put
from ccproxy_trio.translate.question import Asked, Headers, Sender
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.anthropic import decode_request
from tests.translate.asking import provider, user

OPUS = "claude-opus-4-8"
THIRD = "deepseek"  # a server of Anthropic's shape that reads the least
BETAS = "effort-2025-11-24, context-management-2025-06-27"


def body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "asked", "max_tokens": 32_000, "messages": list(messages) or [user("hi")], **fields}


def encoded(value: Any) -> bytes:
    """As Claude Code writes it: without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def asked(what: dict[str, Any] | bytes, *, headers: Headers = ()) -> Asked:
    written = what if isinstance(what, bytes) else encoded(what)
    return Asked(request=decode_request(written), body=written, sender=Sender(headers=headers))


def native(profile: str = "anthropic", model: str = OPUS, **options: Any) -> Dialect:
    return resolve(provider(profile, **{"wire": "anthropic", **options}), model)


def question(
    what: dict[str, Any] | bytes | Asked, dialect: Dialect | None = None, *, model: str = OPUS, **options: Any
) -> NativeQuestion:
    spoken = native(model=model, **options) if dialect is None else dialect
    target = Target(provider="alpha", model=model, dialect=spoken)
    return put(what if isinstance(what, Asked) else asked(what), target)


def sent(what: dict[str, Any] | bytes, dialect: Dialect | None = None, **options: Any) -> dict[str, Any]:
    """What the provider reads."""
    read: dict[str, Any] = json.loads(question(what, dialect, **options).outgoing().body)
    return read
