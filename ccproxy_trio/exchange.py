"""One client request's journey: choose, lease, open, translate, show; fall back until the first content.

Read `stream`, `answer` and `Exchange.run` first, then down; `attempt.py` is what happens inside one try. The
request's own nursery owns the exchange, so a client's hang-up is ordinary cancellation: it closes the
upstream connection, gives the lease back, and nobody's health suffers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import assert_never

import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.actors.dispatcher import Exhausted
from ccproxy_trio.actors.kit import ActorDown
from ccproxy_trio.actors.provider import Lease, Refusal
from ccproxy_trio.attempt import AttemptRun, Try, Unit
from ccproxy_trio.audience import Audience, LiveStream, Opened, Rhythm, Whole, WholeAnswer
from ccproxy_trio.bookkeeping import AttemptBook, Bookkeeper, Ending, Facts, bug
from ccproxy_trio.deadline import Bound
from ccproxy_trio.documents.texts import Enclosed
from ccproxy_trio.drain import LAST_WORDS
from ccproxy_trio.errand import (
    Ask,
    ClientGone,
    CutShort,
    NothingLeft,
    Services,
    Stopped,
    ending_of,
    until_stopped,
)
from ccproxy_trio.health.verdict import Ruling, judge
from ccproxy_trio.login import of_the_client
from ccproxy_trio.race import Lane, Race
from ccproxy_trio.routing.patience import before_it_gives_up
from ccproxy_trio.routing.question import VISION, Attempt, Query, Use, Wait
from ccproxy_trio.routing.tiers import Candidate, tier_of
from ccproxy_trio.settings.model import Settings, Tier
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.translate.pdf import PdfText
from ccproxy_trio.translate.request import needs
from ccproxy_trio.wire.faults import FaultKind, RequestRefused, UpstreamFault


async def answer(ask: Ask, services: Services) -> Whole:
    """Serve a client that waits for the whole answer.

    Raises:
        RequestRefused: the request cannot be served as it stands.
        NothingLeft: no provider could.
    """
    audience = WholeAnswer(lambda: _emitter(ask, services))
    exchange = Exchange(ask, services, audience)
    with exchange.books.exchange(exchange.ending):
        await until_stopped(services.drain, exchange.run)
        return audience.whole()


async def stream(ask: Ask, services: Services, *, started: Callable[[Opened], None]) -> None:
    """Serve a client that reads along. `started` is called when there is something to answer 200 for.

    Until then failures are raised; afterwards they are error events in the stream.

    Raises:
        RequestRefused: the request cannot be served as it stands.
        NothingLeft: no provider could.
    """
    audience = LiveStream(_emitter(ask, services), _rhythm(ask, services.settings), started=started)
    exchange = Exchange(ask, services, audience)
    try:
        with exchange.books.exchange(exchange.ending):
            await until_stopped(services.drain, partial(_with_pulse, exchange, audience))
    except (NothingLeft, RequestRefused, CutShort) as error:
        if not audience.head_sent:
            raise
        await _end_in_error(audience, error)
    except ClientGone:
        pass
    finally:
        audience.close()


async def _with_pulse(exchange: "Exchange", audience: LiveStream) -> None:
    """Run the exchange with the keep-alives beside it.

    A nursery would wrap our errors into a group, so they cross its border as a value.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audience.pulse)
        try:
            await exchange.run()
        except (NothingLeft, RequestRefused, CutShort, ClientGone, ActorDown) as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _end_in_error(audience: LiveStream, error: NothingLeft | RequestRefused | CutShort) -> None:
    # Never `overloaded_error`: Claude Code would stream three times more before it shows anything. Any other
    # kind makes it ask once without `stream`, and that answer carries the true status. But where this proxy
    # is being stopped, to come again is just what it should do.
    kind = error.told.kind if isinstance(error, NothingLeft) else error.kind
    is_stopped = isinstance(error, Stopped)
    if kind == "overloaded_error" and not is_stopped:
        kind = "api_error"
    # A client that has stopped reading is told nothing.
    with suppress(UpstreamFault), trio.move_on_after(LAST_WORDS if is_stopped else math.inf):
        await audience.fail(kind, str(error))


def _emitter(ask: Ask, services: Services) -> Emitter:
    return Emitter(
        message_id="msg_" + services.mint(),
        model=ask.request.model,
        input_tokens=ask.size.prompt.tokens,
        scale=ask.size.scale,
    )


def _rhythm(ask: Ask, settings: Settings) -> Rhythm:
    return Rhythm(
        open_after=settings.commit_after,
        heartbeat_every=settings.heartbeat_interval if ask.patient else None,
        stall_limit=settings.stall_limit,
    )


class _Entry(Struct, frozen=True, kw_only=True):
    """What one attempt starts with. `texts` are those of the request's PDFs."""

    candidate: Candidate
    unit: Unit
    lease: Lease
    texts: Mapping[str, PdfText]


