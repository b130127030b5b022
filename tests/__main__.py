"""`python -m tests`: everything that must hold, from style to the real Claude Code, in one command.

Each step runs whatever became of the others; the summary at the end says which failed. Several run at a
time, and each is shown when it is over: first what keeps a processor busy, two at a time, then what runs in
real time and mostly waits, three at a time. Where npm or `unshare` is missing, the tests that need them are
skipped with that reason, but not with `CI` set.

Tests with processes run twice where the transport to the providers could make a difference: once on our own,
once on httpx's. Of Claude Code's tests these are the ones in which providers fail.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from msgspec import Struct

from tests.support.claude import FOLDER, PACKAGE, VERSION, find_binary
from tests.support.isolated import way_in

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"]
ON_HTTPX = ["--transport", "httpx"]
FAULTS = "tests/faults"
BENCHMARKS = ["tests/benchmarks", "tests/test_benchmarks.py", "tests/test_gauge.py", "tests/test_profile.py"]
ASYNC_CODE = ["ccproxy_trio", "benchmarks", "tests/support"]  # the slowest of the checks: not all tests
PURE_FLOOR = ["translate", "routing", "health", "wire", "journal", "settings.model"]
FLOOR_TESTS = [f"tests/{room}" for room in ("translate", "routing", "health", "wire", "settings")]
FLOOR_TESTS += ["tests/test_journal.py"]
IN_PROCESS = ["-m", "not process and not claude"]
# 114 wants every startable function listed on the command line, 124 takes the views and protocols that Quart
# awaits for mistakes, 127 wants another HTTP library; the rest are off by default, which naming any undoes.
ASYNC_RULES_OFF = "ASYNC114,ASYNC124,ASYNC127,ASYNC106,ASYNC900,ASYNC910,ASYNC911,ASYNC912,ASYNC913"


_ASYNC = re.compile(r"\basync\b|\btrio\b")  # what has neither has nothing to be read for


class Step(Struct, frozen=True):
    """One command that must end with status 0."""

    name: str
    command: list[str]


class Result(Struct, frozen=True):
    """How a step ended."""

    name: str
    good: bool
    seconds: float


def readings() -> Iterator[Step]:
    """What reads the code."""
    python = sys.executable
    yield Step("ruff check", [python, "-m", "ruff", "check", "."])
    yield Step("ruff format", [python, "-m", "ruff", "format", "--check", "."])
    yield Step("mypy", [python, "-m", "mypy"])
    yield Step(
        "mypy, tests' support", [python, "-m", "mypy", "--strict", "tests/support", "tests/conftest.py"]
    )
    yield Step("import contracts", [str(BIN / "lint-imports")])


def _async_reading() -> Step:
    """What reads the async code, which takes the longest."""
    return Step("flake8-async", [str(BIN / "flake8-async"), "--disable", ASYNC_RULES_OFF, *_async_code()])


def _benchmarks() -> Step:
    """The benchmarks run with the smallest of counts. What they measure then does not matter."""
    return Step("tests: benchmarks", [*PYTEST, "-m", "process", *BENCHMARKS])


def _processes() -> Step:
    """What runs the code in real time."""
    others = [f"--ignore={path}" for path in [*BENCHMARKS, FAULTS]]
    return Step("tests: processes", [*PYTEST, "-m", "process", *others])


def _async_code() -> list[str]:
    files = (path for room in ASYNC_CODE for path in (ROOT / room).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in files if _ASYNC.search(path.read_text()))


def _pure_floor() -> Iterator[Step]:
    """The floor without I/O, whose own tests must cover it whole, branches too."""
    coverage = [sys.executable, "-m", "coverage"]
    yield Step("coverage erase", [*coverage, "erase"])
    # Tracing doubles the time of what it traces.
    traced = f"--source={','.join(f'ccproxy_trio.{room}' for room in PURE_FLOOR)}"
    run = [*coverage, "run", "--branch", traced, *PYTEST[1:], *IN_PROCESS, *FLOOR_TESTS]
    yield Step("tests: the pure floor", run)
    yield Step("coverage combine", [*coverage, "combine", "-q"])
    limits = ["--fail-under=100", "--show-missing", "--skip-covered"]
    yield Step("coverage of the pure floor", [*coverage, "report", *limits])


def _in_process() -> Step:
    """Everything else in one process."""
    others = [f"--ignore={path}" for path in FLOOR_TESTS]
    return Step("tests: in process", [*PYTEST, *IN_PROCESS, *others])


def _installation() -> Iterator[Step]:
    """What the tests with Claude Code need, where it is not here yet."""
    if shutil.which("npm") and not _installed():
        quiet = ["--no-save", "--no-audit", "--no-fund"]
        yield Step("Claude Code from npm", ["npm", "install", *quiet, "--prefix", str(FOLDER), PACKAGE])


def _claude_code(where: str, *options: str, name: str = "tests: Claude Code") -> Step:
    """The real client at work. Without a way in, the tests say themselves why they cannot run."""
    # Named by folder or file: all others take seconds to be looked through for nothing.
    return Step(name, [*(way_in() or []), *PYTEST, "-m", "claude", *options, where])


def _in_real_time() -> Iterator[Step]:
    """What runs processes, the longest first, and at last what could go otherwise on the other transport."""
    yield _claude_code("tests/claude")
    yield _processes()
    yield Step("tests: faults", [*PYTEST, "-m", "process", FAULTS])
    yield Step("tests: processes, on httpx", [*PYTEST, "-m", "process", *ON_HTTPX, "tests/process"])
    yield _claude_code("tests/claude/test_faults.py", *ON_HTTPX, name="tests: Claude Code, on httpx")


def _installed() -> bool:
    """The pinned version is there already, so nothing has to be fetched."""
    binary = find_binary()
    if binary is None:
        return False
    told = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=False)
    return told.stdout.startswith(VERSION)


def run(step: Step, *, output: int | None = None) -> tuple[Result, bytes]:
    """How it ended, and what it printed where `output` is a pipe."""
    started_at = time.monotonic()
    try:
        ended = subprocess.run(step.command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False)
    except OSError as error:
        return Result(step.name, good=False, seconds=0.0), str(error).encode()
    seconds = time.monotonic() - started_at
    return Result(step.name, good=ended.returncode == 0, seconds=seconds), ended.stdout or b""


def show(step: Step) -> Result:
    """Run it with its output on the terminal."""
    print(f"\n=== {step.name}", flush=True)
    result, printed = run(step)
    print(printed.decode(errors="replace"), end="")
    return result


def told(running: Iterable[Future[list[tuple[Result, bytes]]]]) -> Iterator[Result]:
    """Show what ran unseen, as it ends."""
    for ended in as_completed(running):
        for result, printed in ended.result():
            print(f"\n=== {result.name}\n{printed.decode(errors='replace')}", end="", flush=True)
            yield result


def at_once(most: int, works: Iterable[Iterable[Step]]) -> Iterator[Result]:
    """Do the works, so many at a time; the steps of each one after the other."""

    def done(work: Iterable[Step]) -> list[tuple[Result, bytes]]:
        return [run(step, output=subprocess.PIPE) for step in work]

    with ThreadPoolExecutor(max_workers=most) as workers:
        yield from told([workers.submit(done, work) for work in works])


def main() -> int:
    """Run every step and sum up."""
    started_at = time.monotonic()
    print("Several steps at a time, each shown when it is over.", flush=True)
    busy = [[_in_process()], _pure_floor(), [_benchmarks()], [_async_reading()], readings()]
    results = [*at_once(2, busy)]
    results += map(show, _installation())
    results += at_once(3, ([step] for step in _in_real_time()))
    print("\n=== summary")
    for each in results:
        print(f"{'ok  ' if each.good else 'FAIL'} {each.seconds:6.1f} s  {each.name}")
    failed = [each.name for each in results if not each.good]
    outcome = f"failed: {', '.join(failed)}" if failed else "all good"
    print(f"{time.monotonic() - started_at:.0f} s; {outcome}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
