"""The benchmarks run, and their figures are what they say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.fallback_cases import ALONE, CASES, DEADLINE, DIES_AFTER, HEALTHY, Setup
from benchmarks.grammar import SHAPES, WORDS, batches_of
from benchmarks.report import Measure, Report, Sample, draw, encode, quantiles, report
from benchmarks.scripted import Mood
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.wire.events import ContentBlockDelta

ROOT = Path(__file__).parents[1]
DEADLINE_MS = DEADLINE * 1000
TIMED = (Measure.FIRST, Measure.END, Measure.WHOLE)


def _samples(case: str, *milliseconds: float) -> list[Sample]:
    return [Sample(case, Measure.WHOLE, value / 1000) for value in milliseconds]


def _report() -> Report:
    samples = [*_samples("slow", 9, 12, 15), *_samples("plain", 3, 4, 5)]
    return report(samples, cases=("plain", "slow", "unmeasured"), baseline="plain", facts={"Python": "3"})


def test_a_row_adds_and_compares_like_with_like() -> None:
    row = _report().rows[1]
    assert (row.case, row.runs) == ("slow", 3)
    assert row.p50_ms == pytest.approx(12)
    assert row.p95_ms == pytest.approx(14.7)
    assert row.added_p50_ms == pytest.approx(8)
    assert row.added_p95_ms == pytest.approx(14.7 - 4.9)
    assert row.ratio == pytest.approx(3)


def test_a_case_of_another_configuration_is_compared_with_its_own_undisturbed_one() -> None:
    samples = [*_samples("plain", 3), *_samples("ring", 10), *_samples("ring, slow", 15)]
    names = ("plain", "ring", "ring, slow")
    against = {"ring": "ring", "ring, slow": "ring"}
    rows = report(samples, cases=names, baseline="plain", against=against, facts={}).rows
    assert [row.added_p50_ms for row in rows] == [None, None, pytest.approx(5)]


def test_what_has_nothing_to_be_compared_with_adds_nothing() -> None:
    samples = [*_samples("plain", 3), Sample("slow", Measure.ERROR, 0.002)]
    (_, error) = report(samples, cases=("plain", "slow"), baseline="plain", facts={}).rows
    assert (error.p50_ms, error.added_p50_ms, error.ratio) == (pytest.approx(2), None, None)


def test_rows_stand_in_the_order_asked_for_and_only_where_measured() -> None:
    assert [row.case for row in _report().rows] == ["plain", "slow"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([7.0], (7.0, 7.0)), ([float(n) for n in range(1, 102)], (51.0, 96.0))],
)
def test_quantiles_of_one_value_and_of_many(values: list[float], expected: tuple[float, float]) -> None:
    assert quantiles(values) == pytest.approx(expected)


def test_the_table_fits_eighty_columns_and_shows_every_row() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(draw(_report()))
    lines = captured.get().splitlines()
    assert any(line.split() == ["slow", "12.0", "14.7", "+8.0", "+9.8", "3.00", "3"] for line in lines)
    assert any(line.split() == ["plain", "4.0", "4.9", "1", "3"] for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_json_holds_what_the_table_rounds() -> None:
    told = json.loads(encode(_report()))
    assert told["rows"][1]["added_p50_ms"] == pytest.approx(8)
    assert told["baseline"] == "plain"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[tuple[str, str], Any]]:
    """What one small measurement prints, and its rows by measure and case."""
    path = tmp_path_factory.mktemp("benchmark") / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "fallback", "--requests", "3", "--json", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = json.loads(path.read_bytes())["rows"]
    return ended.stdout, {(row["measure"], row["case"]): row for row in rows}


Measured = tuple[str, dict[tuple[str, str], dict[str, float]]]


@pytest.mark.process
def test_every_case_is_measured_streaming_and_not(measured: Measured) -> None:
    printed, rows = measured
    expected = {(measure.value, case.name) for measure in Measure for case in CASES if case is not DIES_AFTER}
    expected -= {(Measure.ERROR.value, case.name) for case in CASES}
    # Who reads along has seen the beginning of an answer that dies: its stream has no end to be timed.
    expected |= {
        (measure.value, DIES_AFTER.name) for measure in (Measure.FIRST, Measure.WHOLE, Measure.ERROR)
    }
    expected |= {(Measure.FIRST.value, ALONE), (Measure.END.value, ALONE)}
    assert set(rows) == expected
    assert all(case.name in printed for case in CASES)


@pytest.mark.process
@pytest.mark.parametrize("measure", TIMED)
def test_a_hang_costs_its_deadline_and_little_more(measure: Measure, measured: Measured) -> None:
    (hang,) = (
        row for (measured_as, case), row in measured[1].items() if measured_as == measure and "hangs" in case
    )
    assert DEADLINE_MS <= hang["p50_ms"] < 2 * DEADLINE_MS


@pytest.mark.process
@pytest.mark.parametrize("measure", TIMED)
def test_a_failure_that_shows_at_once_costs_far_less_than_a_hang(
    measure: Measure, measured: Measured
) -> None:
    quick = [
        row for row in measured[1].values() if row["measure"] == measure and row["added_p50_ms"] is not None
    ]
    quick = [row for row in quick if row["case"] != ALONE and "hangs" not in row["case"]]
    assert len(quick) == {Measure.FIRST: 10, Measure.END: 9, Measure.WHOLE: 10}[measure]
    for row in quick:
        assert row["added_p50_ms"] < DEADLINE_MS / 2


@pytest.mark.process
def test_who_reads_along_learns_of_a_death_far_sooner_than_any_deadline(measured: Measured) -> None:
    _, rows = measured
    assert 0 < rows[Measure.ERROR, DIES_AFTER.name]["p50_ms"] < DEADLINE_MS / 2


def test_every_configuration_has_its_undisturbed_case_and_a_failing_one() -> None:
    for setup in Setup:
        cases = [case for case in CASES if case.setup is setup]
        assert {case.against for case in cases} == {cases[0].name}
        assert any(case.mood is not Mood.WELL for case in cases)


@pytest.mark.process
def test_the_load_generator_is_not_what_is_measured(measured: Measured) -> None:
    _, rows = measured
    assert rows[Measure.END, ALONE]["p50_ms"] < rows[Measure.END, HEALTHY.name]["p50_ms"] / 2


@pytest.mark.process
def test_the_checker_takes_a_small_part_of_a_stream_s_time(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "grammar", "--streams", "2", "--json", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = json.loads(path.read_bytes())["rows"]
    assert [row["shape"] for row in rows] == list(SHAPES)
    for row in rows:
        assert row["shape"] in ended.stdout
        assert row["percent"] == pytest.approx(row["check_us"] / row["proxy_us"] * 100)
        assert 0 < row["percent"] < 10  # a disturbed machine may double a figure, not multiply it


def test_the_checker_is_given_the_events_of_a_whole_answer() -> None:
    batches = batches_of(at_once=100)
    Grammar().check([event for batch in batches for event in batch])
    assert sum(isinstance(event, ContentBlockDelta) for batch in batches for event in batch) == WORDS
    assert len(batches) == 1 + 10 + 1
