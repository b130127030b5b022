"""What a simulated provider sends on Chat Completions. Pure.

Shapes are those of the OpenAI API reference ("The chat completion chunk object", "Error codes").
"""

from collections.abc import Mapping
from types import MappingProxyType

from ccproxy_trio.simulation.said import TEXT, WORDS, encoded

DONE = b"data: [DONE]\n\n"

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


def opening(model: str) -> bytes:
    """The first chunk: a role, and nothing to show."""
    return _event(model, {"role": "assistant", "content": ""})


def words(model: str) -> tuple[bytes, ...]:
    """Chunks with some text."""
    return tuple(_event(model, {"content": text}) for text in WORDS)


def closing(model: str, *, prompt: int) -> bytes:
    """The end: a finish reason, the usage, `[DONE]`."""
    usage = encoded({**_head(model), "choices": [], "usage": _usage(prompt)})
    return _event(model, {}, finish="stop") + b"data: " + usage + b"\n\n" + DONE


def hollow(model: str) -> bytes:
    """The same: what was said shows nowhere in it."""
    return closing(model, prompt=0)


def whole(model: str, *, prompt: int) -> bytes:
    """The same answer as one chat completion."""
    return _completion(model, TEXT, prompt)


def nothing(model: str) -> bytes:
    """A chat completion without content."""
    return _completion(model, "", 0)


def refusal(status: int) -> bytes:
    """The error object that goes with a status."""
    return _refusal(*_ERRORS.get(status, _SERVER_ERROR))


def quota_refusal() -> tuple[int, bytes]:
    """The error object of an empty account."""
    return 429, _refusal(*_QUOTA)


def _completion(model: str, text: str, prompt: int) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {**_head(model), "object": "chat.completion"}
    return encoded({**head, "choices": [choice], "usage": _usage(prompt)})


def _refusal(kind: str, code: str | None, message: str) -> bytes:
    return encoded({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _event(model: str, delta: dict[str, str], *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + encoded({**_head(model), "choices": [choice]}) + b"\n\n"


def _head(model: str) -> dict[str, object]:
    return {"id": "chatcmpl-simulated", "object": "chat.completion.chunk", "created": 0, "model": model}


def _usage(prompt: int) -> dict[str, int]:
    written = len(WORDS)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
