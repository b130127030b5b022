"""`--transport` reaches the proxies, and leaves the choice to the proxy where it is not given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Providers, StartProxy

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.process


async def test_the_proxies_speak_by_the_transport_that_was_asked_for(
    providers: Providers, start_proxy: StartProxy, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    await start_proxy(providers.start("alpha"))
    written = json.loads((tmp_path / "proxy" / "providers.json").read_text())
    assert written.get("transport") == pytestconfig.getoption("--transport")


async def test_a_test_may_choose_for_itself(
    providers: Providers, start_proxy: StartProxy, tmp_path: Path
) -> None:
    await start_proxy(providers.start("alpha"), transport="httpx-http2")
    written = json.loads((tmp_path / "proxy" / "providers.json").read_text())
    assert written["transport"] == "httpx-http2"


OTHERS = """
import pytest

@pytest.mark.transport("trio", reason="the other one pools differently")
async def test_of_one_transport(start_proxy): ...

@pytest.mark.transport("httpx", reason="the other one cannot")
async def test_of_the_other(start_proxy): raise AssertionError("it ran")

def test_without_a_proxy(): raise AssertionError("it ran")
"""


@pytest.mark.parametrize(
    ("transport", "counted", "reason"),
    [
        ("httpx", "1 failed, 1 skipped, 1 deselected", "with the transport trio only: the other one pools"),
        ("trio", "1 passed, 1 skipped, 1 deselected", "with the transport httpx only: the other one cannot"),
    ],
)
def test_what_holds_with_one_transport_is_skipped_with_the_other_and_the_rest_left_out(
    transport: str, counted: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "test_others.py").write_text(OTHERS)
    where = ["-c", os.devnull, "--rootdir", str(tmp_path), "-p", "tests.conftest", "-o", "trio_mode=true"]
    command = [sys.executable, "-m", "pytest", "-rs", *where, str(tmp_path), "--transport", transport]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert counted in told.stdout
    assert reason in told.stdout
