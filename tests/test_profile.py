"""The profile's stages: every module of ours has one, and samples are told apart by the innermost."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import profile
from benchmarks.profile import LOADS, Report, block, draw, renewed
from benchmarks.stages import OTHER, STAGES, Shares, shares, stage_of, stage_of_module

ROOT = Path(__file__).parents[1]
PAGE = "before\n<!-- measured: profile -->\nold\n<!-- end -->\nafter\n"
# What starts the proxy, and is not there any more when requests come.
AT_THE_START = ("__init__.py", "__main__.py", "version.py", "cli/", "demo/", "simulation/", "py.typed")
SITE = "/somewhere/lib/python3.11/site-packages"
LOOP = f"unrolled_run ({SITE}/trio/_core/_run.py:2889)"
EDGE = "post (/home/me/ccproxy_trio/ccproxy_trio/edge/routes.py:7)"


def test_every_module_that_serves_requests_has_a_stage() -> None:
    names = [str(path.relative_to(ROOT)) for path in (ROOT / "ccproxy_trio").rglob("*.py")]
    serving = [name for name in names if not name.removeprefix("ccproxy_trio/").startswith(AT_THE_START)]
    without = [name for name in serving if stage_of_module(name) is None and not name.endswith("__init__.py")]
    assert without == []


def test_no_stage_stands_for_a_module_that_is_gone() -> None:
    ours = [path for paths in STAGES.values() for path in paths if path.startswith("ccproxy_trio/")]
    assert [path for path in ours if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "package",
    sorted({path.split("/")[0] for paths in STAGES.values() for path in paths} - {"ccproxy_trio"}),
)
def test_no_stage_stands_for_a_library_that_is_not_used(package: str) -> None:
    assert find_spec(package) is not None


@pytest.mark.parametrize(
    ("frames", "stage"),
    [
        ([LOOP], "Trio: scheduler, scopes, channels"),
        ([LOOP, EDGE], "edge (ours)"),
        ([LOOP, EDGE, "loads (/usr/lib/python3.11/json/__init__.py:346)"], "edge (ours)"),
        ([LOOP, EDGE, f"send ({SITE}/h11/_connection.py:500)"], "edge (ours)"),
        ([LOOP, EDGE, f"send_all ({SITE}/trio/_highlevel_socket.py:118)"], "edge (ours)"),
        ([LOOP, EDGE, f"checkpoint ({SITE}/trio/_core/_run.py:2900)"], "Trio: scheduler, scopes, channels"),
        ([LOOP, "check (/a/ccproxy_trio/translate/grammar.py:1)"], "answer: check"),
        ([LOOP, "tools (/a/ccproxy_trio/translate/tools.py:1)"], "request: translate"),
        (["_run_code (<frozen runpy>:88)"], OTHER),
    ],
)
def test_a_sample_belongs_to_the_innermost_stage(frames: list[str], stage: str) -> None:
    assert stage_of(frames) == stage


def test_samples_of_the_same_stage_add_up() -> None:
    found = shares([f"{LOOP} 3", f"{LOOP};{EDGE} 5", f"{LOOP};{EDGE};other (x.py:1) 2"])
    assert found.total == 10
    assert found.percent("edge (ours)") == pytest.approx(70)
    assert found.percent("Trio: scheduler, scopes, channels") == pytest.approx(30)
    assert found.percent("journal and log") == 0


def _report() -> Report:
    loads = {name: Shares({"request: decode": 1, OTHER: 3}, 4) for name in LOADS}
    return Report(facts={"Python": "3"}, loads=loads)


def test_the_table_has_a_row_for_each_stage_that_was_seen_and_one_for_the_samples() -> None:
    columns = [list(column.cells) for column in draw(_report()).columns]
    assert columns[0] == ["request: decode", OTHER, "samples"]
    assert columns[1:] == [["25.0", "75.0", "4"]] * len(LOADS)


def test_a_page_gets_the_table_between_its_marks_and_nothing_else() -> None:
    page = renewed(PAGE, _report())
    assert page.startswith("before\n<!-- measured: profile -->\n")
    assert page.endswith("<!-- end -->\nafter\n")
    assert block(_report()) in page
    assert "old" not in page
    assert renewed(page, _report()) == page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        renewed("nothing here", _report())


def test_the_documentation_has_a_place_for_the_profile() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    assert profile.COMMAND in renewed(page, _report())
    assert "samples" in page


def test_a_machine_that_does_not_let_py_spy_look_is_told_what_would() -> None:
    told = subprocess.CompletedProcess([], 1, b"", b"Error: Permission Denied: Try running again with sudo")
    assert "SYS_PTRACE" in profile._why_not(told)
    gone = subprocess.CompletedProcess([], 1, b"", b"Error: No such file or directory")
    assert "SYS_PTRACE" not in profile._why_not(gone)


@pytest.mark.process
def test_the_profile_sees_our_own_work_and_the_server_s(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    command = [sys.executable, "-m", "benchmarks", "profile", "--seconds", "1", "--into", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    if ended.returncode != 0 and ("not installed" in ended.stderr or "SYS_PTRACE" in ended.stderr):
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = {line[:34].strip(): line[34:].split() for line in ended.stdout.splitlines()}
    assert len(rows["server (Hypercorn, h11)"]) == len(rows["upstream transport"]) == len(LOADS)
    assert "request: translate" in rows
    assert path.read_text() != PAGE
