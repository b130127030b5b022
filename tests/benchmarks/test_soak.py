"""The soak runs, keeps its promises, notices when one is broken, and its page has the stored figures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from benchmarks.answers import END_OF_ANSWER
from benchmarks.soak import Health, Kill, Left, Report, draw, promises
from benchmarks.soak_clients import Ending, Reply, expected_text
from benchmarks.soak_page import FIGURES, PAGE, block, with_figures
from tests.faults.test_rows import names_of_tests

ROOT = Path(__file__).parents[2]
SHAPE = "held-3"


def event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def text(words: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})


def became(*events: bytes, status: int = 200) -> Ending:
    """What is made of a stream, however it was cut."""
    data = b"".join(events)
    endings = set()
    for size in (1, 7, len(data) or 1):
        reply = Reply(SHAPE)
        for begin in range(0, len(data), size):
            reply.add(data[begin : begin + size])
        endings.add(reply.ending(status))
    assert len(endings) == 1
    return endings.pop()


ALL = expected_text(SHAPE)
STOP, ERROR = event("message_stop"), event("error", error={"type": "api_error", "message": "x"})


@pytest.mark.parametrize(
    ("events", "ending"),
    [
        ([text(ALL), STOP], Ending.WHOLE),
        ([text(ALL[:9]), event("ping"), text(ALL[9:]), STOP], Ending.WHOLE),
        ([text(ALL[:9]), ERROR], Ending.TOLD),
        ([text(ALL[:9]), STOP], Ending.WRONG),
        ([text(ALL)], Ending.WRONG),
        ([text(ALL[:9])], Ending.WRONG),
        ([text(ALL), ERROR], Ending.WRONG),
        ([text(ALL), text("x"), STOP], Ending.WRONG),
        ([text("x" + ALL[1:]), STOP], Ending.WRONG),
        ([text("x"), ERROR], Ending.WRONG),
        ([text(ALL[:9]), ERROR, STOP], Ending.WRONG),
        ([text(ALL[:9]), STOP, ERROR], Ending.WRONG),
        ([text(ALL), STOP, b"data"], Ending.WRONG),
        ([], Ending.WRONG),
    ],
)
def test_a_stream_is_whole_or_told_broken_or_wrong(events: list[bytes], ending: Ending) -> None:
    assert became(*events) is ending
    assert became(*events, status=503) is Ending.WRONG


def test_the_text_expected_is_that_of_the_upstream() -> None:
    assert "".join(f"word-{number:018d} " for number in range(3)) + END_OF_ANSWER.decode() == ALL


GOOD = Report(
    facts={},
    streams=10,
    waves=3,
    whole=30,
    aborted=30,
    wrong={},
    kill=Kill(cut=5, told=5, within_ms=1.0, served=9, back_after_ms=1.0),
    health=Health(asked=9, p50_ms=1.0, p99_ms=1.0, worst_ms=1.0),
    before=Left(tasks=20, descriptors=15, at_providers=3),
    after=Left(tasks=20, descriptors=14, at_providers=2),
    rss=(100_000_000, 101_000_000, 101_500_000),
    seconds=1.0,
)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, []),
        ({"whole": 29}, ["every stream was served to its last character"]),
        ({"aborted": 29}, ["every aborted stream was let go of"]),
        ({"after": Left(tasks=21, descriptors=14, at_providers=2)}, ["no live tasks are left"]),
        ({"after": Left(tasks=20, descriptors=16, at_providers=2)}, ["file descriptors are back"]),
        (
            {"after": Left(tasks=20, descriptors=14, at_providers=4)},
            ["no connections are left at the providers"],
        ),
        ({"rss": (100_000_000, 101_000_000, 104_000_000)}, ["the memory is flat over the waves"]),
        (
            {"kill": structs.replace(GOOD.kill, told=4)},
            ["just the streams that the kill cut were told of it"],
        ),
        ({"kill": structs.replace(GOOD.kill, served=0)}, ["all others around it were served"]),
        (
            {"wrong": {"HTTP 529": 1}},
            ["every stream was served to its last character", "all others around it were served"],
        ),
    ],
)
def test_each_promise_is_broken_by_what_breaks_it(changes: dict[str, object], broken: list[str]) -> None:
    report = structs.replace(GOOD, **changes)
    assert [what for what, holds in promises(report).items() if not holds] == broken


@pytest.mark.process
def test_a_small_soak_keeps_its_promises(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    options = ("--streams", "20", "--waves", "2", "--cut", "6", "--keep-alive", "0.3")
    command = [sys.executable, "-m", "benchmarks", "soak", *options, "--json", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= 80
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    assert all(promises(report).values())
    assert (report.whole, report.aborted, report.kill.told) == (40, 40, 6)
    assert report.health.asked > 3
    assert report.before.tasks > 5  # the line tells of something


def test_the_page_has_the_stored_figures() -> None:
    report = msgspec.json.decode(FIGURES.read_bytes(), type=Report)
    assert block(draw(report)) in PAGE.read_text(), "python -m benchmarks soak --keep writes both"
    assert all(promises(report).values())


def test_a_page_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="once"):
        with_figures("no marks", draw(GOOD))


def test_every_row_on_the_page_has_a_test_that_bears_its_id() -> None:
    rows = set(re.findall(r"\b[A-K][0-9]{2}\b", PAGE.read_text()))
    borne = {row.upper() for name in names_of_tests() for row in re.findall(r"_([a-k]\d\d)(?=_|$)", name)}
    assert len(rows) > 50
    assert rows <= borne, f"no test bears {', '.join(sorted(rows - borne))}"
