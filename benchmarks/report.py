"""From samples to figures: a table for people, JSON for programs."""

import enum
import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich import box
from rich.table import Table


class Measure(enum.StrEnum):
    """What is timed, from the first byte of the request on unless its name says otherwise."""

    FIRST = "first content of a stream"
    END = "end of a stream"
    WHOLE = "answer without stream"
    ERROR = "death to error event"


class Sample(Struct, frozen=True):
    """One request of `case`, in seconds."""

    case: str
    measure: Measure
    seconds: float


class Row(Struct, frozen=True, kw_only=True):
    """One case under one measure; times in milliseconds.

    `added_*`: the difference to the same quantile of the case `against`; `ratio`: of the two medians. None
    where that was not measured, or is this case itself.
    """

    measure: Measure
    case: str
    runs: int
    p50_ms: float
    p95_ms: float
    against: str
    added_p50_ms: float | None
    added_p95_ms: float | None
    ratio: float | None


class Report(Struct, frozen=True, kw_only=True):
    """All figures of one benchmark, and what they were measured with."""

    facts: Mapping[str, str]
    baseline: str
    rows: tuple[Row, ...]


def report(
    samples: Iterable[Sample],
    *,
    cases: Sequence[str],
    baseline: str,
    facts: Mapping[str, str],
    against: Mapping[str, str] | None = None,
) -> Report:
    """Sum the samples up, measure by measure, with the cases in the order given.

    `against` names the cases that are compared with others than `baseline`.
    """
    times: dict[tuple[Measure, str], list[float]] = {}
    for sample in samples:
        times.setdefault((sample.measure, sample.case), []).append(sample.seconds * 1000)
    bases = dict.fromkeys(cases, baseline) | dict(against or {})
    rows = [
        _row(measure, case, times, against=bases[case])
        for measure in Measure
        for case in cases
        if (measure, case) in times
    ]
    return Report(facts=facts, baseline=baseline, rows=tuple(rows))


def _row(
    measure: Measure, case: str, times: Mapping[tuple[Measure, str], Sequence[float]], *, against: str
) -> Row:
    found = times[measure, case]
    p50, p95 = quantiles(found)
    row = Row(
        measure=measure,
        case=case,
        runs=len(found),
        p50_ms=p50,
        p95_ms=p95,
        against=against,
        added_p50_ms=None,
        added_p95_ms=None,
        ratio=None,
    )
    if case == against or (measure, against) not in times:
        return row
    base_p50, base_p95 = quantiles(times[measure, against])
    return replace(row, added_p50_ms=p50 - base_p50, added_p95_ms=p95 - base_p95, ratio=p50 / base_p50)


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile. Of a single value both are that value."""
    if len(values) == 1:
        return values[0], values[0]
    return statistics.median(values), statistics.quantiles(values, n=20, method="inclusive")[-1]


def encode(report: Struct) -> bytes:
    """A report as JSON, indented, with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def empty_table(title: str, facts: Mapping[str, str], *, first: str, figures: Sequence[str]) -> Table:
    """The columns of a report, under them what it was measured with: `first` has names, `figures` numbers."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,  # or the widest tables would have to cut figures short
        title=title,
        caption=", ".join(f"{name} {value}" for name, value in facts.items()),
        caption_justify="left",
    )
    table.add_column(first, no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def draw(report: Report) -> Table:
    """The report as a table, 80 columns wide."""
    title = "Milliseconds, and what a failing first provider adds (+)"
    figures = ("p50", "p95", "+ p50", "+ p95", "ratio", "runs")
    table = empty_table(title, report.facts, first="first provider", figures=figures)
    for measure in Measure:
        table.add_section()
        table.add_row(measure, style="bold")
        for row in report.rows:
            if row.measure is measure:
                table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> Sequence[str]:
    """A case that others are compared with says so by its ratio."""
    added = [_signed(row.added_p50_ms), _signed(row.added_p95_ms)]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    if row.case == row.against:
        ratio = "1"
    return (f"  {row.case}", f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}", *added, ratio, str(row.runs))


def _signed(added_ms: float | None) -> str:
    return "" if added_ms is None else f"{added_ms:+.1f}"
