"""Tests that need a network of their own are run by a pytest of their own, and reported by this one.

What is marked `network` is run when its turn first comes, all of it at once, behind `unshare`; the reports
are sent back and told as if each had been run here. Inside, loopback is up, addresses and names can be made
up, and nothing that is done reaches the machine.

    in a conftest:  from tests.support.apart import run_apart as pytest_runtest_protocol
    inside:         pytest -p tests.support.apart ...
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.isolated import way_in
from tests.support.line import lacking

_REPORTS_TO = "CCPROXY_TESTS_REPORT_TO"  # set inside: the file that the reports go to
_WITHIN = 300.0  # seconds for all of them
_Told = dict[str, list[pytest.TestReport]]
_TOLD = pytest.StashKey[_Told]()
_OUTPUT = pytest.StashKey[str]()


def is_apart() -> bool:
    """Whether this process is on a network of its own, by this module's doing."""
    return _REPORTS_TO in os.environ


def run_apart(item: pytest.Item) -> bool | None:
    """pytest's hook `pytest_runtest_protocol`: True if the item has been run and told."""
    if item.get_closest_marker("network") is None or is_apart():
        return None
    why_not = _lacking()
    if why_not:
        item.add_marker(pytest.mark.skip(why_not))
        return None
    told = item.config.stash.get(_TOLD, None)
    if told is None:
        told = item.config.stash[_TOLD] = _run_all(item.session)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in told.get(item.nodeid) or [_lost(item)]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _lacking() -> str | None:
    if way_in("nm") is None:
        return "`unshare` is not permitted here"
    if shutil.which("mount") is None:
        return "there is no `mount`"
    return lacking()


def _run_all(session: pytest.Session) -> _Told:
    wanted = [item.nodeid for item in session.items if item.get_closest_marker("network") is not None]
    transport = session.config.getoption("--transport", None)
    options = ["--transport", str(transport)] if transport else []
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder) / "reports"
        reports.touch()
        ended = subprocess.run(
            [*(way_in("nm") or []), sys.executable, "-m", "pytest", "-q", "-p", __name__, *options, *wanted],
            cwd=session.config.rootpath,
            env=os.environ | {_REPORTS_TO: str(reports)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_WITHIN,
            check=False,
        )
        lines = reports.read_text().splitlines()
    told: _Told = {}
    for line in lines:
        data = json.loads(line)
        if isinstance(data["longrepr"], list):  # where and why it was skipped; JSON has no tuples
            data["longrepr"] = tuple(data["longrepr"])
        report = session.config.hook.pytest_report_from_serializable(config=session.config, data=data)
        told.setdefault(report.nodeid, []).append(report)
    session.config.stash[_OUTPUT] = ended.stdout.decode(errors="replace")
    return told


def _lost(item: pytest.Item) -> pytest.TestReport:
    """What is told of a test that was not run: how all of them went."""
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=item.config.stash.get(_OUTPUT, "nothing was run"),
        when="call",
    )


# -- inside, as a plugin --


class _Reporter:
    """Writes down each report as it is made."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data: Any = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with self._path.open("a") as file:
            file.write(json.dumps(data) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """As `-p` has it called."""
    if is_apart():
        config.pluginmanager.register(_Reporter(config, Path(os.environ[_REPORTS_TO])))


def put_over(path: Path, content: Path) -> None:
    """Have a file of the system be another one, for this process and what it starts."""
    subprocess.run(["mount", "--bind", str(content), str(path)], check=True, capture_output=True)


def take_away(paths: Sequence[Path]) -> None:
    """Have them be what they were."""
    for path in paths:
        subprocess.run(["umount", str(path)], check=True, capture_output=True)
