"""Reload and drain of real processes: files as editors and orchestrators change them, and signals."""

import json
import os
import pty
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, client_of, events_of, get, kinds_of, post
from tests.support.proxy import Form, Proxy, config_of
from tests.support.scripted import ScriptedProvider

pytestmark = pytest.mark.process
FORMS: list[Form] = ["warm", "hypercorn"]
SOON = 10.0  # seconds


async def until(true: Callable[[], bool], proxy: Proxy) -> None:
    """Return when it is so."""
    with trio.move_on_after(SOON):
        while not true():  # noqa: ASYNC110 - another process cannot set an event of ours
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {SOON} s\n{proxy.output}")


def put_in_place(path: Path, config: Any) -> None:
    """As editors do it: another file takes the name."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(config))
    beside.chmod(0o600)
    beside.replace(path)


def config_path(folder: Path) -> Path:
    return folder / "proxy" / "providers.json"


def answering(providers: Providers, name: str) -> ScriptedProvider:
    provider = providers.start(name)
    provider.plays(says(f"from {name}"))
    return provider


async def said(proxy: Proxy) -> str:
    return str((await post(proxy, asks())).json()["content"][0]["text"])


def worker_of(pid: int) -> int:
    """The process that serves: Hypercorn's worker, or the process itself where it has none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    spawned = [child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
    return int(spawned[0]) if spawned else pid


# -- reload --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
async def test_f09_a_changed_file_is_taken_on_under_a_running_stream(
    form: Form, tmp_path: Path, providers: Providers, start_proxy: StartProxy, transport: dict[str, str]
) -> None:
    old, new, gate = providers.start("old"), answering(providers, "new"), trio.Event()
    old.plays(faults.paused("before", gate, "after"))
    proxy = await start_proxy(old, form=form)
    async with (
        client_of(proxy) as client,
        client.stream("POST", "/v1/messages", json=asks(stream=True)) as answer,
    ):
        text = ""
        async for piece in answer.aiter_text():
            text += piece
            if "before" in text and not gate.is_set():
                put_in_place(config_path(tmp_path), config_of([new.entry()], **transport))
                await until(lambda: "Configuration reloaded: added new; removed old." in proxy.output, proxy)
                assert await said(proxy) == "from new"
                gate.set()
    assert kinds_of(events_of(text))[-1] == "message_stop"
    assert list((await get(proxy, "/health")).json()["providers"]) == ["new"]


async def test_f09_an_orchestrators_change_of_links_is_seen(
    tmp_path: Path, providers: Providers, start_proxy: StartProxy
) -> None:
    old, new = answering(providers, "old"), answering(providers, "new")
    proxy = await start_proxy(old)
    path = config_path(tmp_path)
    for version, provider in (("v1", old), ("v2", new)):
        (path.parent / version).mkdir()
        put_in_place(path.parent / version / path.name, config_of([provider.entry()]))
    (path.parent / "..data").symlink_to("v1")
    (path.parent / "link").symlink_to(Path("..data") / path.name)
    (path.parent / "link").replace(path)
    await trio.sleep(1.5)  # let the changes so far be over, none of which means anything
    (path.parent / "..next").symlink_to("v2")
    (path.parent / "..next").replace(path.parent / "..data")
    await until(lambda: "added new; removed old" in proxy.output, proxy)
    assert await said(proxy) == "from new"
    # From now on it is the new folder that is looked into.
    put_in_place(path.parent / "v2" / path.name, config_of([old.entry()]))
    await until(lambda: "added old; removed new" in proxy.output, proxy)


