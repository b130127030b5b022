"""What RESULTS.md says is what was measured, every goal is judged, and no miss goes without its reason."""

import re
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import everything, plots, session
from benchmarks.__main__ import main
from benchmarks.fallback_cases import DEADLINE, HANGS, HEALTHY
from benchmarks.figures import Bound
from benchmarks.findings import findings
from benchmarks.goals import GOALS, Found, Goal, amount, judge
from benchmarks.report import Measure, Sample, encode, report
from benchmarks.results import FIGURES, HERE, REASONS, TABLES, Incomplete, read_reasons, results

ALL_MISSED = {goal.key: f"Nobody measured {goal.key}." for goal in GOALS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Figures of one benchmark, in which a hang costs 4 ms beyond its deadline."""
    samples = [
        Sample(HEALTHY.name, Measure.FIRST, 0.010),
        Sample(HANGS.name, Measure.FIRST, DEADLINE + 0.014),
        Sample("refuses", Measure.FIRST, 0.012),
    ]
    told = report(
        samples, cases=(HEALTHY.name, "refuses", HANGS.name), baseline=HEALTHY.name, facts={"Python": "3"}
    )
    (tmp_path / "fallback.json").write_bytes(encode(told))
    about = session.Session(
        measured_on="2031-02-03",
        machine={"processor": "An Abacus", "cores": "2"},
        versions={"ccproxy_trio": "9.9"},
        commands=(
            session.Command(name="fallback", line="python -m benchmarks fallback", took=3.2, load=0.25),
        ),
    )
    session.save(about, tmp_path)
    return tmp_path


def _reasons(*met: str) -> dict[str, str]:
    return {key: reason for key, reason in ALL_MISSED.items() if key not in met}


def test_the_text_names_machine_versions_command_and_every_figure_of_the_table(folder: Path) -> None:
    text = results(folder, _reasons("fallback-hang"))
    assert "2031-02-03" in text
    assert "An Abacus" in text
    assert "ccproxy_trio 9.9" in text
    assert "$ python -m benchmarks fallback\n" in text
    assert re.search(r"refuses +12\.0 +12\.0 +\+2\.0 +\+2\.0 +1\.20 +1\n", text)
    assert f"]({FIGURES}/fallback.svg)" in text


def test_every_goal_has_its_line_with_its_verdict(folder: Path) -> None:
    text = results(folder, _reasons("fallback-hang"))
    lines = {
        line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")
    }
    assert set(lines) == {"what", *(goal.what for goal in GOALS)}
    met = [line for line in lines.values() if line.endswith("| met |")]
    assert met == ["| time added beyond the deadline when it hangs | at most 10 ms | 4 ms | – | – | met |"]
    assert sum("**missed**" in line for line in lines.values()) == len(GOALS) - 1


def test_every_miss_stands_there_with_its_reason(folder: Path) -> None:
    text = results(folder, _reasons("fallback-hang"))
    for goal in GOALS:
        assert (f"Nobody measured {goal.key}." in text) == (goal.key != "fallback-hang")


def test_a_miss_without_its_reason_is_refused(folder: Path) -> None:
    with pytest.raises(Incomplete, match=r"no reason is given: floor$"):
        results(folder, _reasons("fallback-hang", "floor"))


def test_an_empty_reason_is_none(folder: Path) -> None:
    with pytest.raises(Incomplete, match=r"no reason is given: floor$"):
        results(folder, _reasons("fallback-hang") | {"floor": ""})


def test_a_reason_whose_goal_is_met_is_refused(folder: Path) -> None:
    with pytest.raises(Incomplete, match=r"not missed: fallback-hang$"):
        results(folder, _reasons())


def test_figures_of_unknown_origin_are_refused(folder: Path) -> None:
    (folder / session.FILE).unlink()
    with pytest.raises(Incomplete, match=session.FILE):
        results(folder, _reasons("fallback-hang"))


def test_figures_whose_command_is_unknown_are_refused(folder: Path) -> None:
    about = session.load(folder)
    assert about is not None
    session.save(session.Session(**{**_fields(about), "commands": ()}), folder)
    with pytest.raises(Incomplete, match=r"how fallback\.json was measured"):
        results(folder, _reasons("fallback-hang"))


def _fields(about: session.Session) -> dict[str, object]:
    return {"measured_on": about.measured_on, "machine": about.machine, "versions": about.versions}


def test_reasons_are_read_by_their_headings() -> None:
    text = "# Why\n\nIntro.\n\n## floor\n\nToo slow.\nStill.\n\n## start\n\nImports.\n"
    assert read_reasons(text) == {"floor": "Too slow.\nStill.", "start": "Imports."}


GOAL = Goal(key="k", what="w", unit="ms", of_best=Fraction(1, 3), of_litellm=Fraction(1, 12))
MORE = Goal(key="k", what="w", unit="", bound=Bound.AT_LEAST, of_best=Fraction(3), of_litellm=Fraction(12))
FLOOR = Goal(key="k", what="w", unit="s", limit=1.5)


@pytest.mark.parametrize(
    ("goal", "found", "is_met"),
    [
        (GOAL, Found(ours=1.0, best=3.0, litellm=12.0), True),
        (GOAL, Found(ours=1.1, best=3.0, litellm=24.0), False),
        (GOAL, Found(ours=1.0, best=9.0, litellm=11.0), False),
        (GOAL, Found(ours=1.0, litellm=12.0), False),
        (GOAL, Found(ours=1.0, best=3.0), False),
        (GOAL, Found(best=3.0, litellm=12.0), False),
        (MORE, Found(ours=300.0, best=100.0, litellm=25.0), True),
        (MORE, Found(ours=299.0, best=100.0, litellm=20.0), False),
        (MORE, Found(ours=300.0, best=90.0, litellm=26.0), False),
        (FLOOR, Found(ours=1.5), True),
        (FLOOR, Found(ours=1.51), False),
        (FLOOR, Found(), False),
    ],
)
def test_a_goal_is_met_only_where_all_its_bounds_are_known_to_hold(
    goal: Goal, found: Found, is_met: bool
) -> None:
    assert [judged.is_met for judged in judge([goal], {"k": found})] == [is_met]


def test_goals_are_told_as_they_are() -> None:
    assert GOAL.told() == "at most 1/3 of the best peer, 1/12 of LiteLLM"
    assert MORE.told() == "at least 3 times that of the best peer, 12 times that of LiteLLM"
    assert FLOOR.told() == "at most 1.5 s"


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (None, "ms", "–"),
        (1234.4, "ms", "1,234 ms"),
        (0.2512, "MB", "0.251 MB"),
        (3.0, "", "3"),
        (-0.5, "ms", "-0.5 ms"),
    ],
)
def test_amounts_have_three_digits_that_count(value: float | None, unit: str, told: str) -> None:
    assert amount(value, unit) == told


def test_goals_have_keys_of_their_own_and_every_figure_found_has_its_goal() -> None:
    keys = [goal.key for goal in GOALS]
    assert len(set(keys)) == len(keys)
    assert set(findings(HERE / FIGURES)) <= set(keys)


def test_a_benchmark_run_again_replaces_its_command_and_no_other() -> None:
    first, second, again = (
        session.Command(name=name, line=f"python -m benchmarks {name}", took=took, load=0.0)
        for name, took in (("ask", 1.0), ("sse", 2.0), ("ask", 3.0))
    )
    known = session.here().with_command(first).with_command(second).with_command(again)
    assert known.commands == (again, second)


def test_figures_of_another_machine_are_not_mixed_with_ours(folder: Path) -> None:
    ended = CliRunner().invoke(everything.command, ["--into", str(folder), "--only", "ask"])
    assert ended.exit_code == 1
    assert "another machine" in ended.output
    assert not (folder / "ask.json").exists()


def test_all_runs_every_benchmark_there_is() -> None:
    others = {"all", "plots", "results", "profile", "soak"}
    assert set(main.commands) - others == set(everything.ORDER)
    assert set(TABLES) == set(everything.ORDER)


@pytest.mark.process
def test_all_keeps_the_figures_and_how_they_were_measured(tmp_path: Path) -> None:
    ended = CliRunner().invoke(everything.command, ["--into", str(tmp_path), "--only", "ask"])
    assert ended.exit_code == 0, ended.output
    about = session.load(tmp_path)
    assert about is not None
    assert [command.line for command in about.commands] == ["python -m benchmarks ask"]
    assert about.commands[0].took > 0
    assert "ask.json" in {path.name for path in tmp_path.iterdir()}


def test_the_stored_results_are_made_of_the_stored_figures() -> None:
    text = results(HERE / FIGURES, read_reasons(REASONS.read_text()))
    assert (HERE / "RESULTS.md").read_text() == text


def test_no_figure_of_a_table_is_cut_short() -> None:
    assert "…" not in (HERE / "RESULTS.md").read_text()


def test_the_stored_plots_are_made_of_the_stored_figures() -> None:
    drawn = plots.drawn(HERE / FIGURES)
    assert {path.stem for path in (HERE / FIGURES).glob("*.svg")} == set(drawn)
    for name, svg in drawn.items():
        stored = (HERE / FIGURES / f"{name}.svg").read_bytes()
        assert len(stored) < 60_000
        assert _shown(stored) == pytest.approx(_shown(svg), abs=1.0)


def _shown(svg: bytes) -> dict[str, float]:
    """Each text, and each corner of what is drawn of the data: another matplotlib may round otherwise."""
    shown: dict[str, float] = {}
    root = ET.fromstring(svg)
    for number, text in enumerate(element for element in root.iter() if element.tag.endswith("}text")):
        shown[f"{number} {''.join(text.itertext()).strip()}"] = 0.0
    for group in root.iter():
        if re.match(r"(series|bar)-\d+$", group.get("id", "")):
            paths = " ".join(path.get("d", "") for path in group.iter() if path.tag.endswith("}path"))
            numbers = re.findall(r"-?\d+\.?\d*", paths)
            shown |= {f"{group.get('id')} {at}": float(number) for at, number in enumerate(numbers)}
    return shown
