"""A provider's own events among ours: what is held back, and how blocks are numbered when some are ours.

A block's end waits for the next event that is none of a keep-alive's, and the answer's totals wait for its
end. Claude Code repeats a stream that dies while a block is open; one that dies behind it is a lost turn.

A heartbeat may have opened a block that the provider knows nothing of. From there on its own blocks are
numbered one higher.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ccproxy_trio.translate.native.splice import edited, put
from ccproxy_trio.wire.events import (
    ContentBlockDelta,
    ContentBlockStop,
    ContentDelta,
    Event,
    InputJsonDelta,
    Passage,
    TextDelta,
    ThinkingDelta,
    Usage,
)

_NUMBERED = ("content_block_start", "content_block_delta", "content_block_stop")
_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_QUIET: Mapping[str, ContentDelta] = {
    "text": TextDelta(""),
    "thinking": ThinkingDelta(""),
    "tool_use": InputJsonDelta(""),
}


class Passing:
    """What an emitter knows of the provider's events. `last`: what last began a block or made one grow.

    `is_plain`: the next event goes out as it is. `has_begun`: the provider's `message_start` has passed.
    """

    def __init__(self) -> None:
        self.last: Passage | None = None  # None: none of its blocks is open
        self.is_plain = True
        self.has_begun = False
        self._held: list[Event] = []
        self._is_ending = False  # the totals are among what is held back
        self._highest = -1  # of the provider's numbers
        self._ours: list[int] = []  # for each block of ours, the highest of the provider's before it
        self._stopped: set[int] = set()  # the provider's blocks that we had to stop, by its numbers

    def take(self, part: Passage, out: list[Event]) -> int:
        """Show the passage, or hold it back; the number of the block that it begins for the client, or -1."""
        if part.act == "aside":
            (self._held or out).append(part)
            return -1
        if part.act == "content_block_stop" and part.index in self._stopped:
            self._stopped.remove(part.index)
            return -1
        if part.act != "message_delta":
            self._let_go(out)
        shown = self._placed(part)
        if part.act in ("content_block_stop", "message_delta"):
            self._held.append(shown)
            self._is_ending = part.act == "message_delta"
            self.is_plain = False
            return -1
        out.append(shown)
        return self._note(part, shown)

    def empty_delta(self) -> Event | None:
        """What shows nothing in the provider's open block, if there is one that takes it."""
        if self.last is None or self.last.takes is None:
            return None
        return ContentBlockDelta(self._place(self.last.index), _QUIET[self.last.takes])

    def release(self, out: list[Event]) -> bool:
        """Make an end of the provider's open block, so that one of ours can begin; False: none can now."""
        if self._is_ending:
            return False
        self._let_go(out)
        if self.last is not None:
            self._stopped.add(self.last.index)
            out.append(ContentBlockStop(self._place(self.last.index)))
            self.last = None
        return True

    def make_room(self) -> None:
        """A block of ours begins behind all that there are."""
        self._ours.append(self._highest)
        self.is_plain = False

    def _note(self, part: Passage, shown: Passage) -> int:
        if part.act == "content_block_delta":
            self.last = part
        elif part.act == "content_block_start":
            self.last = part
            self._highest = max(self._highest, part.index)
            self._stopped.discard(part.index)
            return shown.index
        return -1

    def _let_go(self, out: list[Event]) -> None:
        for event in self._held:
            if isinstance(event, Passage) and self.last is not None and event.act == "content_block_stop":
                self.last = None if event.index == self._place(self.last.index) else self.last
            out.append(event)
        self._held.clear()
        self._is_ending = False
        self.is_plain = not self._ours

    def _place(self, index: int) -> int:
        """The client's number for a block of the provider's."""
        return index + sum(highest < index for highest in self._ours)

    def _placed(self, part: Passage) -> Passage:
        if not self._ours or part.act not in _NUMBERED:
            return part
        index = self._place(part.index)
        return replace(part, index=index, raw=_with(part.raw, (), {"index": b"%d" % index}))


def renamed(part: Passage, model: str, usage: Usage | None) -> Passage:
    """A `message_start` with the name that the client knows the model by, and these counts if there are."""
    raw = _with(part.raw, ("message",), {"model": msgspec.json.encode(model)})
    return replace(part, raw=raw if usage is None else _with(raw, ("message", "usage"), _counts(usage)))


def counted(part: Passage, usage: Usage) -> Passage:
    """A `message_delta` with these counts."""
    return replace(part, raw=_with(part.raw, ("usage",), _counts(usage)))


def _counts(usage: Usage) -> dict[str, bytes]:
    counts = msgspec.structs.asdict(usage)
    return {name: b"%d" % counts[name] for name in _COUNTS}


def _with(raw: bytes, path: Sequence[str], members: Mapping[str, bytes]) -> bytes:
    return edited(raw, lambda data: put(data, path, members))
