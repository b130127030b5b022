"""What a simulated provider sends on Anthropic's own wire. Pure.

Shapes are those of the Messages API reference ("Streaming messages", "Errors").
"""

from collections.abc import Mapping
from types import MappingProxyType

from ccproxy_trio.simulation.said import TEXT, WORDS, encoded, named

Event = dict[str, object]

# status -> type and message, as Anthropic words them.
_ERRORS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        400: ("invalid_request_error", "The request is not valid."),
        401: ("authentication_error", "invalid x-api-key"),
        402: ("billing_error", "There is a problem with your payment information."),
        403: ("permission_error", "Your API key is not allowed to do this."),
        404: ("not_found_error", "model: simulated"),
        429: ("rate_limit_error", "This request would exceed the rate limit."),
        503: ("overloaded_error", "Overloaded"),
        529: ("overloaded_error", "Overloaded"),
    }
)
_SERVER_ERROR = ("api_error", "Internal server error")
_QUOTA = ("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")


def opening(model: str) -> bytes:
    """The message, as yet without content."""
    return named([{"type": "message_start", "message": _message(model, [], stop=None, prompt=0)}])


def words(model: str) -> tuple[bytes, ...]:
    """One text block's deltas; its start comes with the first of them."""
    start: Event = {"type": "content_block_start", "index": 0, "content_block": _text("")}
    deltas: list[Event] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        for text in WORDS
    ]
    return (named([start, deltas[0]]), *(named([delta]) for delta in deltas[1:]))


def closing(model: str, *, prompt: int) -> bytes:
    """The end of the block and of the message."""
    return named([{"type": "content_block_stop", "index": 0}]) + _end(prompt)


def hollow(model: str) -> bytes:
    """The end of the message, where no block was begun."""
    return _end(0)


def whole(model: str, *, prompt: int) -> bytes:
    """The same answer as one message."""
    return encoded(_message(model, [_text(TEXT)], stop="end_turn", prompt=prompt))


def nothing(model: str) -> bytes:
    """A message without content."""
    return encoded(_message(model, [], stop="end_turn", prompt=0))


def refusal(status: int) -> bytes:
    """The error that goes with a status."""
    return _refusal(*_ERRORS.get(status, _SERVER_ERROR))


def quota_refusal() -> tuple[int, bytes]:
    """The error of an empty account."""
    return 400, _refusal(*_QUOTA)


def _refusal(kind: str, message: str) -> bytes:
    return encoded(
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulated"}
    )


def _end(prompt: int) -> bytes:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"input_tokens": prompt, "output_tokens": len(WORDS)}
    return named([{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}])


def _message(model: str, content: list[Event], *, stop: str | None, prompt: int) -> Event:
    return {
        "id": "msg_simulated",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": prompt, "output_tokens": len(WORDS) if content else 1},
    }


def _text(text: str) -> Event:
    return {"type": "text", "text": text}
