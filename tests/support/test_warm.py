"""Forked processes end, and are told to have ended, as started ones are."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.proxy import Proxy, config_of
from tests.support.warm import Forked, fork

pytestmark = pytest.mark.process

ENTRY = {
    "name": "nowhere",
    "api_key": "canary-nowhere-0123456789",
    "base_url": "http://127.0.0.1:9/v1",
    "models": {"big": ["big-model"], "middle": ["middle-model"], "small": ["small-model"]},
}


def _forked(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Forked:
    with (folder / "output").open("wb") as output:
        return fork(arguments, cwd=folder, env=env or {}, output=output)


def test_its_output_folder_and_exit_status_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "here.json").write_text("{")
    forked = _forked(tmp_path, "check", "--config", "here.json")
    assert forked.wait(20) == 2
    assert forked.poll() == forked.wait(0) == 2
    assert "here.json" in (tmp_path / "output").read_text()


def test_its_environment_is_what_it_was_given_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ours")
    for env, status in (({"HOME": str(tmp_path)}, 2), ({"HOME": str(tmp_path), "OPENAI_API_KEY": "its"}, 0)):
        assert _forked(tmp_path, "check", env=env).wait(20) == status


def test_one_that_is_killed_has_the_signal_for_its_status(tmp_path: Path) -> None:
    proxy = Proxy.start(tmp_path, config_of([ENTRY]), form="warm")
    assert proxy.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        proxy.process.wait(0.01)
    proxy.process.send_signal(signal.SIGKILL)
    assert proxy.process.wait(20) == -signal.SIGKILL
    proxy.process.send_signal(signal.SIGTERM)  # to whoever has its number by now: nobody
    proxy.kill()


def test_two_live_beside_each_other(tmp_path: Path) -> None:
    proxies = [Proxy.start(tmp_path / name, config_of([ENTRY]), form="warm") for name in "ab"]
    assert proxies[0].process.pid != proxies[1].process.pid
    for proxy in proxies:
        proxy.stop_by(signal.SIGTERM)
