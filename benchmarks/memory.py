"""The memory of the proxy's process: idle, with streams held open, and after these have gone.

It serves in one process, as with `ccproxy-trio serve`. Each held stream has shown its first content and then
keeps silent; all its connections stay open. `rss` is what the process has in memory, `pss` leaves it only its
share of what other processes use, too, such as the interpreter. Goals are about `rss`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click
import trio
from msgspec import Struct
from rich.table import Table

from benchmarks.front import json_option, measured, tell
from benchmarks.goals import Found, under
from benchmarks.load import load, loading
from benchmarks.machine import facts
from benchmarks.processes import Memory, memory, raise_file_limit
from benchmarks.report import empty_table, encode
from benchmarks.subjects import Cast, Mode, proxied_upstream
from ccproxy_trio.edge import rush

SHAPES = {"big": "burst-20", "middle": "held-20"}
WARM_UPS = 20
SETTLES_WITHIN = 10.0  # seconds after which memory that still changes is measured all the same
LOOK_EVERY = 0.5
STILL = 64_000  # bytes; a change below is none
RUSH_IS_OVER = rush.LOOK_EVERY + 1.0  # seconds after which the proxy has seen that they are gone
HELD_WITHIN = 120.0  # seconds for all streams together


class Report(Struct, frozen=True, kw_only=True):
    """Bytes of the process: just started, after a few requests, with the streams, and after them."""

    facts: Mapping[str, str]
    streams: int
    started: Memory
    idle: Memory
    held: Memory
    after: Memory


async def measure(streams: int) -> Report:
    """Hold so many streams at once.

    Raises:
        Spoiled: a stream was not what it should be. (In an ExceptionGroup.)
        OSError: this system does not tell the memory of a process.
    """
    raise_file_limit()  # the proxy inherits it
    async with proxied_upstream(SHAPES, workers=0) as cast:
        pid = cast.proxy.pid
        started = await _settled(pid)
        await load(cast.proxy.port, cast.proxy.ask(Mode.STREAM), requests=WARM_UPS)
        idle = await _settled(pid)
        held = await _held(cast, streams)
        await trio.sleep(RUSH_IS_OVER)
        after = await _settled(pid)
    return Report(
        facts=facts({"streams": streams, "workers": "none beside the first process"}),
        streams=streams,
        started=started,
        idle=idle,
        held=held,
        after=after,
    )


async def _held(cast: Cast, streams: int) -> Memory:
    """The memory while all streams are open; they are let go, and come to their proper end."""
    ask = cast.proxy.ask(Mode.STREAM, tier="middle")
    async with loading(
        cast.proxy.port, ask, connections=streams, requests=streams, warm_ups=0, within=HELD_WITHIN
    ) as running:
        with trio.fail_after(HELD_WITHIN):
            await running.showing()
        held = await _settled(cast.proxy.pid)
        await cast.upstream.release()
        await running.report()
    return held


async def _settled(pid: int) -> Memory:
    """The memory once it stands still."""
    last = memory(pid)
    with trio.move_on_after(SETTLES_WITHIN):
        while True:
            await trio.sleep(LOOK_EVERY)
            now = memory(pid)
            if abs(now.rss - last.rss) < STILL:
                return now
            last = now
    return last


def found(report: Report) -> Mapping[str, Found]:
    """The goals' figures, by key: the resident memory, in MB."""
    idle, held, after = report.idle.rss, report.held.rss, report.after.rss
    return {
        "memory-idle": Found(ours=idle / 1e6),
        "memory-stream": Found(ours=(held - idle) / report.streams / 1e6),
        "memory-after": Found(ours=after / idle, remark=f"{after / held:.0%} of what was held"),
    }


def draw(report: Report) -> Table:
    """The report as a table."""
    told = under(report.facts, found(report))
    table = empty_table("Memory of the proxy's process", told, first="", figures=("rss MB", "pss MB"))
    parts = {
        "started": report.started,
        "idle, after a few requests": report.idle,
        f"with {report.streams:,} streams held": report.held,
        "after them": report.after,
    }
    for name, each in parts.items():
        table.add_row(name, f"{each.rss / 1e6:.1f}", f"{each.pss / 1e6:.1f}")
    return table


@click.command("memory")
@click.option(
    "--streams",
    type=click.IntRange(1, 5000),
    default=1000,
    show_default=True,
    help="How many streams are held at once.",
)
@json_option
def command(streams: int, json_path: Path | None) -> None:
    """The memory of the proxy: idle, with streams held open, and after these have gone."""
    report = measured(partial(measure, streams))
    tell(draw(report), encode(report), json_path)
