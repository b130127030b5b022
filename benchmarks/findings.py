"""From the benchmarks' reports to the figures that the goals speak of."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from benchmarks import compare_report, gauge, memory, overhead, startup, translate, workers
from benchmarks.fallback_cases import DEADLINE, HANGS
from benchmarks.goals import Found
from benchmarks.report import Measure, Report
from benchmarks.sizes import Sweep
from benchmarks.subjects import FLOOR, PROXY

_Report = TypeVar("_Report")


def findings(folder: Path) -> Mapping[str, Found]:
    """What the figures in `folder` say, by the goals' keys.

    A figure of our own that has a benchmark to itself is taken from there, and the peers' stand beside it.

    Raises:
        msgspec.ValidationError: a file holds other figures than those of its benchmark.
    """
    found: dict[str, Found] = {}
    for name, told in _SOURCES.items():
        path = folder / f"{name}.json"
        if path.exists():
            for key, figure in told(path.read_bytes()).items():
                found[key] = _beside(figure, found.get(key))
    return found


def _beside(figure: Found, compared: Found | None) -> Found:
    if compared is None:
        return figure
    return replace(compared, ours=figure.ours, remark=figure.remark)


def of_fallback(report: Report) -> Mapping[str, Found]:
    """A hang costs its deadline, and what it costs beyond that: the worst of what is timed."""
    beyond = [
        row.added_p50_ms - DEADLINE * 1000
        for row in report.rows
        if row.case == HANGS.name and row.measure is not Measure.ERROR and row.added_p50_ms is not None
    ]
    return {"fallback-hang": Found(ours=max(beyond))}


def of_gauge(report: gauge.Report) -> Mapping[str, Found]:
    """Instructions, in millions."""
    counted = report.figures.instructions
    return {
        "instructions-request": Found(ours=counted["request"] / 1e6),
        "instructions-burst": Found(ours=counted["burst"] / 1e6),
    }


def of_overhead(report: overhead.Report) -> Mapping[str, Found]:
    """CPU against the floor, at its worst, and how straight it grows with a request's size."""
    cpu = {row.case: row.cpu_ms.median for row in report.rows}
    floors = [case for case in cpu if case.subject == FLOOR]
    ratios = [cpu[overhead.Case(PROXY, floor.mode, floor.connections)] / cpu[floor] for floor in floors]
    told = {"floor": Found(ours=max(ratios))}
    keys = {translate.HISTORY: ("linear-history", "a kB"), translate.OFFERED: ("linear-tools", "a tool")}
    return told | {keys[sweep.name][0]: _straight(sweep, each=keys[sweep.name][1]) for sweep in report.sweeps}


def _straight(sweep: Sweep, *, each: str) -> Found:
    return Found(ours=sweep.cpu.bend, remark=f"{sweep.cpu.slope_us:.3g} µs {each}")


def of_memory(report: memory.Report) -> Mapping[str, Found]:
    """The process's resident memory, in MB, as in the goals of the report itself."""
    idle, held, after = report.idle.rss, report.held.rss, report.after.rss
    return {
        "memory-idle": Found(ours=idle / 1e6),
        "memory-stream": Found(ours=(held - idle) / report.streams / 1e6),
        "memory-after": Found(ours=after / idle, remark=f"{after / held:.0%} of what was held"),
    }


def of_startup(report: startup.Report) -> Mapping[str, Found]:
    """Seconds to the first answer."""
    return {"start": Found(ours=report.to_answer.median)}


def of_workers(report: workers.Report) -> Mapping[str, Found]:
    """The larger number of workers against one, at its worst."""
    most = max(row.workers for row in report.rows)
    worst = min((row for row in report.rows if row.workers == most), key=lambda row: row.ratio)
    return {"workers": Found(ours=worst.ratio, remark=f"{worst.core_ratio:.3g} with a core each")}


def _read(
    figures: bytes, *, kind: type[_Report], told: Callable[[_Report], Mapping[str, Found]]
) -> Mapping[str, Found]:
    return told(msgspec.json.decode(figures, type=kind))


# The comparison comes first: what comes later has its own figures put beside the peers'.
_SOURCES: Mapping[str, Callable[[bytes], Mapping[str, Found]]] = {
    "compare": partial(_read, kind=compare_report.Report, told=compare_report.found),
    "overhead": partial(_read, kind=overhead.Report, told=of_overhead),
    "memory": partial(_read, kind=memory.Report, told=of_memory),
    "startup": partial(_read, kind=startup.Report, told=of_startup),
    "workers": partial(_read, kind=workers.Report, told=of_workers),
    "gauge": partial(_read, kind=gauge.Report, told=of_gauge),
    "fallback": partial(_read, kind=Report, told=of_fallback),
}
