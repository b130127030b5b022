"""What one exchange writes to the journal: its attempts, its fall-overs, its end, with the times between."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from msgspec import Struct

from ccproxy_trio.journal import (
    AttemptEnded,
    ExchangeEnded,
    FellOver,
    GrammarViolated,
    Hedged,
    Journal,
    Note,
    RaceDecided,
    blame,
    bottom,
)
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.translate.grammar import GrammarBroken
from ccproxy_trio.wire.events import Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

OUTRUN = "outrun"  # how an attempt ended


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of an exchange from the start."""

    request_id: str
    session: str | None
    model: str
    tier: str
    stream: bool
    scale: float = 1.0  # by which the client's token counts are multiplied


class Failure(Struct, frozen=True):
    """How an attempt failed, for the line that tells of the next one."""

    candidate: Candidate
    reason: str
    seconds: float


class Runner(Struct, frozen=True):
    """One of two attempts that race, and the seconds that it has had."""

    candidate: Candidate
    seconds: float


class Bookkeeper:
    """Keeps the books of one exchange. All of it is synchronous, so a cancelled exchange is booked too."""

    def __init__(self, facts: Facts, journal: Journal) -> None:
        self._facts = facts
        self._journal = journal
        self._began_at = trio.current_time()
        self._attempts = 0
        self._candidate: Candidate | None = None
        self._failure: Failure | None = None
        self._first_content_at: float | None = None
        self._usage: Usage | None = None

    @contextmanager
    def attempt(self, candidate: Candidate) -> Iterator["AttemptBook"]:
        """Book one attempt; say first if it is a fall-over."""
        self._tell_fall_over(candidate)
        self._attempts += 1
        self._candidate = candidate
        book = AttemptBook()
        try:
            yield book
        finally:
            self._close(candidate, book)

    @contextmanager
    def exchange(self, ending: "Callable[[BaseException | None], Ending]") -> Iterator[None]:
        """Book the end of the exchange; `ending` says what the way it was left means."""
        try:
            yield
        except BaseException as error:
            self._end(ending(error))
            raise
        self._end(ending(None))

    def hedged(self, silent: Candidate, other: Candidate, *, seconds: float) -> None:
        """`silent` has said nothing for so long, and `other` is asked beside it."""
        self._journal(
            Hedged(
                request_id=self._facts.request_id,
                provider=silent.provider,
                model=silent.model,
                to_provider=other.provider,
                to_model=other.model,
                seconds=seconds,
            )
        )

    def race_decided(self, winner: Runner, loser: Runner) -> None:
        """Two attempts ran, and the winner's content has come."""
        self._journal(
            RaceDecided(
                request_id=self._facts.request_id,
                winner=winner.candidate.provider,
                winner_model=winner.candidate.model,
                seconds=winner.seconds,
                loser=loser.candidate.provider,
                loser_model=loser.candidate.model,
                loser_seconds=loser.seconds,
            )
        )

    def _tell_fall_over(self, candidate: Candidate) -> None:
        failure, self._failure = self._failure, None
        if failure is None or failure.candidate == candidate:
            return
        self._journal(
            FellOver(
                request_id=self._facts.request_id,
                from_provider=failure.candidate.provider,
                from_model=failure.candidate.model,
                to_provider=candidate.provider,
                to_model=candidate.model,
                reason=failure.reason,
                seconds=failure.seconds,
            )
        )

    def _close(self, candidate: Candidate, book: "AttemptBook") -> None:
        seconds = trio.current_time() - book.began_at
        first = book.first_content_at
        if book.outcome != OUTRUN:  # what is told of the exchange is the winner's
            self._candidate, self._first_content_at, self._usage = candidate, first, book.usage
        if book.fault is not None:
            self._failure = Failure(candidate, book.reason, seconds)
        for text in book.notes:
            self._journal(
                Note(
                    level="debug",
                    event="request.changed",
                    text=text,
                    provider=candidate.provider,
                    request_id=self._facts.request_id,
                )
            )
        self._journal(
            AttemptEnded(
                request_id=self._facts.request_id,
                provider=candidate.provider,
                model=candidate.model,
                outcome=book.outcome,
                status=None if book.fault is None else book.fault.status,
                detail=book.detail,
                seconds=seconds,
                first_content_seconds=None if first is None else first - book.began_at,
            )
        )

    def _end(self, ending: "Ending") -> None:
        first, usage = self._first_content_at, self._usage
        self._journal(
            ExchangeEnded(
                request_id=self._facts.request_id,
                session=self._facts.session,
                model=self._facts.model,
                tier=self._facts.tier,
                stream=self._facts.stream,
                how=ending.how,
                status=ending.status,
                provider=None if self._candidate is None else self._candidate.provider,
                upstream_model=None if self._candidate is None else self._candidate.model,
                attempts=self._attempts,
                seconds=trio.current_time() - self._began_at,
                first_content_seconds=None if first is None else first - self._began_at,
                input_tokens=None if usage is None else _prompt_tokens(usage),
                output_tokens=None if usage is None else usage.output_tokens,
                error_type=ending.error_type,
                detail=ending.detail,
                scale=self._facts.scale,
            )
        )


