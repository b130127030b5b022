"""The running system under one configuration after another.

Each configuration is a generation: its `Services`, and what of the fleet they use. An exchange holds on to
the generation that it began with. A reload builds the next one beside the one in use, and changes over only
when all of it is up; so a configuration that cannot be brought up changes nothing. What no generation uses
any more is closed then.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from functools import partial
from typing import TypeVar

import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.actors.dispatcher import Dispatcher, Incarnation, Routes
from ccproxy_trio.attempt import Unit
from ccproxy_trio.counting.sizes import Counting, seats_of, vocabularies_needed
from ccproxy_trio.counting.vocabulary import Vocabulary, load
from ccproxy_trio.documents.texts import NoReader, Texts
from ccproxy_trio.drain import Drain
from ccproxy_trio.errand import Services
from ccproxy_trio.fleet import Line, Post, Probing, Shared, World, identity, keep_up
from ccproxy_trio.journal import Note, Tally
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.patience import content_within
from ccproxy_trio.routing.question import Rules
from ccproxy_trio.routing.tiers import Candidate, candidates
from ccproxy_trio.settings.model import TIERS, ProviderSettings, Settings, WebSearch
from ccproxy_trio.settings.scrub import scrubber, secrets_of_provider
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.turns import Turns
from ccproxy_trio.upstream.endpoint import Endpoint
from ccproxy_trio.upstream.search import Search

T = TypeVar("T")
# What the connections to a provider do not depend on. They are kept when nothing else has changed.
NOT_ABOUT_CONNECTING = frozenset(
    {
        "enabled",
        "priority",
        "timeout",
        "max_retries",
        "first_content_timeout",
        "idle_timeout",
        "total_timeout",
        "hedge_after",
        "health_check_interval",
        "context_window",
    }
)


class Fittings(Struct, frozen=True, kw_only=True):
    """What comes into the house from outside.

    `open_endpoint` gives a provider's connections. `trust` says what it comes to to trust the file of this
    name (a `ca_bundle`), so that connections are opened anew when its content has changed. Without
    `open_search` web searches are unavailable, without `documents` no PDF is read. The first three raise
    OSError or ConfigError where they cannot: then the configuration cannot be brought up.
    """

    open_endpoint: Callable[[ProviderSettings, Settings], AbstractAsyncContextManager[Endpoint]]
    open_search: Callable[[WebSearch, Settings], AbstractAsyncContextManager[Search]] | None = None
    trust: Callable[[str | None], object] = str
    vocabularies: Callable[[Iterable[str]], Awaitable[Mapping[str, Vocabulary]]] = load
    documents: Texts | None = None


class _Generation:
    """One configuration in use: its services, its posts by name, and what of the fleet it holds."""

    def __init__(self, services: Services, posts: Mapping[str, Post], held: Sequence[Shared]) -> None:
        self.services = services
        self.posts = posts
        self._held = held
        self._users = 1  # the house itself, as long as this is the newest

    def take(self) -> None:
        """One user more."""
        self._users += 1

    def give_back(self) -> None:
        """One user less; the last of them gives back what was held."""
        self._users -= 1
        if self._users == 0:
            for shared in self._held:
                shared.give_back()


class _Plan:
    """The next generation while it is put together. What it holds is given back if nothing comes of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.held: list[Shared] = []
        self.units: dict[str, Unit] = {}
        self.posts: dict[str, Post] = {}
        self.search: Search | None = None

    def hold(self, shared: Shared) -> None:
        """Use it from now on."""
        shared.take()
        self.held.append(shared)

    def drop(self) -> None:
        """Nothing comes of it."""
        for shared in self.held:
            shared.give_back()


