"""What the proxy adds to a request: time and CPU, by how many ask at once, and against the floor.

Rows that are compared take turns, in rounds, so that whatever else the machine does meets all of them alike.
`alone` is the upstream without a proxy: what the engine itself reaches. `floor` is an application on the
proxy's libraries that does nothing of its own (see `floor.py`). How the cost grows with a request's size is
measured behind it, by `sizes.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
from msgspec import Struct
from rich.table import Table

from benchmarks import sizes
from benchmarks.figures import Rounds, low_high, over_rounds, short
from benchmarks.front import json_option, measured, rounds_option, seconds_option, tell
from benchmarks.goals import Found, under
from benchmarks.load import LoadReport, load
from benchmarks.machine import facts, pinning
from benchmarks.report import empty_table, encode, quantiles
from benchmarks.sizes import Sweep, measure_sizes, rows_of
from benchmarks.subjects import (
    ALONE,
    FLOOR,
    PROXY,
    Mode,
    Subject,
    in_turn,
    proxied_upstream,
    running_floor,
)

SHAPE = "burst-20"
CONNECTIONS = (1, 16, 64, 256)
FLOOR_UP_TO = 16  # connections, without stream: enough to compare CPU time
HEADS = ("p50 ms", "low-high", "p95 ms", "per s", "CPU ms", "× alone")


class Case(Struct, frozen=True):
    """A row: who is asked, how, and by how many connections at once."""

    subject: str
    mode: Mode
    connections: int


class Row(Struct, frozen=True, kw_only=True):
    """One case over all rounds: times in milliseconds, answers a second, CPU milliseconds a request.

    `cpu_ms` is that of the subject's process tree. `ratio`: its median time over that of `alone`.
    """

    case: Case
    requests: int
    p50_ms: Rounds
    p95_ms: Rounds
    per_second: Rounds
    cpu_ms: Rounds
    ratio: float


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]
    sweeps: tuple[Sweep, ...]


class Counts(Struct, frozen=True, kw_only=True):
    """How much is measured: each row for `seconds` in each of `turns` rounds, and the longest history."""

    turns: int
    seconds: float
    connections: Sequence[int]
    largest_kb: int


async def measure(counts: Counts) -> Report:
    """Measure every row, then the sizes.

    Raises:
        Spoiled: an answer was not what it should be. (In an ExceptionGroup.)
        OSError: this system does not tell the CPU time of a process.
    """
    shapes = {"big": SHAPE}
    turns, seconds = counts.turns, counts.seconds
    async with proxied_upstream(shapes) as cast, running_floor(cast.upstream, shapes) as floor:
        loads = await _loads([cast.alone, cast.proxy, floor], counts)
        sweeps = await measure_sizes(cast, turns=turns, seconds=seconds, largest_kb=counts.largest_kb)
        size = len(cast.proxy.ask(Mode.WHOLE).body)
    rows = tuple(_row(case, loads) for case in loads)
    told = {"rounds": turns, "seconds a row": seconds, "bytes a request": size, "words an answer": SHAPE}
    return Report(
        facts=facts(told | {"cores used": pinning()}),
        rows=rows,
        sweeps=sweeps,
    )


def cases(all_connections: Sequence[int]) -> Iterator[Case]:
    """Every row, those that are compared beside one another."""
    for mode in Mode:
        for connections in all_connections:
            yield Case(ALONE, mode, connections)
            yield Case(PROXY, mode, connections)
            if mode is Mode.WHOLE and connections <= FLOOR_UP_TO:
                yield Case(FLOOR, mode, connections)


async def _loads(subjects: Sequence[Subject], counts: Counts) -> Mapping[Case, list[LoadReport]]:
    by_name = {subject.name: subject for subject in subjects}
    found: dict[Case, list[LoadReport]] = {case: [] for case in cases(counts.connections)}
    for turn in range(counts.turns):
        for case in in_turn(list(found), turn):
            subject = by_name[case.subject]
            report = await load(
                subject.port,
                subject.ask(case.mode),
                connections=case.connections,
                seconds=counts.seconds,
                cpu_of={"subject": subject.pid},
            )
            found[case].append(report)
    return found


def _row(case: Case, loads: Mapping[Case, Sequence[LoadReport]]) -> Row:
    times = [quantiles([second * 1000 for second in report.to_end]) for report in loads[case]]
    p50 = over_rounds([p50 for p50, _ in times])
    alone = loads[Case(ALONE, case.mode, case.connections)]
    alone_p50 = over_rounds([quantiles(report.to_end)[0] * 1000 for report in alone])
    return Row(
        case=case,
        requests=sum(report.requests for report in loads[case]),
        p50_ms=p50,
        p95_ms=over_rounds([p95 for _, p95 in times]),
        per_second=over_rounds([report.per_second for report in loads[case]]),
        cpu_ms=over_rounds(
            [report.cpu_seconds["subject"] / report.requests * 1000 for report in loads[case]]
        ),
        ratio=p50.median / alone_p50.median,
    )


def found(report: Report) -> Mapping[str, Found]:
    """The goals' figures: CPU against the floor, at its worst, and how it grows with a request's size."""
    cpu = {row.case: row.cpu_ms.median for row in report.rows}
    floors = [case for case in cpu if case.subject == FLOOR]
    ratios = [cpu[Case(PROXY, floor.mode, floor.connections)] / cpu[floor] for floor in floors]
    worst = {"floor": Found(ours=max(ratios))} if ratios else {}
    return worst | dict(sizes.found(report.sweeps))


def draw(report: Report) -> Table:
    """The report as a table: one part for each mode and sweep, which names its own columns."""
    title = "What the proxy adds: milliseconds, answers a second, CPU a request"
    told = under(report.facts, found(report))
    table = empty_table(title, told, first="", figures=("",) * 6)
    table.show_header = False
    for mode in Mode:
        table.add_section()
        table.add_row(mode, *HEADS, style="bold")
        for row in report.rows:
            if row.case.mode is mode:
                table.add_row(*_cells(row))
    for sweep in report.sweeps:
        table.add_section()
        for number, cells in enumerate(rows_of(sweep)):
            table.add_row(*cells, style=None if number else "bold")
    return table


def _cells(row: Row) -> Sequence[str]:
    return (
        f"  c={row.case.connections:<3} {row.case.subject}",
        short(row.p50_ms.median),
        low_high(row.p50_ms),
        short(row.p95_ms.median),
        f"{row.per_second.median:,.0f}",
        short(row.cpu_ms.median),
        f"{row.ratio:.1f}",
    )


@click.command("overhead")
@rounds_option
@seconds_option
@click.option(
    "--connections",
    type=click.IntRange(1, 10_000),
    multiple=True,
    default=CONNECTIONS,
    show_default=True,
    help="How many ask at once; may be given several times.",
)
@click.option(
    "--largest",
    type=click.IntRange(10, 10_000),
    default=10_000,
    show_default=True,
    metavar="KB",
    help="The longest history that is asked, in kB; 1,000 at least.",
)
@json_option
def command(
    rounds: int, seconds: float, connections: tuple[int, ...], largest: int, json_path: Path | None
) -> None:
    """What the proxy adds to a request, in time and CPU."""
    counts = Counts(turns=rounds, seconds=seconds, connections=connections, largest_kb=largest)
    report = measured(partial(measure, counts))
    tell(draw(report), encode(report), json_path)
