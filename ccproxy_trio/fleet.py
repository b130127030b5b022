"""The providers that run: each one's connections and its actor, in tasks of their own, for as long as needed.

A reload makes the next *generation* of the configuration, and requests under way keep theirs. So what runs
here is shared by generations: it ends when the last of those that use it is gone, and not before. The
connections are outside of the actors, which are outside of the requests: a crashed actor closes no stream.
"""

import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Generic, TypeVar

import trio
from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.actors.admission import Incarnation
from ccproxy_trio.actors.kit import Crash, RestartPolicy, supervise
from ccproxy_trio.actors.probe import ProbeSchedule, keep_probing
from ccproxy_trio.actors.provider import Provider, Surroundings
from ccproxy_trio.health.lessons import Notebook
from ccproxy_trio.health.probing import ProbeResult
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.journal import ActorCrashed, Journal, blame
from ccproxy_trio.settings.model import ProviderSettings, Settings
from ccproxy_trio.translate.memory import SchemaMemory

T = TypeVar("T")


class World(Struct, frozen=True, kw_only=True):
    """The wall clock and the randomness that everything below is given, so that tests can give their own.

    `wall` is epoch seconds, `draw` a number in [0, 1), `seed` a non-negative integer, `mint` 24 fresh
    hexadecimal digits. The other clock is Trio's, which tests own anyway.
    """

    wall: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random
    seed: Callable[[], int] = partial(secrets.randbits, 32)
    mint: Callable[[], str] = partial(secrets.token_hex, 12)


class Shared:
    """Something that runs for as long as it has users. It begins without any."""

    def __init__(self) -> None:
        self._users = 0
        self._unused = trio.Event()

    @property
    def is_over(self) -> bool:
        """It had users, and has none any more: it ends, and nobody new may take it."""
        return self._unused.is_set()

    def take(self) -> None:
        """One user more."""
        self._users += 1

    def give_back(self) -> None:
        """One user less."""
        self._users -= 1
        if self._users == 0:
            self._unused.set()

    async def until_unused(self) -> None:
        """Return when its last user has gone."""
        await self._unused.wait()