class _Builder:
    """Puts one generation after another together, from what runs already as far as that will do."""

    def __init__(
        self,
        fittings: Fittings,
        budget: Budget,
        *,
        journal: Tally,
        world: World,
        outside: trio.Nursery,
        inside: trio.Nursery,
    ) -> None:
        self._fittings = fittings
        self._journal = journal
        self._world = world
        self._outside = outside
        self._inside = inside
        self.drain = Drain()
        self.budget = budget
        self._turns = Turns()
        self._dispatcher = Dispatcher()
        self.lines: list[Line[Endpoint]] = []
        self._search_lines: list[Line[Search]] = []
        self.posts: list[Post] = []
        self._vocabularies: dict[str, Vocabulary] = {}
        self._spoken_for: dict[str, Post] = {}  # whose snapshots the dispatcher hears, by name

    def start_dispatcher(self) -> None:
        """Run the dispatcher, over whatever generation asks it."""
        dispatcher, world = self._dispatcher, self._world

        async def incarnate(_: int) -> None:
            incarnation = Incarnation(
                view=dispatcher.view, budget=self.budget, now=trio.current_time, seed=world.seed
            )
            await dispatcher.mailbox.serve(incarnation.handle)

        self._inside.start_soon(partial(keep_up, incarnate, name="dispatcher", journal=self._journal))

    async def planned(self, settings: Settings) -> tuple[_Plan, Services]:
        """Bring up what the configuration needs and does not find running.

        Raises:
            OSError, ConfigError: it cannot be brought up; nothing of it stays.
        """
        plan = _Plan(settings)
        with ExitStack() as undo:
            undo.callback(plan.drop)
            for provider in settings.enabled():
                await self._plan_provider(plan, provider)
            if settings.web_search is not None and self._fittings.open_search is not None:
                plan.search = await self._searched(plan, settings.web_search)
            services = await self._services(plan)
            undo.pop_all()
        return plan, services

    async def _plan_provider(self, plan: _Plan, provider: ProviderSettings) -> None:
        post = next((p for p in self.posts if p.key == identity(provider) and not p.is_over), None)
        if post is None:
            post = Post(provider, plan.settings, world=self._world, journal=self._journal)
            self.posts.append(post)
            await self._inside.start(partial(post.run, ended=partial(self._post_ended, post)))
        plan.hold(post)
        line = await self._line(plan, provider)
        plan.posts[provider.name] = post
        plan.units[provider.name] = Unit(
            settings=provider,
            actor=post.actor.in_era(post.era_with(provider)),
            upstream=line.opened,
            scrub=scrubber(secrets_of_provider(provider), [provider.name]),
            dialects={model: resolve(provider, model) for model in provider.all_models()},
            schemas=post.schemas,
        )

    async def _line(self, plan: _Plan, provider: ProviderSettings) -> Line[Endpoint]:
        settings = plan.settings
        key = (
            about_connecting(provider),
            settings.transport_of(provider),
            settings.max_exchanges,
            self._fittings.trust(provider.authorities),
        )
        return await self._kept_open(
            plan, self.lines, key, lambda: self._fittings.open_endpoint(provider, settings)
        )

    async def _searched(self, plan: _Plan, wanted: WebSearch) -> Search:
        settings, open_search = plan.settings, self._fittings.open_search
        assert open_search is not None  # noqa: S101 - the caller has looked
        trusted = self._fittings.trust(settings.ca_bundle)
        key = (wanted, settings.transport, settings.max_exchanges, trusted)
        line = await self._kept_open(plan, self._search_lines, key, lambda: open_search(wanted, settings))
        return line.opened

    async def _kept_open(
        self,
        plan: _Plan,
        lines: list[Line[T]],
        key: object,
        opening: Callable[[], AbstractAsyncContextManager[T]],
    ) -> Line[T]:
        """The line of this key, opened if there is none."""
        line = next((kept for kept in lines if kept.key == key and not kept.is_over), None)
        if line is None:
            line = Line(key)
            lines.append(line)
            await self._outside.start(partial(line.run, opening(), ended=partial(lines.remove, line)))
        plan.hold(line)
        return line

    def _post_ended(self, post: Post) -> None:
        self.posts.remove(post)
        if self._spoken_for.get(post.actor.name) is post:
            del self._spoken_for[post.actor.name]
            self._dispatcher.forget(post.actor.name)

    async def _services(self, plan: _Plan) -> Services:
        settings = plan.settings
        seats = seats_of(settings, {name: unit.dialects for name, unit in plan.units.items()})
        vocabularies = await self._known(vocabularies_needed(seats))
        counting = Counting(seats, vocabularies=vocabularies, wish=settings.scale_usage_to_window)
        return Services(
            settings=settings,
            routes=_routes(plan.units, settings, counting),
            dispatcher=self._dispatcher,
            units=plan.units,
            journal=self._journal,
            mint=self._world.mint,
            counting=counting,
            documents=self._fittings.documents or NoReader(),
            content_within=content_within(settings),
            drain=self.drain,
            turns=self._turns,
            search=plan.search,
        )

    async def _known(self, wanted: frozenset[str]) -> Mapping[str, Vocabulary]:
        """The vocabularies of these names. Each takes up to half a second to load, so those at hand stay."""
        missing = wanted - self._vocabularies.keys()
        known = self._vocabularies | dict(await self._fittings.vocabularies(missing) if missing else {})
        self._vocabularies = {name: known[name] for name in wanted if name in known}
        return self._vocabularies

    def put_in_use(self, plan: _Plan, services: Services) -> _Generation:
        """From here on requests begin under this configuration. Nothing waits in here."""
        for provider in plan.settings.enabled():
            unit, post = plan.units[provider.name], plan.posts[provider.name]
            post.reconfigure(provider, plan.settings, probing=_probing(unit, plan.settings))
            self._give_the_word_to(post)
        if text := services.counting.announcement():
            self._journal(Note(level="info", event="usage.scaled", text=text))
        return _Generation(services, plan.posts, plan.held)

    def _give_the_word_to(self, post: Post) -> None:
        """What is known under its name is what this one knows."""
        before = self._spoken_for.get(post.actor.name)
        if before is post:
            return
        if before is not None:
            before.be_silent()
        self._spoken_for[post.actor.name] = post
        post.speak_to(self._dispatcher.publish)


