"""The composition root: nest the nurseries, hand the handles down, decide the order of dying.

From the outside in: the providers' connections, the dispatcher, the providers' actors with their probes.
Requests live inside all of them, in nurseries of their own, so a crashed actor closes no stream.
"""

import random
import secrets
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import trio
from msgspec import Struct

from ccproxy_trio.actors import dispatcher as dispatching
from ccproxy_trio.actors import provider as providing
from ccproxy_trio.actors.draining import Draining
from ccproxy_trio.actors.kit import Crash, RestartPolicy, supervise
from ccproxy_trio.actors.probe import ProbeSchedule, keep_probing
from ccproxy_trio.attempt import Unit
from ccproxy_trio.counting.sizes import Counting, Seat, seats_of, vocabularies_needed
from ccproxy_trio.counting.vocabulary import Vocabulary, load
from ccproxy_trio.documents.texts import NoReader, Texts, installed_reader
from ccproxy_trio.edge.application import Application, build
from ccproxy_trio.edge.exposure import open_doors
from ccproxy_trio.errand import Services
from ccproxy_trio.health.lessons import Notebook
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.journal import ActorCrashed, Journal, Note, Tally, blame
from ccproxy_trio.logs.banner import open_console
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.patience import content_within
from ccproxy_trio.routing.question import Rules
from ccproxy_trio.routing.tiers import Candidate, candidates
from ccproxy_trio.settings.load import ConfigError, Loaded, environment, listening, resolve
from ccproxy_trio.settings.model import TIERS, ProviderSettings, Settings, Tier
from ccproxy_trio.settings.scrub import scrubber, secrets_of_provider
from ccproxy_trio.translate.dialect import resolve as resolve_dialect
from ccproxy_trio.upstream.client import Upstream
from ccproxy_trio.upstream.search import Search, SearXng


class World(Struct, frozen=True, kw_only=True):
    """The wall clock and the randomness that everything below is given, so that tests can give their own.

    `wall` is epoch seconds, `draw` a number in [0, 1), `seed` a non-negative integer, `mint` 24 fresh
    hexadecimal digits. The other clock is Trio's, which tests own anyway.
    """

    wall: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random
    seed: Callable[[], int] = partial(secrets.randbits, 32)
    mint: Callable[[], str] = partial(secrets.token_hex, 12)


def create_app(loaded: Loaded | None = None, *, journal: Journal | None = None) -> Application:
    """The ASGI app; what `hypercorn -k trio "ccproxy_trio:create_app()"` serves.

    Without arguments the configuration is found as `ccproxy-trio serve` finds it, and its faults end the
    process with status 2: under Hypercorn there is no command line of ours to print them.
    """
    if loaded is None:
        try:
            loaded = resolve(None)
            level = listening().log_level
        except ConfigError as error:
            raise _refused(str(error)) from None
        if not loaded.settings.client_api_keys and (doors := open_doors()):
            raise _refused(
                f"Not serving on {', '.join(doors)}: whoever reaches it could spend your providers' keys. "
                "Set ANTHROPIC_API_KEY (or client_api_keys in the file) to a key that clients must then "
                "send, or bind to 127.0.0.1."
            )
        journal = open_console(loaded, level=level, stream=sys.stderr, environ=environment())
    return assemble(loaded.settings, journal=journal or _deaf)


def _refused(text: str) -> SystemExit:
    """The end of a process that cannot start, told on its standard error."""
    sys.stderr.write(f"{text}\n")
    return SystemExit(2)


def assemble(settings: Settings, *, journal: Journal, world: World | None = None) -> Application:
    """The app over given settings, clocks and randomness."""
    world = world or World()
    tally = Tally(journal)
    return build(
        settings,
        house=lambda: running(settings, journal=tally, world=world),
        journal=tally,
        new_request_id=lambda: "req_" + world.mint(),
    )


def _deaf(_: object) -> None:
    """A journal that nobody reads."""


@asynccontextmanager
async def running(settings: Settings, *, journal: Tally, world: World) -> AsyncIterator[Services]:
    """The whole system: the providers' connections, and the actors inside them."""
    async with AsyncExitStack() as connections:
        tls = ssl.create_default_context()  # 20 to 700 ms: once, for all providers
        units = {
            provider.name: await connections.enter_async_context(
                _unit(provider, settings, tls=tls, world=world)
            )
            for provider in settings.enabled()
        }
        search = None
        if (wanted := settings.web_search) is not None:
            backend = SearXng(
                wanted, tls=tls, connections=settings.max_exchanges, transport=settings.transport
            )
            search = await connections.enter_async_context(backend)
        vocabularies = await load(vocabularies_needed(_seats(units, settings)))
        house = inhabited(
            units,
            settings,
            journal=journal,
            world=world,
            search=search,
            vocabularies=vocabularies,
            documents=installed_reader(),
        )
        async with house as services:
            yield services


