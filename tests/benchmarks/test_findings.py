"""The goals' figures are the reports' figures: the right ones, in the right unit, beside the peers'."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import compare_report, gauge, memory, overhead, plots, startup, translate, workers
from benchmarks.figures import Rounds
from benchmarks.findings import findings
from benchmarks.goals import Found
from benchmarks.peers import OURS
from benchmarks.processes import Memory
from benchmarks.report import encode
from benchmarks.sizes import Size, Sweep
from benchmarks.subjects import ALONE, FLOOR, PROXY, Mode
from benchmarks.timing import Line


def _rounds(median: float) -> Rounds:
    return Rounds(median=median, low=median / 2, high=median * 2)


def _row(subject: str, mode: Mode, connections: int, *, p50_ms: float, cpu_ms: float) -> overhead.Row:
    return overhead.Row(
        case=overhead.Case(subject, mode, connections),
        requests=10,
        p50_ms=_rounds(p50_ms),
        p95_ms=_rounds(p50_ms * 2),
        per_second=_rounds(100),
        cpu_ms=_rounds(cpu_ms),
        ratio=1.0,
    )


def _sweep(name: str, *, bend: float, slope_us: float) -> Sweep:
    sizes = tuple(
        Size(
            size=size,
            kilobytes=float(size),
            requests=1,
            alone_ms=_rounds(1),
            proxy_ms=_rounds(1 + size),
            cpu_ms=_rounds(size / 2),
        )
        for size in (10, 100, 1000)
    )
    straight = Line(fixed_us=1.0, slope_us=1.0, bend=1.0)
    return Sweep(name=name, sizes=sizes, added=straight, cpu=Line(fixed_us=1.0, slope_us=slope_us, bend=bend))


@pytest.fixture
def told() -> overhead.Report:
    return overhead.Report(
        facts={},
        rows=(
            _row(ALONE, Mode.WHOLE, 1, p50_ms=1.0, cpu_ms=0.1),
            _row(PROXY, Mode.WHOLE, 1, p50_ms=3.0, cpu_ms=1.2),
            _row(FLOOR, Mode.WHOLE, 1, p50_ms=2.0, cpu_ms=1.0),
            _row(ALONE, Mode.WHOLE, 16, p50_ms=4.0, cpu_ms=0.1),
            _row(PROXY, Mode.WHOLE, 16, p50_ms=24.0, cpu_ms=1.4),
            _row(FLOOR, Mode.WHOLE, 16, p50_ms=9.0, cpu_ms=1.0),
            _row(ALONE, Mode.STREAM, 1, p50_ms=2.0, cpu_ms=0.1),
            _row(PROXY, Mode.STREAM, 1, p50_ms=9.0, cpu_ms=9.0),
        ),
        sweeps=(
            _sweep(translate.HISTORY, bend=1.05, slope_us=34.21),
            _sweep(translate.OFFERED, bend=0.9, slope_us=12.3),
        ),
    )


def test_the_floor_is_compared_at_its_worst_and_slopes_are_stated(told: overhead.Report) -> None:
    assert overhead.found(told) == {
        "floor": Found(ours=pytest.approx(1.4)),
        "linear-history": Found(ours=1.05, remark="34.2 µs a kB"),
        "linear-tools": Found(ours=0.9, remark="12.3 µs a tool"),
    }


def test_memory_is_told_in_megabytes_of_what_the_process_has_in_memory() -> None:
    idle, held, after = (
        Memory(rss=rss * 10**6, pss=pss * 10**6) for rss, pss in ((50, 30), (300, 280), (55, 50))
    )
    found = memory.found(
        memory.Report(facts={}, streams=1000, started=idle, idle=idle, held=held, after=after)
    )
    assert found["memory-idle"].ours == 50
    assert found["memory-stream"].ours == pytest.approx(0.25)
    assert found["memory-after"].ours == pytest.approx(1.1)


def test_start_is_to_the_first_answer() -> None:
    told = startup.Report(facts={}, starts=3, to_live=_rounds(0.5), to_answer=_rounds(0.75))
    assert startup.found(told) == {"start": Found(ours=0.75)}


def test_workers_are_compared_at_their_worst() -> None:
    rows = tuple(
        workers.Row(
            workers=number,
            connections=connections,
            requests=1,
            p50_ms=_rounds(1),
            per_second=_rounds(1),
            per_core_second=_rounds(1),
            engine=_rounds(1),
            ratio=ratio,
            core_ratio=1.95,
        )
        for number, connections, ratio in ((1, 16, 1.0), (2, 16, 1.85), (1, 64, 1.0), (2, 64, 1.7))
    )
    found = workers.found(workers.Report(facts={}, rows=rows))
    assert found == {"workers": Found(ours=1.7, remark="1.95 with a core each")}


def test_instructions_are_told_in_millions() -> None:
    names = list(gauge.ROWS)
    report: dict[str, Any] = {
        "facts": {},
        "figures": {
            "place": {"tool": "callgrind", "python": "3.11", "machine": "x"},
            "versions": {},
            "instructions": {name: (number + 1) * 10**6 for number, name in enumerate(names)},
        },
    }
    found = gauge.found(msgspec.convert(report, type=gauge.Report))
    assert found == {"instructions-request": Found(ours=1.0), "instructions-burst": Found(ours=2.0)}


def _compared(measure: str, **figures: float) -> compare_report.Report:
    return compare_report.Report(
        facts={},
        programs=tuple(compare_report.Program(name=name, version="1", does="translates") for name in figures),
        rows=tuple(
            compare_report.Row(
                program=name, measure=measure, unit="", figure=_rounds(figure), samples=(figure,)
            )
            for name, figure in figures.items()
        ),
        gaps=(),
    )


def test_our_own_figure_stands_beside_the_peers(tmp_path: Path) -> None:
    compared = _compared("start", **{OURS: 9.0, "litellm": 8.0, "ccr": 2.0})
    (tmp_path / "compare.json").write_bytes(encode(compared))
    alone = startup.Report(facts={}, starts=3, to_live=_rounds(0.5), to_answer=_rounds(0.75))
    (tmp_path / "startup.json").write_bytes(encode(alone))
    assert findings(tmp_path)["start"] == Found(ours=0.75, best=2.0, best_name="ccr", litellm=8.0)


def test_what_only_the_comparison_measures_is_taken_from_there(tmp_path: Path) -> None:
    compared = _compared("added-p50", **{OURS: 2.0, "litellm": 40.0, "ccr": 8.0})
    (tmp_path / "compare.json").write_bytes(encode(compared))
    assert findings(tmp_path)["added-p50"] == Found(ours=2.0, best=8.0, best_name="ccr", litellm=40.0)


def test_time_added_is_what_the_proxy_takes_beyond_the_upstream_alone(told: overhead.Report) -> None:
    whole, stream = plots.concurrency_series(told)
    assert (whole.label, whole.points) == ("non-stream", ((1, 2.0), (16, 20.0)))
    assert (stream.label, stream.points) == ("stream", ((1, 7.0),))


def test_the_whole_proxy_is_plotted_by_the_size_of_the_history(told: overhead.Report) -> None:
    added, cpu = plots.whole_series(told)
    assert added.points == ((10, 10), (100, 100), (1000, 1000))
    assert cpu.points == ((10, 5), (100, 50), (1000, 500))


def test_each_program_has_a_bar_for_each_measure_it_was_measured_by() -> None:
    found = plots.peer_bars(_compared("added-p50", **{OURS: 2.0, "litellm": 40.0}))
    assert [(bar.label, bar.value, bar.up_to) for bar in found[plots.PEER_MEASURES["added-p50"]]] == [
        (OURS, 2.0, 4.0),
        ("litellm", 40.0, 80.0),
    ]
    assert set(found) == {plots.PEER_MEASURES["added-p50"]}


def test_every_plot_of_an_overhead_is_drawn(told: overhead.Report, tmp_path: Path) -> None:
    (tmp_path / "overhead.json").write_bytes(encode(told))
    (tmp_path / "compare.json").write_bytes(encode(_compared("added-p50", **{OURS: 2.0, "litellm": 40.0})))
    drawn = plots.drawn(tmp_path)
    assert set(drawn) == {"concurrency", "size", "peers"}
    assert b"series-1" in drawn["concurrency"]
    assert b"litellm" in drawn["peers"]
