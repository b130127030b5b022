"""The arguments of a call: JSON text on the Chat Completions wire, an object on Anthropic's."""

import msgspec
from msgspec import Raw

from ccproxy_trio.wire.events import EMPTY_OBJECT

_RAW_KEPT = 2048  # characters of arguments that do not parse

_encoder = msgspec.json.Encoder()
_syntax = msgspec.json.Decoder(Raw)
_text = msgspec.json.Decoder(str)


def is_json(text: str) -> bool:
    """Whether `text` is one JSON value."""
    return _parse(text) is not None


def json_text(arguments: Raw) -> str:
    """The JSON text in an `arguments` member: what its string holds; "" for null; other values themselves."""
    text = bytes(arguments)
    if text.startswith(b'"'):
        return _text.decode(text)
    return "" if text == b"null" else text.decode()


def as_object(text: str) -> Raw:
    """Whole arguments as the object that `input` has to be; an object stays as it is written.

    Broken text becomes what Claude Code itself stores for broken input, and then tells the model about. Other
    values are wrapped. Nothing is coerced: Claude Code does that by its own schema.
    """
    if not text.strip():
        return EMPTY_OBJECT
    value = _parse(text)
    if value is None:
        broken = {"raw": text[:_RAW_KEPT], "len": len(text)}
        return Raw(_encoder.encode({"__unparsedToolInput": broken}))
    return value if text.lstrip().startswith("{") else Raw(_encoder.encode({"value": value}))


def _parse(text: str) -> Raw | None:
    try:
        return _syntax.decode(text)
    except (ValueError, RecursionError):
        return None
