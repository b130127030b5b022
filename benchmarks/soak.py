"""Whether anything is lost or left behind under load, again and again, and when a provider is killed.

Waves: so many streams at once that are served whole, then as many that their clients abort, half of them with
a reset. Then a provider is killed (SIGKILL) while it serves, is away for a while, and comes back, under load
all the time. Every stream's text is compared to the last character. `/health` is asked meanwhile. In the
end, all that the work took must have been given back.
"""

import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import trio
from msgspec import Struct
from rich.table import Table

from benchmarks.asking import Client, Spoiled
from benchmarks.figures import short
from benchmarks.front import json_option, measured, tell
from benchmarks.machine import facts
from benchmarks.processes import raise_file_limit
from benchmarks.report import empty_table, encode, quantiles
from benchmarks.soak_clients import Asker, Ending
from benchmarks.soak_page import FIGURES, PAGE, with_figures
from benchmarks.soak_stage import BURST, HELD, Stage, open_stage
from ccproxy_trio.edge import rush

STREAMS_WITHIN = 120.0  # seconds for all streams of a wave
OUTAGE = 1.0  # seconds between a provider's death and its return
BACK_WITHIN = 20.0  # seconds after which a provider that has come back must have been asked again
HEALTH_EVERY = 0.1
LOOK_EVERY = 0.25
RUSH_IS_OVER = rush.LOOK_EVERY + 1.0  # seconds after which the proxy has given memory back
ASKING_HEALTH = 10  # tasks at most that asking for it takes
LOADERS = 8  # clients that ask on and on while the provider is killed
FLAT = 0.02  # of the memory: what a wave may leave behind at most


class Counts(Struct, frozen=True, kw_only=True):
    """How much: `streams` of a wave, `waves`, streams that are `cut` by the kill.

    `keep_alive`: see `open_stage`. `settles_within`: seconds in which all must be given back.
    """

    streams: int
    waves: int
    cut: int
    keep_alive: float | None
    settles_within: float


class Health(Struct, frozen=True, kw_only=True):
    """How fast `/health` was answered meanwhile, in milliseconds."""

    asked: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


class Kill(Struct, frozen=True, kw_only=True):
    """What a provider's death did. `told`: streams that ended in an error event, `within_ms` all of them.

    `served`: requests of other clients around it, all of them whole; `back_after_ms`: from the return of the
    provider to its first request.
    """

    cut: int
    told: int
    within_ms: float
    served: int
    back_after_ms: float


class Left(Struct, frozen=True, kw_only=True):
    """Tasks and file descriptors of the proxy's process, and sockets of the providers'."""

    tasks: int
    descriptors: int
    at_providers: int


class Report(Struct, frozen=True, kw_only=True):
    """All of it. `rss`: bytes after each wave. `wrong`: how many streams were wrong, by what was wrong."""

    facts: Mapping[str, str]
    streams: int
    waves: int
    whole: int
    aborted: int
    wrong: Mapping[str, int]
    kill: Kill
    health: Health
    before: Left
    after: Left
    rss: tuple[int, ...]
    seconds: float

    @property
    def slope(self) -> float:
        """Bytes that the memory grows by with each wave; the first one is not counted, it fills the pools."""
        grown = self.rss[1:]
        return statistics.linear_regression(range(len(grown)), grown).slope if len(grown) > 1 else 0.0


