"""A comparison as tables of at most 80 columns: figures, ratios, goals, and what is missing and why."""

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from benchmarks.compare_measures import HEALTHY, MEASURES
from benchmarks.compare_report import Gap, Program, Report, Row, judged
from benchmarks.figures import Bound, Rounds, short
from benchmarks.goals import Goal, Judged, amount
from benchmarks.peers import OURS
from benchmarks.report import empty_table

AT_A_TIME = 2  # peers in a table, beside us


def tables(told: Report) -> list[Table]:
    """Everything, in the order in which it is read."""
    ours, *peers = told.programs
    drawn = []
    for first in range(0, max(1, len(peers)), AT_A_TIME):
        some = peers[first : first + AT_A_TIME]
        drawn.append(_figures(told, [ours, *some]))
    drawn += [_ratios(told, peers[first : first + AT_A_TIME]) for first in range(0, len(peers), AT_A_TIME)]
    drawn.append(_alone(told))
    drawn.append(_goals(told))
    drawn.append(_notes(told))
    return drawn


def _figures(told: Report, programs: Sequence[Program]) -> Table:
    names = [program.name for program in programs]
    table = empty_table("Medians of the rounds, with the lowest and the highest", {}, first="", figures=names)
    for measure in MEASURES:
        cells = [_cell(told, name, measure.key) for name in names]
        table.add_row(f"{measure.what}, {measure.unit}", *cells)
    return table


def _cell(told: Report, program: str, measure: str) -> str:
    row = told.row(program, measure)
    if row is not None:
        return spread(row.figure)
    return "–" if told.why_not(program, measure) is None else "(see below)"


def spread(figure: Rounds) -> str:
    """A median with the lowest and the highest round."""
    return f"{short(figure.median)}\n{short(figure.low)} to {short(figure.high)}"


def _ratios(told: Report, peers: Sequence[Program]) -> Table:
    names = [peer.name for peer in peers]
    title = f"{OURS} divided by each peer, round by round"
    table = empty_table(title, {}, first="", figures=["better is", *names])
    for measure in MEASURES:
        rows = [told.row(name, measure.key) for name in names]
        if any(row is not None and row.ratio is not None for row in rows):
            better = "less" if measure.better is Bound.AT_MOST else "more"
            table.add_row(measure.what, better, *map(_ratio, rows))
    return table


def _ratio(row: Row | None) -> str:
    if row is None or row.ratio is None:
        return "–"
    return f"{row.ratio.median:.3g}\n{row.ratio.low:.3g} to {row.ratio.high:.3g}"


def _alone(told: Report) -> Table:
    """Medians: what no program could be better than here."""
    table = empty_table("Load generator and upstream alone", {}, first="", figures=("", "unit"))
    what = {measure.key: measure.what.removeprefix("added, ") for measure in MEASURES}
    for row in told.alone:
        table.add_row(what[row.measure], spread(row.figure), row.unit)
    return table


def _goals(told: Report) -> Table:
    """Goals that speak of peers are met only where those were measured."""
    table = empty_table("Goals", {}, first="what", figures=("ours", "best", "litellm", ""))
    what = {measure.key: measure.what for measure in MEASURES}
    for each in judged(told):
        found, unit = each.found, each.goal.unit
        table.add_row(
            f"{what[each.goal.key]}\n  {_bounds(each.goal)}",
            amount(found.ours, unit),
            f"{amount(found.best, unit)}\n{found.best_name}",
            amount(found.litellm, unit),
            _outcome(each),
        )
    return table


def _outcome(each: Judged) -> str:
    goal, found = each.goal, each.found
    if (goal.of_best and found.best is None) or (goal.of_litellm and found.litellm is None):
        return "unknown"
    return "met" if each.is_met else "MISSED"


def _bounds(goal: Goal) -> str:
    """In few letters."""
    sign = "≤" if goal.bound is Bound.AT_MOST else "≥"
    bounds = [
        f"{sign} {factor} × {whose}"
        for factor, whose in ((goal.of_best, "best"), (goal.of_litellm, "litellm"))
        if factor is not None
    ]
    return ", ".join([*bounds, *([] if goal.limit is None else [f"{sign} {amount(goal.limit, goal.unit)}"])])


def _notes(told: Report) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title="What is not measured, and why; what was compared",
        caption=", ".join(f"{name} {value}" for name, value in told.facts.items()),
        caption_justify="left",
    )
    table.add_column("program", no_wrap=True)
    table.add_column("")
    for name, remark in _remarks(told):
        table.add_row(name, escape(remark))
    return table


def _remarks(told: Report) -> Iterator[tuple[str, str]]:
    what = {measure.key: measure.what for measure in MEASURES} | {HEALTHY: "no failure"}
    for program in told.programs:
        yield program.name, "; ".join(filter(None, [f"version {program.version}", program.remark]))
        if program.flaws:
            yield program.name, f"never the best of those that translate: {'; '.join(program.flaws)}"
    for (name, why), gaps in _by_reason(told.gaps).items():
        measures = ", ".join(what.get(gap.measure, gap.measure) for gap in gaps if gap.measure is not None)
        yield name, f"{measures}: not measured: {why}" if measures else f"not measured: {why}"


def _by_reason(gaps: Sequence[Gap]) -> Mapping[tuple[str, str], list[Gap]]:
    found: dict[tuple[str, str], list[Gap]] = {}
    for gap in gaps:
        found.setdefault((gap.program, gap.why), []).append(gap)
    return found
