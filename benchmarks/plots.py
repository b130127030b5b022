"""The figures of some benchmarks as plots: what is drawn of which report, over which axes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from benchmarks import compare_report, overhead, translate
from benchmarks.fallback_cases import ALONE, HANGS
from benchmarks.peers import OURS
from benchmarks.pictures import Bar, Bars, Lines, Picture, Plot, Series
from benchmarks.report import Measure, Report
from benchmarks.subjects import ALONE as STRAIGHT
from benchmarks.subjects import PROXY, Mode

STAGES = {
    translate.ALL: "all of it",
    "to gemini": "translation for Gemini",
    "to generic": "translation for others",
    "count_request": "counting",
    "decode_request": "decoding",
    "encode": "encoding",
}
PEER_MEASURES = {
    "added-p50": "to an answer without stream",
    "first-content": "to the first content of a stream",
    "fallback-500": "when the first provider answers 500",
}
_BARS = (Measure.FIRST, Measure.WHOLE)

_Report = TypeVar("_Report")


def fallback_bars(report: Report) -> Mapping[str, list[Bar]]:
    """What each failing case adds, by what is timed. A hang is left out: it would dwarf the others."""
    return {
        measure: [
            Bar(label=row.case, value=row.added_p50_ms, up_to=row.added_p95_ms)
            for row in report.rows
            if row.measure is measure and row.case not in (ALONE, HANGS.name)
            if row.added_p50_ms is not None and row.added_p95_ms is not None
        ]
        for measure in _BARS
    }


def size_series(report: translate.Report) -> list[Series]:
    """What a request takes by the size of its history, stage by stage."""
    rows = {row.stage: row for row in report.rows if row.sweep == translate.HISTORY}
    return [
        Series(
            label=label,
            points=tuple(
                (size, time.us / 1000)
                for size, time in zip(rows[stage].sizes, rows[stage].times, strict=True)
            ),
        )
        for stage, label in STAGES.items()
    ]


def concurrency_series(report: overhead.Report) -> list[Series]:
    """The median of what the proxy adds, by how many ask at once."""
    p50 = {row.case: row.p50_ms.median for row in report.rows}
    return [
        Series(
            label=mode.value,
            points=tuple(
                (case.connections, p50[case] - p50[overhead.Case(STRAIGHT, mode, case.connections)])
                for case in p50
                if (case.subject, case.mode) == (PROXY, mode)
            ),
        )
        for mode in Mode
    ]


def whole_series(report: overhead.Report) -> list[Series]:
    """What the whole proxy adds to a request, and its CPU time, by the size of its history."""
    (history,) = (sweep for sweep in report.sweeps if sweep.name == translate.HISTORY)
    added = tuple((size.size, size.added_ms) for size in history.sizes)
    cpu = tuple((size.size, size.cpu_ms.median) for size in history.sizes)
    return [Series(label="time added", points=added), Series(label="CPU time", points=cpu)]


def peer_bars(report: compare_report.Report) -> Mapping[str, list[Bar]]:
    """What each program adds, by what was measured of any of them."""
    measured = {
        title: [
            Bar(label=program.name, value=row.figure.median, up_to=row.figure.high)
            for program in report.programs
            if (row := report.row(program.name, measure)) is not None
        ]
        for measure, title in PEER_MEASURES.items()
    }
    return {title: found for title, found in measured.items() if found}


def _concurrency(report: overhead.Report) -> Picture:
    plot = Plot(title="Time added to a request, median", x="requests at once", y="milliseconds")
    return Lines(plot, concurrency_series(report))


def _whole(report: overhead.Report) -> Picture:
    plot = Plot(title="What the proxy takes of a request, by its size", x="kB of history", y="milliseconds")
    return Lines(plot, whole_series(report))


def _size(report: translate.Report) -> Picture:
    plot = Plot(title="What a request takes, by its size", x="kB of history", y="milliseconds")
    return Lines(plot, size_series(report))


def _fallback(report: Report) -> Picture:
    plot = Plot(
        title="Added when the first provider fails: median (bar), 95th percentile (line)",
        x="milliseconds more than the same request undisturbed",
    )
    return Bars(plot, fallback_bars(report))


def _peers(report: compare_report.Report) -> Picture:
    plot = Plot(title=f"{OURS} and its peers: median (bar), worst round (line)", x="milliseconds added")
    return Bars(plot, peer_bars(report))


def _of(kind: type[_Report], picture: Callable[[_Report], Picture]) -> Callable[[bytes], Picture]:
    return lambda figures: picture(msgspec.json.decode(figures, type=kind))


# By the plot's name: the benchmark whose figures it shows, what it shows, and how.
PLOTS: Mapping[str, tuple[str, str, Callable[[bytes], Picture]]] = {
    "concurrency": (
        "overhead",
        "Time added against requests at once",
        _of(overhead.Report, _concurrency),
    ),
    "size": ("overhead", "Cost against the size of a request's history", _of(overhead.Report, _whole)),
    "stages": (
        "translate",
        "Cost against the size of the history, stage by stage",
        _of(translate.Report, _size),
    ),
    "fallback": ("fallback", "Time that failing over adds", _of(Report, _fallback)),
    "peers": ("compare", "Time added, beside peers", _of(compare_report.Report, _peers)),
}


def drawn(folder: Path) -> dict[str, bytes]:
    """The plots, by name, for which there are figures in `folder`.

    Raises:
        click.ClickException: matplotlib is missing.
        msgspec.ValidationError: a file holds other figures than those of its benchmark.
    """
    found = {name: folder / f"{benchmark}.json" for name, (benchmark, _, _) in PLOTS.items()}
    pictures = {name: PLOTS[name][2](path.read_bytes()) for name, path in found.items() if path.exists()}
    try:
        from benchmarks.drawing import drawn_as_svg  # here, since nothing else needs matplotlib
    except ImportError as missing:
        raise click.ClickException(f"plots take the extra `bench`: {missing}") from missing
    return {name: drawn_as_svg(picture) for name, picture in pictures.items()}


from_option = click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(__file__).with_name("results"),
    show_default="benchmarks/results",
    metavar="DIR",
    help="Where the figures are: NAME.json of each benchmark.",
)


@click.command("plots")
@from_option
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where the plots go.",
)
def command(folder: Path, into: Path) -> None:
    """Draw the figures in DIR as SVG."""
    into.mkdir(parents=True, exist_ok=True)
    for name, svg in drawn(folder).items():
        (into / f"{name}.svg").write_bytes(svg)
        click.echo(into / f"{name}.svg")