class Soak:
    """A soak under way."""

    def __init__(self, stage: Stage, counts: Counts) -> None:
        self._stage = stage
        self._counts = counts
        port = stage.proxy.port
        self._bursts, self._held = Asker(port, "big", BURST), Asker(port, "middle", HELD)
        self.endings: Counter[Ending] = Counter()

    @property
    def wrong(self) -> Mapping[str, int]:
        """What was wrong with streams, and with how many."""
        return dict(Counter([*self._bursts.wrong, *self._held.wrong]))

    async def warm_up(self) -> None:
        """A few requests, one after the other."""
        for _ in range(20):
            await self._bursts.follow(self._bursts.reply())

    async def whole_wave(self) -> None:
        """All streams at once, to their ends. They are held until every one of them has shown some text."""
        replies = [self._held.reply() for _ in range(self._counts.streams)]
        with trio.fail_after(STREAMS_WITHIN):
            async with trio.open_nursery() as nursery:
                for reply in replies:
                    nursery.start_soon(self._noted, partial(self._held.follow, reply))
                for reply in replies:
                    await reply.shown.wait()
                await self._stage.first.release()

    async def aborted_wave(self) -> None:
        """All streams at once, left by their clients in the same instant."""
        replies = [self._held.reply() for _ in range(self._counts.streams)]
        shown = trio.Event()
        with trio.fail_after(STREAMS_WITHIN):
            async with trio.open_nursery() as nursery:
                for number, reply in enumerate(replies):
                    leave = partial(self._held.leave, reply, shown=shown, rudely=number % 2 == 0)
                    nursery.start_soon(self._noted, leave)
                for reply in replies:
                    await reply.shown.wait()
                shown.set()
        await self._stage.first.release()  # so that it forgets them, too

    async def kill(self) -> Kill:
        """Kill the first provider while it serves; have it come back; ask on and on meanwhile."""
        told_before = self.endings[Ending.TOLD]
        whole_before = self.endings[Ending.WHOLE]
        with trio.fail_after(STREAMS_WITHIN):
            async with trio.open_nursery() as loading:
                for _ in range(LOADERS):
                    loading.start_soon(self._load)
                within = await self._cut()
                await trio.sleep(OUTAGE)
                await self._stage.first.start()
                back_after = await self._asked_again()
                loading.cancel_scope.cancel()
        return Kill(
            cut=self._counts.cut,
            told=self.endings[Ending.TOLD] - told_before,
            within_ms=within * 1000,
            served=self.endings[Ending.WHOLE] - whole_before,
            back_after_ms=back_after * 1000,
        )

    async def _cut(self) -> float:
        """Kill the first provider while it holds streams; seconds until the last of them has ended."""
        replies = [self._held.reply() for _ in range(self._counts.cut)]
        async with trio.open_nursery() as cut:
            for reply in replies:
                cut.start_soon(self._noted, partial(self._held.follow, reply))
            for reply in replies:
                await reply.shown.wait()
            killed_at = trio.current_time()
            self._stage.first.kill()
        return trio.current_time() - killed_at

    async def _asked_again(self) -> float:
        began_at = trio.current_time()
        with trio.move_on_after(BACK_WITHIN):
            while True:
                if (await self._stage.first.counts()).completions:
                    return trio.current_time() - began_at
                await trio.sleep(LOOK_EVERY / 10)
        raise Spoiled("the provider that came back was not asked again")

    async def _load(self) -> None:
        while True:
            # A request that has begun comes to its end: a client that leaves would hide what becomes of it.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + STREAMS_WITHIN):
                await self._noted(partial(self._bursts.follow, self._bursts.reply()))
            await trio.lowlevel.checkpoint()

    async def _noted(self, stream: Callable[[], Awaitable[Ending]]) -> None:
        self.endings[await stream()] += 1


async def measure(counts: Counts) -> Report:
    """Soak.

    Raises:
        Spoiled: something does not start, or takes far too long. (In an ExceptionGroup.)
        OSError: this system does not tell what a process has open.
    """
    raise_file_limit()
    began = time.monotonic()
    async with open_stage(keep_alive=counts.keep_alive) as stage:
        soak, waits, rss = Soak(stage, counts), list[float](), list[int]()
        await soak.warm_up()
        before = await _left(stage)
        async with trio.open_nursery() as watching:
            watching.start_soon(_watch_health, stage.proxy.port, waits)
            for _ in range(counts.waves):
                await soak.whole_wave()
                await soak.aborted_wave()
                rss.append(await _memory_when_quiet(stage, before, counts))
            kill = await soak.kill()
            await soak.warm_up()
            watching.cancel_scope.cancel()
        after = await _settled(stage, before, within=counts.settles_within)
    told = {"streams": counts.streams, "waves": counts.waves, "cut": counts.cut}
    return Report(
        facts=facts(told),
        streams=counts.streams,
        waves=counts.waves,
        whole=soak.endings[Ending.WHOLE] - kill.served,
        aborted=soak.endings[Ending.LEFT],
        wrong=soak.wrong,
        kill=kill,
        health=_health(waits),
        before=before,
        after=after,
        rss=tuple(rss),
        seconds=time.monotonic() - began,
    )


async def _watch_health(port: int, waits: list[float]) -> None:
    async with Client(port) as client:
        while True:
            began_at = trio.current_time()
            await client.body_of("/health")
            waits.append(trio.current_time() - began_at)
            await trio.sleep(HEALTH_EVERY)


def _health(waits: Sequence[float]) -> Health:
    p99 = statistics.quantiles(waits, n=100, method="inclusive")[-1] if len(waits) > 1 else waits[0]
    return Health(
        asked=len(waits),
        p50_ms=quantiles(waits)[0] * 1000,
        p99_ms=p99 * 1000,
        worst_ms=max(waits) * 1000,
    )


async def _left(stage: Stage) -> Left:
    at_providers = stage.first.sockets() + stage.second.sockets()
    return Left(tasks=await stage.tasks(), descriptors=stage.descriptors(), at_providers=at_providers)


