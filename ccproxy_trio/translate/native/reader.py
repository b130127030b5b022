"""One attempt's answer on Anthropic's own wire: frames in, passages out. Sans-io, no clock.

Theory of operation. What the client reads are the bytes that came. An event is looked into only to know where
the answer stands: which blocks there are, whether anything was shown, how it ended, what it cost. Deltas of
one block that came in one read are one passage, and deltas like the one before need no other look than that
they are.

What Claude Code throws a whole stream away for is mended here where it can be, and is a fault where it
cannot, so that somebody else is asked. What it takes as harmless is passed on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast, get_args

from msgspec import Raw

from ccproxy_trio.translate.errors import classify_object
from ccproxy_trio.translate.hearing import DONE, bare, is_stream
from ccproxy_trio.translate.native.blocks import Blocks
from ccproxy_trio.translate.native.frames import DELTA, Frame, FrameDecoder, Run, named
from ccproxy_trio.translate.native.headers import passed_back
from ccproxy_trio.translate.native.ids import Ids
from ccproxy_trio.translate.native.splice import edited, put
from ccproxy_trio.translate.native.whole import frames_of
from ccproxy_trio.translate.parts import Finished, Heading, Part
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.chunks import complains
from ccproxy_trio.wire.events import Passage, StopReason, Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.native import (
    ABSENT,
    BlockDelta,
    decode_answer_end,
    decode_answer_start,
    decode_delta,
    decode_deltas,
    decode_members,
    decode_start,
    decode_stop,
    decode_text,
    decode_texts,
    text_of,
    usage_of,
)
from ccproxy_trio.wire.sse import BYTE_ORDER_MARK, SseEvent

MOST_ASIDE_BYTES = 2**20  # between two events of the answer; a provider may ping for minutes
_EVENTS = frozenset(
    {
        *("message_start", "content_block_start", DELTA, "content_block_stop"),
        *("message_delta", "message_stop", "ping", "error"),
    }
)
_NOTHING_SAID = b'""}}'  # how a delta with nothing in it ends, and perhaps others
_UNNAMED = (None, "", "message")  # a name of no meaning is none: browsers call events so that have none
_REASONS = frozenset(get_args(StopReason))
_OF_AN_ANSWER = ("end_turn", "tool_use", None)  # with any other reason an answer may well be empty
_OF_A_MESSAGE = {
    "type": b'"message"',
    "role": b'"assistant"',
    "content": b"[]",
    "stop_reason": b"null",
    "stop_sequence": b"null",
    "usage": b'{"input_tokens":0,"output_tokens":0}',
}


class NativeReader:
    """Reads one attempt's answer. Make one per attempt, feed it, call `end` once the body is over.

    A `translate.question.Answering`. The answer is over with `message_stop` and nothing less: a body that
    ends without is broken off, whatever came before. `mint` gives 24 fresh hexadecimal digits for an id.
    """

    def __init__(self, *, target: Target, mint: Callable[[], str]) -> None:
        self._profile = target.dialect.profile
        self._ids = Ids(mint)
        self._blocks = Blocks()
        self._decoder = FrameDecoder()
        self._is_first = True  # the next frame is
        self._unsaid: list[Part] = []  # to go out with the next parts
        self._said: list[Part] = []  # as long as nothing was shown
        self._shows = False
        self._last: BlockDelta | None = None  # the delta before; one like it stands as right as it did
        self._trouble: UpstreamFault | None = None  # to be raised with the next event
        self._flows = False  # what deltas bring need not be looked at
        self._aside_bytes = 0
        self._aside_since = 0  # the progress that had been made then
        self._usage: Usage | None = None
        self._stop_reason: str | None = None
        self.progress = 0
        self.finished = False

    @property
    def decoder(self) -> FrameDecoder:
        """What takes this answer's bytes apart."""
        return self._decoder

    @property
    def finish_seen(self) -> bool:
        """Whether it is known how the answer ended."""
        return self.finished

    def begin(self, headers: Mapping[str, str]) -> None:
        """The head of a 200 has come; names in lower case."""
        self._unsaid = [Heading(passed_back(headers))]

    def feed(self, event: SseEvent) -> list[Part]:
        """The parts of one frame.

        Raises:
            UpstreamFault: an error event, by what it says; PROTOCOL, what Claude Code would throw the stream
                away for.
            TypeError: not one of `decoder`'s.
        """
        if type(event) is Frame and event.event == DELTA and self._flows:
            # One delta like the one before: nearly all there is, so without another call.
            delta = decode_delta(event.data)
            if delta == self._last and event.data[-4:] != _NOTHING_SAID:
                self.progress += 1
                return [Passage(event.raw, DELTA, delta.index, self._blocks.takes, True)]
        if not isinstance(event, Frame):
            raise TypeError("only whole frames can be passed on")
        self._raise_trouble()
        if self.finished:
            return []
        if event.event == DELTA:
            return self._run(event) if type(event) is Run else self._grow(event, [decode_delta(event.data)])
        if self._is_first:
            self._is_first = False
            event = Frame(event.event, event.data, event.raw.removeprefix(BYTE_ORDER_MARK))
        if not event.data.strip():
            return self._aside(event)
        if event.event in _EVENTS:
            return self._take(event)
        return self._take_stranger(event)

    def feed_completion(self, body: bytes) -> list[Part]:
        """The parts of a whole body: a message, or a stream that came under another content type.

        Raises:
            UpstreamFault: as `feed`.
        """
        text = bare(body)
        if is_stream(text):
            frames = self._decoder.feed(text) + self._decoder.end()
        else:
            frames = [Frame(None, text, text)]
        out: list[Part] = []
        for frame in frames:
            out += self.feed(frame)
        return out

    def end(self) -> list[Part]:
        """The last parts, `Finished` behind them all. Call it once the body is over or `finished` is set.

        Raises:
            UpstreamFault: TRUNCATED, there was no `message_stop`; EMPTY, there was, and nothing before it. An
                empty answer may be right: a caller who has nobody else to ask goes on with `concede`.
        """
        self._raise_trouble()
        if not self.finished:
            raise UpstreamFault(FaultKind.TRUNCATED, "the answer broke off before its end")
        if not self._shows and self._stop_reason in _OF_AN_ANSWER:
            raise UpstreamFault(FaultKind.EMPTY, "the provider gave an empty answer")
        return [*self._unsaid, self._finish()]

    def concede(self) -> list[Part]:
        """All of an answer that `end` found to be empty."""
        return [*self._said, *self._unsaid, self._finish()]

    # -- deltas, which nearly all of it is --

    def _run(self, run: Run) -> list[Part]:
        try:
            return self._grow(run, decode_deltas(run.data))
        except UpstreamFault:
            return self._one_by_one(run)

    def _one_by_one(self, run: Run) -> list[Part]:
        """What came before the fault is said, as if the network had cut the bytes there."""
        out: list[Part] = []
        frames = iter(run.frames())
        while self._trouble is None:  # one of them has it
            frame = next(frames)
            try:
                out += self._grow(frame, [decode_delta(frame.data)])
            except UpstreamFault as fault:
                self._flows, self._trouble = False, fault
        if not out:
            self._raise_trouble()
        return out

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _grow(self, frame: Frame, deltas: Sequence[BlockDelta]) -> list[Part]:
        if self._last is None or deltas.count(self._last) != len(deltas):
            self._last = self._blocks.grow(deltas)
        shows = self._shows
        if not self._flows or frame.data[-4:] == _NOTHING_SAID:
            shows = self._weigh(frame)
        else:
            self.progress += len(deltas)
        out = self._say(Passage(frame.raw, DELTA, self._last.index, self._blocks.takes, shows))
        self._flows = shows and not self._blocks.prefilled
        return out

    def _weigh(self, frame: Frame) -> bool:
        """Look at what deltas bring; whether with them the answer has something to show."""
        events = decode_texts(frame.data) if type(frame) is Run else [decode_text(frame.data)]
        saying = [event for event in events if event.delta.says]
        self.progress += len(saying)
        for event in saying:
            self._blocks.prefilled.pop(event.index, None)
        return self._shows or any(event.delta.shows for event in saying)

    # -- everything else --

    def _take(self, frame: Frame) -> list[Part]:
        match frame.event:
            case "content_block_start":
                return self._start(frame)
            case "content_block_stop":
                return self._stop(frame)
            case "message_start":
                return self._begin(frame)
            case "message_delta":
                return self._total(frame)
            case "message_stop":
                return self._over(frame)
            case "error":
                raise classify_object(Raw(frame.data), profile=self._profile)
            case _:  # ping
                return self._aside(frame)

    def _take_stranger(self, frame: Frame) -> list[Part]:
        """An event without a name, or with one that is no client's business."""
        payload = frame.data.strip()
        is_unnamed = frame.event in _UNNAMED
        if payload == DONE:
            return self._aside(frame)
        try:
            members = decode_members(payload)
        except UpstreamFault:
            if is_unnamed:
                raise
            return self._aside(frame)
        kind = text_of(members.get("type"))
        if kind in _EVENTS:
            return self.feed(named(frame, kind))
        if not is_unnamed:
            return self._aside(frame)
        if kind == "message" or (kind is None and "content" in members):
            return self._take_message(members)
        if kind is not None and not complains(members.get("error", ABSENT)):
            return self._aside(frame)
        raise self._no_answer(members, payload)

    def _take_message(self, members: dict[str, Raw]) -> list[Part]:
        out: list[Part] = []
        for frame in frames_of(members):
            out += self.feed(frame)
        return out

    def _no_answer(self, members: Mapping[str, Raw], payload: bytes) -> UpstreamFault:
        if any(complains(members.get(name, ABSENT)) for name in ("error", "message", "detail", "errors")):
            return classify_object(Raw(payload), profile=self._profile)
        return UpstreamFault(FaultKind.PROTOCOL, "the answer is not one of the Messages API")

    def _begin(self, frame: Frame) -> list[Part]:
        message = decode_answer_start(frame.data)
        self._usage = usage_of(message.get("usage", ABSENT), self._usage)
        members = self._ids.of_message(message)
        for name, value in _OF_A_MESSAGE.items():
            if _is_lacking(message.get(name), value):
                members[name] = value
        raw = _mended(frame.raw, ("message",), members)
        return self._say(Passage(raw, "message_start", usage=self._usage))

    def _start(self, frame: Frame) -> list[Part]:
        start = decode_start(frame.data)
        kind = text_of(start.content_block.get("type")) or ""
        begun = self._blocks.start(start.index, kind, start.content_block)
        self._last = None
        self._flows = False
        self.progress += 1
        changes = self._ids.of_block(kind, start.content_block) | begun.emptied
        raw = _mended(frame.raw, ("content_block",), changes)
        shows = self._shows or begun.shows
        out = self._say(Passage(raw, "content_block_start", start.index, self._blocks.takes, shows))
        if begun.text:
            out += self._say(Passage(begun.text, DELTA, start.index, self._blocks.takes, shows))
        return out

    def _stop(self, frame: Frame) -> list[Part]:
        index = decode_stop(frame.data)
        if not self._blocks.is_open(index):
            return []  # Claude Code would take the block for another one, or for none at all
        self._last = None
        self.progress += 1
        return self._close(index, frame.raw)

    def _close(self, index: int, raw: bytes) -> list[Part]:
        out: list[Part] = []
        text = self._blocks.stop(index)
        if text:
            out += self._say(Passage(text, DELTA, index, "tool_use", self._shows))
        return out + self._say(Passage(raw, "content_block_stop", index))

    def _total(self, frame: Frame) -> list[Part]:
        ending = decode_answer_end(frame.data)
        self._usage = usage_of(ending.usage, self._usage)
        self._stop_reason = text_of(ending.delta.get("stop_reason")) or self._stop_reason
        self.progress += 1
        passage = Passage(frame.raw, "message_delta", usage=self._usage)
        return self._close_all() + self._say(passage)

    def _over(self, frame: Frame) -> list[Part]:
        decode_members(frame.data)  # of one that was cut off the name alone says nothing
        out = self._close_all()
        self.finished = True
        # The other half of the last line end may still be on its way, and nobody will wait for it.
        raw = frame.raw + b"\n" if frame.raw.endswith(b"\r\n\r") else frame.raw
        self._unsaid += [Passage(raw, "message_stop")]
        return out

    def _close_all(self) -> list[Part]:
        """What was left open: Claude Code would lose such a block."""
        out: list[Part] = []
        for index in self._blocks.left_open():
            out += self._close(index, _stop_frame(index))
        return out

    def _aside(self, frame: Frame) -> list[Part]:
        if self._aside_since != self.progress:
            self._aside_since, self._aside_bytes = self.progress, 0
        self._aside_bytes += len(frame.raw)
        return [] if self._aside_bytes > MOST_ASIDE_BYTES else self._say(Passage(frame.raw))

    def _say(self, passage: Passage) -> list[Part]:
        if self._shows:
            return [passage]
        out: list[Part] = [*self._unsaid, passage]
        self._unsaid = []
        self._shows = passage.shows
        if passage.shows:
            self._said.clear()
        else:
            self._said += out
        return out

    def _finish(self) -> Finished:
        known = self._stop_reason in _REASONS
        reason = cast("StopReason", self._stop_reason) if known else "end_turn"
        return Finished(reason, usage=self._usage)


def _is_lacking(value: Raw | None, default: bytes) -> bool:
    return value is None or (bytes(value) == b"null" and default != b"null")


def _mended(raw: bytes, path: Sequence[str], members: Mapping[str, bytes]) -> bytes:
    return edited(raw, lambda data: put(data, path, members)) if members else raw


def _stop_frame(index: int) -> bytes:
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index
