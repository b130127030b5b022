"""One comparison from end to end: install, start, take turns, fail over, stop."""

import random
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio
from msgspec import Struct

from benchmarks.asking import Spoiled
from benchmarks.compare_measures import (
    ALONE,
    LOAD_ROUTES,
    LOADS,
    Asked,
    Failing,
    Load,
    Straight,
    settled_memory,
)
from benchmarks.compare_report import Gap, Sample
from benchmarks.peers import OURS, Peer
from benchmarks.peers_check import flaws
from benchmarks.peers_install import Uninstallable, installed
from benchmarks.peers_launch import Route
from benchmarks.peers_process import Contender, NotStarted, started
from benchmarks.upstream import CannedUpstream, canned_upstream
from ccproxy_trio.journal import bottom
from ccproxy_trio.version import __version__

STARTS = 3  # of each program, at most
WHY_LETTERS = 200  # of the reason for a gap
WARMING = -1  # the number of the round that nobody counts
OURSELVES = Peer(name=OURS, version=__version__, source=None, falls_back=True)


class Stopped(Exception):
    """Somebody has asked for the end: by SIGTERM or SIGHUP."""


class Extent(Struct, frozen=True, kw_only=True):
    """How much is measured: rounds, and the seconds that a load lasts in each."""

    rounds: int
    seconds: float


class Home(Struct, frozen=True):
    """A program and the folder of its installation."""

    peer: Peer
    folder: Path


