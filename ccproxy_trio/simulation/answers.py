"""What a simulated provider sends: Chat Completions bytes, and the bodies of its refusals.

Pure. Shapes are those of the OpenAI API reference ("The chat completion chunk object", "Error codes").
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import Struct

WORDS = ("This ", "is ", "a ", "simulated ", "answer, ", "and ", "nothing ", "was ", "sent ", "anywhere.")
DONE = b"data: [DONE]\n\n"
COMMENT = b": still here\n\n"
WEB_PAGE = b"<!doctype html><html><title>Sign in to the network</title><body>Please sign in.</body></html>"
QUOTA_STATUS = 429

# status -> type, code and message of its error object, as OpenAI words them.
_ERRORS: Mapping[int, tuple[str, str | None, str]] = MappingProxyType(
    {
        400: ("invalid_request_error", None, "The request is not valid."),
        401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
        402: ("billing_error", "insufficient_credits", "Insufficient credits."),
        403: ("permission_error", None, "The API key is not allowed to do this."),
        404: ("invalid_request_error", "model_not_found", "The model does not exist."),
        429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        503: ("server_error", None, "The engine is currently overloaded, please try again later."),
        529: ("overloaded_error", None, "Overloaded."),
    }
)
_QUOTA = ("insufficient_quota", "insufficient_quota", "You exceeded your current quota.")
_SERVER_ERROR = ("server_error", None, "The server had an error while processing your request.")


class Asked(Struct, frozen=True):
    """The part of a chat completion request that matters here."""

    model: str
    stream: bool = False


def decode(body: bytes) -> Asked:
    """Read a request.

    Raises:
        msgspec.DecodeError: it is no chat completion request; a bug of ours.
    """
    return msgspec.json.decode(body, type=Asked)


def opening(asked: Asked) -> bytes:
    """The first chunk: a role, and nothing to show."""
    return _event(asked, {"role": "assistant", "content": ""})


def word(asked: Asked, text: str) -> bytes:
    """A chunk with some text."""
    return _event(asked, {"content": text})


def closing(asked: Asked, *, prompt_tokens: int) -> bytes:
    """The end: a finish reason, the usage, `[DONE]`."""
    usage = _encode({**_head(asked), "choices": [], "usage": _usage(prompt_tokens)})
    return _event(asked, {}, finish="stop") + b"data: " + usage + b"\n\n" + DONE


def whole(asked: Asked, *, prompt_tokens: int) -> bytes:
    """The same answer as one chat completion."""
    return _completion(asked, "".join(WORDS), prompt_tokens)


def nothing(asked: Asked) -> bytes:
    """A chat completion without content."""
    return _completion(asked, "", 0)


def _completion(asked: Asked, text: str, prompt_tokens: int) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {**_head(asked), "object": "chat.completion"}
    return _encode({**head, "choices": [choice], "usage": _usage(prompt_tokens)})


def refusal(status: int) -> bytes:
    """The error object that goes with a status."""
    return _refusal(*_ERRORS.get(status, _SERVER_ERROR))


def quota_refusal() -> bytes:
    """The error object of an empty account."""
    return _refusal(*_QUOTA)


def _refusal(kind: str, code: str | None, message: str) -> bytes:
    return _encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _event(asked: Asked, delta: dict[str, str], *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + _encode({**_head(asked), "choices": [choice]}) + b"\n\n"


def _head(asked: Asked) -> dict[str, object]:
    kind = "chat.completion.chunk"
    return {"id": "chatcmpl-simulated", "object": kind, "created": 0, "model": asked.model}


def _usage(prompt_tokens: int) -> dict[str, int]:
    written = len(WORDS)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "total_tokens": prompt_tokens + written,
    }


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)
