"""One attempt's answer: Chat Completions payloads in, parts out. Sans-io, no clock.

A payload is read in this order: error, token counts, reasoning, text, refusal, calls, finish. What it says
goes to a `Voice`, which knows what can be shown when; here it is decided what counts as an answer.

An answer is over when the provider says so. A body that just ends is a failure, however good it looks: Claude
Code would take half an answer for a whole one, and half a call for a mistake of the model.
"""

from collections.abc import Callable, Mapping

from msgspec import Raw
from msgspec.structs import replace

from ccproxy_trio.translate.arguments import json_text
from ccproxy_trio.translate.carry import detail_text
from ccproxy_trio.translate.errors import classify_object
from ccproxy_trio.translate.parts import (
    Finished,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ThinkingSignature,
    ToolArguments,
    ToolEnd,
    ToolStart,
    content_bearing,
)
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.stops import Ending, ending_of, stop_reason
from ccproxy_trio.translate.usage import read_usage
from ccproxy_trio.translate.voice import Voice
from ccproxy_trio.wire.chunks import (
    ABSENT,
    CallPiece,
    Choice,
    Chunk,
    ContentPart,
    Delta,
    FunctionPiece,
    complains,
    decode_chunk,
    present,
)
from ccproxy_trio.wire.events import StopDetails
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import Decoder, SseEvent

__all__ = [
    "Finished",
    "Part",
    "Reader",
    "RedactedThinking",
    "Text",
    "Thinking",
    "ThinkingSignature",
    "ToolArguments",
    "ToolEnd",
    "ToolStart",
    "content_bearing",
]

_DONE = b"[DONE]"
_STREAM_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FILTERED = "blocked by the provider's content filter"
_NO_DELTA = Delta()


