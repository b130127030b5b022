"""A message that came whole, as the stream that it would have been."""

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from ccproxy_trio.translate.native.frames import Frame
from ccproxy_trio.wire import sse
from ccproxy_trio.wire.native import decode_members

_NULL, _EMPTY_TEXT = Raw(b"null"), Raw(b'""')
_SAYS_NOTHING = (b"null", b'""', b"{}")
_OF_THE_END = ("stop_reason", "stop_sequence", "stop_details", "container")
# block type -> its members that come in deltas: member, delta type, the delta's member, how the block starts
_GROWTH: dict[bytes, tuple[tuple[str, str, str, Raw], ...]] = {
    b'"text"': (("text", "text_delta", "text", _EMPTY_TEXT),),
    b'"thinking"': (
        ("thinking", "thinking_delta", "thinking", _EMPTY_TEXT),
        ("signature", "signature_delta", "signature", _EMPTY_TEXT),
    ),
}
_INPUT = (("input", "input_json_delta", "partial_json", Raw(b"{}")),)


def frames_of(message: dict[str, Raw]) -> Iterator[Frame]:
    """The events that tell of the message, each in a frame. All of its members are in them."""
    content = message.get("content")
    beginning = message | {"content": Raw(b"[]"), "stop_reason": _NULL, "stop_sequence": _NULL}
    yield _frame("message_start", message=beginning)
    for index, block in enumerate(_items(content)):
        yield from _block(index, block)
    ending = {name: message[name] for name in _OF_THE_END if name in message}
    beside = {name: message[name] for name in ("usage", "context_management") if name in message}
    yield _frame("message_delta", delta=ending, **beside)
    yield _frame("message_stop")


def _block(index: int, raw: Raw) -> Iterator[Frame]:
    block = decode_members(bytes(raw))
    kind = bytes(block.get("type", _NULL))
    growth = _INPUT if kind.endswith(b'tool_use"') else _GROWTH.get(kind, ())
    begun = block | {member: empty for member, _, _, empty in growth if member in block}
    yield _frame("content_block_start", index=index, content_block=begun)
    for member, delta, name, _ in growth:
        value = block.get(member, _NULL)
        if bytes(value) not in _SAYS_NOTHING:
            piece: object = value if delta != "input_json_delta" else _text(value)
            yield _frame("content_block_delta", index=index, delta={"type": delta, name: piece})
    yield _frame("content_block_stop", index=index)


def _items(content: Raw | None) -> list[Raw]:
    if content is None or not bytes(content).startswith(b"["):
        return []
    return msgspec.json.decode(content, type=list[Raw])


def _text(value: Raw) -> str:
    return msgspec.json.format(value, indent=-1).decode()


def _frame(event: str, **members: object) -> Frame:
    data = msgspec.json.format(msgspec.json.encode({"type": event, **members}), indent=-1)
    return Frame(event, data, sse.encode(data, event))
