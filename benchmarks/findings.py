"""From the benchmarks' reports to the figures that the goals speak of."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from benchmarks import compare_report, gauge, memory, overhead, startup, workers
from benchmarks.fallback_cases import DEADLINE, HANGS
from benchmarks.goals import Found
from benchmarks.report import Measure, Report

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


def _read(
    figures: bytes, *, kind: type[_Report], told: Callable[[_Report], Mapping[str, Found]]
) -> Mapping[str, Found]:
    return told(msgspec.json.decode(figures, type=kind))


# The comparison comes first: what comes later has its own figures put beside the peers'.
_SOURCES: Mapping[str, Callable[[bytes], Mapping[str, Found]]] = {
    "compare": partial(_read, kind=compare_report.Report, told=compare_report.found),
    "overhead": partial(_read, kind=overhead.Report, told=overhead.found),
    "memory": partial(_read, kind=memory.Report, told=memory.found),
    "startup": partial(_read, kind=startup.Report, told=startup.found),
    "workers": partial(_read, kind=workers.Report, told=workers.found),
    "gauge": partial(_read, kind=gauge.Report, told=gauge.found),
    "fallback": partial(_read, kind=Report, told=of_fallback),
}