async def _settled(stage: Stage, before: Left, *, within: float) -> Left:
    """What is left once it is no more than there was before, or when the time is up."""
    left = await _left(stage)
    with trio.move_on_after(within):
        while not _given_back(before, left):
            await trio.sleep(LOOK_EVERY)
            left = await _left(stage)
    return left


async def _memory_when_quiet(stage: Stage, before: Left, counts: Counts) -> int:
    """The memory once the wave has gone in the proxy, too, and what it freed has been given back."""
    with trio.move_on_after(counts.settles_within):
        while True:
            if await stage.tasks() <= before.tasks + ASKING_HEALTH:
                break
            await trio.sleep(LOOK_EVERY)
    if counts.streams >= rush.A_RUSH:
        await trio.sleep(RUSH_IS_OVER)
    return stage.memory().rss


def _given_back(before: Left, after: Left) -> bool:
    return (
        after.tasks <= before.tasks
        and after.descriptors <= before.descriptors
        and after.at_providers <= before.at_providers
    )


def promises(report: Report) -> Mapping[str, bool]:
    """What must hold, and whether it does."""
    kill, streams = report.kill, report.streams * report.waves
    return {
        "every stream was served to its last character": report.whole == streams and not report.wrong,
        "every aborted stream was let go of": report.aborted == streams,
        "no live tasks are left": report.after.tasks <= report.before.tasks,
        "file descriptors are back": report.after.descriptors <= report.before.descriptors,
        "no connections are left at the providers": report.after.at_providers <= report.before.at_providers,
        "the memory is flat over the waves": report.slope <= FLAT * report.rss[0],
        "just the streams that the kill cut were told of it": kill.told == kill.cut,
        "all others around it were served": kill.served > 0 and not report.wrong,
    }


def rows(report: Report) -> Mapping[str, str]:
    """The figures, by what they are."""
    kill, health = report.kill, report.health
    rss = ", ".join(f"{each / 1e6:.1f}" for each in report.rss)
    return {
        "streams at once, and waves of them": f"{report.streams:,}, {report.waves}",
        "served to the last character": f"{report.whole:,}",
        "aborted by their clients": f"{report.aborted:,}",
        "wrong in any way": str(sum(report.wrong.values())),
        "streams cut when a provider was killed": f"{kill.cut:,}",
        "of these, told by an error event": f"{kill.told:,}, the last after {short(kill.within_ms)} ms",
        "requests served around the kill": f"{kill.served:,}",
        "the provider was used again after": f"{short(kill.back_after_ms)} ms",
        "live tasks before, after": f"{report.before.tasks}, {report.after.tasks}",
        "file descriptors before, after": f"{report.before.descriptors}, {report.after.descriptors}",
        "providers' sockets before, after": f"{report.before.at_providers}, {report.after.at_providers}",
        "memory after each wave, MB": rss,
        "growth a wave, MB": f"{report.slope / 1e6:+.2f}",
        "/health, median, p99, worst, ms": (
            f"{short(health.p50_ms)}, {short(health.p99_ms)}, {short(health.worst_ms)} of {health.asked:,}"
        ),
        "seconds": short(report.seconds),
    }


def draw(report: Report) -> Table:
    """The report as a table."""
    table = empty_table("Soak", report.facts, first="", figures=("",))
    table.show_header = False
    for what, figure in rows(report).items():
        table.add_row(what, figure)
    table.add_section()
    for what, holds in promises(report).items():
        table.add_row(what, "kept" if holds else "BROKEN")
    return table


@click.command("soak")
@click.option("--streams", type=click.IntRange(1, 5000), default=1000, show_default=True, help="At once.")
@click.option("--waves", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many.")
@click.option(
    "--cut", type=click.IntRange(1, 5000), default=200, show_default=True, help="Streams that the kill cuts."
)
@click.option(
    "--keep-alive",
    type=click.FloatRange(0.1, 30),
    help="Seconds that the proxy keeps idle connections, if not its own 30: a short soak can wait less.",
)
@click.option("--keep", is_flag=True, help="Store the figures in this repository, and in docs/faults.md.")
@json_option
def command(
    streams: int, waves: int, cut: int, keep_alive: float | None, keep: bool, json_path: Path | None
) -> None:
    """Streams served, aborted and cut, wave after wave: nothing may be lost or left behind."""
    counts = Counts(streams=streams, waves=waves, cut=cut, keep_alive=keep_alive, settles_within=60.0)
    report = measured(partial(measure, counts))
    tell(draw(report), encode(report), json_path)
    if keep:
        FIGURES.write_bytes(encode(report))
        PAGE.write_text(with_figures(PAGE.read_text(), draw(report)))
    if broken := [what for what, holds in promises(report).items() if not holds]:
        raise click.ClickException(f"it does not hold that {'; '.join(broken)}: {report.wrong}")