class House:
    """The running system. `reload` puts the next configuration in use."""

    def __init__(self, builder: _Builder, plan: _Plan, services: Services) -> None:
        self._builder = builder
        self.drain = builder.drain
        self._generation = builder.put_in_use(plan, services)
        self._reloading = trio.Lock()

    @classmethod
    async def open(
        cls,
        settings: Settings,
        fittings: Fittings,
        *,
        journal: Tally,
        world: World,
        outside: trio.Nursery,
        inside: trio.Nursery,
    ) -> "House":
        """Bring up the first configuration. Connections are kept open in `outside`, actors run in `inside`.

        Raises:
            OSError, ConfigError: it cannot be brought up.
        """
        builder = _Builder(
            fittings,
            Budget(settings.retry_budget),
            journal=journal,
            world=world,
            outside=outside,
            inside=inside,
        )
        builder.start_dispatcher()
        return cls(builder, *await builder.planned(settings))

    @property
    def services(self) -> Services:
        """Those of the newest configuration. Whoever works with them for a while takes them with `in_use`."""
        return self._generation.services

    @contextmanager
    def in_use(self) -> Iterator[Services]:
        """The services as they are now; nothing of them is closed while the block runs."""
        generation = self._generation
        generation.take()
        try:
            yield generation.services
        finally:
            generation.give_back()

    async def reload(self, settings: Settings) -> None:
        """Put another configuration in use, for the requests that come from now on.

        Providers keep their actor where name and address stay, and their connections where nothing about
        connecting has changed.

        Raises:
            OSError, ConfigError: it cannot be brought up; the one in use stays in use.
        """
        async with self._reloading:
            plan, services = await self._builder.planned(settings)
            self._builder.budget.reconfigure(settings.retry_budget)
            before = self._generation
            self._generation = self._builder.put_in_use(plan, services)
            for name, post in before.posts.items():
                if self._generation.posts.get(name) is not post:
                    post.probe(None)
            before.give_back()

    def stop_probing(self) -> None:
        """The system is being stopped: providers need not be asked any more."""
        for post in self._generation.posts.values():
            post.probe(None)


def about_connecting(provider: ProviderSettings) -> ProviderSettings:
    """The settings without those that connections do not depend on."""
    usual = {
        field.name: field.default
        for field in msgspec.structs.fields(ProviderSettings)
        if field.name in NOT_ABOUT_CONNECTING
    }
    return msgspec.structs.replace(provider, **usual)


def _probing(unit: Unit, settings: Settings) -> Probing | None:
    own = unit.settings.health_check_interval
    interval = settings.health_check_interval if own is None else own
    if interval == 0 or unit.settings.probe == "off" or unit.settings.passes_credentials:
        return None
    return Probing(unit.upstream.probe, interval)


def _routes(units: Mapping[str, Unit], settings: Settings, counting: Counting) -> Routes:
    return Routes(
        candidates={tier: candidates(settings, tier) for tier in TIERS},
        rules=Rules.of(settings, blind=_blind(units), silent=counting.silent(), windows=counting.windows()),
    )


def _blind(units: Mapping[str, Unit]) -> frozenset[Candidate]:
    """The candidates that cannot take images."""
    return frozenset(
        Candidate(name, model)
        for name, unit in units.items()
        for model, dialect in unit.dialects.items()
        if not dialect.vision
    )
