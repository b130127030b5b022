"""What happened: the journal's entries with their instants, put together by prompt."""

import trio
from msgspec import Struct

from ccproxy_trio.journal import AttemptEnded, Entry, ExchangeEnded
from ccproxy_trio.simulation.client import Prompt


class Event(Struct, frozen=True):
    """One entry of the journal and when it was written, in virtual seconds."""

    at: float
    entry: Entry


class Try(Struct, frozen=True, kw_only=True):
    """One attempt. `outcome` is what `AttemptEnded` says of it.

    `part` says in which of the client's requests it was made, from 0.
    """

    provider: str
    model: str
    outcome: str
    status: int | None
    began_at: float
    ended_at: float
    first_content_seconds: float | None
    part: int


class Answer(Struct, frozen=True, kw_only=True):
    """How one request of a prompt ended; `told` is the sentence for whoever got no answer."""

    how: str
    status: int
    error_type: str | None
    told: str
    provider: str | None
    began_at: float
    ended_at: float
    first_content_seconds: float | None
    streams: bool


class Visit(Struct, frozen=True, kw_only=True):
    """A prompt with all that came of it. Instants and spans are virtual seconds.

    `answers` has one item a request: several where the client asked again by itself.
    """

    prompt: Prompt
    sent_at: float
    tries: tuple[Try, ...]
    answers: tuple[Answer, ...]

    @property
    def answered(self) -> bool:
        """There was a whole answer in the end."""
        return self.answers[-1].how == "complete"

    @property
    def seconds(self) -> float:
        """From the first request to the end of the last."""
        return self.answers[-1].ended_at - self.sent_at

    @property
    def first_content_seconds(self) -> float | None:
        """Until there was something to read. Who waits for the whole answer sees all of it at once."""
        last = self.answers[-1]
        if not self.answered or last.first_content_seconds is None:
            return None
        if not last.streams:
            return self.seconds
        return last.began_at + last.first_content_seconds - self.sent_at

    @property
    def provider(self) -> str | None:
        """Who answered."""
        return self.answers[-1].provider if self.answered else None

    @property
    def told(self) -> str:
        """What its user would read instead of an answer."""
        return "" if self.answered else self.answers[-1].told


class Recorder:
    """A journal that keeps everything, and knows whose request is whose."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._prompts: dict[str, Prompt] = {}
        self._sent_at: dict[int, float] = {}

    def journal(self, entry: Entry) -> None:
        """Keep an entry."""
        self.events.append(Event(trio.current_time(), entry))

    def began(self, prompt: Prompt, request_id: str) -> None:
        """A request of this prompt is about to be made."""
        self._prompts[request_id] = prompt
        self._sent_at.setdefault(prompt.number, trio.current_time())

    def numbers(self) -> dict[str, int]:
        """The prompt's number by request id."""
        return {request_id: prompt.number for request_id, prompt in self._prompts.items()}

    def visits(self) -> list[Visit]:
        """All prompts in order."""
        answers: dict[int, list[Answer]] = {}
        tries: dict[int, list[Try]] = {}
        for event in self.events:
            match event.entry:
                case ExchangeEnded() as entry if entry.request_id in self._prompts:
                    number = self._prompts[entry.request_id].number
                    answers.setdefault(number, []).append(_answer(event.at, entry))
                case AttemptEnded() as entry if entry.request_id in self._prompts:
                    number = self._prompts[entry.request_id].number
                    tries.setdefault(number, []).append(_try(event.at, entry))
        prompts = {prompt.number: prompt for prompt in self._prompts.values()}
        return [
            Visit(
                prompt=prompts[number],
                sent_at=self._sent_at[number],
                tries=tuple(sorted(tries.get(number, ()), key=lambda each: (each.part, each.began_at))),
                answers=tuple(answers[number]),
            )
            for number in sorted(answers)
        ]


def _answer(ended_at: float, entry: ExchangeEnded) -> Answer:
    return Answer(
        how=entry.how,
        status=entry.status,
        error_type=entry.error_type,
        told=entry.detail,
        provider=entry.provider,
        began_at=ended_at - entry.seconds,
        ended_at=ended_at,
        first_content_seconds=entry.first_content_seconds,
        streams=entry.stream,
    )


def _try(ended_at: float, entry: AttemptEnded) -> Try:
    _, _, part = entry.request_id.partition(".")
    return Try(
        provider=entry.provider,
        model=entry.model,
        outcome=entry.outcome,
        status=entry.status,
        began_at=ended_at - entry.seconds,
        ended_at=ended_at,
        first_content_seconds=entry.first_content_seconds,
        part=int(part or 0),
    )
