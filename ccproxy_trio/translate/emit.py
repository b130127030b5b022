"""The client's half of an answer: parts in, Anthropic's stream events out, in grammar order.

    stream = start { ping } { block } message_delta message_stop
           | start { ping } { block } [ open-part ] error

Blocks are numbered from 0 without gaps, one is open at a time, and a block is closed lazily: its
`content_block_stop` goes out together with the next block's start or with the end. A stream that dies while
its last block is open is repeated by Claude Code; one that dies behind a closed text block is a lost turn.

There is one emitter per client request. Attempts may come and go behind it as long as no content was shown:
`message_start` and a thinking block that a heartbeat opened stay, and the next attempt's parts go on there.

What a provider says in this very language passes as it came; `native/passing.py` fits it in.
"""

import math
from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import UNSET

from ccproxy_trio.translate.native.frames import DELTA
from ccproxy_trio.translate.native.passing import Passing, counted, renamed
from ccproxy_trio.translate.parts import (
    Finished,
    Heading,
    Part,
    RedactedThinking,
    Text,
    TextEnd,
    Thinking,
    ThinkingSignature,
    ToolArguments,
    ToolEnd,
    ToolStart,
    Translated,
)
from ccproxy_trio.translate.scale import UNSCALED, Scale
from ccproxy_trio.translate.state import ReplayState, seal
from ccproxy_trio.wire.events import (
    EMPTY_OBJECT,
    ContentBlock,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ContentDelta,
    ErrorBody,
    ErrorEvent,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Passage,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    SignatureDelta,
    Stop,
    StopReason,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    Usage,
    WebSearchToolResultBlock,
)

BYTES_PER_TOKEN = 4.2  # of English, code and JSON alike, within a tenth

# The open block takes deltas of this kind; a sealed one takes none and closes with the next start.
_Open = Literal["text", "thinking", "tool", "sealed"]


