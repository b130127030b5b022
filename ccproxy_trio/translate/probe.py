"""The smallest chat completion there is, for providers that are to be probed with one."""

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.wire.openai import ChatRequest, UserMessage


def probe_request(model: str, dialect: Dialect) -> ChatRequest:
    """Ask `model` for one token."""
    messages = (UserMessage("ping"),)
    if dialect.max_tokens_field == "max_tokens":
        return ChatRequest(model=model, messages=messages, max_tokens=1)
    return ChatRequest(model=model, messages=messages, max_completion_tokens=1)