@asynccontextmanager
async def inhabited(
    units: Mapping[str, Unit],
    settings: Settings,
    *,
    journal: Tally,
    world: World,
    search: Search | None = None,
    vocabularies: Mapping[str, Vocabulary] | None = None,
    documents: Texts | None = None,
) -> AsyncIterator[Services]:
    """The actors over given units, by provider name. Without `documents`, no PDF is read."""
    counting = Counting(
        _seats(units, settings), vocabularies=vocabularies, wish=settings.scale_usage_to_window
    )
    services = Services(
        settings=settings,
        dispatcher=dispatching.Dispatcher(),
        units=units,
        journal=journal,
        mint=world.mint,
        counting=counting,
        documents=documents or NoReader(),
        content_within=content_within(settings),
        search=search,
    )
    async with trio.open_nursery() as actors:
        if text := counting.announcement():
            journal(Note(level="info", event="usage.scaled", text=text))
        start = Starter(services, actors, world)
        start.dispatcher()
        for unit in units.values():
            start.provider(unit)
        yield services
        actors.cancel_scope.cancel()


class Starter:
    """Starts actors under supervision in one nursery."""

    def __init__(self, services: Services, nursery: trio.Nursery, world: World) -> None:
        self._services = services
        self._nursery = nursery
        self._world = world

    def dispatcher(self) -> None:
        """Start the dispatcher's actor."""
        settings, world = self._services.settings, self._world
        routes = dispatching.Routes(
            candidates={tier: candidates(settings, tier) for tier in TIERS},
            rules=Rules.of(
                settings,
                blind=_blind(self._services.units),
                silent=self._services.counting.silent(),
                windows=self._services.counting.windows(),
            ),
        )
        budget = Budget(settings.retry_budget)
        view: dict[str, Snapshot] = {}
        mailbox = self._services.dispatcher.mailbox

        async def incarnate(_: int) -> None:
            incarnation = dispatching.Incarnation(
                routes, view=view, budget=budget, now=trio.current_time, seed=world.seed
            )
            await mailbox.serve(incarnation.handle)

        self._supervise("dispatcher", incarnate)

    def provider(self, unit: Unit) -> None:
        """Start a provider's actor and, inside the same supervision, its probe."""
        around = self._surroundings(unit.settings)

        async def incarnate(epoch: int) -> None:
            incarnation = providing.Incarnation(around, epoch=epoch)
            async with trio.open_nursery() as nursery:
                self._start_probe(unit, incarnation, nursery)
                await unit.actor.mailbox.serve(incarnation.handle)

        self._supervise(f"provider {unit.settings.name}", incarnate)

    def _surroundings(self, provider: ProviderSettings) -> providing.Surroundings:
        world = self._world
        return providing.Surroundings(
            name=provider.name,
            breaker=self._services.settings.circuit_breaker,
            trial_timeout=provider.content_within + 30.0,
            now=trio.current_time,
            wall=world.wall,
            draw=world.draw,
            publish=self._services.dispatcher.publish,
            journal=self._services.journal,
            drain=Draining(),
            notebook=Notebook(provider.options, provider.all_models()),
        )

    def _start_probe(self, unit: Unit, incarnation: providing.Incarnation, nursery: trio.Nursery) -> None:
        interval = unit.settings.health_check_interval
        if interval is None:
            interval = self._services.settings.health_check_interval
        if interval == 0 or unit.settings.probe == "off":
            return
        schedule = ProbeSchedule(
            name=unit.settings.name,
            interval=interval,
            draw=self._world.draw,
            wall=self._world.wall,
            last_success=lambda: incarnation.last_success,
            journal=self._services.journal,
        )
        nursery.start_soon(partial(keep_probing, unit.upstream.probe, schedule, tell=unit.actor.probe_ended))

    def _supervise(self, name: str, incarnate: Callable[[int], Awaitable[None]]) -> None:
        self._nursery.start_soon(
            partial(supervise, incarnate, name=name, policy=RestartPolicy(), report=self._crashed)
        )

    def _crashed(self, crash: Crash) -> None:
        self._services.journal(
            ActorCrashed(actor=crash.actor, error=blame(crash.error), restart_in=crash.restart_in)
        )


def _blind(units: Mapping[str, Unit]) -> frozenset[Candidate]:
    """The candidates that cannot take images."""
    return frozenset(
        Candidate(name, model)
        for name, unit in units.items()
        for model, dialect in unit.dialects.items()
        if not dialect.vision
    )


def _seats(units: Mapping[str, Unit], settings: Settings) -> Mapping[Tier, Sequence[Seat]]:
    return seats_of(settings, {name: unit.dialects for name, unit in units.items()})


@asynccontextmanager
async def _unit(
    provider: ProviderSettings, settings: Settings, *, tls: ssl.SSLContext, world: World
) -> AsyncIterator[Unit]:
    """All there is of one provider but its actor's task; its connections are open as long as this is."""
    upstream = Upstream(
        provider,
        tls=tls,
        connections=settings.max_exchanges,
        wall=world.wall,
        transport=settings.transport_of(provider),
    )
    async with upstream, trio.open_nursery() as nursery:
        nursery.start_soon(upstream.tidy)
        yield Unit(
            settings=provider,
            actor=providing.Provider(provider.name),
            upstream=upstream,
            scrub=scrubber(secrets_of_provider(provider), [provider.name]),
            dialects={model: resolve_dialect(provider, model) for model in provider.all_models()},
        )
        nursery.cancel_scope.cancel()
