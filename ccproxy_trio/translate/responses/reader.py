"""One attempt's answer on the Responses wire: events in, parts out. Sans-io, no clock.

Theory of operation. An answer is a list of items, each told three times: in pieces, whole when it is done,
and whole again in the response that ends the stream. Pieces are shown as they come; of what is told whole,
what was not heard yet. Imitators leave out any of the three, so nothing is waited for.

What an item says goes to a `Voice`, as on the Chat wire. Reasoning that has to come back is kept as the whole
item: the voice puts it in front of what follows, which is where OpenAI wants it.
"""

from collections.abc import Callable, Mapping

from msgspec import Raw, Struct

from ccproxy_trio.translate.arguments import json_text
from ccproxy_trio.translate.errors import classify_object
from ccproxy_trio.translate.hearing import DONE, Hearing, bare, is_stream, read_all
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.responses.heard import Heard, Items, PartKey
from ccproxy_trio.translate.responses.reasoning import kept, phase_mark, texts
from ccproxy_trio.translate.stops import ENDINGS, Ending
from ccproxy_trio.translate.usage import read_response_usage
from ccproxy_trio.wire.chunks import CallPiece, FunctionPiece, Loose, complains, present
from ccproxy_trio.wire.events import Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.response_events import (
    ItemKind,
    OutputItem,
    Response,
    ResponseEvent,
    decode_event,
    decode_item,
    decode_response,
    decode_text,
)
from ccproxy_trio.wire.sse import SseEvent

_BETWEEN = "\n\n"  # parts of reasoning
_FAILED = "the provider's answer failed"


class _Row(Struct, frozen=True):
    """An event that tells something of an item: a piece of one of its parts, or that part whole."""

    kind: ItemKind
    part: str
    whole: bool = False


_ROWS: Mapping[str, _Row] = {
    "response.output_text.delta": _Row("message", "text"),
    "response.output_text.done": _Row("message", "text", whole=True),
    "response.refusal.delta": _Row("message", "refusal"),
    "response.refusal.done": _Row("message", "refusal", whole=True),
    "response.reasoning_summary_text.delta": _Row("reasoning", "summary"),
    "response.reasoning_summary_text.done": _Row("reasoning", "summary", whole=True),
    "response.reasoning_text.delta": _Row("reasoning", "content"),
    "response.reasoning_text.done": _Row("reasoning", "content", whole=True),
    "response.function_call_arguments.delta": _Row("function_call", "arguments"),
    "response.function_call_arguments.done": _Row("function_call", "arguments", whole=True),
}
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_ARGUMENTS: PartKey = ("arguments", 0)


