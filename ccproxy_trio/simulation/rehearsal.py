"""A rehearsal: the server's own actors and exchange over simulated providers, in Trio's virtual time."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import MappingProxyType

import trio
import trio.testing
from msgspec import Struct

from ccproxy_trio.app import running
from ccproxy_trio.counting.vocabulary import Vocabulary
from ccproxy_trio.fleet import World
from ccproxy_trio.house import Fittings, House
from ccproxy_trio.journal import Tally
from ccproxy_trio.settings.model import ProviderSettings, Settings, Tier
from ccproxy_trio.simulation.client import Client, Prompt
from ccproxy_trio.simulation.exact import repeatable_scheduling, seeded_world
from ccproxy_trio.simulation.outage import Outage
from ccproxy_trio.simulation.provider import Pace, SimulatedProvider
from ccproxy_trio.simulation.record import Event, Recorder, Visit
from ccproxy_trio.upstream.endpoint import Endpoint

USUAL_PACE = Pace()
_NO_PACES: Mapping[str, Pace] = MappingProxyType({})


class Scenario(Struct, frozen=True, kw_only=True):
    """What is rehearsed. Times in virtual seconds.

    Each of `sessions` sends a request `every` so often, whether or not the one before has been answered,
    from 0 until before `lasts`; together they are spread evenly.
    """

    outages: tuple[Outage, ...]
    every: float = 2.0
    lasts: float = 120.0
    tier: Tier = "big"
    sessions: int = 1
    streams: bool = True
    seed: int = 0
    paces: Mapping[str, Pace] = _NO_PACES

    def instants(self) -> Iterator[tuple[float, int, int]]:
        """When each prompt begins, its session's number and its turn there, both from 0; in order."""
        gap = self.every / self.sessions
        place = 0
        while (instant := place * gap) < self.lasts:
            yield instant, place % self.sessions, place // self.sessions
            place += 1

    def pace_of(self, provider: str) -> Pace:
        """How fast a provider answers."""
        return self.paces.get(provider, USUAL_PACE)


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it: every prompt, every entry of the journal, and the instant at which all was over."""

    scenario: Scenario
    visits: tuple[Visit, ...]
    events: tuple[Event, ...]
    numbers: Mapping[str, int]  # request id -> the prompt's number
    ended_at: float


def rehearse(settings: Settings, scenario: Scenario) -> Outcome:
    """Run it, in as much real time as the processor needs. The same arguments give the same outcome."""
    with repeatable_scheduling(scenario.seed):
        # A threshold of 0: whenever all tasks wait, it is at once the next instant that one waits for.
        clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(_play, settings, scenario, clock=clock)


async def _play(settings: Settings, scenario: Scenario) -> Outcome:
    world, recorder = seeded_world(scenario.seed), Recorder()
    fittings = _simulated(scenario, world)
    async with running(settings, journal=Tally(recorder.journal), world=world, fittings=fittings) as house:
        await _traffic(house, scenario, recorder)
        return Outcome(
            scenario=scenario,
            visits=tuple(recorder.visits()),
            events=tuple(recorder.events),
            numbers=recorder.numbers(),
            ended_at=max(trio.current_time(), scenario.lasts),
        )


async def _traffic(house: House, scenario: Scenario, recorder: Recorder) -> None:
    """Send all prompts and wait for the last of them."""
    client = Client(house.in_use, recorder.began)
    async with trio.open_nursery() as nursery:
        for number, (instant, session, turn) in enumerate(scenario.instants(), start=1):
            await trio.sleep_until(instant)
            prompt = Prompt(
                number=number,
                turn=turn,
                session=f"{session + 1:08}-0000-4000-8000-000000000000",
                tier=scenario.tier,
                streams=scenario.streams,
            )
            nursery.start_soon(client.run, prompt)


def _simulated(scenario: Scenario, world: World) -> Fittings:
    """Simulated providers, and nothing else that would reach out of the process or take a thread."""

    def open_endpoint(provider: ProviderSettings, _: Settings) -> AbstractAsyncContextManager[Endpoint]:
        outages = [outage for outage in scenario.outages if outage.provider == provider.name]
        pace = scenario.pace_of(provider.name)
        return nullcontext(SimulatedProvider(provider, pace=pace, outages=outages, wall=world.wall))

    return Fittings(open_endpoint=open_endpoint, vocabularies=_no_vocabularies)


async def _no_vocabularies(_: Iterable[str]) -> Mapping[str, Vocabulary]:
    """Exact counts would take threads, whose time is not virtual. Estimates decide the same here."""
    await trio.lowlevel.checkpoint()
    return {}