class Notes:
    """What a run has found out so far."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.gaps: list[Gap] = []
        self.flaws: dict[str, tuple[str, ...]] = {}

    def lacks(self, program: str, why: str, *, measures: Sequence[str | None] = (None,)) -> None:
        """A program is not measured: not at all, or not by these. Earlier figures of them mean nothing."""
        told = " ".join(why.split())[:WHY_LETTERS]
        self.gaps += [Gap(program=program, measure=measure, why=told) for measure in measures]
        self.samples = [
            each for each in self.samples if not (each.program == program and each.measure in measures)
        ]

    def has_failed(self, program: str, load: Load) -> bool:
        """Whether it has failed before: then it is not tried again."""
        return any(gap.program == program and gap.measure in load.measures for gap in self.gaps)

    def lacks_all(self, program: str) -> bool:
        """Whether nothing of it is measured."""
        return any(gap.program == program and gap.measure is None for gap in self.gaps)

    def add(self, program: str, number: int, figures: Mapping[str, float]) -> None:
        """Figures of one round."""
        for measure, figure in figures.items():
            self.samples.append(Sample(program=program, measure=measure, round=number, figure=figure))


async def compare(
    peers: Sequence[Peer], store: Path, *, extent: Extent, tell: Callable[[str], None]
) -> Notes:
    """Measure ourselves and `peers`, which are installed into `store` where they are not there yet.

    `tell` hears what is being done now.

    Raises:
        Spoiled: the proxy itself, or the upstream alone, could not be measured.
        Stopped: a signal came. (In an ExceptionGroup, like the other.)
    """
    notes = Notes()
    async with _until_a_signal():
        homes = [Home(OURSELVES, store), *await housed(peers, store, notes, tell=tell)]
        async with canned_upstream() as upstream:
            run = Run(upstream, homes, notes, extent=extent, tell=tell)
            await run.loads()
            await run.failing_over()
    for gap in notes.gaps:
        if gap.program in (OURS, ALONE):
            raise Spoiled(f"{gap.program}, {gap.measure or 'start'}: {gap.why}")
    return notes


async def housed(
    peers: Sequence[Peer], store: Path, notes: Notes, *, tell: Callable[[str], None]
) -> list[Home]:
    """Install them, one after the other. One that cannot be installed becomes a note."""
    homes = []
    for peer in peers:
        tell(f"installing {peer.name}")
        try:
            homes.append(Home(peer, await installed(peer, store)))
        except Uninstallable as error:
            notes.lacks(peer.name, f"it could not be installed: {error}")
    return homes


class Run:
    """The programs, in turns."""

    def __init__(
        self,
        upstream: CannedUpstream,
        homes: Sequence[Home],
        notes: Notes,
        *,
        extent: Extent,
        tell: Callable[[str], None],
    ) -> None:
        self._upstream = upstream
        self._homes = homes
        self._notes = notes
        self._extent = extent
        self._tell = tell
        self._order = random.Random(0)  # the same order in every run

    async def loads(self) -> None:
        """Everything that needs no failing provider: starts and memory first, then the loads."""
        async with AsyncExitStack() as stack:
            programs: dict[str, Asked] = {ALONE: Straight(port=self._upstream.port, pid=self._upstream.pid)}
            for home in self._homes:
                try:
                    programs[home.peer.name] = await self._started_often(stack, home)
                except* (NotStarted, OSError) as failed:
                    self._notes.lacks(home.peer.name, str(bottom(failed)))
            await self._in_turns(LOADS, programs)

    async def failing_over(self) -> None:
        """Those that fall back, started anew with a failing provider before the other."""
        failing = Failing()
        measures = [measure for load in failing.loads() for measure in load.measures]
        async with failing.open(), AsyncExitStack() as stack:
            programs: dict[str, Asked] = {}
            for home in self._homes:
                if not home.peer.falls_back or self._notes.lacks_all(home.peer.name):
                    continue
                try:
                    programs[home.peer.name] = await self._start(stack, home, failing.routes())
                except* NotStarted as failed:
                    self._notes.lacks(home.peer.name, str(bottom(failed)), measures=measures)
            await self._in_turns(failing.loads(), programs)

    async def _in_turns(self, loads: Sequence[Load], programs: Mapping[str, Asked]) -> None:
        """First a round that is not counted: some compile themselves, or fill caches, as they run."""
        for number in range(WARMING, self._extent.rounds):
            for load in loads:
                if number == WARMING and not load.warmed:
                    continue
                when = "warming up" if number == WARMING else f"round {number + 1} of {self._extent.rounds}"
                self._tell(f"{when}: {', '.join(load.measures)}")
                wanted = [name for name in programs if load.alone or name != ALONE]
                names = self._order.sample(wanted, k=len(wanted))
                for name in names:
                    await self._take(load, name, programs[name], number)

    async def _take(self, load: Load, name: str, asked: Asked, number: int) -> None:
        if self._notes.has_failed(name, load):
            return
        try:
            figures = await load.measure(asked, self._extent.seconds)
            if number != WARMING:
                self._notes.add(name, number, figures)
        except* (Spoiled, OSError, trio.TooSlowError) as failed:
            self._notes.lacks(name, str(bottom(failed)), measures=load.measures)

    async def _started_often(self, stack: AsyncExitStack, home: Home) -> Contender:
        """Start it some times, to see how long that takes; it stays up after the last."""
        for number in range(min(STARTS, self._extent.rounds) - 1):
            async with AsyncExitStack() as once:
                await self._note_start(await self._start(once, home, LOAD_ROUTES), number)
        contender = await self._start(stack, home, LOAD_ROUTES)
        await self._note_start(contender, min(STARTS, self._extent.rounds) - 1)
        self._notes.flaws[home.peer.name] = await flaws(contender)
        return contender

    async def _note_start(self, contender: Contender, number: int) -> None:
        idle = await settled_memory(contender)
        figures = {"start": contender.start_seconds, "memory-idle": idle}
        self._notes.add(contender.peer.name, number, figures)

    async def _start(self, stack: AsyncExitStack, home: Home, routes: Mapping[str, Route]) -> Contender:
        self._tell(f"starting {home.peer.name}")
        starting = started(home.peer, home.folder, upstream=self._upstream.base_url, routes=routes)
        return await stack.enter_async_context(starting)


@asynccontextmanager
async def _until_a_signal() -> AsyncIterator[None]:
    """End the block, and with it every process it has started, when SIGTERM or SIGHUP comes."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch)
        yield
        nursery.cancel_scope.cancel()


async def _watch(task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            raise Stopped(f"stopped by {signal.Signals(number).name}")
