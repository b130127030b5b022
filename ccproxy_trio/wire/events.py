"""Anthropic's answers as types: the stream events, the content blocks, the whole message.

The `type` member that every object on this wire carries is the Struct's tag, so encoding writes it and
decoding picks the class by it.

Source: the `anthropic` package's `RawMessageStreamEvent`, `Message` and `Usage` types.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]

EMPTY_OBJECT = Raw(b"{}")


class OutputTokensDetails(Struct, frozen=True):
    """How many of the output tokens were thinking."""

    thinking_tokens: int


class ServerToolUsage(Struct, frozen=True):
    """How often a tool of the server's own was used."""

    web_search_requests: int = 0
    web_fetch_requests: int = 0


class Usage(Struct, frozen=True):
    """Tokens of one answer. The four counts are always written; those of the input add up to the prompt."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens_details: OutputTokensDetails | UnsetType = UNSET
    server_tool_use: ServerToolUsage | UnsetType = UNSET


class StopDetails(Struct, frozen=True, tag="refusal"):
    """Why an answer was refused; belongs to `stop_reason` "refusal" only."""

    category: str | None = None
    explanation: str | None = None


# Content blocks. In a stream a block starts empty and grows by deltas; in a message it is whole.


class TextBlock(Struct, frozen=True, tag="text"):
    """Text for the reader."""

    text: str = ""


class ThinkingBlock(Struct, frozen=True, tag="thinking"):
    """Reasoning shown to the client. `signature` is ours (see `translate/state.py`)."""

    thinking: str = ""
    signature: str = ""


class RedactedThinkingBlock(Struct, frozen=True, tag="redacted_thinking"):
    """State without anything to show."""

    data: str


class ToolUseBlock(Struct, frozen=True, tag="tool_use"):
    """A call of one of the client's tools. `input` is a JSON object."""

    id: str
    name: str
    input: Raw = EMPTY_OBJECT


class ServerToolUseBlock(Struct, frozen=True, tag="server_tool_use"):
    """A call that the server answers itself. `input` is a JSON object."""

    id: str
    name: str
    input: Raw = EMPTY_OBJECT


class WebSearchError(Struct, frozen=True, tag="web_search_tool_result_error"):
    """Why a web search gave nothing: "unavailable", "max_uses_exceeded", ..."""

    error_code: str


class WebSearchResult(Struct, frozen=True, tag="web_search_result"):
    """One hit of a web search."""

    url: str
    title: str
    encrypted_content: str = ""
    page_age: str | None = None


class WebSearchToolResultBlock(Struct, frozen=True, tag="web_search_tool_result"):
    """The answer to a `server_tool_use` block of the same answer."""

    tool_use_id: str
    content: WebSearchError | list[WebSearchResult]


ContentBlock = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ServerToolUseBlock
    | WebSearchToolResultBlock
)


class Message(Struct, frozen=True, kw_only=True, tag="message"):
    """A whole answer, or (in `message_start`) its empty beginning."""

    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[ContentBlock] = []
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | UnsetType = UNSET
    usage: Usage


# Deltas. The kind of a delta must fit its block: a client throws the stream away otherwise.


class TextDelta(Struct, frozen=True, tag="text_delta"):
    """More of a text block."""

    text: str


class ThinkingDelta(Struct, frozen=True, tag="thinking_delta"):
    """More of a thinking block."""

    thinking: str


class SignatureDelta(Struct, frozen=True, tag="signature_delta"):
    """A thinking block's signature, whole; its last delta."""

    signature: str


class InputJsonDelta(Struct, frozen=True, tag="input_json_delta"):
    """More of the JSON text of a tool's input."""

    partial_json: str


ContentDelta = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


class Stop(Struct, frozen=True, kw_only=True):
    """How an answer ended."""

    stop_reason: StopReason
    stop_sequence: str | None = None
    stop_details: StopDetails | UnsetType = UNSET


class ErrorBody(Struct, frozen=True):
    """An error as the client sees it. `type` is an Anthropic error type."""

    type: str
    message: str


# Events.


class MessageStart(Struct, frozen=True, tag="message_start"):
    """The first event of every stream."""

    message: Message


class ContentBlockStart(Struct, frozen=True, tag="content_block_start"):
    """Block `index` begins, empty."""

    index: int
    content_block: ContentBlock


class ContentBlockDelta(Struct, frozen=True, tag="content_block_delta"):
    """The open block `index` grows."""

    index: int
    delta: ContentDelta


class ContentBlockStop(Struct, frozen=True, tag="content_block_stop"):
    """Block `index` is whole."""

    index: int


class MessageDelta(Struct, frozen=True, tag="message_delta"):
    """The answer ended. `usage` holds totals that overwrite those of `message_start`."""

    delta: Stop
    usage: Usage


class MessageStop(Struct, frozen=True, tag="message_stop"):
    """The last event of an answer that went well."""


class Ping(Struct, frozen=True, tag="ping"):
    """Keeps middle boxes from closing a quiet connection."""


class ErrorEvent(Struct, frozen=True, tag="error"):
    """The last event of an answer that failed after its head was sent."""

    error: ErrorBody


Act = Literal[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "aside",
]


class Passage(Struct, frozen=True, tag="passage"):
    """Frames of a provider that speaks this very language, as they came but for what had to be rewritten.

    `act` is what they do: one event's type, of several frames only where all are deltas of one block; "aside"
    for comments, pings, and events that nobody knows. `index` is the block's that they are about, `takes` the
    block type whose empty deltas may follow (None: none may). `shows`: with it the answer has something to
    show, if it had not before. `usage` is what the provider has told of it so far, real numbers.
    """

    raw: bytes
    act: Act = "aside"
    index: int = -1
    takes: Literal["text", "thinking", "tool_use"] | None = None
    shows: bool = False
    usage: Usage | None = None


Event = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
    | Passage
)

_encoder = msgspec.json.Encoder()

# Claude Code throws away data without an `event:` line, although they repeat the name as `type`.
_HEADS: dict[type[Event], bytes] = {
    kind: f"event: {kind.__struct_config__.tag}\ndata: ".encode()
    for kind in (
        MessageStart,
        ContentBlockStart,
        ContentBlockDelta,
        ContentBlockStop,
        MessageDelta,
        MessageStop,
        Ping,
        ErrorEvent,
    )
}


def encode_frame(event: Event) -> bytes:
    """`event` as one frame of the stream: name, one line of JSON, empty line."""
    return encode_frames((event,))


def encode_frames(events: Iterable[Event]) -> bytes:
    """The frames of `events` joined: sending costs per send, not per byte."""
    pieces: list[bytes] = []
    for event in events:
        if type(event) is Passage:  # an `isinstance` that fails costs a Struct as much as all the rest
            pieces.append(event.raw)
        else:
            pieces += (_HEADS[type(event)], _encoder.encode(event), b"\n\n")
    return b"".join(pieces)


def encode_message(message: Message) -> bytes:
    """`message` as the body of a non-streaming answer."""
    return _encoder.encode(message)
