"""Operators reload, drain and kill under load; the proxy's own parts crash. Streams under way go on."""

import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import Expect, StartProxy
from tests.faults.tampering import crashing
from tests.faults.watching import NO_JITTER, RawClient, hear, last_of, squeezed, tells, told_of, until
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, get, post
from tests.support.proxy import Proxy
from tests.support.scripted import Reply, Request

pytestmark = pytest.mark.process
ENDED = Expect(afterwards="ended")
MIB = 2**20
CLOSED = 0  # in place of a status


async def begun(connected: AsyncExitStack, proxy: Proxy, count: int) -> list[RawClient]:
    """Clients that have read the first word of a stream."""
    clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in range(count)]
    for number, client in enumerate(clients):
        await client.send(asks(f"number-{number}", stream=True))
    for client in clients:
        await client.read_until(b"begin")
    return clients


async def refuses_new_clients(proxy: Proxy) -> bool:
    try:
        async with await RawClient.to(proxy) as client:
            await client.stream.send_all(b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            with trio.move_on_after(0.2):
                return b" 503 " in await client.read_until(b"\r\n")
            return True
    except (OSError, AssertionError):
        return True


async def ended(proxy: Proxy, *, within: float) -> None:
    with trio.fail_after(within):
        await trio.to_thread.run_sync(proxy.process.wait, abandon_on_cancel=True)


async def test_f07_a_drain_lets_streams_finish_and_tells_the_rest(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Twenty in flight: ten end in time, ten are told; then it is gone, with status 0."""
    provider, gate, never = providers.start("alpha"), trio.Event(), trio.Event()

    def reply(request: Request) -> Reply:
        asked = request.messages[-1]["content"]
        in_time = gate if int(asked.removeprefix("number-")) < 10 else never
        return faults.paused("begin", in_time, f"-end of {asked}")

    provider.behaves(reply)
    proxy = await start_proxy(provider, drain_timeout=2, expect=ENDED)
    async with AsyncExitStack() as connected:
        clients = await begun(connected, proxy, 20)
        started_at = trio.current_time()
        proxy.process.send_signal(signal.SIGTERM)
        await until(lambda: refuses_new_clients(proxy))
        assert trio.current_time() - started_at < 1.5
        gate.set()
        heard = [await client.read_to_the_end() for client in clients]
        assert 1.9 < trio.current_time() - started_at < 4
    whole = [each for each in heard if b"event: message_stop" in each]
    told = [each for each in heard if b"event: error" in each]
    assert (len(whole), len(told)) == (10, 10)
    assert all(b"-end of number-" in each for each in whole)
    assert all(each.endswith(b"0\r\n\r\n") and b"message_stop" not in each for each in told)
    await ended(proxy, within=3)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_f08_a_second_signal_ends_the_drain_at_once_and_in_order(
    second: signal.Signals, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("begin"))
    proxy = await start_proxy(provider, drain_timeout=30, expect=ENDED)
    async with AsyncExitStack() as connected:
        clients = await begun(connected, proxy, 5)
        proxy.process.send_signal(signal.SIGTERM)
        await until(lambda: refuses_new_clients(proxy))
        started_at = trio.current_time()
        proxy.process.send_signal(second)
        heard = [await client.read_to_the_end() for client in clients]
    await ended(proxy, within=3)
    assert trio.current_time() - started_at < 3
    assert all(b"event: error" in each and b"message_stop" not in each for each in heard)


class Configuration:
    """The file of a running proxy."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self._path = folder / "proxy" / "providers.json"
        self._proxy = proxy
        self.content: dict[str, Any] = json.loads(self._path.read_text())

    def entry(self, name: str) -> dict[str, Any]:
        """One provider's entry, to be changed in place."""
        found: dict[str, Any] = next(each for each in self.content["providers"] if each["name"] == name)
        return found

    async def reload(self, *, expects: str) -> None:
        """Write it, signal, and wait for what the log says of it."""
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self.content))
        beside.chmod(0o600)
        beside.replace(self._path)
        os.kill(self._proxy.process.pid, signal.SIGHUP)
        await until(lambda: expects in self._proxy.output, within=5)


