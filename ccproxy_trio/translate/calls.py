"""Tool calls out of pieces: whatever way a server deals them, each comes out once, whole and in turn.

Theory of operation. Servers number the pieces, or number them all 0, or not at all; they send the name at
once or in pieces, once or in every piece; arguments come as text, as pieces of text or as an object; pieces
of several calls may alternate. `add` finds the call that a piece belongs to and appends. `pump` gives out
what may be shown: only the first call that has not ended is ever open and its arguments pass through as they
come, while later calls wait. So a single call, or one after the other, streams live, and calls that
alternate are put in order without loss.
"""

from collections.abc import Callable, Mapping

from msgspec import Raw

from ccproxy_trio.translate.arguments import as_object, is_json, json_text
from ccproxy_trio.translate.parts import Part, ToolArguments, ToolEnd, ToolStart
from ccproxy_trio.wire.chunks import CallPiece, FunctionPiece, present

_ENDS = ("}", "]", '"')
_NO_FUNCTION = FunctionPiece()


class _Call:
    """One call so far. `unsent` counts from the end of `arguments`."""

    __slots__ = ("arguments", "closed", "id", "name", "opened", "unsent", "upstream_id")

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.upstream_id: str | int | None = None
        self.name = ""
        self.arguments: list[str] = []
        self.unsent: list[str] = []
        self.opened = False
        self.closed = False

    def add_name(self, name: str) -> None:
        # A name that is repeated with every piece is common, one whose second half equals its first is not.
        if name != self.name and not (self.name and self.arguments):
            self.name += name

    def add_arguments(self, text: str) -> None:
        self.arguments.append(text)
        self.unsent.append(text)

    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON value that nothing can be appended to, or said to be all."""
        if self.closed:
            return True
        if not self.arguments:
            return False
        last = self.arguments[-1].rstrip()
        if last and not last.endswith(_ENDS):  # spares joining and parsing all of it with every piece
            return False
        return is_json("".join(self.arguments))

    def has_another_id_than(self, piece: CallPiece) -> bool:
        """Whether both bear an id and not the same."""
        return bool(piece.id and self.upstream_id) and piece.id != self.upstream_id

    def differs_from(self, piece: CallPiece) -> bool:
        """Whether `piece` begins another call although it carries the same number."""
        function = piece.function or _NO_FUNCTION
        if self.has_another_id_than(piece):
            # Some servers make up a new id for every piece. Without a name it can only be more of the same,
            # unless there is nothing to add to.
            return bool(function.name) or self.is_complete() or not (self.arguments or function.arguments)
        if not function.name or not (self.name and self.arguments):
            return False
        return function.name != self.name or (bool(json_text(function.arguments)) and self.is_complete())


class Calls:
    """The tool calls of one answer. `produced`: at least one was given out."""

    def __init__(self, *, names: Mapping[str, str], mint: Callable[[], str]) -> None:
        self._names = names
        self._mint = mint
        self._calls: list[_Call] = []
        self._by_index: dict[int | str, _Call] = {}
        self._front = 0  # the first call that has not ended
        self._extras: dict[str, Raw] = {}
        self.produced = False

    def add(self, piece: CallPiece) -> None:
        """Take one item of a chunk's `tool_calls`."""
        self._append(self._find(piece), piece)

    def add_whole(self, piece: CallPiece) -> None:
        """Take one item of a message's `tool_calls`: a call of its own, whatever its number."""
        call = self._new()
        self._append(call, piece)
        if call.arguments:
            call.arguments = call.unsent = [bytes(as_object("".join(call.arguments))).decode()]

    def close(self, index: int) -> None:
        """The provider says that this call has got all of its arguments, however they look."""
        call = self._by_index.get(index)
        if call is not None:
            call.closed = True

    def pump(self) -> list[Part]:
        """What may be shown by now."""
        out: list[Part] = []
        while self._front < len(self._calls):
            call = self._calls[self._front]
            followed = self._front + 1 < len(self._calls)
            if not call.opened:
                if not call.name or not (call.arguments or followed or call.closed):
                    break  # the name may still grow
                self._open(call, out)
            _send(call, out)
            if not (followed and call.is_complete()):
                break
            self._end(out)
        return out

    def give_way(self) -> list[Part]:
        """Something else than a call comes: end the open call if it is complete.

        No other can be ended: `pump` opens and ends all it may, so a call behind the open one waits for it.
        """
        out: list[Part] = []
        if self.is_open and self._calls[self._front].is_complete():
            self._end(out)
        return out

    def finish(self) -> list[Part]:
        """The answer is over: end every call. A call that never got a name cannot be made and is dropped."""
        out: list[Part] = []
        while self._front < len(self._calls):
            call = self._calls[self._front]
            if not call.name:
                self._front += 1
                continue
            if not call.opened:
                self._open(call, out)
            _send(call, out)
            self._end(out)
        return out

    @property
    def is_open(self) -> bool:
        """Whether a call that was given out has not ended yet."""
        return self._front < len(self._calls) and self._calls[self._front].opened

    @property
    def is_cut(self) -> bool:
        """Whether some call's arguments break off."""
        return any(call.arguments and not call.is_complete() for call in self._calls)

    def take_extras(self) -> dict[str, Raw]:
        """The `extra_content` of calls given out since the last time, by our id."""
        due = [call.id for call in self._calls if call.opened and call.id in self._extras]
        return {call_id: self._extras.pop(call_id) for call_id in due}

    def _find(self, piece: CallPiece) -> _Call:
        if piece.index is None:
            return self._find_unnumbered(piece)
        call = self._by_index.get(piece.index)
        if call is not None and call.has_another_id_than(piece) and not _names(piece):
            call = self._known(piece) or call
        if call is None or call.differs_from(piece):
            call = self._new()
        self._by_index[piece.index] = call
        return call

    def _find_unnumbered(self, piece: CallPiece) -> _Call:
        if piece.id and (known := self._known(piece)) is not None:
            return known
        if not self._calls:
            return self._new()
        last = self._calls[-1]
        if piece.id:
            continues = last.has_another_id_than(piece) and not last.differs_from(piece)
            return last if continues else self._new()
        return self._new() if _names(piece) and last.name and last.is_complete() else last

    def _known(self, piece: CallPiece) -> _Call | None:
        """The call that bears the piece's id."""
        return next((call for call in reversed(self._calls) if call.upstream_id == piece.id), None)

    def _new(self) -> _Call:
        call = _Call("toolu_" + self._mint())
        self._calls.append(call)
        return call

    def _append(self, call: _Call, piece: CallPiece) -> None:
        if piece.id and not call.upstream_id:
            call.upstream_id = piece.id
        if present(piece.extra_content):
            self._extras[call.id] = piece.extra_content
        if piece.function is None:
            return
        if piece.function.name:
            call.add_name(piece.function.name)
        text = json_text(piece.function.arguments)
        if text:
            call.add_arguments(text)

    def _open(self, call: _Call, out: list[Part]) -> None:
        call.opened = True
        self.produced = True
        out.append(ToolStart(call.id, self._names.get(call.name, call.name)))

    def _end(self, out: list[Part]) -> None:
        self._front += 1
        out.append(ToolEnd())


def _names(piece: CallPiece) -> bool:
    return piece.function is not None and bool(piece.function.name)


def _send(call: _Call, out: list[Part]) -> None:
    if call.unsent:
        out.append(ToolArguments("".join(call.unsent)))
        call.unsent = []