class Emitter:
    """Shows one client request's answer. `model`: exactly as the client asked for it, since Claude Code drops
    the thinking blocks of a turn that another model seems to have answered. `input_tokens`: our estimate.
    `scale`: how the client is told token counts; parts carry the real ones.

    `ended`: `message_stop` or an error event was given out; no content follows.
    """

    def __init__(self, *, message_id: str, model: str, input_tokens: int, scale: Scale = UNSCALED) -> None:
        self._message_id = message_id
        self._model = model
        self._input_tokens = input_tokens
        self._scale = scale
        self._started = False
        self._open: _Open | None = None
        self._index = -1  # of the block opened last
        self._passing = Passing()
        self._shown_bytes = 0
        self.ended = False

    def open(self) -> list[Event]:
        """`message_start`, the first time."""
        out: list[Event] = []
        self._begin(out)
        return out

    def take(self, parts: Sequence[Part]) -> list[Event]:
        """The events that show `parts`."""
        out: list[Event] = []
        for part in parts:
            if self.ended:
                break
            if type(part) is Passage:
                if part.act == DELTA and self._passing.is_plain and self._open is None:
                    self._passing.last = part  # nearly all there is, so without another call
                    out.append(part)
                else:
                    self._pass(part, out)
            elif type(part) is not Heading:  # that is for whoever sends the events
                self._begin(out)
                self._take(part, out)  # type: ignore[arg-type]  # mypy keeps types that a part is not
        return out

    def answer(
        self, content: Sequence[ContentBlock], *, stop_reason: StopReason, usage: Usage | None = None
    ) -> list[Event]:
        """A whole answer that needed no provider. `usage` is what is known of it beside the tokens."""
        out: list[Event] = []
        self._begin(out)
        for block in content:
            self._whole(block, out)
        self._finish(Finished(stop_reason, usage=usage), out)
        return out

    def heartbeat(self) -> list[Event]:
        """An empty delta: the one thing that resets Claude Code's watchdog and shows nothing.

        Opens a thinking block where no block takes deltas. Reasoning goes on in it; other content closes it.
        """
        out: list[Event] = []
        if self.ended:
            return out
        self._begin(out)
        match self._open:
            case "text":
                self._delta(TextDelta(""), out)
            case "tool":
                self._delta(InputJsonDelta(""), out)
            case "thinking":
                self._delta(ThinkingDelta(""), out)
            case "sealed" | None:
                self._beat(out)
            case _:
                assert_never(self._open)
        return out

    def fail(self, kind: str, message: str) -> list[Event]:
        """The answer failed. `kind` is an Anthropic error type. The open block is left open: see above.

        For a stream that has not ended. Only who sent the events knows: those given out last may have been
        held back.
        """
        out: list[Event] = []
        self._begin(out)
        out.append(ErrorEvent(ErrorBody(kind, message)))
        self.ended = True
        return out

    def _begin(self, out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        usage = self._scale.usage(Usage(input_tokens=self._input_tokens))
        out.append(MessageStart(Message(id=self._message_id, model=self._model, usage=usage)))

    def _take(self, part: Translated, out: list[Event]) -> None:
        match part:
            case Text():
                if self._open != "text":
                    self._start(TextBlock(), "text", out)
                self._grow(TextDelta(part.text), part.text, out)
            case Thinking():
                if self._open != "thinking":
                    self._start(ThinkingBlock(), "thinking", out)
                self._grow(ThinkingDelta(part.text), part.text, out)
            case ToolArguments():
                self._grow(InputJsonDelta(part.json_text), part.json_text, out)
            case ToolStart():
                self._start(ToolUseBlock(part.id, part.name), "tool", out)
                self._shown_bytes += len(part.name)
            case ToolEnd():
                pass  # closed with the next start
            case TextEnd():
                self._open = "sealed" if self._open == "text" else self._open
            case ThinkingSignature():
                self._sign(part.signature, out)
            case RedactedThinking():
                self._start(RedactedThinkingBlock(part.data), "sealed", out)
            case Finished():
                self._finish(part, out)
            case _:
                assert_never(part)

    def _pass(self, part: Passage, out: list[Event]) -> None:
        """Show what a provider says in the client's own language."""
        if part.act == "message_start":
            self._pass_start(part, out)
            return
        if part.act != "aside":
            self._begin(out)
            self._close(out)
        if part.act == "message_delta":
            part = self._with_totals(part)
        self.ended = part.act == "message_stop"
        self._index = max(self._index, self._passing.take(part, out))

    def _pass_start(self, part: Passage, out: list[Event]) -> None:
        if not self._started:
            self._started = self._passing.has_begun = True
        if self._passing.has_begun:
            usage = self._scale.usage(part.usage) if self._rescales and part.usage else None
            self._passing.take(renamed(part, self._model, usage), out)

    @property
    def _rescales(self) -> bool:
        return self._scale.client != self._scale.real

    def _with_totals(self, part: Passage) -> Passage:
        """The totals that the client reads. They stay as they came, where it has been told all of them so.

        What only the provider's `message_start` told is told here, if that was not sent.
        """
        told = part.usage is not None and _prompt_of(part.usage) > 0
        if told and self._passing.has_begun and not self._rescales:
            return part
        return counted(part, self._totals(part.usage or Usage()))

    def _beat(self, out: list[Event]) -> None:
        """A heartbeat where no block of ours is open."""
        delta = self._passing.empty_delta()
        if delta is not None:
            out.append(delta)
        elif self._passing.release(out):
            self._start(ThinkingBlock(), "thinking", out)
            self._delta(ThinkingDelta(""), out)

    def _whole(self, block: ContentBlock, out: list[Event]) -> None:
        match block:
            case TextBlock():
                self._take(Text(block.text), out)
            case ThinkingBlock():
                self._take(Thinking(block.thinking), out)
                self._sign(block.signature, out)
            case ToolUseBlock() | ServerToolUseBlock():
                self._start(msgspec.structs.replace(block, input=EMPTY_OBJECT), "tool", out)
                self._take(ToolArguments(bytes(block.input).decode()), out)
            case RedactedThinkingBlock() | WebSearchToolResultBlock():
                self._start(block, "sealed", out)
            case _:
                assert_never(block)

    def _start(self, block: ContentBlock, kind: _Open, out: list[Event]) -> None:
        self._close(out)
        self._index += 1
        self._passing.make_room()
        self._open = kind
        out.append(ContentBlockStart(self._index, block))

    def _close(self, out: list[Event]) -> None:
        if self._open is None:
            return
        if self._open == "thinking":
            self._sign(_UNKNOWN, out)
        out.append(ContentBlockStop(self._index))
        self._open = None

    def _sign(self, signature: str, out: list[Event]) -> None:
        if self._open == "thinking":
            self._delta(SignatureDelta(signature), out)
            self._open = "sealed"

    def _grow(self, delta: ContentDelta, text: str, out: list[Event]) -> None:
        self._shown_bytes += len(text) if text.isascii() else len(text.encode())
        self._delta(delta, out)

    def _delta(self, delta: ContentDelta, out: list[Event]) -> None:
        out.append(ContentBlockDelta(self._index, delta))

    def _finish(self, part: Finished, out: list[Event]) -> None:
        self._close(out)
        stop = Stop(
            stop_reason=part.stop_reason,
            stop_sequence=part.stop_sequence,
            stop_details=UNSET if part.stop_details is None else part.stop_details,
        )
        out.append(MessageDelta(stop, self._totals(part.usage or Usage())))
        out.append(MessageStop())
        self.ended = True

    def _totals(self, usage: Usage) -> Usage:
        """`usage` as the client is told it, estimated where the provider told nothing.

        Zeros would hide the turn from compaction.
        """
        told = _prompt_of(usage)
        real = msgspec.structs.replace(
            usage,
            input_tokens=usage.input_tokens if told else self._input_tokens,
            output_tokens=usage.output_tokens or max(1, math.ceil(self._shown_bytes / BYTES_PER_TOKEN)),
        )
        return self._scale.usage(real)


def _prompt_of(usage: Usage) -> int:
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


# For a thinking block whose provider never came to sign it. Never unsigned: see `seal`.
_UNKNOWN = seal(ReplayState("", ""))
