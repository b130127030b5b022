"""A simulated provider: an `Endpoint` that opens no socket, answers at its pace and fails as it is told to.

Only the connection is simulated. What comes out of it are the bytes and statuses of a provider, so the
proxy's own reader, classifier and deadlines are at work on them.
"""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import trio
from msgspec import Struct

from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.settings.model import ProviderSettings
from ccproxy_trio.simulation import answers
from ccproxy_trio.simulation.outage import Kind, Outage, Trouble
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import probe_verdict
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

ROUND_TRIP = 0.05  # seconds
REFUSES_AFTER = 0.2  # seconds until an error's status arrives
COMMENT_EVERY = 5.0  # seconds
MOST_COMMENTS = 720

_FREEZING = frozenset({Kind.BLACKHOLE, Kind.HANG})
# What a probe, which asks for the list of models, is told as well.
_SEEN_BY_PROBES = frozenset({401, 402, 403, *range(500, 600)})
_LOST = {
    Kind.REFUSED: (FaultKind.CONNECT, "could not connect"),
    Kind.TLS: (FaultKind.TLS, "the TLS handshake or certificate failed"),
    Kind.RESET: (FaultKind.RESET, "the connection was lost"),
}


class Pace(Struct, frozen=True):
    """Seconds from a request to its answer's first content, and to its end."""

    first: float = 1.0
    whole: float = 4.0

    def times(self, factor: float) -> "Pace":
        """So many times as slow."""
        return Pace(self.first * factor, self.whole * factor)


class Piece(Struct, frozen=True):
    """Bytes of an answer, and the instant at which they come."""

    at: float
    data: bytes


NEVER = Piece(math.inf, b"")


class SimulatedAnswer:
    """A 200 under way. `cut_at`: the instant at which its connection is lost; None: it is not."""

    def __init__(self, pieces: Sequence[Piece], *, is_event_stream: bool, cut_at: float | None) -> None:
        self._pieces = list(pieces)
        self._cut_at = cut_at
        self.is_event_stream = is_event_stream
        self.headers: Mapping[str, str] = {}

    @property
    def is_over(self) -> bool:
        """Nothing of it is left."""
        return not self._pieces

    async def receive_some(self) -> bytes:
        """The next bytes; b"" at the end.

        Raises:
            UpstreamFault: the connection was lost.
        """
        cut_at = self._cut_at
        if cut_at is not None and (not self._pieces or self._pieces[0].at >= cut_at):
            await trio.sleep_until(cut_at)
            raise UpstreamFault(*_LOST[Kind.RESET])
        if not self._pieces:
            await trio.lowlevel.checkpoint()
            return b""
        await trio.sleep_until(self._pieces[0].at)
        return self._pieces.pop(0).data

    async def receive_all(self) -> bytes:
        """The rest."""
        body = bytearray()
        while data := await self.receive_some():
            body += data
        return bytes(body)


