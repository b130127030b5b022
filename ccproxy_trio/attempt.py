"""One try at one candidate: translate, send, read, show. Raises `UpstreamFault` when it does not work out.

The deadlines are ours. A timeout of reads is reset by every byte, so a header that drips or a comment every
second would never end it; here only content counts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import trio
from msgspec import Struct, field

from ccproxy_trio.actors.provider import Lease, Provider
from ccproxy_trio.audience import Audience
from ccproxy_trio.deadline import Bound, Deadline, suspended
from ccproxy_trio.health.lateness import was_late
from ccproxy_trio.health.lessons import Lesson, together
from ccproxy_trio.health.verdict import Verdict, judge
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import ProviderSettings
from ccproxy_trio.translate.adjust import Complaint, complaint, established
from ccproxy_trio.translate.dialect import Dialect, with_lessons
from ccproxy_trio.translate.memory import SchemaMemory
from ccproxy_trio.translate.parts import Finished, Part, content_bearing
from ccproxy_trio.translate.pdf import PdfText
from ccproxy_trio.translate.question import Answering, Asked, Question
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.wires import put
from ccproxy_trio.turns import Turns
from ccproxy_trio.upstream.endpoint import Answered, Endpoint
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.events import Usage
from ccproxy_trio.wire.faults import FaultKind, Untranslatable, UpstreamFault
from ccproxy_trio.wire.sse import SseEvent

USAGE_WITHIN = 2.0  # seconds to wait for the usage chunk after a finish_reason
REST_WITHIN = 0.1  # seconds for the rest of a finished body, so that its connection can be used again
EVENTS_A_BURST = 64  # a megabyte of events in one read must not keep every other task waiting
MOST_REPAIRS = 8  # of one request: what only looks like Anthropic finds that many things new to it


# What a fault before any content may say about a provider, the least first.
_BY_WEIGHT = (
    Verdict.SILENT,
    Verdict.HEALTHY,
    Verdict.LIMITED,
    Verdict.FAULTY,
    Verdict.BILLING,
    Verdict.AUTH,
)


class Unit(Struct, frozen=True, kw_only=True):
    """All there is of one provider: settings, the actor's handle, connections, dialects by model.

    `scrub` takes the provider's key and header values out of a text, in any form they may be quoted in.
    """

    settings: ProviderSettings
    actor: Provider
    upstream: Endpoint
    dialects: Mapping[str, Dialect]
    scrub: Callable[[str], str]
    schemas: SchemaMemory = field(default_factory=SchemaMemory)


class Kept:
    """A client's request, for as long as somebody may have to be asked it.

    It takes several times its size, and an answer may take minutes. So it is held in this one place, and let
    go of with the first content that the client is shown: after that nobody else is asked.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked: Asked | None = asked

    @property
    def asked(self) -> Asked:
        """What came.

        Raises:
            LookupError: it was let go of; a bug.
        """
        if self._asked is None:
            raise LookupError("a request that has been answered is not kept")
        return self._asked

    @property
    def request(self) -> MessagesRequest:
        """The request.

        Raises:
            LookupError: as `asked`.
        """
        return self.asked.request

    def adopt(self, asked: Asked) -> None:
        """The same request, with more beside it, or less."""
        self._asked = asked

    def let_go(self) -> None:
        """Nobody will be asked any more."""
        self._asked = None


class Try(Struct, frozen=True, kw_only=True):
    """What one attempt needs to know. `until_content` bounds it to its first content, then `whole` does."""

    kept: Kept
    pdf_texts: Mapping[str, PdfText]
    unit: Unit
    candidate: Candidate
    session: str | None
    turns: Turns
    until_content: Bound
    whole: Bound
    mint: Callable[[], str]


Opening = AbstractAsyncContextManager[Answered]


