"""Whether what we emit is a word of the event grammar, checked event by event as it goes out.

    stream = start { block } message_delta message_stop
           | start { block } [ open-part ] error
    block  = content_block_start(i) { content_block_delta(i) } content_block_stop(i)

with a ping anywhere behind the start and before the end.

What a provider says in this language itself (`Passage`) moves the machine along and is not judged but for
this: nothing but a keep-alive comes before the start, and nothing at all behind the end. What is ours between
its events has to fit them.

A client throws a stream away for one event out of place, or believes what was never said, and neither shows
in a log of ours. So every event passes this machine, which shares nothing with the emitter that it watches:
a place is a row of the table below, a row says which kinds of events may follow and where they lead. The
kind of a start is its block's type and the kind of a delta its own, since both must fit the open block.

Source: the `anthropic` package's stream types, and what Claude Code was seen to reject.
"""

from collections import deque
from collections.abc import Sequence
from typing import assert_never, cast

from msgspec import Struct

from ccproxy_trio.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    Event,
    InputJsonDelta,
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

_DELTA = "content_block_delta"
_MOST_RUNS = 64  # of the kinds that are remembered; a run of one kind counts once


class GrammarBroken(Exception):
    """An event that may not stand where it stands: a bug of ours.

    `kinds` are the kinds of the stream's last events, the offending one at the end, and nothing of their
    content: `("message_start", "text", "text_delta x 41", "message_stop")`.
    """

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__(" ".join(kinds))
        self.kinds = kinds


_Kind = type[Struct]
_Row = dict[_Kind, "_Row"]


class _Places(Struct, frozen=True, eq=False):
    """The rows that have a name elsewhere."""

    nothing: _Row
    between: _Row
    text: _Row
    thinking: _Row
    call: _Row
    sealed: _Row
    stopped: _Row
    over: _Row


def _table() -> _Places:
    """The rows, linked to one another; with `nothing` every stream begins."""
    nothing, between, text, thinking, signed, call, sealed, stopped, over = (_Row() for _ in range(9))
    starts: _Row = {
        TextBlock: text,
        ThinkingBlock: thinking,
        ToolUseBlock: call,
        ServerToolUseBlock: call,
        RedactedThinkingBlock: sealed,
        WebSearchToolResultBlock: sealed,
    }
    nothing.update({MessageStart: between})
    between.update(starts | {MessageDelta: stopped})
    text.update({TextDelta: text, ContentBlockStop: between})
    thinking.update({ThinkingDelta: thinking, SignatureDelta: signed})  # never closed unsigned
    signed.update({ContentBlockStop: between})
    call.update({InputJsonDelta: call, ContentBlockStop: between})
    sealed.update({ContentBlockStop: between})
    stopped.update({MessageStop: over})
    for row in (between, text, thinking, signed, call, sealed, stopped):
        row.update({Ping: row, ErrorEvent: over})
    return _Places(nothing, between, text, thinking, call, sealed, stopped, over)


_PLACES = _table()
_PASSED: dict[str | None, _Row] = {
    "text": _PLACES.text,
    "thinking": _PLACES.thinking,
    "tool_use": _PLACES.call,
    None: _PLACES.sealed,
}


class Grammar:
    """Follows one stream from its start."""

    def __init__(self) -> None:
        self._row = _PLACES.nothing
        self._index = -1  # of the open block
        self._highest = -1  # of all blocks
        self._has_call = False
        self._last: _Kind | None = None
        self._run = 0  # how many events of that kind in a row
        self._runs: deque[str] = deque(maxlen=_MOST_RUNS)

    @property
    def is_over(self) -> bool:
        """`message_stop` or an error has passed: nothing may follow."""
        return not self._row

    def check(self, events: Sequence[Event]) -> None:
        """Follow `events`.

        Raises:
            GrammarBroken: one of them may not stand where it stands. It may still be followed by an error
                event, as any event of a stream that has begun.
        """
        for event in events:
            if type(event) is ContentBlockDelta:  # nearly all of them, so without a call
                kind: _Kind = type(event.delta)
                is_consistent = event.index == self._index
            elif type(event) is Passage:
                if event.index != self._index or self._row is not _PASSED[event.takes] or event.act != _DELTA:
                    self._follow(event)
                elif self._last is Passage:
                    self._run += 1  # one more delta, and nearly all of them are
                else:
                    self._remember(Passage)
                continue
            else:
                kind, is_consistent = self._step(event)
            if kind is self._last:
                self._run += 1
            else:
                self._remember(kind)
            row = self._row.get(kind)
            if row is None or not is_consistent:
                raise GrammarBroken((*self._runs, _told(kind, self._run)))
            self._row = row

    def _remember(self, kind: _Kind) -> None:
        if self._last is not None:
            self._runs.append(_told(self._last, self._run))
        self._last, self._run = kind, 1

    def _follow(self, event: Passage) -> None:
        """Go along with a provider."""
        if self._last is Passage:
            self._run += 1
        else:
            self._remember(Passage)
        begins = event.act in ("message_start", "aside")
        if self._row is _PLACES.over or (self._row is _PLACES.nothing and not begins):
            raise GrammarBroken((*self._runs, _told(Passage, self._run)))
        match event.act:
            case "content_block_delta" | "content_block_start":
                self._row = _PASSED[event.takes]
                self._index = event.index
                self._highest = max(self._highest, event.index)
            case "content_block_stop":
                self._row = _PLACES.between
            case "message_start":
                self._row = _PLACES.between if self._row is _PLACES.nothing else self._row
            case "message_delta":
                self._row = _PLACES.stopped
            case "message_stop":
                self._row = _PLACES.over
            case "aside":
                pass
            case _:
                assert_never(event.act)

    def _step(self, event: Event) -> tuple[_Kind, bool]:
        """The event's kind, and what the table cannot say of it.

        Blocks are numbered from 0 without gaps; an answer with a call, and no other, says that it has one.
        """
        match event:
            case ContentBlockStart():
                self._highest += 1
                self._index = self._highest
                kind = type(event.content_block)
                self._has_call = self._has_call or kind is ToolUseBlock
                return kind, event.index == self._index
            case ContentBlockStop():
                return ContentBlockStop, event.index == self._index
            case MessageDelta(delta=stop):
                forbidden = ("end_turn", "stop_sequence") if self._has_call else ("tool_use",)
                return MessageDelta, stop.stop_reason not in forbidden
            case _:
                return type(event), True


def _told(kind: _Kind, times: int) -> str:
    tag = cast("str", kind.__struct_config__.tag)
    return tag if times == 1 else f"{tag} x {times}"
