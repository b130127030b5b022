"""The dispatcher's actor: it knows the routes and every provider's last snapshot, and says what to try next.

History travels with the question: a `Choose` carries the attempts made so far, so nothing is kept per
request and nothing needs cleaning when a client leaves. Its view may be one message stale. That is fine:
the provider is the authority, and a stale choice costs one refused lease, which the next question carries.
It never asks a provider anything, so there are no chains of calls and no deadlock.
"""

from collections.abc import Callable, Mapping
from typing import assert_never

import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.actors.kit import ActorDown, Mailbox, Question, ReplySlot
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.deaths import Deaths
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


class AwaitChange(Question[None], frozen=True, kw_only=True):
    """Tell me when a provider may have become ready."""


class HealthChanged(Struct, frozen=True, kw_only=True):
    """A provider published a new snapshot."""

    snapshot: Snapshot


class DispatcherView(Struct, frozen=True, kw_only=True):
    """The dispatcher's picture: snapshots by provider name, and the Trio-clock instant it was taken."""

    snapshots: Mapping[str, Snapshot]
    routes: Routes
    now: float


class BrokeOff(Struct, frozen=True, kw_only=True):
    """A provider died in the middle of an answer that was being shown."""

    conversation: str
    provider: str


class Describe(Question[DispatcherView], frozen=True, kw_only=True):
    """What do you see?"""


Message = Choose | AwaitChange | HealthChanged | BrokeOff | Describe


# -- the incarnation -----------------------------------------------------------------------------------


class Incarnation:
    """The dispatcher's state from one start to the next crash.

    `view` is shared with the next incarnation: snapshots are facts about others, so a crash in here is no
    reason to forget them. `seed()` gives a fresh non-negative integer (the `random` strategy's shuffle).
    """

    def __init__(
        self,
        routes: Routes,
        *,
        view: dict[str, Snapshot],
        budget: Budget,
        now: Callable[[], float],
        seed: Callable[[], int],
    ) -> None:
        self._routes = routes
        self._view = view
        self._budget = budget
        self._now = now
        self._seed = seed
        self._cursors: dict[Tier, int] = {}
        self._deaths = Deaths()
        self._watchers: list[ReplySlot[None]] = []

    def handle(self, message: Message) -> None:
        """Handle one message, whole."""
        match message:
            case Choose(slot=slot, query=query):
                slot.fill(self._choose(query))
            case AwaitChange(slot=slot):
                self._watchers = [*(kept for kept in self._watchers if not kept.is_abandoned), slot]
            case HealthChanged(snapshot=snapshot):
                self._heard(snapshot)
            case BrokeOff(conversation=conversation, provider=provider):
                self._deaths.remember(conversation, provider, self._now())
            case Describe(slot=slot):
                snapshots = dict(self._view)
                slot.fill(DispatcherView(snapshots=snapshots, routes=self._routes, now=self._now()))
            case _:
                assert_never(message)

    def _choose(self, query: Query) -> Step:
        now = self._now()
        if query.turn is None:
            query = msgspec.structs.replace(query, turn=self._turn(query.tier))
            self._budget.deposit(now)
        query = msgspec.structs.replace(query, avoid=self._deaths.of(query.conversation, now))
        candidates, rules = self._routes.candidates[query.tier], self._routes.rules
        step = choose(
            query, candidates=candidates, view=self._view, rules=rules, budget=self._budget, now=now
        )
        if isinstance(step, GiveUp):
            return Exhausted(told=tell(query, candidates=candidates, view=self._view, rules=rules, now=now))
        return step

    def _turn(self, tier: Tier) -> int:
        # Taken once a request, never once an attempt: a ring whose cursor moves with every failure is a
        # shuffle, and a dead member would push its share onto its neighbour alone.
        if self._routes.rules.strategy == "random":
            return self._seed()
        turn = self._cursors.get(tier, 0)
        self._cursors[tier] = turn + 1
        return turn

    def _heard(self, snapshot: Snapshot) -> None:
        before = self._view.get(snapshot.provider)
        self._view[snapshot.provider] = snapshot
        if before is None or _readiness(before) != _readiness(snapshot):
            watchers, self._watchers = self._watchers, []
            for slot in watchers:
                slot.fill(None)


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
        snapshot.draining,
    )


# -- the handle ----------------------------------------------------------------------------------------


class Dispatcher:
    """What other tasks hold of the dispatcher actor."""

    def __init__(self) -> None:
        self.mailbox: Mailbox[Message] = Mailbox()

    async def choose(self, query: Query) -> Step:
        """The next step.

        Should the dispatcher crash on the question, it is asked once more: it keeps nothing of a request, and
        the fault may have been another's. A question that crashes it twice would crash it for ever.

        Raises:
            ActorDown: it crashed twice.
        """
        try:
            return await self._ask(query)
        except ActorDown:
            return await self._ask(query)

    async def _ask(self, query: Query) -> Step:
        slot: ReplySlot[Step] = ReplySlot()
        self.mailbox.post(Choose(slot=slot, query=query))
        return await slot.wait()

    async def wait_for_change(self, *, until: float) -> None:
        """Return when a provider's readiness changed, or at the Trio-clock instant `until`.

        A change between the dispatcher's last answer and this question goes unnoticed until `until`.
        """
        with trio.move_on_at(until):
            slot: ReplySlot[None] = ReplySlot()
            self.mailbox.post(AwaitChange(slot=slot))
            try:
                await slot.wait()
            except ActorDown:
                await trio.sleep_until(until)

    def broke_off(self, conversation: str, provider: str) -> None:
        """Say that `provider` died in the middle of this conversation; its repetition tries others first."""
        self.mailbox.post(BrokeOff(conversation=conversation, provider=provider))

    def publish(self, snapshot: Snapshot) -> None:
        """Hand in a provider's snapshot."""
        self.mailbox.post(HealthChanged(snapshot=snapshot))

    async def describe(self) -> DispatcherView:
        """What the dispatcher sees, for `/health`."""
        slot: ReplySlot[DispatcherView] = ReplySlot()
        self.mailbox.post(Describe(slot=slot))
        return await slot.wait()