class AttemptRun:
    """One attempt under way.

    `first_content_at` (Trio's clock) is kept for the journal and the verdict, `usage` for the journal (None:
    the provider told none). `empty_answer` is how an answer without content would have ended, for a request
    that finds no better one. `is_complete`: the audience has heard the answer to its end, whatever happens
    to the connections afterwards.
    """

    def __init__(self, what: Try, *, lease: Lease, audience: Audience) -> None:
        self._what = what
        self._lease = lease
        self._audience = audience
        self._dialect = with_lessons(what.unit.dialects[what.candidate.model], lease.learned)
        self._tried = [self._dialect]
        self._question: Question | None = None  # until the client has been shown some of the answer
        self._unproven: tuple[Lesson, ...] = ()  # what the request at hand was changed by
        self._complaint: Complaint | None = None  # what it was changed for
        self.first_content_at: float | None = None
        self.empty_answer: Sequence[Part] | None = None
        self.usage: Usage | None = None
        self.is_complete = False
        self.notes: tuple[str, ...] = ()

    async def run(self) -> None:
        """Ask once; ask again with less when the provider names what it does not take.

        Raises:
            UpstreamFault: the attempt failed; see `health.verdict` for what follows.
            RequestRefused: the request cannot be put in this dialect at all.
        """
        await self._what.turns.take()
        while True:
            try:
                await self._ask(*self._prepared())
            except UpstreamFault as fault:
                self._learn(established(self._unproven, fault, before=self._complaint))
                question, self._question = self._question, None
                if self._audience.shown or question is None:
                    raise
                # Who is cancelled meanwhile needs no fault any more.
                self._question = await self._repaired(question, fault)  # noqa: ASYNC120
                if self._question is None:
                    raise
            else:
                return self._learn(self._unproven)

    def _put(self) -> Question:
        try:
            question = put(self._what.kept.asked, self._target())
        except Untranslatable as refused:
            raise UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, str(refused)) from None
        self.notes = question.notes
        return question

    def _target(self) -> Target:
        candidate = self._what.candidate
        return Target(
            provider=candidate.provider,
            model=candidate.model,
            dialect=self._dialect,
            session=self._what.session,
            pdf_texts=self._what.pdf_texts,
            rewrite=self._what.unit.schemas.parameters,
        )

    async def _repaired(self, refused: Question, fault: UpstreamFault) -> Question | None:
        """The request without what the provider complained of, if that is ours to change."""
        found = refused.repair(fault, self._dialect)
        if found is None or found.dialect in self._tried or len(self._tried) > MOST_REPAIRS:
            return None
        self._tried.append(found.dialect)
        self._dialect = found.dialect
        self._complaint = complaint(fault)
        self._unproven = together((*self._unproven, *found.lessons))
        await self._what.turns.take()  # a rush is refused all at once, too
        question = self._put()
        return None if question.outgoing() == refused.outgoing() else question

    def _learn(self, lessons: tuple[Lesson, ...]) -> None:
        """Have what has proven true remembered for the next request."""
        for lesson in lessons:
            self._lease.learn(lesson)
        self._unproven = tuple(lesson for lesson in self._unproven if lesson not in lessons)

    def _prepared(self) -> tuple[Opening, Answering]:
        """The question as it goes out, and who understands the answer to it."""
        question = self._question = self._question or self._put()
        opening = self._what.unit.upstream.open(
            question.outgoing(), model=self._what.candidate.model, dialect=self._dialect
        )
        return opening, question.reader(self._what.mint)

    async def _ask(self, opening: Opening, reader: Answering) -> None:
        watch = Deadline(self._what.until_content)
        watch.expect(FaultKind.HEADERS_TIMEOUT, self._what.unit.settings.content_within)
        began_at = trio.current_time()
        try:
            with watch.scope:
                await self._heard(opening, reader, watch)
        except UpstreamFault as fault:
            due_at = began_at + self._what.unit.settings.connect_timeout
            if fault.kind is FaultKind.CONNECT_TIMEOUT and was_late(due_at, trio.current_time()):
                raise suspended() from None
            raise
        if watch.scope.cancelled_caught:
            raise watch.fault()

    async def _heard(self, opening: Opening, reader: Answering, watch: Deadline) -> None:
        try:
            async with opening as answer:
                watch.rename(FaultKind.CONTENT_TIMEOUT)
                await self._listen(answer, reader, watch)
        except BaseExceptionGroup as group:
            raise worst(group) from None

    async def _listen(self, answer: Answered, reader: Answering, watch: Deadline) -> None:
        reader.begin(answer.headers)
        if answer.is_event_stream:
            await self._follow(answer, reader, watch)
        else:
            await self._hear(reader.feed_completion(await answer.receive_all()), watch)
        await self._hear(self._end(reader), watch)
        self.is_complete = True
        if not answer.is_over:
            watch.pause()
            await _read_the_rest(answer)

    def _end(self, reader: Answering) -> Sequence[Part]:
        try:
            return reader.end()
        except UpstreamFault as fault:
            if fault.kind is FaultKind.EMPTY and reader.finish_seen:
                self.empty_answer = reader.concede()
            raise

    async def _follow(self, answer: Answered, reader: Answering, watch: Deadline) -> None:
        decoder = reader.decoder
        while not reader.finished:
            data = await self._receive(answer, reader)
            if data is None:
                return
            await self._digest(decoder.feed(data) if data else decoder.end(), reader, watch)
            if not data:
                return

    async def _receive(self, answer: Answered, reader: Answering) -> bytes | None:
        """The next bytes; None when nothing worth waiting for is left."""
        if not reader.finish_seen:
            return await answer.receive_some()
        # The answer is complete; only token counts can follow. A connection that ends badly here takes
        # nothing away from it.
        with trio.move_on_after(USAGE_WITHIN), suppress(UpstreamFault):
            return await answer.receive_some()
        return None

    async def _digest(self, events: Sequence[SseEvent], reader: Answering, watch: Deadline) -> None:
        for start in range(0, len(events), EVENTS_A_BURST):
            parts: list[Part] = []
            before = reader.progress
            trouble: UpstreamFault | None = None
            try:
                for event in events[start : start + EVENTS_A_BURST]:
                    parts += _read(reader, event)
            except UpstreamFault as fault:
                trouble = fault
            # What came before the trouble is said, however the network cut the bytes: else the same answer
            # would fall over or break off by chance.
            await self._hear(parts, watch)
            if trouble is not None:
                raise trouble
            if reader.progress > before and not reader.finished:
                # It may think unseen, or write a call that waits for its turn. That is no silence. A ping is.
                self._expect_more(watch)
            if start:
                await trio.lowlevel.checkpoint()

    async def _hear(self, parts: Sequence[Part], watch: Deadline) -> None:
        if not parts:
            return
        if isinstance(parts[-1], Finished):
            self.usage = parts[-1].usage
        if self.first_content_at is None and content_bearing(parts):
            self.first_content_at = trio.current_time()
            self._lease.first_content()
            self._learn(self._unproven)
            watch.bound_by(self._what.whole)
        self._audience.hear(parts)
        if self._question is not None and self._audience.shown:
            self._what.kept.let_go()
            self._question = None
        if self._audience.is_behind:
            watch.pause()
            await self._audience.catch_up()
            self._expect_more(watch)

    def _expect_more(self, watch: Deadline) -> None:
        settings = self._what.unit.settings
        if self.first_content_at is None:
            watch.expect(FaultKind.CONTENT_TIMEOUT, settings.content_within)
        else:
            watch.expect(FaultKind.IDLE_TIMEOUT, settings.idle_timeout)


