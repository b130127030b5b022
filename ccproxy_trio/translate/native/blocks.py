"""The content blocks of an answer that is passed on: which there are, and what each of them takes."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.native.frames import DELTA
from ccproxy_trio.wire import sse
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.native import BlockDelta

Takes = Literal["text", "thinking", "tool_use"]

# Delta type -> the kind of block that it makes grow. Claude Code drops a stream with one in any other.
_BELONGS: Mapping[str, Takes] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}
_GROWING: Mapping[str, Takes] = {"text": "text", "thinking": "thinking"}
_SAYS_NOTHING = (b"", b'""', b"null", b"{}")


class Begun(Struct, frozen=True):
    """What a block begins with.

    `shows`: there is something in it for the client to see. Text that came with the start is in `text`, a
    frame of its own, and `emptied` are the members that it is to be taken from: Claude Code reads no text in
    a start.
    """

    shows: bool
    emptied: dict[str, bytes] = {}
    text: bytes = b""


class Blocks:
    """Those of one answer, as far as it has come. `prefilled`: the inputs that came with a call's start.

    `takes` is the kind of the block last spoken of, if an empty delta may follow there: none may behind a
    signature, and in a block that nobody knows.
    """

    def __init__(self) -> None:
        self._kinds: dict[int, Takes | None] = {}
        self._open: dict[int, None] = {}
        self.prefilled: dict[int, Raw] = {}
        self.takes: Takes | None = None

    def start(self, index: int, kind: str, block: Mapping[str, Raw]) -> Begun:
        """A block begins."""
        self.takes = self._kinds[index] = _known(kind)
        self._open[index] = None
        match self.takes:
            case "tool_use":
                given = block.get("input", Raw(b"{}"))
                if bytes(given) not in _SAYS_NOTHING:
                    self.prefilled[index] = given
                return Begun(shows=True)
            case None:
                return Begun(shows=kind != "redacted_thinking")
            case member:
                return _with_text(index, member, block.get(member, Raw(b"")))

    def grow(self, deltas: Sequence[BlockDelta]) -> BlockDelta:
        """Deltas have come; the last of them.

        Raises:
            UpstreamFault: PROTOCOL, one is for a block that never began, or of a type that does not fit.
        """
        for delta in deltas:
            belongs = _BELONGS.get(delta.delta.type)
            kind = self._kinds.get(delta.index, "")
            if kind == "":
                raise UpstreamFault(FaultKind.PROTOCOL, "the answer goes on with a block that never began")
            if None not in (belongs, kind) and belongs != kind:
                raise UpstreamFault(FaultKind.PROTOCOL, "the answer mixes up the kinds of its blocks")
        last = deltas[-1]
        self.takes = None if last.delta.type == "signature_delta" else self._kinds[last.index]
        return last

    def is_open(self, index: int) -> bool:
        """Whether the block has begun and not been stopped."""
        return index in self._open

    def stop(self, index: int) -> bytes:
        """The block is whole; the frame of its input, if that came with the start alone."""
        self._open.pop(index)
        given = self.prefilled.pop(index, None)
        if given is None:
            return b""
        text = msgspec.json.format(given, indent=-1).decode()
        return _delta_frame(index, {"type": "input_json_delta", "partial_json": text})

    def left_open(self) -> list[int]:
        """The blocks that were not stopped, in the order in which they began."""
        return list(self._open)


def _known(kind: str) -> Takes | None:
    if kind.endswith("tool_use"):
        return "tool_use"
    return _GROWING.get(kind)


def _with_text(index: int, member: str, text: Raw) -> Begun:
    if bytes(text) in _SAYS_NOTHING:
        return Begun(shows=False)
    frame = _delta_frame(index, {"type": f"{member}_delta", member: text})
    return Begun(shows=True, emptied={member: b'""'}, text=frame)


def _delta_frame(index: int, delta: Mapping[str, object]) -> bytes:
    data = msgspec.json.encode({"type": DELTA, "index": index, "delta": delta})
    return sse.encode(msgspec.json.format(data, indent=-1), DELTA)
