"""The dispatcher's actor: it knows every provider's last snapshot, and says what to try next.

History travels with the question: a `Choose` carries the attempts made so far, so nothing is kept per
request and nothing needs cleaning when a client leaves. The routes travel with it too: a request keeps those
of the configuration it began with, whatever was reloaded since, and nothing in here has to be told. Its view
may be one message stale. That is fine: the provider is the authority, and a stale choice costs one refused
lease, which the next question carries. It never asks a provider anything, so there are no chains of calls
and no deadlock.
"""

from collections.abc import Callable, Mapping
from typing import assert_never

import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.actors.kit import ActorDown, Mailbox, Question, ReplySlot
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.routing.affinity import Pins, by_affinity
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.deaths import Deaths
from ccproxy_trio.routing.hedge import hedge
from ccproxy_trio.routing.question import GiveUp, Query, Rules, Use, Wait
from ccproxy_trio.routing.strategy import choose
from ccproxy_trio.routing.telling import Told, tell
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import Tier

# -- the mailbox ---------------------------------------------------------------------------------------


class Routes(Struct, frozen=True, kw_only=True):
    """What a configuration says about routing: the candidates of each tier, in file order, and the rules."""

    candidates: Mapping[Tier, tuple[Candidate, ...]]
    rules: Rules


class Exhausted(Struct, frozen=True, kw_only=True):
    """Nothing is left to try; this is what the client is told."""

    told: Told


Step = Use | Wait | Exhausted


class Choose(Question[Step], frozen=True, kw_only=True):
    """What next, given everything tried so far?"""

    query: Query
    routes: Routes


class Hedge(Question[Use | None], frozen=True, kw_only=True):
    """Whom to ask beside `under_way`, which keeps the request waiting? None: nobody."""

    query: Query
    under_way: Candidate
    routes: Routes


class DispatcherView(Struct, frozen=True, kw_only=True):
    """The dispatcher's picture: snapshots by provider name, and the Trio-clock instant it was taken."""

    snapshots: Mapping[str, Snapshot]
    now: float


class BrokeOff(Struct, frozen=True, kw_only=True):
    """A provider died in the middle of an answer that was being shown."""

    conversation: str
    provider: str


class Served(Struct, frozen=True, kw_only=True):
    """A provider has answered a request of a session."""

    tier: Tier
    session: str
    provider: str
    routes: Routes


class Unspent(Struct, frozen=True):
    """An attempt that had been paid for was not made."""


class Describe(Question[DispatcherView], frozen=True, kw_only=True):
    """What do you see?"""


Message = Choose | Hedge | BrokeOff | Served | Unspent | Describe


# -- the incarnation -----------------------------------------------------------------------------------


class Incarnation:
    """The dispatcher's state from one start to the next crash.

    `view` is the handle's, which writes what providers publish into it: snapshots are facts about others, so
    a crash in here is no reason to forget or to miss one. `seed()` gives a fresh non-negative integer (the
    `random` strategy's shuffle).
    """

    def __init__(
        self,
        *,
        view: Mapping[str, Snapshot],
        budget: Budget,
        now: Callable[[], float],
        seed: Callable[[], int],
    ) -> None:
        self._view = view
        self._budget = budget
        self._now = now
        self._seed = seed
        self._cursors: dict[Tier, tuple[str, int]] = {}  # whose turn it was last, and its place in the ring
        self._deaths = Deaths()
        self._pins = Pins()

    def handle(self, message: Message) -> None:
        """Handle one message, whole."""
        match message:
            case Choose(slot=slot, query=query, routes=routes):
                slot.fill(self._choose(query, routes))
            case Hedge(slot=slot):
                slot.fill(self._hedge(message))
            case BrokeOff(conversation=conversation, provider=provider):
                self._deaths.remember(conversation, provider, self._now())
            case Served():
                self._served(message)
            case Unspent():
                self._budget.give_back(self._now())
            case Describe(slot=slot):
                slot.fill(DispatcherView(snapshots=dict(self._view), now=self._now()))
            case _:
                assert_never(message)

    def _choose(self, query: Query, routes: Routes) -> Step:
        now = self._now()
        if query.turn is None:
            query = msgspec.structs.replace(query, turn=self._turn(query, routes))
            self._budget.deposit(now)
        query = self._reminded(query, now)
        candidates, rules = routes.candidates[query.tier], routes.rules
        step = choose(
            query, candidates=candidates, view=self._view, rules=rules, budget=self._budget, now=now
        )
        if isinstance(step, GiveUp):
            return Exhausted(told=tell(query, candidates=candidates, view=self._view, rules=rules, now=now))
        return step

    def _hedge(self, asked: Hedge) -> Use | None:
        now, routes = self._now(), asked.routes
        return hedge(
            self._reminded(asked.query, now),
            asked.under_way,
            candidates=routes.candidates[asked.query.tier],
            view=self._view,
            rules=routes.rules,
            budget=self._budget,
            now=now,
        )

    def _reminded(self, query: Query, now: float) -> Query:
        """The question with what is remembered of its conversation and session."""
        return msgspec.structs.replace(
            query,
            avoid=self._deaths.of(query.conversation, now),
            pinned=None if query.session is None else self._pins.of(query.tier, query.session, now),
        )

    def _turn(self, query: Query, routes: Routes) -> int:
        # Taken once a request, never once an attempt: a ring whose cursor moves with every failure is a
        # shuffle, and a dead member would push its share onto its neighbour alone.
        if routes.rules.strategy == "random" or (routes.rules.affinity and query.session is not None):
            return self._seed()  # a session has its own order and takes nobody's turn
        tier, names = query.tier, _providers(routes, query.tier)
        if not names:
            return 0
        # Kept by name, so that the ring goes on where it was when a reload gave it other members. Who was
        # taken out of it has left its place to the next.
        last, place = self._cursors.get(tier, ("", 0))
        turn = (names.index(last) + 1 if last in names else place) % len(names)
        self._cursors[tier] = (names[turn], turn)
        return turn

    def _served(self, served: Served) -> None:
        home = by_affinity(served.session, _providers(served.routes, served.tier))[0]
        self._pins.served(served.tier, served.session, by=served.provider, home=home, now=self._now())


