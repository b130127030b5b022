"""The proxy executes as many instructions as before: neither more, nor (unsaid) far fewer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from benchmarks import gauge
from benchmarks.counters import NotCounted, Perf, Tool, usable
from benchmarks.gauge import (
    MARGIN,
    ROWS,
    Figures,
    Place,
    complaint,
    draw,
    store,
    stored,
)

PLACE = Place(Tool.CALLGRIND, "3.11", "x86_64")
HELD = Figures(
    place=PLACE,
    versions={"trio": "1", "h11": "1"},
    instructions={"request": 1000, "burst": 2000, "chunk": 100},
)
FAULTS_MADE = 2000  # pages that the child touches for the first time, for each line it reads
CHILD = f"""
import sys
for line in sys.stdin:
    pages = bytearray(4096 * {FAULTS_MADE})
    print(flush=True)
"""


def _found(**changed: int) -> Figures:
    return msgspec.structs.replace(HELD, instructions=dict(HELD.instructions) | changed)


@pytest.mark.process
def test_the_proxy_executes_as_many_instructions_as_are_stored() -> None:
    tool = usable()
    if tool is None:
        pytest.skip("neither perf with the processor's counters nor Valgrind is here")
    place = gauge.place_of(tool)
    held = stored().get(place)
    if held is None:
        pytest.skip(f"no figure is stored for {place}; `python -m benchmarks gauge --store` stores one")
    found = trio.run(gauge.measure, tool)
    print(found)  # pytest shows it where the test fails
    if text := complaint(found, held):
        pytest.fail(text, pytrace=False)


@pytest.mark.parametrize("change", [1 + MARGIN - 0.001, 1, 1 - MARGIN + 0.001])
def test_a_change_within_the_margin_is_none(change: float) -> None:
    assert complaint(_found(request=round(1000 * change)), HELD) is None


@pytest.mark.parametrize("row", list(ROWS))
@pytest.mark.parametrize(("factor", "told"), [(1.11, "+11.0%"), (0.89, "-11.0%")])
def test_a_change_past_the_margin_is_told_in_both_directions(row: str, factor: float, told: str) -> None:
    text = complaint(_found(**{row: round(HELD.instructions[row] * factor)}), HELD)
    assert text is not None
    first, *_, last = text.splitlines()
    assert first.startswith(ROWS[row])
    assert told in first
    assert "python -m benchmarks gauge --store" in last


def test_libraries_that_have_changed_are_named_with_a_complaint() -> None:
    found = msgspec.structs.replace(_found(burst=9000), versions={"trio": "2", "h11": "1"})
    text = complaint(found, HELD)
    assert text is not None
    assert "trio: stored with 1, measured with 2" in text
    assert "h11" not in text


def test_storing_replaces_the_figures_of_the_same_place_only(tmp_path: Path) -> None:
    path = tmp_path / "gauge.json"
    other = msgspec.structs.replace(HELD, place=Place(Tool.PERF, "3.13", "aarch64"))
    assert stored(path) == {}
    for figures in (HELD, other, _found(request=1)):
        store(figures, path)
    assert stored(path) == {PLACE: _found(request=1), other.place: other}


def test_what_is_stored_has_every_row() -> None:
    assert stored()
    assert all(set(figures.instructions) == set(ROWS) for figures in stored().values())
    assert all(
        0 < figures.instructions["chunk"] < figures.instructions["burst"] for figures in stored().values()
    )


def test_the_table_shows_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "stored", lambda: {PLACE: HELD})
    table = draw(gauge.Report(facts={}, figures=_found(request=1100)))
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == list(ROWS.values())
    assert columns[3] == ["+10.0%", "+0.0%", "+0.0%"]
    assert columns[4] == ["≤ 8", "≤ 15", ""]


@pytest.fixture
def child() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.process
async def test_perf_counts_during_the_work_and_not_beside_it(
    child: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    """With an event that machines without the processor's counters have, too."""
    event = "page-faults:u"
    _skip_without_perf(event)

    async def work() -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        await trio.to_thread.run_sync(child.stdout.readline)

    counter = Perf(child.pid, tmp_path, event=event)
    await work()
    for _ in range(2):
        assert 0.9 * FAULTS_MADE < await counter.count(work) < 1.5 * FAULTS_MADE
        await work()


@pytest.mark.process
async def test_a_process_that_perf_cannot_look_at_is_told(tmp_path: Path) -> None:
    event = "page-faults:u"
    _skip_without_perf(event)
    gone = await trio.lowlevel.open_process(["true"])
    await gone.wait()
    with pytest.RaisesGroup(NotCounted, allow_unwrapped=True, flatten_subgroups=True):
        await Perf(gone.pid, tmp_path, event=event).count(trio.lowlevel.checkpoint)


def _skip_without_perf(event: str) -> None:
    try:
        subprocess.run(["perf", "stat", "-e", event, "-p", str(os.getpid()), "true"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("perf is not here, or not permitted to look at other processes")


@pytest.mark.process
def test_a_tool_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    """A perf that says it can count, and then cannot."""
    perf = tmp_path / "perf"
    perf.write_text('#!/bin/sh\ncase "$*" in *-p*) exit 1;; *) echo "1,,instructions:u,1" >&2;; esac\n')
    perf.chmod(0o755)
    env = dict(os.environ) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "benchmarks", "gauge"]
    ended = subprocess.run(command, cwd=gauge.STORED.parents[1], env=env, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "nothing was measured: perf ended before its time" in ended.stderr
    assert "Traceback" not in ended.stderr
