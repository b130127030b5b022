"""Instructions that the proxy executes for a request, a burst and a relayed chunk: the gauge for regressions.

Times tell about the machine as much as about the code; instructions hardly vary. They do vary with the
interpreter and the processor's architecture, so a figure is stored for each `Place` and compared with no
other; where the libraries have changed since, a failed comparison says so.
"""

import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
import trio
from msgspec import Struct
from rich.table import Table

from benchmarks.counters import Counter, Tool, counter_of, prefix_of, usable
from benchmarks.front import json_option, measured, tell
from benchmarks.goals import GOALS, Found
from benchmarks.prompt import messages_request
from benchmarks.proxy import running_proxy
from benchmarks.report import empty_table, encode
from benchmarks.stepped import BURST, MODEL, Exchanges, SteppedProvider, listening_to

STORED = Path(__file__).with_name("gauge.json")
MARGIN = 0.1  # of the stored figure, up and down
TIMES = 20
CHUNKS = 15  # counted for each request that is
WARM_UPS = {Tool.PERF: 100, Tool.CALLGRIND: 20}
ALIVE_WITHIN = 240.0  # seconds; in callgrind on a busy machine
ALL_WITHIN = 300.0
ROWS = {
    "request": "a request without stream",
    "burst": f"a stream of {BURST} chunks, sent at once",
    "chunk": "one chunk more, sent alone",
}
_LIMITS = {goal.key: goal.limit for goal in GOALS}  # millions
LIBRARIES = ("trio", "hypercorn", "quart", "quart-trio", "h11", "httpx", "msgspec", "structlog")


class Place(Struct, frozen=True):
    """What figures must share to be comparable."""

    tool: Tool
    python: str
    machine: str

    def __str__(self) -> str:
        return f"{self.tool}, Python {self.python}, {self.machine}"


class Figures(Struct, frozen=True, kw_only=True):
    """Instructions by row, and the versions of what executed them."""

    place: Place
    versions: Mapping[str, str]
    instructions: Mapping[str, int]


class Report(Struct, frozen=True, kw_only=True):
    """The figures, and what they were measured with."""

    facts: Mapping[str, str]
    figures: Figures


def place_of(tool: Tool) -> Place:
    """Where we are."""
    return Place(tool, f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())


async def measure(tool: Tool, *, times: int = TIMES) -> Figures:
    """The mean of `times` requests of each kind, by the real proxy in one process.

    Raises:
        Spoiled: a request went wrong, or (NotCounted) the tool failed. (In an ExceptionGroup.)
        trio.TooSlowError: it took more than five minutes.
    """
    provider = SteppedProvider()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        proxy = running_proxy(
            provider.config,
            under=prefix_of(tool, folder),
            workers=0,
            env={"PYTHONHASHSEED": "0"},
            alive_within=ALIVE_WITHIN,
        )
        with trio.fail_after(ALL_WITHIN):
            async with provider.open(), proxy as running, listening_to(running.port) as listener:
                counter = await counter_of(tool, running.pid, folder)
                exchanges = Exchanges(provider, listener)
                instructions = await _counted(exchanges, counter, warm_ups=WARM_UPS[tool], times=times)
    return Figures(place=place_of(tool), versions=_versions(), instructions=instructions)


def _versions() -> Mapping[str, str]:
    """What executes the instructions. The same Python built otherwise may need many more or fewer."""
    python = f"{platform.python_version()} ({platform.python_compiler()})"
    return {"Python": python} | {name: version(name) for name in LIBRARIES}


async def _counted(exchanges: Exchanges, counter: Counter, *, warm_ups: int, times: int) -> Mapping[str, int]:
    """Instructions by row. A chunk costs so little, and varies so much, that far more of them are counted."""
    await exchanges.whole(warm_ups)
    await exchanges.bursts(warm_ups)
    requests = await counter.count(partial(exchanges.whole, times))
    bursts = await counter.count(partial(exchanges.bursts, times))
    async with exchanges.stream() as come:
        await come(warm_ups)
        chunks = await counter.count(partial(come, times * CHUNKS))
    return {"request": requests // times, "burst": bursts // times, "chunk": chunks // (times * CHUNKS)}


def stored(path: Path = STORED) -> Mapping[Place, Figures]:
    """The figures to be held, by place."""
    if not path.exists():
        return {}
    return {each.place: each for each in msgspec.json.decode(path.read_bytes(), type=list[Figures])}


def store(figures: Figures, path: Path = STORED) -> None:
    """Hold these from now on; those of other places stay."""
    known = dict(stored(path)) | {figures.place: figures}
    lines = msgspec.json.encode([known[place] for place in sorted(known, key=str)])
    path.write_bytes(msgspec.json.format(lines, indent=2) + b"\n")


def complaint(found: Figures, held: Figures) -> str | None:
    """What to say where a figure has left the margin, in either direction; None where all is well."""
    lines = [
        f"{ROWS[row]}: {found.instructions[row]:,} instructions, {change:+.1%} against {figure:,} as stored"
        for row, figure in held.instructions.items()
        if abs(change := found.instructions[row] / figure - 1) > MARGIN
    ]
    if not lines:
        return None
    changed = [
        f"{name}: stored with {was}, measured with {found.versions.get(name)}"
        for name, was in held.versions.items()
        if found.versions.get(name) != was
    ]
    remedy = (
        f"The gauge ({found.place}) allows {MARGIN:.0%} up and down: a gain that is not stored could be lost "
        "again unseen. If the change is meant, run `python -m benchmarks gauge --store` and commit "
        f"benchmarks/{STORED.name}."
    )
    return "\n".join([*lines, *changed, remedy])


def found(report: Report) -> Mapping[str, Found]:
    """The goals' figures, by key: millions of instructions."""
    counted = report.figures.instructions
    return {f"instructions-{row}": Found(ours=counted[row] / 1e6) for row in ("request", "burst")}


def draw(report: Report) -> Table:
    """The report as a table, beside what is stored for the same place."""
    held = stored().get(report.figures.place)
    figures = ("million", "stored", "change", "goal")
    table = empty_table("Instructions that the proxy executes", report.facts, first="for", figures=figures)
    for row, name in ROWS.items():
        table.add_row(name, *_cells(row, report, held))
    return table


def _cells(row: str, report: Report, held: Figures | None) -> Sequence[str]:
    found = report.figures.instructions[row]
    before = held.instructions[row] if held else None
    goal = _LIMITS.get(f"instructions-{row}")
    return (
        f"{found / 1e6:.2f}",
        f"{before / 1e6:.2f}" if before else "",
        f"{found / before - 1:+.1%}" if before else "",
        f"≤ {goal:g}" if goal else "",
    )


@click.command("gauge")
@click.option("--store", "remember", is_flag=True, help=f"Hold the figures in benchmarks/{STORED.name}.")
@json_option
def command(remember: bool, json_path: Path | None) -> None:
    """Instructions a request, a burst and a chunk: what no other work on the machine disturbs.

    Counted with perf where the processor's counters can be read, else in Valgrind's callgrind.
    """
    tool = usable()
    if tool is None:
        raise click.ClickException("it takes perf with access to the processor's counters, or Valgrind")
    figures = measured(partial(measure, tool))
    body = str(len(messages_request(MODEL, stream=True)))
    facts = {"tool": str(tool), "bytes a request": body} | dict(figures.versions)
    report = Report(facts=facts, figures=figures)
    tell(draw(report), encode(report), json_path)
    if remember:
        store(figures)
