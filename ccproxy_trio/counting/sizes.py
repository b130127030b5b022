"""How large a request is, by tier: windows and vocabularies, and off the event loop what takes long.

Nothing here asks a provider, so all of it is answered while all of them are down.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import trio
from msgspec import Struct

from ccproxy_trio.counting.vocabulary import Vocabulary
from ccproxy_trio.routing.order import in_order
from ccproxy_trio.routing.question import Query, Rules, Size
from ccproxy_trio.routing.tiers import Candidate, candidates
from ccproxy_trio.settings.model import TIERS, Settings, Tier
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.scale import UNSCALED, Scale, believed_window, scale_for
from ccproxy_trio.translate.tokens import Prompt, by_bytes, gather, seen_by
from ccproxy_trio.translate.vocabularies import vocabulary_of
from ccproxy_trio.translate.windows import SILENT, window_of
from ccproxy_trio.wire.anthropic import CountRequest

# Bytes of a request body up to which work is done at once; a thread costs some tenths of a millisecond.
COUNT_INLINE = 32_000  # under 2 ms, and under 5 of dense data
WEIGH_INLINE = 500_000  # under 3 ms as Claude Code writes it; beyond are PDFs, whose pages are looked for
AT_ONCE = 2  # counts under way in threads; each uses all cores by itself

# An estimate by bytes is this share of what dense data really is, give or take. A provider that cuts what is
# too long without a word gets the exact count from here on; for one that says so itself, only what matters
# near its limit is worth the milliseconds.
NEAR_SILENT = 0.45
NEAR = 0.85

_Result = TypeVar("_Result")


class Seat(Struct, frozen=True, kw_only=True):
    """A candidate of a tier, and what bears on its size.

    `window` in tokens where known. `is_silent`: it cuts what is too long. `vocabulary` is a name.
    """

    candidate: Candidate
    dialect: Dialect
    window: int | None = None
    is_silent: bool = False
    vocabulary: str | None = None


class Sizing(Struct, frozen=True, kw_only=True):
    """How large one request is, and how large its client is to think it."""

    prompt: Size
    scale: Scale = UNSCALED


class _View(Struct, frozen=True):
    """A prompt as some candidates see it, who count it with the same vocabulary."""

    vocabulary: str
    prompt: Prompt
    candidates: list[Candidate]


class Counting:
    """Answers how large a request is. `seats` are a tier's candidates in routing order."""

    def __init__(
        self,
        seats: Mapping[Tier, Sequence[Seat]],
        *,
        vocabularies: Mapping[str, Vocabulary] | None = None,
        wish: bool | int = False,
    ) -> None:
        self._seats = seats
        self._vocabularies = vocabularies or {}
        self._smallest = {tier: _smallest_window(row) for tier, row in seats.items()}
        self._wish = wish  # `scale_usage_to_window`
        self._threads = trio.CapacityLimiter(AT_ONCE)

    def windows(self) -> dict[Candidate, int]:
        """The windows that are known."""
        return {seat.candidate: seat.window for seat in self._all_seats() if seat.window is not None}

    def silent(self) -> frozenset[Candidate]:
        """The candidates that cut what is too long without a word."""
        return frozenset(seat.candidate for seat in self._all_seats() if seat.is_silent)

    def scale(self, tier: Tier, betas: str) -> Scale:
        """How a client that sent these betas (the header's value) is to be told token counts.

        The real window is the smallest of the tier, fallbacks included: any of them may serve the next turn.
        """
        return scale_for(self._wish, real=self._smallest[tier], believed=believed_window(betas))

    def announcement(self) -> str:
        """What the scaling comes to, for the operator; empty where there is none."""
        if self._wish is False:
            return ""
        tiers = (f"{tier} ×{self.scale(tier, '').factor:.3g}{self._because(tier)}" for tier in self._seats)
        return "Clients are told token counts scaled to the window they believe in: " + ", ".join(tiers)

    async def size(self, request: CountRequest, tier: Tier, *, body_bytes: int, betas: str) -> Sizing:
        """All about the size of a request to be served: an estimate, and exact counts where they decide.

        Raises:
            RequestRefused: two tools of one name, or one without any.
        """
        prompt, estimate = await self._weighed(request, tier, body_bytes)
        near = [seat for seat in self._seats[tier] if _is_near(seat, estimate)]
        exact = await self._exact(prompt, near, body_bytes)
        size = Size(tokens=estimate, media=prompt.media, exact=exact)
        return Sizing(prompt=size, scale=self.scale(tier, betas))

    async def count(self, request: CountRequest, tier: Tier, *, body_bytes: int) -> int:
        """Tokens as the tier's first candidate will count them: exact where its vocabulary is known.

        Raises:
            RequestRefused: two tools of one name, or one without any.
        """
        prompt, estimate = await self._weighed(request, tier, body_bytes)
        exact = await self._exact(prompt, self._seats[tier][:1], body_bytes)
        return next(iter(exact.values()), estimate)

    def _because(self, tier: Tier) -> str:
        window = self._smallest[tier]
        return " (no window known)" if window is None else f" (smallest window {window:,})"

    def _all_seats(self) -> Iterator[Seat]:
        for seats in self._seats.values():
            yield from seats

    async def _weighed(self, request: CountRequest, tier: Tier, body_bytes: int) -> tuple[Prompt, int]:
        """The prompt, and the estimate of it as the tier's first candidate will see it."""
        work = partial(_weigh, request, next(iter(self._seats[tier]), None))
        return await self._done(work, at_once=body_bytes <= WEIGH_INLINE)

    async def _exact(self, prompt: Prompt, seats: Sequence[Seat], body_bytes: int) -> dict[Candidate, int]:
        """The counts of those whose vocabulary is at hand."""
        seats = [seat for seat in seats if seat.vocabulary in self._vocabularies]
        exact: dict[Candidate, int] = {}
        if not seats:
            return exact
        at_once = body_bytes <= COUNT_INLINE
        for view in await self._done(partial(_views, prompt, seats), at_once=at_once):
            work = partial(view.prompt.tokens, self._vocabularies[view.vocabulary].count)
            exact |= dict.fromkeys(view.candidates, await self._done(work, at_once=at_once))
        return exact

    async def _done(self, work: Callable[[], _Result], *, at_once: bool) -> _Result:
        if at_once:
            return work()
        return await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)


