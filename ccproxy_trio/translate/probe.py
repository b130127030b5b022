"""The smallest request for an answer there is, for providers that are to be probed with one."""

from typing import assert_never

import msgspec

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.wire.openai import ChatRequest, UserMessage, encode
from ccproxy_trio.wire.responses import LEAST_OUTPUT_TOKENS

PING = "ping"


def probe_body(model: str, dialect: Dialect) -> bytes:
    """Ask `model` for as little as its wire allows."""
    match dialect.wire:
        case "chat":
            return encode(probe_request(model, dialect))
        case "responses":
            asked = {"model": model, "input": PING, "max_output_tokens": LEAST_OUTPUT_TOKENS, "store": False}
            return msgspec.json.encode(asked)
        case "anthropic":
            said = [{"role": "user", "content": PING}]
            return msgspec.json.encode({"model": model, "max_tokens": 1, "messages": said})
        case _:
            assert_never(dialect.wire)


def probe_request(model: str, dialect: Dialect) -> ChatRequest:
    """Ask `model` for one token in a chat completion."""
    messages = (UserMessage(PING),)
    if dialect.max_tokens_field == "max_tokens":
        return ChatRequest(model=model, messages=messages, max_tokens=1)
    return ChatRequest(model=model, messages=messages, max_completion_tokens=1)
