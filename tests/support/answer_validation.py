"""Whether an answer is one that Anthropic's API could have given. The judge is the `anthropic` package.

Its own types read each event, each message and each error strictly; a key that they do not know is wrong at
every depth, though the package itself would let it pass. What types cannot say (the order of events, counts
that are never left out) is for `tests/support/grammar.py`.
"""

from collections.abc import Iterator
from typing import Any

from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_MESSAGE: TypeAdapter[Any] = TypeAdapter(Message)
_ERROR: TypeAdapter[Any] = TypeAdapter(ErrorResponse)


def event_violations(payload: bytes | str) -> list[str]:
    """Everything that is wrong with an event of a stream, a sentence each. Pings and errors are none."""
    return list(_violations(_EVENT, payload))


def message_violations(payload: bytes | str) -> list[str]:
    """Everything that is wrong with a whole message."""
    return list(_violations(_MESSAGE, payload))


def error_violations(payload: bytes | str) -> list[str]:
    """Everything that is wrong with an error, in a body of its own or as the last event of a stream.

    The types do not know `request_too_large`, though the API's reference does.
    """
    text = payload.decode() if isinstance(payload, bytes) else payload
    return list(_violations(_ERROR, text.replace('"request_too_large"', '"invalid_request_error"', 1)))


def _violations(adapter: TypeAdapter[Any], payload: bytes | str) -> Iterator[str]:
    try:
        value = adapter.validate_json(payload, strict=True)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            yield f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        return
    yield from _unknown(value, "")


def _unknown(value: object, path: str) -> Iterator[str]:
    """The keys that were let in although no type names them. What a tool's input holds is its own affair."""
    match value:
        case BaseModel():
            for name in value.model_extra or ():
                yield f"{path}{name}: unknown"
            for name, member in value:
                yield from _unknown(member, f"{path}{name}.")
        case list():
            for place, item in enumerate(value):
                yield from _unknown(item, f"{path}{place}.")
        case _:
            return
