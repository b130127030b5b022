"""What reading an answer takes on each of OpenAI's wires: whether it is over, and how it ended.

An answer is over when the provider says so. A body that just ends is a failure, however good it looks: Claude
Code would take half an answer for a whole one, and half a call for a mistake of the model.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from msgspec import Raw

from ccproxy_trio.translate.parts import Finished, Part
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.stops import Ending, stop_reason
from ccproxy_trio.translate.voice import Voice
from ccproxy_trio.wire.chunks import ABSENT
from ccproxy_trio.wire.events import StopDetails, Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import BYTE_ORDER_MARK, Decoder, SseEvent

DONE = b"[DONE]"
_STREAM_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
_FILTERED = "blocked by the provider's content filter"


class Hearing(ABC):
    """One attempt's answer so far; the readers build on it. They tell what came, by way of `voice`.

    `finish_seen`: it is known how the answer ended, and only token counts can follow. `finished`: nothing
    more is worth waiting for. `mint` gives 24 fresh hexadecimal digits for a tool id; the upstream's own ids
    may repeat.
    """

    longest_line_bytes = 2**20

    def __init__(
        self,
        *,
        target: Target,
        names: Mapping[str, str],
        show_thinking: bool,
        stop_sequences: tuple[str, ...],
        mint: Callable[[], str],
    ) -> None:
        self.profile = target.dialect.profile
        self.voice = Voice(
            target=target,
            names=names,
            show_thinking=show_thinking,
            stop_sequences=stop_sequences,
            mint=mint,
        )
        self.ending: tuple[Ending, str | None] | None = None
        self.usage = ABSENT
        self.finished = False
        self._refusal = ""
        self._decoder = Decoder(max_line_bytes=self.longest_line_bytes)

    @property
    def decoder(self) -> Decoder:
        """What takes this answer's bytes apart."""
        return self._decoder

    def begin(self, headers: Mapping[str, str]) -> None:  # noqa: B027 - nothing to do is right here
        """The head of the answer has come. Nothing in it matters here."""

    @property
    def finish_seen(self) -> bool:
        """Whether it is known how the answer ended."""
        return self.ending is not None or self.voice.stopped_at is not None

    @property
    def progress(self) -> int:
        """How many pieces of the answer came, shown or not: a model that thinks unseen is alive."""
        return self.voice.progress

    @abstractmethod
    def feed(self, event: SseEvent) -> list[Part]:
        """The parts that one event of the stream completes."""

    @abstractmethod
    def feed_completion(self, body: bytes) -> list[Part]:
        """The parts of a whole body."""

    @abstractmethod
    def read_usage(self, usage: Raw) -> Usage | None:
        """What a `usage` value counts."""

    def is_broken_off(self) -> bool:
        """Whether a body that is over lacks what an answer of this wire ends with."""
        return not self.finish_seen

    def end(self) -> list[Part]:
        """The last parts, `Finished` behind them all. Call it once the body is over or `finished` is set.

        Raises:
            UpstreamFault: TRUNCATED, the provider did not say that the answer is over; EMPTY, it is over and
                there is nothing in it. An empty answer may be right: a caller who has nobody else to ask goes
                on with `concede`.
        """
        if self.is_broken_off():
            raise UpstreamFault(FaultKind.TRUNCATED, "the answer broke off before its end")
        self.voice.finish()
        if not self.voice.has_spoken and self._how_it_ended()[0] is Ending.DONE:
            raise UpstreamFault(FaultKind.EMPTY, "the provider gave an empty answer")
        return self.concede()

    def concede(self) -> list[Part]:
        """The end of the answer, even of one that `end` found to be empty."""
        self.voice.hand_over()
        return [*self.voice.drain(), self._finish()]

    def refuse(self, text: str) -> None:
        """The model refuses, in these words."""
        self._refusal += text
        self.voice.speak(text)

    def _finish(self) -> Finished:
        ending, sequence = self._how_it_ended()
        reason = stop_reason(ending, called=self.voice.has_called)
        details = StopDetails(explanation=self._refusal or _FILTERED)
        return Finished(
            stop_reason=reason,
            stop_sequence=sequence if reason == "stop_sequence" else None,
            stop_details=details if reason == "refusal" else None,
            usage=self.read_usage(self.usage) if self.usage else None,
        )

    def _how_it_ended(self) -> tuple[Ending, str | None]:
        if self._refusal:
            return Ending.REFUSED, None
        if self.voice.stopped_at is not None:
            return Ending.SEQUENCE, self.voice.stopped_at
        return self.ending or (Ending.DONE, None)


def bare(body: bytes) -> bytes:
    """A whole body without what may stand around it."""
    return body.removeprefix(BYTE_ORDER_MARK).strip()


def is_stream(body: bytes) -> bool:
    """Whether a body that came under another content type is a stream."""
    return body.startswith(_STREAM_BEGINNINGS)


def read_all(hearing: Hearing, body: bytes) -> list[Part]:
    """The parts of a stream that came whole.

    Raises:
        UpstreamFault: as `feed`.
    """
    decoder = Decoder(max_line_bytes=len(body))
    out: list[Part] = []
    for event in decoder.feed(body) + decoder.end():
        out += hearing.feed(event)
    return out