class Reader:
    """Reads one attempt's answer. Make one per attempt, feed it, call `end` once the body is over.

    The first parts that `feed` gives are always content-bearing. `finish_seen`: a finish reason was read, and
    only token counts can follow. `finished`: nothing more is worth waiting for; `feed` gives nothing then.
    `mint` gives 24 fresh hexadecimal digits for a tool id; the upstream's own ids may repeat.
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
        self._profile = target.dialect.profile
        self._voice = Voice(
            target=target,
            names=names,
            show_thinking=show_thinking,
            stop_sequences=stop_sequences,
            mint=mint,
        )
        self._refusal = ""
        self._ending: tuple[Ending, str | None] | None = None
        self._usage = ABSENT
        self._done = False
        self.decoder = Decoder()
        self.finished = False

    def begin(self, headers: Mapping[str, str]) -> None:
        """The head of the answer has come. Nothing in it matters here."""

    @property
    def finish_seen(self) -> bool:
        """Whether it is known how the answer ended."""
        return self._ending is not None or self._voice.stopped_at is not None

    @property
    def progress(self) -> int:
        """How many pieces of the answer came, shown or not: a model that thinks unseen is alive."""
        return self._voice.progress

    def feed(self, event: SseEvent) -> list[Part]:
        """The parts that one event of the stream completes.

        Raises:
            UpstreamFault: an error object, by what it says; PROTOCOL, not a chunk; UPSTREAM_ERROR or
                OVERLOADED, a finish reason that stands for a failure.
        """
        payload = event.data.strip()
        if self.finished or not payload:
            return []
        if payload == _DONE:
            self._done = self.finished = True
            return []
        if event.event == "error":
            raise self._reported(payload)
        self._take(self._decode(payload))
        return self._voice.drain()

    def feed_completion(self, body: bytes) -> list[Part]:
        """The parts of a whole body: a chat completion, or a stream that came under another content type.

        Raises:
            UpstreamFault: as `feed`; EMPTY, a completion without a choice.
        """
        body = body.removeprefix(_BYTE_ORDER_MARK).strip()
        if body.startswith(_STREAM_BEGINNINGS):
            return self._feed_stream(body)
        completion = self._decode(body)
        if not completion.choices:
            raise UpstreamFault(FaultKind.EMPTY, "the provider gave an answer without a choice")
        if _first(completion.choices) is None:  # numbered from 1: the first is the first all the same
            completion = replace(completion, choices=[replace(completion.choices[0], index=0)])
        self._take(completion)
        self._ending = self._ending or (Ending.DONE, None)
        self.finished = True
        return self._voice.drain()

    def end(self) -> list[Part]:
        """The last parts, `Finished` behind them all. Call it once the body is over or `finished` is set.

        Raises:
            UpstreamFault: TRUNCATED, the provider did not say that the answer is over, or said no more than
                `[DONE]` in the middle of a call's arguments; EMPTY, it is over and there is nothing in it.
                An empty answer may be right: a caller who has nobody else to ask goes on with `concede`.
        """
        if not self.finish_seen and (not self._done or self._voice.breaks_off):
            raise UpstreamFault(FaultKind.TRUNCATED, "the answer broke off before its end")
        self._voice.finish()
        if not self._voice.has_spoken and self._how_it_ended()[0] is Ending.DONE:
            raise UpstreamFault(FaultKind.EMPTY, "the provider gave an empty answer")
        return self.concede()

    def concede(self) -> list[Part]:
        """The end of the answer, even of one that `end` found to be empty."""
        self._voice.hand_over()
        return [*self._voice.drain(), self._finish()]

    def _feed_stream(self, body: bytes) -> list[Part]:
        decoder = Decoder(max_line_bytes=len(body))
        out: list[Part] = []
        for event in decoder.feed(body) + decoder.end():
            out += self.feed(event)
        return out

    def _decode(self, payload: bytes) -> Chunk:
        chunk = decode_chunk(payload)
        if chunk.error and complains(chunk.error):  # also where the chunk has choices too
            raise classify_object(chunk.error, profile=self._profile)
        if chunk.choices is None and _is_error(chunk):
            raise classify_object(Raw(payload), profile=self._profile)
        return chunk

    def _reported(self, payload: bytes) -> UpstreamFault:
        """The fault that an event called "error" tells of, whatever is in it."""
        try:
            self._decode(payload)
        except UpstreamFault as fault:
            if fault.kind is not FaultKind.PROTOCOL:
                return fault
            return classify_object(payload.decode("utf-8", "replace"), profile=self._profile)
        return classify_object(Raw(payload), profile=self._profile)

    def _take(self, chunk: Chunk) -> None:
        counted = bool(chunk.usage) and self._note_usage(chunk.usage)
        if chunk.x_groq is not None:
            counted |= self._note_usage(chunk.x_groq.usage)
        # Azure opens streams with a chunk whose `choices` is empty (filter results), and counts come the same
        # way: taking either for the end would cut every answer.
        choice = _first(chunk.choices)
        if choice is not None:
            if choice.usage:
                counted |= self._note_usage(choice.usage)
            self._take_choice(choice)
        if self._voice.stopped_at is not None or (counted and self.finish_seen):
            self.finished = True

    def _note_usage(self, usage: Raw) -> bool:
        if not present(usage):
            return False
        self._usage = usage  # totals: the last word counts, they never add up
        return True

    def _take_choice(self, choice: Choice) -> None:
        if choice.message is not None and self._is_unheard(choice.delta):
            self._take_message(choice.message)
        elif choice.delta is not None:
            self._take_delta(choice.delta)
        if self._ending is None:
            self._ending = ending_of(choice)

    def _is_unheard(self, delta: Delta | None) -> bool:
        # A whole message may stand beside an empty delta: the answer itself, or once more what was streamed.
        return delta is None or (delta == _NO_DELTA and not self._voice.progress)

    def _take_delta(self, delta: Delta) -> None:
        if delta.reasoning_details:
            self._voice.keep(delta.reasoning_details)
        self._take_speech(delta)
        if delta.tool_calls:
            self._voice.call(delta.tool_calls)
        if delta.function_call is not None and _says_something(delta.function_call):
            self._voice.call((CallPiece(index=0, function=delta.function_call),))

    def _take_message(self, message: Delta) -> None:
        if message.reasoning_details:
            self._voice.keep_whole(message.reasoning_details)
        self._take_speech(message)
        if message.tool_calls:
            self._voice.call_whole(message.tool_calls)
        elif message.function_call is not None:
            self._voice.call_whole((CallPiece(function=message.function_call),))

    def _take_speech(self, delta: Delta) -> None:
        if reasoning := _reasoning(delta):
            self._voice.think(reasoning)
        content = delta.content
        if isinstance(content, str):
            self._voice.speak(content)
        elif content is not None:
            for part in content:
                self._take_part(part)
        if delta.refusal:
            self._refuse(delta.refusal)

    def _take_part(self, part: ContentPart | str) -> None:
        if isinstance(part, str):
            self._voice.speak(part)
            return
        self._voice.think(_thinking(part))
        self._voice.speak(part.text or "")
        if part.refusal:
            self._refuse(part.refusal)

    def _refuse(self, text: str) -> None:
        self._refusal += text
        self._voice.speak(text)

    def _finish(self) -> Finished:
        ending, sequence = self._how_it_ended()
        reason = stop_reason(ending, called=self._voice.has_called)
        details = StopDetails(explanation=self._refusal or _FILTERED)
        return Finished(
            stop_reason=reason,
            stop_sequence=sequence if reason == "stop_sequence" else None,
            stop_details=details if reason == "refusal" else None,
            usage=read_usage(self._usage) if self._usage else None,
        )

    def _how_it_ended(self) -> tuple[Ending, str | None]:
        if self._refusal:
            return Ending.REFUSED, None
        if self._voice.stopped_at is not None:
            return Ending.SEQUENCE, self._voice.stopped_at
        return self._ending or (Ending.DONE, None)


def _first(choices: list[Choice] | None) -> Choice | None:
    for choice in choices or ():
        if not choice.index or choice.index == "0":
            return choice
    return None


def _says_something(function: FunctionPiece) -> bool:
    return bool(function.name or json_text(function.arguments))


def _is_error(chunk: Chunk) -> bool:
    """Whether a payload that holds no answer is an error without `error` around it."""
    return chunk.object == "error" or any(map(present, (chunk.message, chunk.detail, chunk.errors)))


def _reasoning(delta: Delta) -> str:
    # Some servers send the same text under both names, and in the details besides.
    if delta.reasoning_content and isinstance(delta.reasoning_content, str):
        return delta.reasoning_content
    if delta.reasoning and isinstance(delta.reasoning, str):
        return delta.reasoning
    if delta.reasoning_details:
        return "".join(map(detail_text, delta.reasoning_details))
    return ""


def _thinking(part: ContentPart) -> str:
    if isinstance(part.thinking, list):
        return "".join(inner.text or "" for inner in part.thinking)
    return part.thinking or ""