class Ending(Struct, frozen=True, kw_only=True):
    """How an exchange ended: complete, error, midfail, cancelled or refused."""

    how: str
    status: int
    error_type: str | None = None
    detail: str = ""


class AttemptBook:
    """One attempt's page. Nothing written means that it was cancelled.

    `notes`: what its translation left out or changed, a sentence each.
    """

    def __init__(self) -> None:
        self.began_at = trio.current_time()
        self.first_content_at: float | None = None
        self.usage: Usage | None = None
        self.fault: UpstreamFault | None = None
        self.reason = ""
        self.outcome = "cancelled"
        self.notes: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """The provider's own words, where it said any."""
        return "" if self.fault is None else self.fault.message

    def refused(self) -> None:
        """It was the request's fault; nothing was sent."""
        self.outcome = "refused"

    def outrun(self) -> None:
        """Another attempt had content first."""
        self.outcome = OUTRUN

    def succeeded(self) -> None:
        """The answer reached its end."""
        self.outcome = "ok"

    def failed(self, fault: UpstreamFault, *, reason: str | None = None) -> None:
        """The attempt ended in `fault`."""
        self.fault = fault
        self.outcome = str(fault.kind)
        self.reason = reason or describe(fault)


_WORDS = {
    FaultKind.CONNECT: "could not connect",
    FaultKind.CONNECT_TIMEOUT: "could not connect in time",
    FaultKind.TLS: "no trustworthy TLS",
    FaultKind.POOL: "all its connections are in use",
    FaultKind.RESET: "connection lost",
    FaultKind.PROTOCOL: "unreadable answer",
    FaultKind.HEADERS_TIMEOUT: "no answer in time",
    FaultKind.CONTENT_TIMEOUT: "no content in time",
    FaultKind.IDLE_TIMEOUT: "stream stalled",
    FaultKind.OVERTIME: "took too long",
    FaultKind.TOTAL_TIMEOUT: "out of time",
    FaultKind.SUSPENDED: "this proxy was suspended",
    FaultKind.TRUNCATED: "answer broke off",
    FaultKind.AUTH: "key rejected",
    FaultKind.LOGIN: "the client's own login rejected",
    FaultKind.EMPTY: "empty answer",
    FaultKind.UPSTREAM_ERROR: "error in its stream",
}


def _prompt_tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


def describe(fault: UpstreamFault) -> str:
    """A fault in a few words for people: `could not connect`, `rate limited (HTTP 429)`."""
    words = _WORDS.get(fault.kind, str(fault.kind).replace("_", " "))
    return words if fault.status is None else f"{words} (HTTP {fault.status})"


def bug(error: BaseException, *, request_id: str | None) -> Note | GrammarViolated:
    """A journal line for an error that should not exist."""
    cause = bottom(error)
    if isinstance(cause, GrammarBroken):
        return GrammarViolated(request_id=request_id, kinds=cause.kinds)
    text = f"unexpected {blame(error)}"
    return Note(level="error", event="internal.error", text=text, request_id=request_id)
