"""The order in which an answer can be shown: reasoning, text and calls in, parts out.

Theory of operation. Text passes two filters (`<think>` tags, stop sequences enforced here) that may hold back
a tail; whatever is not text makes them let go of it first, so nothing changes places. Calls are put in order
by `Calls`. A client has one block open at a time, so text that comes while an open call is incomplete waits
for that call's end.

State that the provider wants back (`Carry`) goes out where blocks meet: in the signature of the thinking
that ends there, otherwise as redacted thinking right before the next block, at last before the end.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Raw

from ccproxy_trio.translate.calls import Calls
from ccproxy_trio.translate.carry import Carry
from ccproxy_trio.translate.parts import (
    Part,
    RedactedThinking,
    Text,
    TextEnd,
    Thinking,
    ThinkingSignature,
    ToolStart,
)
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.stops import StopMatcher
from ccproxy_trio.translate.think import ThinkTags
from ccproxy_trio.wire.chunks import CallPiece


class Voice:
    """One answer's content on its way to the client.

    Behind a stop sequence nothing is taken. `progress` counts the pieces that came, also those that are not
    shown or have to wait.
    """

    def __init__(
        self,
        *,
        target: Target,
        names: Mapping[str, str],
        show_thinking: bool,
        stop_sequences: tuple[str, ...],
        mint: Callable[[], str],
    ) -> None:
        dialect = target.dialect
        self._shows_thinking = show_thinking
        self._keeps_details = dialect.replay == "reasoning_details"
        self._keeps_extras = dialect.replay == "gemini_extra"
        self._keeps_hidden = dialect.replay == "reasoning_content"
        self._tags = ThinkTags() if dialect.think_tags else None
        self._stops = StopMatcher(stop_sequences) if stop_sequences else None
        self._calls = Calls(names=names, mint=mint)
        self._on_responses = dialect.wire == "responses"
        self._carry = Carry(target.provider, target.model, wire=dialect.wire)
        self._waiting: list[Text | TextEnd | Thinking] = []  # for the open call to end
        self._apart = False  # the next text is a block of its own
        self._last: type[Part] | None = None  # what the client saw last
        self._out: list[Part] = []
        self.progress = 0

    @property
    def has_spoken(self) -> bool:
        """Whether the client got anything to see."""
        return self._last is not None

    @property
    def has_called(self) -> bool:
        """Whether the client got a tool call."""
        return self._calls.produced

    @property
    def breaks_off(self) -> bool:
        """Whether the arguments of some call are no whole JSON value so far."""
        return self._calls.is_cut

    @property
    def stopped_at(self) -> str | None:
        """The stop sequence that was found; what comes behind it is not shown."""
        return None if self._stops is None else self._stops.matched

    def drain(self) -> list[Part]:
        """The parts that came out since the last time."""
        out, self._out = self._out, []
        return out

    def think(self, text: str) -> None:
        """Reasoning, in a field of its own."""
        if text and self.stopped_at is None:
            self._release()
            self._think(text)

    def speak(self, text: str) -> None:
        """Text, perhaps with reasoning in it."""
        if not text:
            return
        self.progress += 1
        if self._tags is None:
            self._say(text)
            return
        for piece in self._tags.feed(text):
            self._sort(piece)

    def begin_text(self) -> None:
        """Another message begins, whose text does not belong to that of the last."""
        if self.stopped_at is None:
            self._release()
            self._show(TextEnd())

    def call(self, pieces: Sequence[CallPiece]) -> None:
        """Items of a chunk's `tool_calls`."""
        self._call(pieces, self._calls.add)

    def call_whole(self, pieces: Sequence[CallPiece]) -> None:
        """A message's `tool_calls`: every item is a call."""
        self._call(pieces, self._calls.add_whole)

    def keep(self, details: Sequence[Raw]) -> None:
        """Items of a chunk's `reasoning_details`."""
        if self._keeps_details:
            for detail in details:
                self._carry.add_detail(detail)

    def keep_whole(self, details: Sequence[Raw]) -> None:
        """A message's `reasoning_details`."""
        if self._keeps_details:
            for detail in details:
                self._carry.add_whole_detail(detail)

    def keep_item(self, item: Raw) -> None:
        """An item of the Responses API that has to come back: it stands in front of what comes next."""
        self._carry.add_whole_detail(item)

    def end_call(self, index: int) -> None:
        """The call of this number has got all of its arguments."""
        self._calls.close(index)
        self._show_calls(self._calls.pump())

    def finish(self) -> None:
        """Nothing more comes: let everything out that waits."""
        self._release()
        self._show_calls(self._calls.finish())
        self._show_waiting()

    def hand_over(self, *, before: str = "") -> None:
        """A block other than thinking begins, or the end: sign the thinking, leave no state behind.

        `before` is our id of the call that begins.
        """
        if self._keeps_extras:
            self._carry.add_signatures(self._calls.take_extras())
        if self._last is Thinking:
            signature, *others = self._carry.take(before=before)
            self._out.append(ThinkingSignature(signature))
            self._out += map(RedactedThinking, others)
            return
        if self._last is None:
            self._out.append(ThinkingSignature(self._carry.sign()))  # for a block that a keep-alive opened
        if self._carry.is_waiting:
            self._out += map(RedactedThinking, self._carry.take(before=before))

    # Through the filters.

    def _think(self, text: str) -> None:
        self.progress += 1
        if self._shows_thinking:
            self._show(Thinking(text))
        elif self._keeps_hidden:
            self._carry.add_hidden(text)

    def _sort(self, piece: Text | Thinking) -> None:
        if isinstance(piece, Thinking):
            self._think(piece.text)
        else:
            self._say(piece.text)

    def _say(self, text: str) -> None:
        if self._stops is not None:
            text = self._stops.feed(text)
        if text:
            self._show(Text(text))

    def _release(self) -> None:
        """Something else than text comes: let go of what the filters hold back."""
        if self._tags is not None:
            for piece in self._tags.release():
                self._sort(piece)
        if self._stops is not None:
            held = self._stops.release()
            if held:
                self._show(Text(held))

    # In order.

    def _call(self, pieces: Sequence[CallPiece], add: Callable[[CallPiece], None]) -> None:
        self._release()
        if self.stopped_at is not None:
            return
        self.progress += 1
        for piece in pieces:
            add(piece)
        self._show_calls(self._calls.pump())

    def _show(self, part: Text | TextEnd | Thinking) -> None:
        if self._calls.is_open:
            self._show_calls(self._calls.give_way())
            if self._calls.is_open:
                self._waiting.append(part)
                return
        if self._waiting:
            self._show_waiting()
        self._put(part)

    def _show_waiting(self) -> None:
        for part in self._waiting:
            self._put(part)
        self._waiting.clear()

    def _show_calls(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if isinstance(part, ToolStart):
                self._show_waiting()
                self.hand_over(before=part.id if self._on_responses else "")
                self._last = ToolStart
            self._out.append(part)

    def _put(self, part: Text | TextEnd | Thinking) -> None:
        if isinstance(part, TextEnd):
            self._apart = self._last is Text
            return
        kind = type(part)
        if kind is Text and self._apart:
            self._out.append(TextEnd())
            self._last = TextEnd
        self._apart = False
        if kind is not self._last:
            # State that comes with reasoning belongs to the end of that reasoning, not in front of it.
            if kind is Text:
                self.hand_over()
            self._last = kind
        self._out.append(part)
