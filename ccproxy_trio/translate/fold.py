"""The non-streaming answer, out of the very events that a streaming client would get."""

from collections.abc import Iterable
from typing import assert_never

import msgspec

from ccproxy_trio.translate.arguments import as_object
from ccproxy_trio.wire.events import (
    ContentBlock,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ContentDelta,
    ErrorEvent,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Passage,
    Ping,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    SignatureDelta,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    WebSearchToolResultBlock,
)


def fold(events: Iterable[Event]) -> Message:
    """The message that `events` tell: those of one whole answer, from `message_start` to `message_stop`.

    Raises:
        ValueError: they are no whole answer (behind an error event there is no message).
    """
    message: Message | None = None
    ending: MessageDelta | None = None
    blocks: list[_Growing] = []
    for event in events:
        match event:
            case MessageStart():
                message = event.message
            case ContentBlockStart():
                blocks.append(_Growing(event.content_block))
            case ContentBlockDelta():
                blocks[-1].grow(event.delta)
            case MessageDelta():
                ending = event
            case ContentBlockStop() | MessageStop() | Ping() | ErrorEvent() | Passage():
                pass
            case _:
                assert_never(event)
    if message is None or ending is None:
        raise ValueError("these events are not a whole answer")
    return msgspec.structs.replace(
        message,
        content=[block.whole() for block in blocks],
        stop_reason=ending.delta.stop_reason,
        stop_sequence=ending.delta.stop_sequence,
        stop_details=ending.delta.stop_details,
        usage=ending.usage,
    )


class _Growing:
    """A block and what its deltas brought so far."""

    def __init__(self, block: ContentBlock) -> None:
        self._block = block
        self._pieces: list[str] = []
        self._signature = ""

    def grow(self, delta: ContentDelta) -> None:
        match delta:
            case TextDelta():
                self._pieces.append(delta.text)
            case ThinkingDelta():
                self._pieces.append(delta.thinking)
            case InputJsonDelta():
                self._pieces.append(delta.partial_json)
            case SignatureDelta():
                self._signature = delta.signature
            case _:
                assert_never(delta)

    def whole(self) -> ContentBlock:
        text = "".join(self._pieces)
        match self._block:
            case TextBlock():
                return TextBlock(text)
            case ThinkingBlock():
                return ThinkingBlock(text, self._signature)
            case ToolUseBlock() | ServerToolUseBlock():
                return msgspec.structs.replace(self._block, input=as_object(text))
            case RedactedThinkingBlock() | WebSearchToolResultBlock():
                return self._block
            case _:
                assert_never(self._block)
