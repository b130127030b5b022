"""Starting and stopping, as a user or a process manager does it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, client_of, events_of, get, kinds_of, post, text_of
from tests.support.ports import ReservedPort
from tests.support.proxy import Form, Proxy, config_of

pytestmark = pytest.mark.process

ENTRY = {"name": "a", "api_key": "k", "base_url": "http://127.0.0.1:9/v1", "models": {"big": ["m"]}}


@pytest.mark.parametrize("form", ["hypercorn", "serve", "script"])
async def test_every_launch_form_serves_the_same_app(
    form: Form, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(says("hello"))
    proxy = await start_proxy(provider, form=form)
    answer = await post(proxy, asks())
    assert answer.json()["content"] == [{"type": "text", "text": "hello"}]
    assert list((await get(proxy, "/health")).json()["providers"]) == ["alpha"]


@pytest.mark.parametrize("form", ["hypercorn", "serve"])
def test_an_interrupt_is_a_clean_end(form: Form, tmp_path: Path) -> None:
    Proxy.start(tmp_path, config_of([ENTRY]), form=form).stop_by(signal.SIGINT)


@pytest.mark.parametrize("form", ["hypercorn", "serve"])
async def test_a_running_answer_is_finished_after_sigterm(
    form: Form, providers: Providers, start_proxy: StartProxy
) -> None:
    provider, gate = providers.start("alpha"), trio.Event()
    provider.plays(faults.paused("before", gate, "after"))
    proxy = await start_proxy(provider, form=form)
    text = ""
    async with (
        client_of(proxy) as client,
        client.stream("POST", "/v1/messages", json=asks(stream=True)) as answer,
    ):
        async for piece in answer.aiter_text():
            text += piece
            if "before" in text and not gate.is_set():
                proxy.process.send_signal(signal.SIGTERM)
                await _draining(proxy)
                gate.set()
    events = events_of(text)
    assert text_of(events) == "beforeafter"
    assert kinds_of(events)[-1] == "message_stop"
    with trio.fail_after(10):  # the exit status is looked at when the proxy is stopped
        await trio.to_thread.run_sync(proxy.process.wait, abandon_on_cancel=True)


async def _draining(proxy: Proxy) -> None:
    """Wait until new requests are no longer served, so that the drain has begun."""
    with trio.fail_after(10):
        while await proxy_is_alive(proxy):
            pass


async def proxy_is_alive(proxy: Proxy) -> bool:
    """Whether a new connection is answered. It may be accepted and left alone: that is not alive."""
    try:
        async with client_of(proxy) as client:
            return (await client.get("/health/live", timeout=0.5)).status_code == 200
    except httpx.TransportError:
        return False


def run_serve(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`ccproxy-trio serve` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "ccproxy_trio", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | env,
        cwd=Path(__file__).parents[2],
    )


def written(folder: Path, config: Any) -> str:
    path = folder / "providers.json"
    path.write_text(json.dumps(config))
    return str(path)


def test_a_faulty_configuration_is_told_whole_with_status_two(tmp_path: Path) -> None:
    faulty = {"providers": [ENTRY | {"timeuot": 5}], "fallback_strategy": "prioritty"}
    ended = run_serve("--config", written(tmp_path, faulty))
    told = ended.stdout + ended.stderr
    assert ended.returncode == 2, told
    assert "timeuot" in told
    assert "fallback_strategy" in told
    assert "Traceback" not in told


def test_a_port_in_use_is_one_clear_line_with_status_two(tmp_path: Path) -> None:
    with ReservedPort() as port, port.listen():
        config = written(tmp_path, {"providers": [ENTRY]})
        ended = run_serve("--config", config, "--port", str(port.number))
    told = ended.stdout + ended.stderr
    assert ended.returncode == 2, told
    assert str(port.number) in told
    assert "Traceback" not in told


def test_an_open_address_without_a_client_key_is_refused(tmp_path: Path) -> None:
    with ReservedPort() as port:
        config = written(tmp_path, {"providers": [ENTRY]})
        ended = run_serve("--config", config, "--host", "0.0.0.0", "--port", str(port.number))
    told = ended.stdout + ended.stderr
    assert ended.returncode == 2, told
    assert "client_api_keys" in told


def test_hypercorn_on_an_open_address_without_a_client_key_is_refused_too(tmp_path: Path) -> None:
    config = written(tmp_path, {"providers": [ENTRY]})
    ended = subprocess.run(
        [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", "0.0.0.0:0", "ccproxy_trio:create_app()"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "CCPROXY_CONFIG": config},
    )
    told = ended.stdout + ended.stderr
    assert "Not serving on 0.0.0.0:" in told
    assert "Traceback" not in told


def test_the_working_directory_is_no_place_to_find_a_configuration(tmp_path: Path) -> None:
    written(tmp_path, {"providers": [ENTRY]})
    (tmp_path / "config").mkdir()
    written(tmp_path / "config", {"providers": [ENTRY]})
    ended = subprocess.run(
        [sys.executable, "-m", "ccproxy_trio", "serve", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PYTHONPATH": str(_root())},
        cwd=tmp_path,
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr


def _root() -> Path:
    return Path(__file__).parents[2]
