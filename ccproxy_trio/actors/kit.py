"""What every actor needs: a slot for one reply, a loop that serves a mailbox, and supervision.

An actor is three things: a *mailbox* (a memory channel that outlives everything), an *incarnation* (state
plus a plain `def handle(message)`), and a *handle* (what other tasks hold: methods that put messages into
the mailbox). `handle` never awaits, so a message is handled whole or not at all, and needs no lock.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
import outcome
import trio

T = TypeVar("T")
_EMPTY: Any = object()


class ActorDown(Exception):
    """The actor crashed while it held this question; its supervisor restarts it. Ask somebody else."""


class ReplySlot(Generic[T]):
    """Room for one reply to one waiting task.

    A buffered reply channel loses a reply when the asker is cancelled between the actor's send and its own
    receive: the value sits in the buffer and nobody ever reads it. If that value is a lease, it leaks. Here
    the two ends agree at one instant: either `fill` returns True and the asker gets the value, even if it
    is cancelled in the meantime; or the asker was cancelled first and `fill` returns False, so that the
    actor takes the value back.
    """

    __slots__ = ("_abandoned", "_reply", "_waiter")

    def __init__(self) -> None:
        self._reply: outcome.Outcome[T] = _EMPTY
        self._waiter: trio.lowlevel.Task | None = None
        self._abandoned = False

    def fill(self, value: T) -> bool:
        """Give the reply. False: the asker has gone, the value is still yours."""
        return self._give(outcome.Value(value))

    @property
    def is_abandoned(self) -> bool:
        """The asker has gone."""
        return self._abandoned

    def break_(self) -> bool:
        """Make the asker's `wait` raise `ActorDown`. False: nobody waits, or it was filled before."""
        return self._reply is _EMPTY and self._give(outcome.Error(ActorDown()))

    def _give(self, reply: outcome.Outcome[T]) -> bool:
        if self._abandoned:
            return False
        self._reply = reply
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter, reply)
            self._waiter = None
        return True

    async def wait(self) -> T:
        """The reply. Cancelling abandons the slot.

        Raises:
            ActorDown: the actor crashed on this message.
        """
        if self._reply is not _EMPTY:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return self._reply.unwrap()

        def abandon(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._waiter = None
            self._abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiter = trio.lowlevel.current_task()
        reply: T = await trio.lowlevel.wait_task_rescheduled(abandon)
        return reply


class Question(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Base of the messages that want an answer."""

    slot: ReplySlot[T]


class Mailbox(Generic[T]):
    """An actor's inbox. `post` never waits and never fails, so it may be called in a cancelled scope.

    Unbounded on purpose: each admitted exchange has at most one question and two facts on their way to an
    actor, and the edge admits at most `max_exchanges`. Overload is refused there, with an answer, not here.
    """

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[T](math.inf)

    def post(self, message: T) -> None:
        """Put a message in."""
        self._send.send_nowait(message)

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return self._receive.statistics().current_buffer_used

    async def serve(self, handle: Callable[[T], None]) -> None:
        """Handle messages for ever, one at a time.

        If `handle` raises, the asker of the message at hand is told (`ActorDown`) before the error goes up:
        it would wait for ever otherwise.
        """
        while True:
            message = await self._receive.receive()
            try:
                handle(message)
            except BaseException:
                if isinstance(message, Question):
                    message.slot.break_()
                raise


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a crashed actor comes back: waits double from `first_wait` to `longest_wait` seconds.

    More than `max_restarts` within `period` seconds is taken for a fault that restarting cannot mend. The
    waits must leave room for that many within the period, or it never is.
    """

    first_wait: float = 0.05
    longest_wait: float = 5.0
    max_restarts: int = 10
    period: float = 60.0


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor reports. `restart_in` is None when it gives up."""

    actor: str
    error: BaseException
    restart_in: float | None


async def supervise(
    incarnate: Callable[[int], Awaitable[None]],
    *,
    name: str,
    policy: RestartPolicy,
    report: Callable[[Crash], None],
) -> None:
    """Run `incarnate(epoch)` and run it again, with the next epoch, when it raises.

    State dies with an incarnation, the mailbox does not. Cancellation passes through untouched.

    Raises:
        Exception: the actor's own, once the policy is exhausted: the process should die and be restarted.
    """
    crashes: deque[float] = deque()
    epoch = 0
    while True:
        try:
            await incarnate(epoch)
        except Exception as error:
            now = trio.current_time()
            crashes.append(now)
            while crashes[0] < now - policy.period:
                crashes.popleft()
            if len(crashes) > policy.max_restarts:
                report(Crash(actor=name, error=error, restart_in=None))
                raise
            wait = min(policy.longest_wait, policy.first_wait * 2.0 ** (len(crashes) - 1))
            report(Crash(actor=name, error=error, restart_in=wait))
            await trio.sleep(wait)
            epoch += 1
        else:
            return
