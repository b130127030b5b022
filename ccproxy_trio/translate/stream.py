"""One attempt's answer: Chat Completions payloads in, parts out. Sans-io, no clock.

A payload is read in this order: error, token counts, reasoning, text, refusal, calls, finish. What it says
goes to a `Voice`, which knows what can be shown when; here it is decided what counts as an answer.
"""

from msgspec import Raw
from msgspec.structs import replace

from ccproxy_trio.translate.arguments import json_text
from ccproxy_trio.translate.carry import detail_text
from ccproxy_trio.translate.errors import classify_object
from ccproxy_trio.translate.hearing import DONE, Hearing, bare, is_stream, read_all
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
from ccproxy_trio.translate.stops import Ending, ending_of
from ccproxy_trio.translate.usage import read_usage
from ccproxy_trio.wire.chunks import (
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
from ccproxy_trio.wire.events import Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import SseEvent

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

_NO_DELTA = Delta()


class Reader(Hearing):
    """Reads one attempt's answer. Make one per attempt, feed it, call `end` once the body is over.

    The first parts that `feed` gives are always content-bearing. Once `finished` is set it gives nothing.
    """

    _done = False  # [DONE] was read

    def feed(self, event: SseEvent) -> list[Part]:
        """The parts that one event of the stream completes.

        Raises:
            UpstreamFault: an error object, by what it says; PROTOCOL, not a chunk; UPSTREAM_ERROR or
                OVERLOADED, a finish reason that stands for a failure.
        """
        payload = event.data.strip()
        if self.finished or not payload:
            return []
        if payload == DONE:
            self._done = self.finished = True
            return []
        if event.event == "error":
            raise self._reported(payload)
        self._take(self._decode(payload))
        return self.voice.drain()

    def feed_completion(self, body: bytes) -> list[Part]:
        """The parts of a whole body: a chat completion, or a stream that came under another content type.

        Raises:
            UpstreamFault: as `feed`; EMPTY, a completion without a choice.
        """
        body = bare(body)
        if is_stream(body):
            return read_all(self, body)
        completion = self._decode(body)
        if not completion.choices:
            raise UpstreamFault(FaultKind.EMPTY, "the provider gave an answer without a choice")
        if _first(completion.choices) is None:  # numbered from 1: the first is the first all the same
            completion = replace(completion, choices=[replace(completion.choices[0], index=0)])
        self._take(completion)
        self.ending = self.ending or (Ending.DONE, None)
        self.finished = True
        return self.voice.drain()

    def is_broken_off(self) -> bool:
        """`[DONE]` alone is an end, too, but not in the middle of a call's arguments."""
        return not self.finish_seen and (not self._done or self.voice.breaks_off)

    def read_usage(self, usage: Raw) -> Usage | None:
        """What a `usage` value counts."""
        return read_usage(usage)

    def _decode(self, payload: bytes) -> Chunk:
        chunk = decode_chunk(payload)
        if chunk.error and complains(chunk.error):  # also where the chunk has choices too
            raise classify_object(chunk.error, profile=self.profile)
        if chunk.choices is None and _is_error(chunk):
            raise classify_object(Raw(payload), profile=self.profile)
        return chunk

    def _reported(self, payload: bytes) -> UpstreamFault:
        """The fault that an event called "error" tells of, whatever is in it."""
        try:
            self._decode(payload)
        except UpstreamFault as fault:
            if fault.kind is not FaultKind.PROTOCOL:
                return fault
            return classify_object(payload.decode("utf-8", "replace"), profile=self.profile)
        return classify_object(Raw(payload), profile=self.profile)

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
        if self.voice.stopped_at is not None or (counted and self.finish_seen):
            self.finished = True

    def _note_usage(self, usage: Raw) -> bool:
        if not present(usage):
            return False
        self.usage = usage  # totals: the last word counts, they never add up
        return True

    def _take_choice(self, choice: Choice) -> None:
        if choice.message is not None and self._is_unheard(choice.delta):
            self._take_message(choice.message)
        elif choice.delta is not None:
            self._take_delta(choice.delta)
        if self.ending is None:
            self.ending = ending_of(choice)

    def _is_unheard(self, delta: Delta | None) -> bool:
        # A whole message may stand beside an empty delta: the answer itself, or once more what was streamed.
        return delta is None or (delta == _NO_DELTA and not self.voice.progress)

    def _take_delta(self, delta: Delta) -> None:
        if delta.reasoning_details:
            self.voice.keep(delta.reasoning_details)
        self._take_speech(delta)
        if delta.tool_calls:
            self.voice.call(delta.tool_calls)
        if delta.function_call is not None and _says_something(delta.function_call):
            self.voice.call((CallPiece(index=0, function=delta.function_call),))

    def _take_message(self, message: Delta) -> None:
        if message.reasoning_details:
            self.voice.keep_whole(message.reasoning_details)
        self._take_speech(message)
        if message.tool_calls:
            self.voice.call_whole(message.tool_calls)
        elif message.function_call is not None:
            self.voice.call_whole((CallPiece(function=message.function_call),))

    def _take_speech(self, delta: Delta) -> None:
        if reasoning := _reasoning(delta):
            self.voice.think(reasoning)
        content = delta.content
        if isinstance(content, str):
            self.voice.speak(content)
        elif content is not None:
            for part in content:
                self._take_part(part)
        if delta.refusal:
            self.refuse(delta.refusal)

    def _take_part(self, part: ContentPart | str) -> None:
        if isinstance(part, str):
            self.voice.speak(part)
            return
        self.voice.think(_thinking(part))
        self.voice.speak(part.text or "")
        if part.refusal:
            self.refuse(part.refusal)


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