@pytest.mark.parametrize("form", FORMS)
async def test_f09_sighup_reads_the_file_again_and_a_broken_one_changes_nothing(
    form: Form, tmp_path: Path, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = answering(providers, "alpha")
    proxy = await start_proxy(provider, form=form)
    serving = worker_of(proxy.process.pid)
    os.kill(serving, signal.SIGHUP)
    await until(lambda: "nothing in it has changed" in proxy.output, proxy)
    config_path(tmp_path).write_text('{"providers": [}')
    os.kill(serving, signal.SIGHUP)
    await until(lambda: "the one in use stays in use" in proxy.output, proxy)
    assert await said(proxy) == "from alpha"
    another_key = provider.entry() | {"api_key": "canary-of-another-key"}
    put_in_place(config_path(tmp_path), config_of([another_key]))
    await until(lambda: "re-keyed alpha" in proxy.output, proxy)
    assert "canary-of-another-key" not in proxy.output


def test_no_watch_waits_for_sighup_and_a_closed_terminal_is_the_end(tmp_path: Path) -> None:
    path = tmp_path / "providers.json"
    entry = {
        "name": "a",
        "api_key": "canary-key-0123456789",
        "base_url": "http://127.0.0.1:9/v1",
        "models": {"big": ["m"]},
    }
    put_in_place(path, config_of([entry]))
    terminal, printed = started_on_a_terminal(
        ["serve", "--no-watch", "--port", "0", "--config", str(path)], home=tmp_path
    )
    try:
        read_until(terminal, printed, "ANTHROPIC_BASE_URL=")
        put_in_place(path, config_of([entry | {"priority": 5}]))
        time.sleep(1.5)  # more than it takes to notice
        os.kill(printed.pid, signal.SIGHUP)
        read_until(terminal, printed, "Configuration reloaded: changed a (priority).")
        assert printed.text.count("reloaded") == 1
        put_in_place(path, config_of([entry | {"priority": 6}]))
    finally:
        os.close(terminal)  # as a terminal's window is closed: the kernel sends SIGHUP
    assert exit_status(printed.pid) == 0


class Printed:
    """A process on a terminal, and what it has printed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.text = ""


def started_on_a_terminal(arguments: list[str], *, home: Path) -> tuple[int, Printed]:
    """`ccproxy-trio ARGUMENTS`, the leader of a session whose terminal is the one returned."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under `nohup`
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb"}
        command = [sys.executable, "-m", "ccproxy_trio", *arguments]
        os.execve(sys.executable, command, environment | {"PYTHONPATH": str(Path(__file__).parents[2])})
    return terminal, Printed(pid)


def read_until(terminal: int, printed: Printed, words: str) -> None:
    os.set_blocking(terminal, False)
    give_up_at = time.monotonic() + 20
    while words not in printed.text:
        assert time.monotonic() < give_up_at, printed.text
        with suppress(BlockingIOError):
            printed.text += os.read(terminal, 65536).decode(errors="replace")
        time.sleep(0.02)


def exit_status(pid: int) -> int:
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("it has not ended")


# -- drain ---------------------------------------------------------------------------------------------


async def streamed_until_stopped(proxy: Proxy, stop: Callable[[], None]) -> str:
    """A stream that would never end; `stop` is called once it has begun."""
    text, is_stopped = "", False
    async with (
        client_of(proxy) as client,
        client.stream("POST", "/v1/messages", json=asks(stream=True)) as answer,
    ):
        async for piece in answer.aiter_text():
            text += piece
            if "before" in text and not is_stopped:
                is_stopped = True
                stop()
    return text


def told_to_come_again(text: str) -> None:
    last = events_of(text)[-1]
    assert (last.kind, last.data["error"]["type"]) == ("error", "overloaded_error")
    assert "message_stop" not in kinds_of(events_of(text))


async def wait_for_end(proxy: Proxy) -> int:
    with trio.fail_after(SOON):
        return await trio.to_thread.run_sync(proxy.process.wait, abandon_on_cancel=True)


@pytest.mark.parametrize("form", FORMS)
async def test_f07_what_is_not_finished_in_time_ends_in_an_error_event(
    form: Form, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.paused("before", trio.Event(), "after"))
    proxy = await start_proxy(provider, form=form, drain_timeout=0.3)
    text = await streamed_until_stopped(proxy, lambda: proxy.process.send_signal(signal.SIGTERM))
    told_to_come_again(text)
    assert await wait_for_end(proxy) == 0
    assert "ended, since the proxy is being stopped" in proxy.output
    assert "the client hung up" not in proxy.output


@pytest.mark.parametrize(
    ("form", "everyone"),
    [("warm", False), ("hypercorn", True)],
    ids=["serve", "hypercorn, whose worker gets the signal too"],
)
async def test_f08_a_second_signal_ends_everything_at_once_and_in_order(
    form: Form, everyone: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.paused("before", trio.Event(), "after"))
    proxy = await start_proxy(provider, form=form, drain_timeout=20, env={"LOG_LEVEL": "DEBUG"})

    def send() -> None:
        (os.killpg if everyone else os.kill)(proxy.process.pid, signal.SIGTERM)

    began_at = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def send_again() -> None:
            await trio.sleep(1.5)  # Hypercorn's parent and worker get each signal, at different times
            send()

        def stop() -> None:
            send()
            nursery.start_soon(send_again)

        told_to_come_again(await streamed_until_stopped(proxy, stop))
    assert await wait_for_end(proxy) == 0
    assert trio.current_time() - began_at < 15
