"""What a second worker brings: answers a second from one worker and from two, in turns.

Nothing is pinned. On a machine with two cores the engine takes its share of what the second worker could
have; `engine` says how much of a core that is. `per CPU s` leaves it out: answers for each second of the
proxy's CPU time, times the workers, which is what each worker reaches with a core for itself.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path

import click
from msgspec import Struct
from rich.table import Table

from benchmarks.figures import Rounds, low_high, over_rounds, short
from benchmarks.front import json_option, measured, rounds_option, seconds_option, tell
from benchmarks.goals import Found, under
from benchmarks.load import LoadReport, load
from benchmarks.machine import facts
from benchmarks.report import empty_table, encode, quantiles
from benchmarks.subjects import PROXY, Cast, Mode, in_turn, proxied_upstream

SHAPES = {"big": "burst-20"}
WORKERS = (1, 2)
CONNECTIONS = (16, 64)


class Row(Struct, frozen=True, kw_only=True):
    """So many workers asked by so many connections, over all rounds.

    `engine`: cores taken by upstream and generator. `per_core_second`: answers for each second of the
    workers' CPU time, times the workers. The ratios are to one worker's.
    """

    workers: int
    connections: int
    requests: int
    p50_ms: Rounds
    per_second: Rounds
    per_core_second: Rounds
    engine: Rounds
    ratio: float
    core_ratio: float


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]


async def measure(*, turns: int, seconds: float) -> Report:
    """Ask each number of workers for `seconds` in each of `turns` rounds.

    Raises:
        Spoiled: an answer was not what it should be. (In an ExceptionGroup.)
        OSError: this system does not tell the CPU time of a process.
    """
    everywhere = frozenset(os.sched_getaffinity(0))
    loads: dict[tuple[int, int], list[LoadReport]] = {}
    async with AsyncExitStack() as stack:
        casts = [
            (workers, await stack.enter_async_context(_cast(workers, everywhere))) for workers in WORKERS
        ]
        for turn, connections in itertools.product(range(turns), CONNECTIONS):
            for workers, cast in in_turn(casts, turn):
                report = await _load(cast, connections, seconds)
                loads.setdefault((connections, workers), []).append(report)
    rows = tuple(_row(key, loads) for key in sorted(loads))
    cores = str(len(everywhere))
    return Report(
        facts=facts({"rounds": turns, "seconds a row": seconds, "cores for all processes": cores}),
        rows=rows,
    )


def _cast(workers: int, everywhere: frozenset[int]) -> AbstractAsyncContextManager[Cast]:
    return proxied_upstream(SHAPES, workers=workers, pinned_to=everywhere)


async def _load(cast: Cast, connections: int, seconds: float) -> LoadReport:
    ask = cast.proxy.ask(Mode.WHOLE)
    return await load(
        cast.proxy.port, ask, connections=connections, seconds=seconds, warm_ups=2, cpu_of=cast.cpu_of
    )


def _row(key: tuple[int, int], loads: Mapping[tuple[int, int], Sequence[LoadReport]]) -> Row:
    connections, workers = key
    reports = loads[key]
    per_second = _per_second(reports)
    per_core_second = _per_core_second(reports, workers)
    one = loads[connections, WORKERS[0]]
    engine = [
        (report.cpu_seconds["generator"] + report.cpu_seconds["upstream"]) / report.seconds
        for report in reports
    ]
    return Row(
        workers=workers,
        connections=connections,
        requests=sum(report.requests for report in reports),
        p50_ms=over_rounds([quantiles(report.to_end)[0] * 1000 for report in reports]),
        per_second=per_second,
        per_core_second=per_core_second,
        engine=over_rounds(engine),
        ratio=per_second.median / _per_second(one).median,
        core_ratio=per_core_second.median / _per_core_second(one, WORKERS[0]).median,
    )


def _per_second(reports: Sequence[LoadReport]) -> Rounds:
    return over_rounds([report.per_second for report in reports])


def _per_core_second(reports: Sequence[LoadReport], workers: int) -> Rounds:
    return over_rounds([report.requests / report.cpu_seconds[PROXY] * workers for report in reports])


def found(report: Report) -> Mapping[str, Found]:
    """The goal's figure: the larger number of workers against one, at its worst."""
    most = max(row.workers for row in report.rows)
    worst = min((row for row in report.rows if row.workers == most), key=lambda row: row.ratio)
    return {"workers": Found(ours=worst.ratio, remark=f"{worst.core_ratio:.3g} with a core each")}


def draw(report: Report) -> Table:
    """The report as a table."""
    told = under(report.facts, found(report))
    figures = ("p50 ms", "per s", "low-high", "ratio", "per CPU s", "ratio", "engine")
    table = empty_table("Answers a second of one worker and of two", told, first="workers", figures=figures)
    for row in report.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> Sequence[str]:
    return (
        f"c={row.connections}, {row.workers}",
        short(row.p50_ms.median),
        short(row.per_second.median),
        low_high(row.per_second),
        f"{row.ratio:.2f}",
        short(row.per_core_second.median),
        f"{row.core_ratio:.2f}",
        f"{row.engine.median:.2f}",
    )


@click.command("workers")
@rounds_option
@seconds_option
@json_option
def command(rounds: int, seconds: float, json_path: Path | None) -> None:
    """What a second worker brings."""
    report = measured(partial(measure, turns=rounds, seconds=seconds))
    tell(draw(report), encode(report), json_path)
