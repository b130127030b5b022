"""`RESULTS.md`: the goals, the plots and every table, made of nothing but the figures in a folder.

What no program can know, why a goal is missed and what would be needed, stands in `misses.md` under the
goal's key. A missed goal without its reason is refused, and so is a reason whose goal is met.
"""

import io
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import (
    ask,
    compare_report,
    compare_tables,
    gauge,
    grammar,
    memory,
    overhead,
    passing,
    plots,
    session,
    sse,
    startup,
    streams,
    translate,
    workers,
)
from benchmarks import report as reports
from benchmarks.everything import ORDER
from benchmarks.findings import findings
from benchmarks.front import WIDTH
from benchmarks.goals import GOALS, Judged, amount, judge
from benchmarks.session import Session

HERE = Path(__file__).parent
FIGURES = "results"  # the folder beside RESULTS.md
REASONS = HERE / "misses.md"
_HEADING = re.compile(r"^## (\S+)\n", re.MULTILINE)

_Report = TypeVar("_Report")


class Incomplete(Exception):
    """The results cannot be told as they are; the text says what is missing."""


def _one(kind: type[_Report], draw: Callable[[_Report], Table]) -> Callable[[bytes], Sequence[Table]]:
    return lambda figures: [draw(msgspec.json.decode(figures, type=kind))]


def _compared(figures: bytes) -> Sequence[Table]:
    return compare_tables.tables(msgspec.json.decode(figures, type=compare_report.Report))


TABLES: Mapping[str, Callable[[bytes], Sequence[Table]]] = {
    "ask": _one(ask.Report, ask.draw),
    "sse": _one(sse.Report, sse.draw),
    "translate": _one(translate.Report, translate.draw),
    "passing": _one(passing.Report, passing.draw),
    "grammar": _one(grammar.Report, grammar.draw),
    "gauge": _one(gauge.Report, gauge.draw),
    "startup": _one(startup.Report, startup.draw),
    "memory": _one(memory.Report, memory.draw),
    "streams": _one(streams.Report, streams.draw),
    "overhead": _one(overhead.Report, overhead.draw),
    "workers": _one(workers.Report, workers.draw),
    "fallback": _one(reports.Report, reports.draw),
    "compare": _compared,
}


def results(folder: Path, reasons: Mapping[str, str]) -> str:
    """The whole text. `reasons` by goal.

    Raises:
        Incomplete: no session, a missed goal without its reason, or a reason without its miss.
        msgspec.ValidationError: a file holds other figures than those of its benchmark.
    """
    about = session.load(folder)
    if about is None:
        raise Incomplete(f"{folder} has no {session.FILE}; `python -m benchmarks all` writes it")
    judged = judge(GOALS, findings(folder))
    _insist_on_reasons(judged, reasons)
    parts = [
        _opening(about),
        _goals(judged),
        _misses(judged, reasons),
        _plots(folder),
        _tables(folder, about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def read_reasons(text: str) -> dict[str, str]:
    """Why goals are missed, by goal: the text under each `## key`."""
    _, *pairs = _HEADING.split(text)
    return {key: reason.strip() for key, reason in zip(pairs[::2], pairs[1::2], strict=True)}


def _insist_on_reasons(judged: Sequence[Judged], reasons: Mapping[str, str]) -> None:
    missed = {each.goal.key for each in judged if not each.is_met}
    if unexplained := sorted(key for key in missed if not reasons.get(key)):
        raise Incomplete(f"missed, and no reason is given: {', '.join(unexplained)}")
    if stale := sorted(set(reasons) - missed):
        raise Incomplete(f"a reason is given for what is not missed: {', '.join(stale)}")


def _opening(about: Session) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in about.machine.items())
    versions = ", ".join(f"{name} {number}" for name, number in about.versions.items())
    return f"""\
# What the proxy costs

Made by `python -m benchmarks results` of the figures in `{FIGURES}/`; nothing here is written by hand, but
for the reasons under "Missed", which are in `misses.md`. To measure anew:

```console
$ python -m benchmarks all --into DIR
$ python -m benchmarks results --from DIR
```

Measured on {about.measured_on}, everything on 127.0.0.1.

- {machine}
- {versions}

Times of another machine differ. Compare figures of one run only."""


def _goals(judged: Sequence[Judged]) -> str:
    head = "| what | goal | ours | best translating peer | LiteLLM | |\n|---|---|---|---|---|---|\n"
    return "## Goals\n\n" + head + "\n".join(map(_goal_line, judged))


def _goal_line(judged: Judged) -> str:
    goal, found = judged.goal, judged.found
    best = amount(found.best, goal.unit) + (f" ({found.best_name})" if found.best_name else "")
    cells = (
        goal.what,
        goal.told(),
        amount(found.ours, goal.unit) + (f" ({found.remark})" if found.remark else ""),
        best,
        amount(found.litellm, goal.unit),
        "met" if judged.is_met else "**missed**",
    )
    return f"| {' | '.join(cells)} |"


def _misses(judged: Sequence[Judged], reasons: Mapping[str, str]) -> str:
    missed = [each.goal for each in judged if not each.is_met]
    told = [f"**{goal.what[0].upper()}{goal.what[1:]}.** {reasons[goal.key]}" for goal in missed]
    return "\n\n".join(["## Missed", *told]) if told else ""


def _plots(folder: Path) -> str:
    shown = [
        f"![{caption}]({FIGURES}/{name}.svg)"
        for name, (benchmark, caption, _) in plots.PLOTS.items()
        if (folder / f"{benchmark}.json").exists()
    ]
    return "\n\n".join(["## Plots", *shown]) if shown else ""


def _tables(folder: Path, about: Session) -> str:
    commands = {command.name: command for command in about.commands}
    parts = ["## Tables"]
    for name in ORDER:
        path = folder / f"{name}.json"
        if name in TABLES and path.exists():
            if name not in commands:
                raise Incomplete(f"{session.FILE} does not say how {path.name} was measured")
            parts.append(_table(commands[name], TABLES[name](path.read_bytes())))
    return "\n\n".join(parts)


def _table(command: session.Command, tables: Sequence[Table]) -> str:
    told = f"It took {command.took:,.0f} s; the machine's load before it was {command.load:.2f}."
    shown = "\n\n".join(map(as_text, tables))
    return f"### {command.name}\n\n```console\n$ {command.line}\n{shown}\n```\n\n{told}"


def as_text(table: Table) -> str:
    """A table as it is printed, without colours and without blanks at the ends of its lines."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


@click.command("results")
@plots.from_option
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=HERE,
    show_default="benchmarks",
    metavar="DIR",
    help="Where RESULTS.md goes; the figures and the plots go into results/ beside it.",
)
def command(folder: Path, into: Path) -> None:
    """Write RESULTS.md and its plots of the figures in DIR."""
    try:
        text = results(folder, read_reasons(REASONS.read_text()))
    except Incomplete as missing:
        raise click.ClickException(str(missing)) from missing
    kept = into / FIGURES
    kept.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.parent.resolve() != kept.resolve():
            shutil.copyfile(path, kept / path.name)
    for name, svg in plots.drawn(folder).items():
        (kept / f"{name}.svg").write_bytes(svg)
    (into / "RESULTS.md").write_text(text)