class Reader(Hearing):
    """Reads one attempt's answer. Make one per attempt, feed it, call `end` once the body is over.

    The first parts that `feed` gives are always content-bearing. Once `finished` is set it gives nothing.
    """

    longest_line_bytes = 8 * 2**20  # the last event holds the whole answer, and the prompt besides

    def __init__(
        self,
        *,
        target: Target,
        names: Mapping[str, str],
        show_thinking: bool,
        stop_sequences: tuple[str, ...],
        mint: Callable[[], str],
    ) -> None:
        super().__init__(
            target=target,
            names=names,
            show_thinking=show_thinking,
            stop_sequences=stop_sequences,
            mint=mint,
        )
        self._keeps_reasoning = target.dialect.encrypted_reasoning
        self._items = Items()
        self._thought: tuple[int, PartKey] | None = None  # what was told last, if it was reasoning
        self._spoken: int | None = None  # whose text was told last
        self._landmarks = 0  # items that began or were done

    @property
    def progress(self) -> int:
        """How many pieces of the answer came, shown or not. Reasoning may show in nothing but its item."""
        return super().progress + self._landmarks

    def read_usage(self, usage: Raw) -> Usage | None:
        """What a `usage` value counts."""
        return read_response_usage(usage)

    def feed(self, event: SseEvent) -> list[Part]:
        """The parts that one event of the stream completes.

        Raises:
            UpstreamFault: an error, or a response that failed, by what it says; PROTOCOL, not an event.
        """
        payload = event.data.strip()
        if self.finished or not payload:
            return []
        if payload == DONE:  # no end by itself: a response ends with a word of its own
            self.finished = True
            return []
        told = decode_event(payload) if event.event != "error" else ResponseEvent(type="error")
        self._take(told.type if isinstance(told.type, str) else event.event, told, payload)
        self.finished = self.finish_seen
        return self.voice.drain()

    def feed_completion(self, body: bytes) -> list[Part]:
        """The parts of a whole body: a response, or a stream that came under another content type.

        Raises:
            UpstreamFault: as `feed`; EMPTY, a response without output.
        """
        body = bare(body)
        if is_stream(body):
            return read_all(self, body)
        self._take_untyped(body)
        if not self.finish_seen:
            raise UpstreamFault(FaultKind.EMPTY, "the provider gave an answer without any output")
        self.finished = True
        return self.voice.drain()

    def _take(self, kind: str | None, told: ResponseEvent, payload: bytes) -> None:
        row = _ROWS.get(kind or "")
        if row is not None:
            self._hear(row, told)
        elif kind == "response.output_item.added":
            self._begin_item(told)
        elif kind == "response.output_item.done":
            self._end_item(told)
        elif kind in _ENDS:
            response = decode_response(bytes(told.response)) if present(told.response) else Response()
            self._end_with(response, said=kind.removeprefix("response."), payload=payload)
        elif kind == "error":
            raise classify_object(Raw(payload), profile=self.profile)
        elif kind is None:
            self._take_untyped(payload)

    def _take_untyped(self, payload: bytes) -> None:
        """What does not say what it is: a whole response, an error, or nothing."""
        response = decode_response(payload)
        if response.output is not None or complains(response.error):
            self._end_with(response, said="completed", payload=payload)
        elif response.object == "error" or any(
            map(present, (response.message, response.detail, response.errors))
        ):
            raise classify_object(Raw(payload), profile=self.profile)

    # Pieces, and parts that are told whole.

    def _hear(self, row: _Row, told: ResponseEvent) -> None:
        find = self._items.end_of if row.whole else self._items.more_of
        item = find(row.kind, told.output_index, told.item_id)
        if row.kind == "function_call":
            self._argue(item, told.arguments if row.whole else told.delta, row)
            return
        part = (row.part, _number(told.content_index) + _number(told.summary_index))
        if not row.whole:
            self._tell(item, part, decode_text(told.delta))
        elif part not in item.parts:
            self._tell(item, part, decode_text(told.refusal if row.part == "refusal" else told.text))

    def _tell(self, item: Heard, part: PartKey, text: str) -> None:
        if not text:
            return
        item.parts.add(part)
        if item.kind == "reasoning":
            now = (item.number, part)
            self.voice.think(text if self._thought in (None, now) else _BETWEEN + text)
            self._thought = now
            return
        self._thought = None
        if self._spoken not in (None, item.number):
            self.voice.begin_text()
        self._spoken = item.number
        if part[0] == "refusal":
            self.refuse(text)
        else:
            self.voice.speak(text)

    def _argue(self, item: Heard, arguments: Raw, row: _Row) -> None:
        if not row.whole:
            self._call(item, None, arguments)
            return
        if _ARGUMENTS not in item.parts:
            self._call(item, None, arguments)
        self.voice.end_call(item.number)

    def _call(self, item: Heard, name: str | None, arguments: Raw) -> None:
        self._thought = None
        if present(arguments) and json_text(arguments):
            item.parts.add(_ARGUMENTS)
        item.named = item.named or bool(name)
        self.voice.call((CallPiece(index=item.number, function=FunctionPiece(name, arguments)),))

    # Items.

    def _begin_item(self, told: ResponseEvent) -> None:
        self._landmarks += 1
        item = decode_item(told.item)
        if item is None:
            return
        begun = self._items.begun(item.type, told.output_index, item.id)
        self._introduce(begun, item)

    def _introduce(self, begun: Heard, item: OutputItem) -> None:
        """What has to be known of an item before anything it says."""
        if item.type == "function_call" and item.name and not begun.named:
            self._call(begun, item.name, Raw())
        elif item.type == "message" and not begun.named and not begun.parts:
            mark = phase_mark(item)
            if mark is not None and self._keeps_reasoning:
                begun.named = True
                self.voice.keep_item(mark)

    def _end_item(self, told: ResponseEvent) -> None:
        self._landmarks += 1
        item = decode_item(told.item)
        if item is None:
            return
        ended = self._items.more_of(item.type, told.output_index, item.id)
        self._take_whole(ended, item)
        ended.done = True

    def _take_whole(self, known: Heard, item: OutputItem) -> None:
        """An item from its beginning to its end; what was heard of it before is not told again."""
        self._introduce(known, item)
        match item.type:
            case "function_call":
                if _ARGUMENTS not in known.parts and present(item.arguments):
                    self._call(known, None, item.arguments)
                self.voice.end_call(known.number)
            case "message" if not known.parts:
                for place, part in enumerate(texts(item.content)):
                    self._tell(known, ("text", place), part.text or "")
                    self._tell(known, ("refusal", place), part.refusal or "")
            case "reasoning":
                self._take_reasoning(known, item)

    def _take_reasoning(self, known: Heard, item: OutputItem) -> None:
        if not known.parts:
            for name, parts in (("summary", item.summary), ("content", item.content)):
                for place, part in enumerate(texts(parts)):
                    self._tell(known, (name, place), part.text or "")
        back = kept(item) if self._keeps_reasoning and not known.kept else None
        if back is not None:
            known.kept = True
            self.voice.keep_item(back)

    # The end.

    def _end_with(self, response: Response, *, said: str, payload: bytes) -> None:
        """The response as it ended: what of it was not heard, its counts, and how.

        `said` is the word of the event; the response's own is the more exact.
        """
        status = response.status if isinstance(response.status, str) else said
        if complains(response.error):
            raise classify_object(response.error, profile=self.profile)
        if "failed" in (status, said) or "cancelled" in (status, said):
            raise UpstreamFault(FaultKind.UPSTREAM_ERROR, _FAILED)
        self._take_the_rest(response.output or [])
        if present(response.usage):
            self.usage = response.usage
        incomplete = "incomplete" in (status, said)
        self.ending = (_why_incomplete(response) if incomplete else Ending.DONE, None)

    def _take_the_rest(self, output: list[Raw]) -> None:
        """What was not heard of the items."""
        items = [item for item in map(decode_item, output) if item is not None]
        for heard, item in self._items.paired(items):
            self._take_whole(heard, item)


def _number(index: Loose) -> int:
    return index if isinstance(index, int) else 0


def _why_incomplete(response: Response) -> Ending:
    details = response.incomplete_details
    ending = ENDINGS.get((details.reason or "").lower()) if details else None
    return ending if ending in (Ending.REFUSED, Ending.WINDOW) else Ending.LENGTH