async def test_f09_a_reload_under_load_keeps_what_has_not_changed(
    tmp_path: Path, providers: Providers, start_proxy: StartProxy
) -> None:
    """Add, remove, disable, re-key and re-prioritise at once; answers under way and open breakers stay."""
    names = ("leaving", "shut", "locked", "sleepy", "steady", "coming")
    made = {name: providers.start(name) for name in names}
    gate = trio.Event()
    made["leaving"].plays(faults.paused("begin", gate, "-end"))
    made["shut"].plays(faults.status(500))
    made["locked"].plays(faults.status(401, "Incorrect API key"))
    for name in ("sleepy", "steady", "coming"):
        made[name].plays(says(f"from {name}"))
    proxy = await start_proxy(
        *[made[name] for name in names if name != "coming"],
        circuit_breaker=NO_JITTER | {"failure_threshold": 1, "recovery_timeout": 600},
    )
    file = Configuration(tmp_path, proxy)
    async with AsyncExitStack() as connected:
        clients = await begun(connected, proxy, 5)
        made["leaving"].plays(faults.status(500))
        assert await hear(proxy) == "from sleepy"
        opened = await tells(proxy, "shut", state="open", opens=1)
        await tells(proxy, "locked", state="auth_error")
        made["locked"].key = "canary-locked-anew-0123456789"
        made["locked"].plays(says("from locked"))
        file.entry("locked")["api_key"] = made["locked"].key
        file.entry("sleepy")["enabled"] = False
        file.entry("steady")["priority"] = 0
        leaving = file.entry("leaving")
        file.content["providers"] = [e for e in file.content["providers"] if e is not leaving]
        file.content["providers"].append(made["coming"].entry(models={"middle": ["coming-model"]}))
        await file.reload(expects="Configuration reloaded")
        gate.set()
        for client in clients:
            assert b"-end" in await client.read_until(b"event: message_stop")
    told = (await get(proxy, "/health")).json()["providers"]
    assert set(told) == {"shut", "locked", "sleepy", "steady", "coming", "control"}
    assert told["shut"]["state"] == "open"
    assert told["shut"]["opens"] == 1
    assert told["shut"]["open_for_s"] <= opened["open_for_s"]
    assert (told["locked"]["status"], told["locked"]["state"]) == ("healthy", "closed")
    assert told["sleepy"]["status"] == "disabled"
    assert await hear(proxy) == "from steady"
    made["steady"].plays(faults.status(500))
    assert await hear(proxy) == "from locked"
    made["locked"].plays(faults.status(500))
    assert await hear(proxy) == "from coming"
    assert len(made["shut"].requests) == 1
    assert "canary-locked-anew" not in proxy.output


async def test_f09_a_broken_file_keeps_the_configuration_that_works(
    tmp_path: Path, providers: Providers, start_proxy: StartProxy
) -> None:
    proxy = await start_proxy(last_of(providers))
    file = Configuration(tmp_path, proxy)
    file.entry("last")["timeout"] = "soon"
    await file.reload(expects="the one in use stays in use")
    assert "timeout" in proxy.output
    assert await hear(proxy) == "from last"


CRASHES = {
    "the actor": ("ccproxy_trio.actors.admission", "Incarnation._acquire"),
    "the connection": ("ccproxy_trio.upstream.client", "Upstream._completion"),
    "the translator": ("ccproxy_trio.translate.stream", "Reader.feed"),
}


@pytest.mark.parametrize("what", CRASHES)
async def test_f11_a_crash_of_ours_fails_over_or_is_told_and_touches_no_stream(
    what: str, tmp_path: Path, providers: Providers, start_proxy: StartProxy
) -> None:
    """It is in every provider's code, so nobody can answer while it lasts; afterwards all is as before."""
    provider, gate = providers.start("alpha"), trio.Event()
    provider.plays(faults.paused("begin", gate, "-end"), says("ok"))
    tampering = crashing(tmp_path / "tampering", *CRASHES[what])
    expect = Expect(mishaps=1)
    proxy = await start_proxy(provider, form="serve", env=tampering.env, patience=0, expect=expect)
    async with AsyncExitStack() as connected:
        (client,) = await begun(connected, proxy, 1)
        tampering.set("now")
        answer = await post(proxy, asks())
        assert answer.status_code in (500, 502, 529)
        assert "put into the process" not in answer.text
        assert (await get(proxy, "/health/live")).status_code == 200
        tampering.stop()
        gate.set()
        assert b"-end" in await client.read_until(b"event: message_stop")
    await until(lambda: answers(proxy), within=5)
    told = await told_of(proxy, "alpha")
    assert told["status"] == "healthy"


async def answers(proxy: Proxy) -> bool:
    return (await post(proxy, asks())).status_code == 200


async def test_f17_little_memory_costs_large_requests_and_not_the_process(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Its address space may grow by so little that large bodies cannot be held. Small ones are served on."""
    provider = providers.start("alpha")
    proxy = await start_proxy(provider)
    assert await hear(proxy) == "ok"
    statuses: list[int] = []

    async def upload() -> None:
        async with await RawClient.to(proxy) as client:
            try:
                statuses.append(await client.status_of(asks("x" * 12 * MIB)))
            except (trio.BrokenResourceError, AssertionError):  # closed before all was sent
                statuses.append(CLOSED)

    with squeezed(proxy, room_bytes=24 * MIB):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(upload)
        assert set(statuses) <= {200, 500, 529, CLOSED}
        assert any(status != 200 for status in statuses)
        assert await hear(proxy) == "ok"
    assert await hear(proxy) == "ok"
