"""A provider's actor: it owns the breaker, the cool-downs and the count of attempts in flight.

It grants *leases*, the right to make one attempt, and hears how each ended. It never carries a request's
bytes, so neither a slow client nor a crash in here touches a running stream. What it knows is published as
a `Snapshot` after every change; where that goes is not its business. Here are its messages and its handle;
what it does with them is in `admission.py`.
"""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from msgspec import Struct

from ccproxy_trio.actors.kit import ActorDown, Mailbox, Question, ReplySlot
from ccproxy_trio.health.breaker import Permit
from ccproxy_trio.health.lessons import Lesson, Notebook
from ccproxy_trio.health.probing import ProbeResult
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.health.verdict import Ruling
from ccproxy_trio.journal import Journal
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.wire.faults import UpstreamFault

# -- the mailbox ---------------------------------------------------------------------------------------


class Grant(Struct, frozen=True, kw_only=True):
    """The right to make one attempt, given at `at` (Trio's clock).

    `learned`: what this model is known to refuse. `p95` is what 95 of 100 of the provider's last attempts
    needed to their first content, in seconds; None: too few to tell.
    """

    epoch: int
    era: int
    at: float
    model: str
    permit: Permit
    learned: tuple[Lesson, ...]
    p95: float | None


class Refusal(Struct, frozen=True, kw_only=True):
    """No attempt now. `ready_at` is when asking again makes sense, where that is known."""

    why: str
    ready_at: float | None = None


class Acquire(Question["Grant | Refusal"], frozen=True, kw_only=True):
    """May I make one attempt? `forced` asks for one although the breaker is open (nothing else is left).

    `era` tells the key that it will be made with: it is the number of keys that came before.
    """

    era: int
    model: str
    forced: bool


class FirstContent(Struct, frozen=True, kw_only=True):
    """The attempt has yielded content: the provider works, whatever becomes of this stream."""

    grant: Grant


class Outrun(Struct, frozen=True, kw_only=True):
    """The attempt had no content yet when another provider's came."""

    grant: Grant


class Settle(Struct, frozen=True, kw_only=True):
    """The attempt is over."""

    grant: Grant
    ruling: Ruling
    fault: UpstreamFault | None


class Learn(Struct, frozen=True, kw_only=True):
    """The model took a request only with the lesson's switches."""

    grant: Grant
    lesson: Lesson


class ProbeEnded(Struct, frozen=True, kw_only=True):
    """The provider's own probe has a result."""

    result: ProbeResult


class Reconfigure(Struct, frozen=True, kw_only=True):
    """The configuration has changed."""

    around: "Surroundings"


class Describe(Question[Snapshot], frozen=True, kw_only=True):
    """What do you know of yourself?"""


Message = Acquire | FirstContent | Outrun | Settle | Learn | ProbeEnded | Reconfigure | Describe


# -- what the actor is given ---------------------------------------------------------------------------


class Surroundings(Struct, frozen=True, kw_only=True):
    """What an incarnation needs of the world. `now` is monotonic seconds, `wall` epoch seconds.

    `era` is how many keys the provider has had before the one that it has now.
    """

    name: str
    era: int = 0
    breaker: BreakerSettings
    trial_timeout: float
    now: Callable[[], float]
    wall: Callable[[], float]
    draw: Callable[[], float]
    publish: Callable[[Snapshot], None]
    journal: Journal
    notebook: Notebook


# -- the handle ----------------------------------------------------------------------------------------


class Lease:
    """One granted attempt. Leaving the `with` block settles it, as SILENT unless `settle` was called.

    Everything here is synchronous: it runs in cancelled scopes.
    """

    def __init__(self, mailbox: Mailbox[Message], grant: Grant) -> None:
        self._mailbox = mailbox
        self._grant = grant
        self._settled = False

    @property
    def learned(self) -> tuple[Lesson, ...]:
        """What this model is known to refuse, later lessons overruling."""
        return self._grant.learned

    @property
    def p95(self) -> float | None:
        """Seconds in which 95 of 100 of the provider's last attempts had content; None: too few to tell."""
        return self._grant.p95

    def first_content(self) -> None:
        """Say that the attempt has yielded content."""
        self._mailbox.post(FirstContent(grant=self._grant))

    def outrun(self) -> None:
        """Say that another provider's content came first, and give the lease back: nobody is to blame."""
        if not self._settled:
            self._mailbox.post(Outrun(grant=self._grant))
            self.settle(Ruling.silent())

    def learn(self, lesson: Lesson) -> None:
        """Say what the model was found to refuse, and how it is asked instead."""
        self._mailbox.post(Learn(grant=self._grant, lesson=lesson))

    def settle(self, ruling: Ruling, fault: UpstreamFault | None = None) -> None:
        """Say how the attempt ended. The first call counts."""
        if not self._settled:
            self._settled = True
            self._mailbox.post(Settle(grant=self._grant, ruling=ruling, fault=fault))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(Ruling.silent())


class Provider:
    """What other tasks hold of a provider actor, and ask it with in one era, which is with one key."""

    def __init__(self, name: str, *, mailbox: Mailbox[Message] | None = None, era: int = 0) -> None:
        self.name = name
        self.mailbox: Mailbox[Message] = mailbox or Mailbox()
        self._era = era

    def in_era(self, era: int) -> "Provider":
        """The same actor, for those who ask the provider with another key."""
        return Provider(self.name, mailbox=self.mailbox, era=era)

    async def lease(self, model: str, *, forced: bool = False) -> Lease | Refusal:
        """Ask for one attempt. Enter the lease (`with`) before the next checkpoint.

        Cancelling is safe at any time: a grant that nobody receives goes back to the actor.
        """
        slot: ReplySlot[Grant | Refusal] = ReplySlot()
        self.mailbox.post(Acquire(slot=slot, era=self._era, model=model, forced=forced))
        try:
            answer = await slot.wait()
        except ActorDown:
            return Refusal(why="restarting")
        return answer if isinstance(answer, Refusal) else Lease(self.mailbox, answer)

    def probe_ended(self, result: ProbeResult) -> None:
        """Hand in a probe's result."""
        self.mailbox.post(ProbeEnded(result=result))

    def reconfigure(self, around: Surroundings) -> None:
        """Let the actor go on with what it knows, under another configuration of the same provider."""
        self.mailbox.post(Reconfigure(around=around))

    async def settled(self) -> None:
        """Return once all that was posted before is handled and published.

        Asking the dispatcher right after settling an attempt, one would otherwise be quicker than the news.
        """
        with suppress(ActorDown):
            await self.describe()

    async def describe(self) -> Snapshot:
        """The actor's own view of itself."""
        slot: ReplySlot[Snapshot] = ReplySlot()
        self.mailbox.post(Describe(slot=slot))
        return await slot.wait()