class SimulatedProvider:
    """One provider. `wall` gives epoch seconds; where outages overlap, the one named first counts."""

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        pace: Pace,
        outages: Sequence[Outage],
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._outages = outages
        self._wall = wall
        self._asked_in: dict[Outage, int] = {}

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[SimulatedAnswer]:
        """Take a request, on the dialect's wire.

        Raises:
            UpstreamFault: the trouble of the moment leaves no answer.
        """
        spoken = _Spoken(answers.decode(asked.body), dialect, prompt=len(asked.body) // 4)
        asked_at = trio.current_time()
        outage = self._outage(asked_at)
        trouble = None if outage is None else self._met_by_next(outage)
        if outage is not None and trouble is not None:
            await self._endure(trouble, outage, dialect=dialect)
        yield self._answer(spoken, trouble)

    async def probe(self) -> ProbeResult:
        """Ask for the list of models."""
        asked_at = trio.current_time()
        outage = self._outage(asked_at)
        if outage is not None and not outage.trouble.every_second:
            trouble = outage.trouble
            if trouble.kind is Kind.STATUS:
                return await self._probe_refused(trouble.status)
            if trouble.kind is not Kind.QUOTA:
                try:
                    await self._endure(trouble, outage, dialect=Dialect())
                except UpstreamFault as fault:
                    return _probed(ProbeVerdict.FAIL, fault.kind, str(fault.kind), asked_at)
        await trio.sleep(ROUND_TRIP)
        return _probed(ProbeVerdict.OK, None, "HTTP 200", asked_at)

    async def _probe_refused(self, status: int) -> ProbeResult:
        asked_at = trio.current_time()
        await trio.sleep(REFUSES_AFTER)
        seen = status if status in _SEEN_BY_PROBES else 200
        return _probed(*probe_verdict(seen), f"HTTP {seen}", asked_at)

    def _outage(self, now: float) -> Outage | None:
        return next((outage for outage in self._outages if outage.covers(now)), None)

    def _met_by_next(self, outage: Outage) -> Trouble | None:
        """What the next request meets."""
        count = self._asked_in[outage] = self._asked_in.get(outage, 0) + 1
        return None if outage.trouble.every_second and count % 2 == 0 else outage.trouble

    async def _endure(self, trouble: Trouble, outage: Outage, *, dialect: Dialect) -> None:
        """Be in trouble up to where an answer would begin; return if there is one."""
        match trouble.kind:
            case Kind.BLACKHOLE:
                await self._vanish(outage)
            case Kind.HANG:
                await trio.sleep_until(outage.ends_at)
            case Kind.REFUSED | Kind.TLS | Kind.RESET:
                await trio.sleep(ROUND_TRIP)
                raise UpstreamFault(*_LOST[trouble.kind])
            case Kind.STATUS | Kind.QUOTA:
                await trio.sleep(REFUSES_AFTER)
                raise self._refusal(trouble, dialect)
            case _:
                await trio.lowlevel.checkpoint()

    async def _vanish(self, outage: Outage) -> None:
        """Whoever connects sends again and again, so that it works out as soon as packets arrive."""
        give_up_at = trio.current_time() + self._settings.connect_timeout
        await trio.sleep_until(min(give_up_at, outage.ends_at))
        if give_up_at < outage.ends_at:
            raise UpstreamFault(FaultKind.CONNECT_TIMEOUT, "could not connect in time")

    def _refusal(self, trouble: Trouble, dialect: Dialect) -> UpstreamFault:
        headers = {} if trouble.rest is None else {"retry-after": f"{trouble.rest:g}"}
        speech = answers.SPEECHES[dialect.wire]
        if trouble.kind is Kind.QUOTA:
            status, body = speech.quota_refusal()
        else:
            status, body = trouble.status, speech.refusal(trouble.status)
        return classify(status, headers, body, profile=dialect.profile, wall_now=self._wall())

    def _answer(self, spoken: "_Spoken", trouble: Trouble | None) -> SimulatedAnswer:
        now = trio.current_time()
        kind = None if trouble is None else trouble.kind
        pace = self._pace.times(1.0 if trouble is None else trouble.factor)
        if kind is Kind.GARBAGE:
            page = [Piece(now + REFUSES_AFTER, answers.WEB_PAGE)]
            return SimulatedAnswer(page, is_event_stream=False, cut_at=None)
        pieces = spoken.pieces(pace, now) if spoken.streams else [Piece(now + pace.whole, spoken.whole)]
        pieces = _marred(pieces, kind, spoken, now)
        shifted, cut_at = self._overtaken(pieces, now)
        if kind is Kind.DIES:
            midway = now + (pace.first + pace.whole) / 2
            cut_at = midway if cut_at is None else min(midway, cut_at)
        return SimulatedAnswer(shifted, is_event_stream=spoken.streams, cut_at=cut_at)

    def _overtaken(self, pieces: Sequence[Piece], now: float) -> tuple[list[Piece], float | None]:
        """What outages that begin later make of an answer under way: frozen until they end, or cut off."""
        cut_at: float | None = None
        moved = list(pieces)
        for outage in sorted(self._outages, key=lambda each: each.begins_at):
            trouble = outage.trouble
            if outage.begins_at <= now or trouble.every_second:
                continue
            if trouble.kind in _FREEZING:
                moved = [_after(piece, outage) for piece in moved]
            elif trouble.kind is Kind.REFUSED and cut_at is None:
                cut_at = outage.begins_at
        is_cut = cut_at is not None and any(piece.at >= cut_at for piece in moved)
        return moved, cut_at if is_cut else None


class _Spoken:
    """One answer, in the words of its wire. `prompt` is the prompt's size in tokens."""

    def __init__(self, asked: answers.Asked, dialect: Dialect, *, prompt: int) -> None:
        self._speech = answers.SPEECHES[dialect.wire]
        self._model = asked.model
        self._prompt = prompt
        self.streams = asked.stream

    @property
    def whole(self) -> bytes:
        """In one piece."""
        return self._speech.whole(self._model, prompt=self._prompt)

    def pieces(self, pace: Pace, now: float) -> list[Piece]:
        """As a stream: the head at once, then words evenly from the first content to the end."""
        words = self._speech.words(self._model)
        gap = (pace.whole - pace.first) / len(words)
        said = [Piece(now + pace.first + place * gap, word) for place, word in enumerate(words)]
        first = Piece(now + min(ROUND_TRIP, pace.first), self._speech.opening(self._model))
        end = self._speech.closing(self._model, prompt=self._prompt)
        return [first, *said, Piece(now + pace.whole, end)]

    def without_content(self, pieces: Sequence[Piece]) -> list[Piece]:
        """What is left of these if there is nothing to say."""
        if not self.streams:
            return [Piece(pieces[0].at, self._speech.nothing(self._model))]
        return [pieces[0], Piece(pieces[-1].at, self._speech.hollow(self._model))]


def _marred(pieces: list[Piece], kind: Kind | None, spoken: _Spoken, now: float) -> list[Piece]:
    """What a trouble leaves of an answer."""
    match kind:
        case Kind.SILENT:
            every = (COMMENT_EVERY * count for count in range(1, MOST_COMMENTS))
            return [*(Piece(now + after, answers.COMMENT) for after in every), NEVER]
        case Kind.EMPTY:
            return spoken.without_content(pieces)
        case Kind.STALL:
            return [*pieces[: len(pieces) // 2], NEVER]
        case _:
            return pieces


def _after(piece: Piece, outage: Outage) -> Piece:
    return Piece(piece.at + outage.lasts, piece.data) if piece.at >= outage.begins_at else piece


def _probed(verdict: ProbeVerdict, kind: FaultKind | None, detail: str, asked_at: float) -> ProbeResult:
    return ProbeResult(verdict=verdict, kind=kind, detail=detail, seconds=trio.current_time() - asked_at)