def _smallest_window(seats: Iterable[Seat]) -> int | None:
    return min((seat.window for seat in seats if seat.window is not None), default=None)


def _is_near(seat: Seat, estimate: int) -> bool:
    near = NEAR_SILENT if seat.is_silent else NEAR
    return seat.window is not None and estimate >= near * seat.window


def _weigh(request: CountRequest, seat: Seat | None) -> tuple[Prompt, int]:
    prompt = gather(request)
    return prompt, (prompt if seat is None else _seen(prompt, seat)).tokens(by_bytes)


def _views(prompt: Prompt, seats: Sequence[Seat]) -> list[_View]:
    """What is to be counted, each once however many candidates share it. Every seat has a vocabulary."""
    views: list[_View] = []
    for seat in seats:
        seen = _seen(prompt, seat)
        for view in views:
            if view.vocabulary == seat.vocabulary and view.prompt == seen:
                view.candidates.append(seat.candidate)
                break
        else:
            views.append(_View(seat.vocabulary or "", seen, [seat.candidate]))
    return views


def _seen(prompt: Prompt, seat: Seat) -> Prompt:
    who = seat.candidate
    return seen_by(prompt, provider=who.provider, model=who.model, dialect=seat.dialect)


def seats_of(settings: Settings, dialects: Mapping[str, Mapping[str, Dialect]]) -> dict[Tier, list[Seat]]:
    """Each tier's candidates in the order of its strategy, whatever their health.

    `dialects` by provider and model.
    """
    rules = Rules.of(settings)
    providers = {provider.name: provider for provider in settings.enabled()}

    def seat(candidate: Candidate) -> Seat:
        dialect = dialects[candidate.provider][candidate.model]
        window = window_of(providers[candidate.provider], candidate.model, dialect)
        return Seat(
            candidate=candidate,
            dialect=dialect,
            window=None if window is None else window.tokens,
            is_silent=dialect.profile in SILENT,
            vocabulary=vocabulary_of(candidate.model),
        )

    return {
        tier: [
            seat(candidate)
            for candidate in in_order(Query(tier=tier, model=""), candidates(settings, tier), {}, rules)
        ]
        for tier in TIERS
    }


def vocabularies_needed(seats: Mapping[Tier, Sequence[Seat]]) -> frozenset[str]:
    """The names of the vocabularies that these candidates are counted with."""
    return frozenset(seat.vocabulary for row in seats.values() for seat in row if seat.vocabulary is not None)