def _providers(routes: Routes, tier: Tier) -> list[str]:
    """Each once, in file order."""
    return list(dict.fromkeys(candidate.provider for candidate in routes.candidates[tier]))


def _readiness(snapshot: Snapshot) -> tuple[object, ...]:
    """The part of a snapshot that can make a waiting request ready."""
    return (
        snapshot.epoch,
        snapshot.state,
        snapshot.reopens_at,
        snapshot.trial_taken,
        snapshot.flag,
        snapshot.cooling,
        snapshot.excluded,
    )


# -- the handle ----------------------------------------------------------------------------------------


class Dispatcher:
    """What other tasks hold of the dispatcher actor.

    `view`: the last snapshot of each provider. `changes`: how often one's readiness has changed so far.
    """

    def __init__(self) -> None:
        self.mailbox: Mailbox[Message] = Mailbox()
        self.view: dict[str, Snapshot] = {}
        self.changes = 0
        self._readiness_changed = trio.Event()

    async def choose(self, query: Query, routes: Routes) -> Step:
        """The next step along these routes.

        Should the dispatcher crash on the question, it is asked once more: it keeps nothing of a request, and
        the fault may have been another's. A question that crashes it twice would crash it for ever.

        Raises:
            ActorDown: it crashed twice.
        """
        try:
            return await self._ask(query, routes)
        except ActorDown:
            return await self._ask(query, routes)

    async def _ask(self, query: Query, routes: Routes) -> Step:
        # Read before the question is asked: what changes from now on may or may not be known to the answer,
        # and to ask once too often costs less than to sleep through a provider's return.
        seen = self.changes
        slot: ReplySlot[Step] = ReplySlot()
        self.mailbox.post(Choose(slot=slot, query=query, routes=routes))
        step = await slot.wait()
        return msgspec.structs.replace(step, seen=seen) if isinstance(step, Wait) else step

    async def hedge(self, query: Query, under_way: Candidate, routes: Routes) -> Use | None:
        """Whom to ask beside the attempt under way; None: nobody is to be had, or the dispatcher crashed."""
        slot: ReplySlot[Use | None] = ReplySlot()
        self.mailbox.post(Hedge(slot=slot, query=query, under_way=under_way, routes=routes))
        try:
            return await slot.wait()
        except ActorDown:
            return None

    async def wait_for_change(self, wait: Wait) -> None:
        """Return when a provider's readiness has changed since that answer, or at its instant `until`."""
        with trio.move_on_at(wait.until):
            if wait.seen == self.changes:
                await self._readiness_changed.wait()

    def broke_off(self, conversation: str, provider: str) -> None:
        """Say that `provider` died in the middle of this conversation; its repetition tries others first."""
        self.mailbox.post(BrokeOff(conversation=conversation, provider=provider))

    def served(self, provider: str, session: str | None, *, tier: Tier, routes: Routes) -> None:
        """Say that `provider` has answered a request of this session (None: of no session)."""
        if session is not None and routes.rules.affinity:
            self.mailbox.post(Served(tier=tier, session=session, provider=provider, routes=routes))

    def unspent(self, step: Use) -> None:
        """Say that the lease of this step was refused, so that what it cost is given back.

        Many may be told to go past the same open circuit at one instant, and one of them is let through.
        Were it not for this, the others would spend the whole budget on nothing.
        """
        if step.paid:
            self.mailbox.post(Unspent())

    def publish(self, snapshot: Snapshot) -> None:
        """Take a provider's snapshot, at once: nothing that the actor does can lose it."""
        before = self.view.get(snapshot.provider)
        self.view[snapshot.provider] = snapshot
        if before is None or _readiness(before) != _readiness(snapshot):
            self.changes += 1
            self._readiness_changed.set()
            self._readiness_changed = trio.Event()

    def forget(self, provider: str) -> None:
        """Drop what was known of a provider that is there no longer."""
        self.view.pop(provider, None)

    async def describe(self) -> DispatcherView:
        """What the dispatcher sees, for `/health`."""
        slot: ReplySlot[DispatcherView] = ReplySlot()
        self.mailbox.post(Describe(slot=slot))
        return await slot.wait()
