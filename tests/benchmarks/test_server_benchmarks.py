"""The benchmarks with the load engine run, and their figures are what they say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import over_rounds, short
from benchmarks.goals import Found, under
from benchmarks.subjects import Mode, in_turn, straight_ask

ROOT = Path(__file__).parents[2]


def test_a_goal_says_whether_it_is_met() -> None:
    found = {"memory-idle": Found(ours=61.0), "workers": Found(ours=1.8, remark="1.9 with a core each")}
    told = under({"Python": "3"}, found)
    assert told == {
        "Python": "3",
        "GOAL memory, idle": "61 MB (at most 60 MB: MISSED)",
        "GOAL requests a second of two workers against one": (
            "1.8 times (at least 1.8 times: met, 1.9 with a core each)"
        ),
    }


def test_rounds_are_summed_up_by_their_median() -> None:
    found = over_rounds([3.0, 9.0, 1.0])
    assert (found.low, found.median, found.high) == (1, 3, 9)


@pytest.mark.parametrize(("figure", "text"), [(0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1,234")])
def test_figures_are_as_short_as_they_may_be(figure: float, text: str) -> None:
    assert short(figure) == text


def test_rows_take_turns_at_being_first() -> None:
    assert ["".join(in_turn("abc", turn)) for turn in range(4)] == ["abc", "bca", "cab", "abc"]


def test_the_upstream_is_asked_the_same_body_with_a_model_of_its_own() -> None:
    ask = straight_ask(b'{"model":"claude-opus-4-8","x":"model"}', Mode.STREAM, "burst-5")
    assert (ask.body, ask.words) == (b'{"model":"burst-5","x":"model"}', 5)


def _run(tmp_path: Path, name: str, *options: str) -> tuple[str, Any]:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", name, *options, "--json", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= 80
    figures = json.loads(path.read_bytes())
    assert {"ccproxy_trio", "Python", "trio", "hypercorn", "processor", "cores"} <= figures["facts"].keys()
    return ended.stdout, figures


@pytest.mark.process
def test_overhead_compares_the_proxy_with_the_upstream_and_the_floor(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--seconds", "0.1", "--connections", "1", "--largest", "1000")
    printed, found = _run(tmp_path, "overhead", *options)
    rows = {(row["case"]["mode"], row["case"]["subject"]): row for row in found["rows"]}
    assert set(rows) == {
        ("non-stream", "alone"),
        ("non-stream", "proxy"),
        ("non-stream", "floor"),
        ("stream", "alone"),
        ("stream", "proxy"),
    }
    for (mode, subject), row in rows.items():
        alone = rows[mode, "alone"]
        assert row["ratio"] == pytest.approx(row["p50_ms"]["median"] / alone["p50_ms"]["median"])
        # The engine must not be what is measured.
        assert subject == "alone" or alone["per_second"]["median"] > 3 * row["per_second"]["median"]
        assert subject in printed
    cpu = {subject: row["cpu_ms"]["median"] for (mode, subject), row in rows.items() if mode == "non-stream"}
    assert f"{cpu['proxy'] / cpu['floor']:.3g} times (at most 1.5" in " ".join(printed.split())
    sizes = {sweep["name"]: [each["size"] for each in sweep["sizes"]] for sweep in found["sweeps"]}
    assert sizes == {"kB of history": [10, 100, 1000], "tools": [1, 24, 200]}
    for sweep in found["sweeps"]:
        costs = [each["cpu_ms"]["median"] for each in sweep["sizes"]]
        assert costs[0] < costs[-1]
        assert sweep["cpu"]["slope_us"] > 0


@pytest.mark.process
def test_streams_measures_paced_words_and_bursts(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--seconds", "0.1", "--streams", "3", "--words", "20")
    printed, found = _run(tmp_path, "streams", *options)
    alone, proxy = found["paced"]
    assert (alone["subject"], proxy["subject"]) == ("alone", "proxy")
    assert alone["words"] == proxy["words"] == 3 * 20
    assert alone["cpu_us"]["median"] < proxy["cpu_us"]["median"]
    assert 0.19 <= alone["stream_s"]["median"] < 1
    names = [(row["connections"], row["subject"]) for row in found["bursts"]]
    assert names == [(1, "alone"), (1, "proxy"), (16, "alone"), (16, "proxy")]
    assert all(row["p50_ms"]["median"] > 0 for row in found["bursts"])
    assert "c=16 proxy" in printed


@pytest.mark.process
def test_memory_grows_with_the_streams_that_are_held(tmp_path: Path) -> None:
    printed, found = _run(tmp_path, "memory", "--streams", "40")
    assert found["streams"] == 40
    assert 10e6 < found["idle"]["rss"] < found["held"]["rss"]
    after = found["after"]["rss"] / found["idle"]["rss"]
    assert f"{after:.3g} times (at most 1.2" in " ".join(printed.split())


@pytest.mark.process
def test_startup_is_timed_to_the_first_answers(tmp_path: Path) -> None:
    _, found = _run(tmp_path, "startup", "--starts", "1")
    assert found["starts"] == 1
    assert 0.05 < found["to_live"]["median"] < found["to_answer"]["median"] < 30


@pytest.mark.process
def test_workers_are_compared_with_one(tmp_path: Path) -> None:
    _, found = _run(tmp_path, "workers", "--rounds", "1", "--seconds", "0.1")
    rows = {(row["connections"], row["workers"]): row for row in found["rows"]}
    assert set(rows) == {(16, 1), (16, 2), (64, 1), (64, 2)}
    for (connections, _), row in rows.items():
        one = rows[connections, 1]
        assert row["ratio"] == pytest.approx(row["per_second"]["median"] / one["per_second"]["median"])
        assert row["requests"] >= connections
