"""Two attempts at once: a second provider is asked when the first is silent, and the first content wins.

For those who come here to learn Trio, four things:

- *Two tasks, one nursery.* The nursery's block is the race: it is left when both tasks have ended, so no
  attempt outlives it, whoever wins and whatever goes wrong.
- *A scope each.* A nursery's own scope would cancel both. Each contender runs in a scope of its own, and the
  one whose content comes first cancels the other's in the same step. `cancel()` is synchronous: there is no
  instant at which both have won. The loser meets `Cancelled` where it waits, and on its way out closes its
  connection and gives its lease back.
- *A task that has been woken is not cancelled yet.* Both contents may arrive in one turn of the event loop.
  Then the loser has its bytes in hand and goes on to its next checkpoint; so its lane takes nothing more from
  it, and has it wait there for the cancellation that is on its way.
- *Errors cross as values.* An exception that leaves a task cancels its siblings and comes out of the nursery
  in a group. Neither is wanted here: a failure must not end the other attempt, and who called wants the plain
  error. So a lane keeps what its contender ended in, and the race decides which end counts.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio

from ccproxy_trio.audience import Audience
from ccproxy_trio.bookkeeping import Runner
from ccproxy_trio.errand import ClientGone, CutShort
from ccproxy_trio.health.lateness import was_late
from ccproxy_trio.routing.question import Attempt
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.translate.parts import Finished, Part, content_bearing
from ccproxy_trio.wire.faults import RequestRefused

Contender = Callable[["Lane"], Awaitable[Attempt | None]]
"""Makes one attempt and tells its answer to the lane. Returns how it failed, if it was made and did."""


class Lane:
    """What one contender talks to. It is the audience's floor as soon as the contender has won.

    Until there is content the parts are held back, each contender's by itself.
    """

    def __init__(self, race: "Race", audience: Audience) -> None:
        self._race = race
        self._audience = audience
        self._held: list[Part] = []
        self._scope = trio.CancelScope()
        self._candidate: Candidate | None = None  # None: it has not begun
        self._began_at = 0.0
        self.over = trio.Event()
        self.failure: Attempt | None = None
        self.error: RequestRefused | CutShort | ClientGone | None = None

    async def run(self, contender: Contender) -> None:
        """Run the contender to its end, or until the other has won."""
        with self._scope:
            try:
                self.failure = await contender(self)
            except (RequestRefused, CutShort, ClientGone) as error:
                self.error = error
        self.over.set()

    def begin(self, candidate: Candidate) -> None:
        """The contender asks `candidate` now."""
        self._candidate, self._began_at = candidate, trio.current_time()

    def cancel(self) -> None:
        """Another has won."""
        self._scope.cancel()

    @property
    def runner(self) -> Runner | None:
        """Who is under way here, if somebody is."""
        if self._candidate is None or self.over.is_set():
            return None
        return Runner(self._candidate, trio.current_time() - self._began_at)

    @property
    def has_begun(self) -> bool:
        """Its contender has asked somebody."""
        return self._candidate is not None

    @property
    def is_outrun(self) -> bool:
        """Another has won."""
        return self._race.winner is not None and self._race.winner is not self

    # -- as an audience --

    @property
    def shown(self) -> bool:
        """Content has reached the client, be it another's."""
        return self._audience.shown

    @property
    def is_behind(self) -> bool:
        """There is something to wait for before more can be heard."""
        return self.is_outrun or self._audience.is_behind

    def hear(self, parts: Sequence[Part]) -> None:
        """Hold the parts back until there is content among them; that wins the race, if it is still on."""
        if self.is_outrun:
            return
        if self._race.winner is None:
            self._held += parts
            if not (content_bearing(parts) or isinstance(self._held[-1], Finished)):
                return
            self._race.award(self)
            parts, self._held = self._held, []
        self._audience.hear(parts)

    async def catch_up(self) -> None:
        """Wait for a slow client; who has been outrun waits for its cancellation."""
        if self.is_outrun:
            await trio.sleep_forever()
        await self._audience.catch_up()

    def forget(self) -> None:
        """Drop what a failed attempt left, here and, if it had won, with the audience."""
        self._held = []
        if self._race.winner is self:
            self._audience.forget()


class Race:
    """One race for an audience. `decided` is called with the winner and the loser once there are both."""

    def __init__(self, audience: Audience, *, decided: Callable[[Runner, Runner], None]) -> None:
        self._audience = audience
        self._decided = decided
        self._lanes = (Lane(self, audience), Lane(self, audience))
        self.winner: Lane | None = None

    async def run(self, first: Contender, second: Contender, *, after: float) -> Sequence[Attempt] | None:
        """Run `first`, and `second` too if `first` has neither content nor an end after `after` seconds.

        Returns None when an answer reached its end, else the attempts that failed, in the order in which they
        did. What was raised by the winner, or without a winner by anybody, is raised.
        """
        ahead, behind = self._lanes

        async def joining(lane: Lane) -> Attempt | None:
            return await second(lane) if await _is_silent(ahead, after) else None

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ahead.run, first)
            nursery.start_soon(behind.run, joining)
        return self._result()

    @property
    def outrun(self) -> int:
        """How many attempts neither failed nor were heard out, since another was quicker."""
        return sum(lane.is_outrun and lane.has_begun and lane.failure is None for lane in self._lanes)

    def award(self, winner: Lane) -> None:
        """The first content has come: end the other attempt."""
        self.winner = winner
        loser = self._lanes[0] if winner is self._lanes[1] else self._lanes[1]
        loser.cancel()
        if winner.runner is not None and loser.runner is not None:
            self._decided(winner.runner, loser.runner)

    def _result(self) -> Sequence[Attempt] | None:
        for lane in self._lanes if self.winner is None else (self.winner,):
            if lane.error is not None:
                raise lane.error
        if self.winner is None:
            self._audience.forget()
        elif self.winner.failure is None:
            return None
        failures = [lane.failure for lane in self._lanes if lane.failure is not None]
        return sorted(failures, key=lambda failure: failure.ended_at)


async def _is_silent(lane: Lane, seconds: float) -> bool:
    """Wait so long, or until the lane is over; True if it is not.

    Time in which this process did not run is no silence.
    """
    while True:
        due_at = trio.current_time() + seconds
        with trio.move_on_at(due_at):
            await lane.over.wait()
        if lane.over.is_set() or not was_late(due_at, trio.current_time()):
            return not lane.over.is_set()