class Exchange:
    """The loop over candidates for one request, whoever listens."""

    def __init__(self, ask: Ask, services: Services, audience: Audience) -> None:
        self._ask = ask
        self._services = services
        self._audience = audience
        self._tier: Tier = tier_of(ask.request.model, services.settings.default_tier)
        # A streaming client's own time-out ends with our head, which is sent early; the other kind of client
        # gives up at its time-out whatever we do.
        gives_up_after = None if ask.request.stream else ask.client_timeout
        within = before_it_gives_up(services.content_within, gives_up_after)
        self._content_deadline = trio.current_time() + within
        self._enclosed = Enclosed(lambda: ask.request, services.documents, until=self._content_deadline)
        facts = Facts(
            request_id=ask.request_id,
            session=ask.session,
            model=ask.request.model,
            tier=self._tier,
            stream=bool(ask.request.stream),
            scale=ask.size.scale.factor,
        )
        self._empty_answer: Sequence[Part] | None = None
        self._is_answered = False
        self._credential = ask.kept.asked.sender.credential
        self._conversation = ask.conversation
        self._routes = ask.routes or services.routes
        self.books = Bookkeeper(facts, services.journal)

    async def run(self) -> None:
        """Find a candidate whose answer reaches its end.

        Raises:
            RequestRefused: the request cannot be put to any provider.
            NothingLeft: all were tried, and nothing was shown.
            CutShort: an answer that had begun to be shown broke off.
        """
        dispatcher, query = self._services.dispatcher, self._first_query()
        self._refuse_images_nobody_sees(query.needs)
        while True:
            step = await dispatcher.choose(query, self._routes)
            match step:
                case Use():
                    if step.after:
                        await trio.sleep(step.after)
                    query = msgspec.structs.replace(query, turn=step.turn)
                    tried = await self._try(query, step)
                    if tried is None:
                        break
                    query = tried
                case Wait():
                    await dispatcher.wait_for_change(step)
                    query = step.resumed(query)
                case Exhausted():
                    await self._give_up(step)
                    break
                case _:
                    assert_never(step)

    def _refuse_images_nobody_sees(self, needed: frozenset[str]) -> None:
        """In the words that make Claude Code repeat the request without its images."""
        if VISION not in needed:
            return
        models = self._routes.candidates[self._tier]
        if models and not any(self._services.dialect(model).vision for model in models):
            raise RequestRefused("Could not process image: no model of this tier takes images.")

    async def _try(self, query: Query, step: Use) -> Query | None:
        """Make one attempt, or two that race: what to ask then. None when an answer reached its end."""
        entry = await self._enter(step)
        if isinstance(entry, Attempt):
            return _after(query, (entry,))
        after = self._hedge_after(entry)
        if after is None:
            failed = await self._attempt(entry)
            return None if failed is None else _after(query, (failed,))
        race = Race(self._audience, decided=self.books.race_decided)
        hedge = partial(self._hedge, query, entry, after=after)
        failures = await race.run(partial(self._attempt, entry), hedge, after=after)
        return None if failures is None else _after(query, failures, outrun=race.outrun)

    def _hedge_after(self, entry: _Entry) -> float | None:
        """Seconds of silence after which another provider is asked too; None: never."""
        after = self._services.settings.hedge_after_of(entry.unit.settings)
        if after is None:
            return None
        rivals = (other.provider for other in self._routes.candidates[self._tier])
        if all(provider == entry.candidate.provider for provider in rivals):
            return None
        return entry.lease.p95 if after == "p95" else after

    async def _hedge(self, query: Query, first: _Entry, lane: Lane, *, after: float) -> Attempt | None:
        """Ask another provider beside `first`, if one is to be had."""
        services = self._services
        if services.drain.has_begun:
            return None
        step = await services.dispatcher.hedge(query, first.candidate, self._routes)
        # Content may have come with the answer to that question. Then the request is not kept any more.
        await trio.lowlevel.checkpoint_if_cancelled()
        entry = None if step is None else await self._enter(step)
        if entry is None or isinstance(entry, Attempt):
            return entry
        with entry.lease:
            await trio.lowlevel.checkpoint_if_cancelled()  # for the same reason
            self.books.hedged(first.candidate, entry.candidate, seconds=after)
            return await self._attempt(entry, lane)

    async def _enter(self, step: Use) -> _Entry | Attempt:
        """Get what one attempt needs. Its lease is to be entered before the next checkpoint."""
        candidate = step.candidate
        unit = self._services.units[candidate.provider]
        texts = await self._enclosed.texts(self._services.dialect(candidate))
        lease = await unit.actor.lease(candidate.model, forced=step.forced)
        if isinstance(lease, Refusal):
            # Nothing was sent: another request was quicker. The candidate is out for this round.
            self._services.dispatcher.unspent(step)
            return Attempt.refused(candidate, lease.why, at=trio.current_time())
        return _Entry(candidate=candidate, unit=unit, lease=lease, texts=texts)

    async def _attempt(self, entry: _Entry, lane: Lane | None = None) -> Attempt | None:
        """Make one attempt, in a race if there is a lane; None when its answer reached its end."""
        audience: Audience = lane or self._audience
        with self.books.attempt(entry.candidate) as book, entry.lease:
            if lane is not None:
                lane.begin(entry.candidate)
            run = AttemptRun(self._what(entry), lease=entry.lease, audience=audience)
            try:
                fault = await self._outcome(run, entry, book)
            except RequestRefused as refused:
                if not self._leaves_to_others(entry.candidate):
                    raise
                return Attempt.refused(entry.candidate, refused.message, at=trio.current_time())
            finally:
                if lane is not None and lane.is_outrun and book.fault is None:
                    book.outrun()
                    entry.lease.outrun()
        if fault is None:
            return None
        if lane is not None and lane.is_outrun:
            return Attempt.failed(entry.candidate, fault, at=trio.current_time())
        return await self._failed(entry, run, fault, audience)

    def _leaves_to_others(self, candidate: Candidate) -> bool:
        """Whether others, who take a request as it is, can be asked what could not be put to this one."""
        services = self._services
        others = services.speaking_natively(self._tier)
        if others is None or services.dialect(candidate).wire == "anthropic":
            return False
        self._routes = others
        return True

    async def _give_up(self, exhausted: Exhausted) -> None:
        if self._empty_answer is None:
            raise NothingLeft(exhausted.told)
        # Somebody did answer, with nothing. That is an answer where nobody had a better one.
        with suppress(UpstreamFault):  # CLIENT_STALLED: there is nobody to hear it
            self._audience.hear(self._empty_answer)
            await self._audience.catch_up()

    async def _outcome(self, run: AttemptRun, entry: _Entry, book: AttemptBook) -> UpstreamFault | None:
        """Run the attempt and settle its lease; the fault it ended in, if any."""
        unit, lease = entry.unit, entry.lease
        try:
            await run.run()
        except UpstreamFault as fault:
            # What it says about the provider depends on what the provider sent, what follows on what the
            # client saw. They differ for a client that waits for the whole answer.
            fault.message = unit.scrub(fault.message)
            if unit.settings.passes_credentials:
                of_the_client(fault, self._credential)
            lease.settle(judge(fault, shown=run.first_content_at is not None), fault)
            book.failed(fault)
            return fault
        except RequestRefused:
            book.refused()
            raise
        except Exception as error:  # noqa: BLE001 - see below
            # A bug of ours on one candidate's path: another may not lead over it. With the supervisor and the
            # edge's last resort this is the third and last place that may catch everything.
            self._services.journal(bug(error, request_id=self._ask.request_id))
            ours = UpstreamFault(FaultKind.INTERNAL, "a fault of this proxy")
            book.failed(ours)
            return ours
        finally:
            book.first_content_at = run.first_content_at
            book.usage = run.usage
            book.notes = run.notes
            if run.is_complete:
                # Booked even if the request is cancelled right here: its body has ended, so Quart ends it.
                self._is_answered = True
                lease.settle(Ruling.healthy())
                book.succeeded()
                self._services.dispatcher.served(
                    unit.settings.name, self._ask.session, tier=self._tier, routes=self._services.routes
                )
        return None

    async def _failed(
        self, entry: _Entry, run: AttemptRun, fault: UpstreamFault, audience: Audience
    ) -> Attempt:
        """The attempt as the dispatcher will hear of it, unless it is too late for another."""
        if fault.kind is FaultKind.CLIENT_STALLED:
            raise ClientGone(fault.message)
        if audience.shown:
            if self._conversation is not None:
                self._services.dispatcher.broke_off(self._conversation, entry.candidate.provider)
            raise CutShort.by(entry.candidate, fault)
        audience.forget()
        await entry.unit.actor.settled()
        if fault.kind is FaultKind.EMPTY:
            self._empty_answer = run.empty_answer
        return Attempt.failed(entry.candidate, fault, at=trio.current_time())

    def _what(self, entry: _Entry) -> Try:
        limit = entry.unit.settings.total_timeout
        overtime_at = math.inf if limit is None else trio.current_time() + limit
        provider = Bound(overtime_at, FaultKind.OVERTIME)
        request = Bound(self._content_deadline, FaultKind.TOTAL_TIMEOUT)
        sooner = min(request, provider, key=lambda bound: bound.at)
        return Try(
            kept=self._ask.kept,
            pdf_texts=entry.texts,
            unit=entry.unit,
            candidate=entry.candidate,
            session=self._ask.session,
            turns=self._services.turns,
            until_content=sooner,
            whole=provider if self._ask.request.stream else sooner,
            mint=self._services.mint,
        )

    def _first_query(self) -> Query:
        return Query(
            tier=self._tier,
            model=self._ask.request.model,
            deadline=self._content_deadline,
            needs=needs(self._ask.request),
            conversation=self._conversation,
            size=self._ask.size.prompt,
            session=self._ask.session,
        )

    def ending(self, error: BaseException | None) -> Ending:
        """What the way it was left means, for the journal."""
        return ending_of(None if self._is_answered else error)


def _after(query: Query, failed: Sequence[Attempt], *, outrun: int = 0) -> Query:
    made = (msgspec.structs.replace(attempt, round=query.round) for attempt in failed)
    attempts, outrun = (*query.attempts, *made), query.outrun + outrun
    return msgspec.structs.replace(query, attempts=attempts, outrun=outrun)