def worst(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What decides, of several errors at once: nurseries raise them together.

    A cancellation does: whatever failed besides failed on the way out. Then what nobody expects, for it must
    be told. Then the fault that says most about the provider.
    """
    cancelled, others = group.split(trio.Cancelled)
    if cancelled is not None or others is None:
        return cancelled or group
    leaves = [_as_fault(error) for error in _leaves(others)]
    return max(leaves, key=_weight)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _as_fault(error: BaseException) -> BaseException:
    if isinstance(error, OSError | trio.BrokenResourceError | trio.ClosedResourceError):
        return UpstreamFault(FaultKind.RESET, "the connection was lost")
    return error


def _weight(error: BaseException) -> int:
    if not isinstance(error, UpstreamFault):
        return len(_BY_WEIGHT)
    return _BY_WEIGHT.index(judge(error, shown=False).verdict)


def _read(reader: Answering, event: SseEvent) -> Sequence[Part]:
    """What an event adds. Behind a finish reason, junk or a late error object adds nothing."""
    try:
        return reader.feed(event)
    except UpstreamFault:
        if not reader.finish_seen:
            raise
        return ()


async def _read_the_rest(answer: Answered) -> None:
    """Read what is left of a body that has ended for us, so that its connection can be used again.

    The client has everything by now and its request may be torn down; hence the shield, and its deadline.
    """
    with trio.CancelScope(shield=True, deadline=trio.current_time() + REST_WITHIN), suppress(UpstreamFault):
        while await answer.receive_some():
            pass