class Line(Shared, Generic[T]):
    """What is opened before use and closed behind it: a provider's connections, a search backend's.

    `key` is all that it depends on: two with equal keys are the same.
    """

    opened: T  # as soon as it has been started

    def __init__(self, key: object) -> None:
        super().__init__()
        self.key = key

    async def run(
        self,
        opening: AbstractAsyncContextManager[T],
        *,
        ended: Callable[[], None],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep it open until nobody uses it. What opening it raises comes out of `nursery.start`."""
        try:
            async with opening as self.opened:
                task_status.started()
                await self.until_unused()
        finally:
            ended()


class Probing(Struct, frozen=True):
    """How a provider is probed: with what, and after how many seconds again and again."""

    ask: Callable[[], Awaitable[ProbeResult]]
    interval: float


class Post(Shared):
    """A provider's actor under supervision, and its probe inside the same supervision.

    A provider is the same one as long as its name and its address stay: its breaker, its rests and what was
    learned of it live on in here while its settings change. `publish` is where its snapshots go.
    """

    def __init__(
        self, provider: ProviderSettings, settings: Settings, *, world: World, journal: Journal
    ) -> None:
        super().__init__()
        self.key = identity(provider)
        self.actor = Provider(provider.name)
        self.schemas = SchemaMemory()
        self.last: Snapshot | None = None
        self._provider = provider
        self._world = world
        self._journal = journal
        self._spoke = trio.Event()
        self._forward: Callable[[Snapshot], None] = _nowhere
        self._probing: Probing | None = None
        self._probing_changed = trio.Event()
        self._around = Surroundings(
            name=provider.name,
            breaker=settings.circuit_breaker,
            trial_timeout=trial_timeout(provider),
            now=trio.current_time,
            wall=world.wall,
            draw=world.draw,
            publish=self._publish,
            journal=journal,
            notebook=Notebook(provider.options, provider.all_models()),
        )

    def era_with(self, provider: ProviderSettings) -> int:
        """The era that begins, or goes on, when the provider is asked with these settings."""
        return self._around.era + (credentials(provider) != credentials(self._provider))

    def reconfigure(self, provider: ProviderSettings, settings: Settings, *, probing: Probing | None) -> None:
        """Go on under these settings; probes begin anew, at another phase.

        A crash cannot undo it: whoever comes after the actor's next crash begins with what is set here.
        """
        self._around = replace(
            self._around,
            era=self.era_with(provider),
            breaker=settings.circuit_breaker,
            trial_timeout=trial_timeout(provider),
            notebook=self._around.notebook.revised(provider.options, provider.all_models()),
        )
        self._provider = provider
        self.actor.reconfigure(self._around)
        self.probe(probing)

    def probe(self, probing: Probing | None) -> None:
        """Probe in this way from now on, or not at all."""
        self._probing = probing
        changed, self._probing_changed = self._probing_changed, trio.Event()
        changed.set()

    def speak_to(self, forward: Callable[[Snapshot], None]) -> None:
        """Publish there from now on, beginning with what there is."""
        self._forward = forward
        if self.last is not None:
            forward(self.last)

    def be_silent(self) -> None:
        """Another provider has taken over the name: what is known of this one would be taken for its."""
        self._forward = _nowhere

    async def run(
        self,
        *,
        ended: Callable[[], None],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the actor until nobody uses it; started once it has published what it knows.

        Raises:
            Exception: the actor's own, when restarting it does not help.
        """
        async with trio.open_nursery() as nursery:
            name = f"provider {self._around.name}"
            nursery.start_soon(partial(keep_up, self._incarnate, name=name, journal=self._journal))
            await self._spoke.wait()
            task_status.started()
            await self.until_unused()
            nursery.cancel_scope.cancel()
        ended()

    async def _incarnate(self, epoch: int) -> None:
        incarnation = Incarnation(self._around, epoch=epoch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_probing, incarnation)
            await self.actor.mailbox.serve(incarnation.handle)

    async def _keep_probing(self, incarnation: Incarnation) -> None:
        while True:
            changed = self._probing_changed
            async with trio.open_nursery() as nursery:
                if self._probing is not None:
                    nursery.start_soon(self._probe, self._probing, incarnation)
                await changed.wait()
                nursery.cancel_scope.cancel()

    async def _probe(self, probing: Probing, incarnation: Incarnation) -> None:
        schedule = ProbeSchedule(
            name=self._around.name,
            interval=probing.interval,
            draw=self._world.draw,
            wall=self._world.wall,
            last_success=lambda: incarnation.last_success,
            journal=self._journal,
        )
        await keep_probing(probing.ask, schedule, tell=self.actor.probe_ended)

    def _publish(self, snapshot: Snapshot) -> None:
        self.last = snapshot
        self._spoke.set()
        self._forward(snapshot)


def identity(provider: ProviderSettings) -> tuple[str, str]:
    """What makes a provider the same one, whatever else is changed about it."""
    return (provider.name, provider.base_url)


def credentials(provider: ProviderSettings) -> object:
    """What a provider may refuse us for: the key, and headers that often carry one."""
    return (provider.api_key, provider.custom_headers)


def trial_timeout(provider: ProviderSettings) -> float:
    """Seconds after which a trial that was never settled is given to another, unless the settings say."""
    return provider.content_within + 30.0


async def keep_up(incarnate: Callable[[int], Awaitable[None]], *, name: str, journal: Journal) -> None:
    """Run an actor under supervision, and tell the operator when it crashes.

    Raises:
        Exception: the actor's own, when restarting it does not help.
    """

    def tell(crash: Crash) -> None:
        journal(ActorCrashed(actor=crash.actor, error=blame(crash.error), restart_in=crash.restart_in))

    await supervise(incarnate, name=name, policy=RestartPolicy(), report=tell)


def _nowhere(_: Snapshot) -> None:
    """Where the snapshots of a provider go that is not in use yet, or not any more."""
