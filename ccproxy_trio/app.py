"""The composition root: nest the nurseries, hand the handles down, decide the order of dying.

From the outside in: the providers' connections, the dispatcher, the providers' actors with their probes.
Requests live inside all of them, in nurseries of their own, so a crashed actor closes no stream.
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ccproxy_trio.documents.texts import installed_reader
from ccproxy_trio.edge.application import Application, Tending, build, leave_alone
from ccproxy_trio.edge.exposure import open_doors
from ccproxy_trio.fleet import World
from ccproxy_trio.house import Fittings, House
from ccproxy_trio.journal import Journal, Tally
from ccproxy_trio.logs.banner import open_console
from ccproxy_trio.reload import Reloading
from ccproxy_trio.settings.load import ConfigError, environment, listening, resolve
from ccproxy_trio.settings.model import ProviderSettings, Settings, WebSearch
from ccproxy_trio.upstream.client import Upstream
from ccproxy_trio.upstream.endpoint import Endpoint
from ccproxy_trio.upstream.search import SearXng
from ccproxy_trio.upstream.trust import Trust


def create_app() -> Application:
    """The ASGI app; what `hypercorn -k trio "ccproxy_trio:create_app()"` serves.

    The configuration is found as `ccproxy-trio serve` finds it, and its faults end the process with status
    2: under Hypercorn there is no command line of ours to print them.
    """
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
    reloading = Reloading(loaded=loaded, journal=journal, learn=journal.learn_settings, hang_up=_hang_up)

    async def tend(app: Application, house: House) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reloading.tend, app, house)
            if app.stopping is not None:
                nursery.start_soon(app.stopping.obey)

    return assemble(loaded.settings, journal=journal, tend=tend)


def _hang_up() -> None:
    """Die of SIGHUP, as a process does that does not know it: Hypercorn's parent sees to the rest."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.raise_signal(signal.SIGHUP)


def _refused(text: str) -> SystemExit:
    """The end of a process that cannot start, told on its standard error."""
    sys.stderr.write(f"{text}\n")
    return SystemExit(2)


def assemble(
    settings: Settings, *, journal: Journal, world: World | None = None, tend: Tending = leave_alone
) -> Application:
    """The app over given settings, clocks and randomness. `tend` runs beside it, and may reload it."""
    world = world or World()
    tally = Tally(journal)
    return build(
        settings,
        house=lambda: running(settings, journal=tally, world=world),
        journal=tally,
        new_request_id=lambda: "req_" + world.mint(),
        tend=tend,
    )


@asynccontextmanager
async def running(
    settings: Settings, *, journal: Tally, world: World, fittings: Fittings | None = None
) -> AsyncIterator[House]:
    """The whole system: connections outside, actors inside of them, and requests in the block.

    `fittings` say what stands for the outside, mostly `open_endpoint` for the providers; without them it is
    the real thing.
    """
    async with trio.open_nursery() as outside:
        async with trio.open_nursery() as inside:
            yield await House.open(
                settings,
                fittings or stock_fittings(world),
                journal=journal,
                world=world,
                outside=outside,
                inside=inside,
            )
            inside.cancel_scope.cancel()
        outside.cancel_scope.cancel()


def stock_fittings(world: World) -> Fittings:
    """The real providers, search backends, vocabularies and readers."""
    trust = Trust()

    @asynccontextmanager
    async def open_endpoint(provider: ProviderSettings, settings: Settings) -> AsyncIterator[Endpoint]:
        upstream = Upstream(
            provider,
            tls=trust.context(provider.authorities),
            connections=settings.max_exchanges,
            wall=world.wall,
            transport=settings.transport_of(provider),
        )
        async with upstream, trio.open_nursery() as nursery:
            nursery.start_soon(upstream.tidy)
            yield upstream
            nursery.cancel_scope.cancel()

    def open_search(wanted: WebSearch, settings: Settings) -> SearXng:
        return SearXng(
            wanted,
            tls=trust.context(settings.ca_bundle),
            connections=settings.max_exchanges,
            transport=settings.transport,
        )

    return Fittings(
        open_endpoint=open_endpoint,
        open_search=open_search,
        trust=trust.context,
        documents=installed_reader(),
    )
