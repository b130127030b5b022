"""Clocks that jump, and a proxy that was stopped: no deadline blames anybody, nothing storms afterwards."""

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.tampering import shifted_clock
from tests.faults.watching import NO_JITTER, RawClient, hear, last_of, tells, untouched
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks

pytestmark = pytest.mark.process
HOUR = 3600


async def test_c22_a_jump_of_the_wall_clock_moves_stamps_and_no_state(
    tmp_path: Path, providers: Providers, start_proxy: StartProxy
) -> None:
    names = ("open", "resting", "well")
    made = {name: providers.start(name) for name in names}
    made["open"].plays(faults.status(500))
    made["resting"].plays(faults.status(429, "slow down", retry_after="500"))
    clock = shifted_clock(tmp_path / "tampering")
    breaker = NO_JITTER | {"failure_threshold": 1, "recovery_timeout": 500}
    proxy = await start_proxy(*made.values(), form="serve", env=clock.env, circuit_breaker=breaker)
    await hear(proxy)
    stamps = {}
    for hours in (0, 1, -1):
        clock.set(str(hours * HOUR))
        assert await hear(proxy) == "ok"
        shut = await tells(proxy, "open", state="open", opens=1, failure_count=1)
        assert 400 < shut["open_for_s"] <= 500
        resting = await tells(proxy, "resting", state="cooling", failure_count=0)
        assert 400 < resting["cooling_for_s"] <= 500
        stamps[hours] = (await tells(proxy, "well", status="healthy", failure_count=0))["last_success"]
    assert [len(made[name].requests) for name in names] == [1, 1, 4]
    assert stamps[1] - stamps[0] == pytest.approx(HOUR, abs=30)
    assert stamps[-1] - stamps[0] == pytest.approx(-HOUR, abs=30)


async def test_c23_a_stopped_proxy_blames_nobody_for_the_time_it_missed(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Stopped for longer than every deadline. One waits for a head, one for content, one for more of it.

    The first two are asked for again, unseen; the third, whose client has read half of it, is told the truth.
    """
    provider = providers.start("alpha")
    waiting = [faults.silent(), faults.headers_then_silent(), faults.stops_talking("begin")]
    provider.plays(*waiting, says("once more"))
    limits = {"timeout": 1.5, "idle_timeout": 1.5, "connect_timeout": 1.0}
    proxy = await start_proxy(
        provider.entry(**limits),
        last_of(providers).entry(health_check_interval=0),
        health_check_interval=0.3,
        circuit_breaker={"failure_threshold": 1},
    )
    async with AsyncExitStack() as connected:
        clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in waiting]
        for number, client in enumerate(clients, start=1):
            await client.send(asks(f"number-{number}", stream=True))
            await provider.arrived(number)
        await clients[2].read_until(b"begin")
        os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            await trio.sleep(4)  # more than two seconds beyond every deadline
            probes = len(provider.probes)
        finally:
            os.kill(proxy.process.pid, signal.SIGCONT)
        await trio.sleep(0.3)
        assert len(provider.probes) - probes <= 2
        for client in clients[:2]:
            assert b"once more" in await client.read_until(b"event: message_stop")
        with trio.fail_after(5):
            assert b"event: error" in await clients[2].read_until(b"this proxy was ")
    await untouched(proxy, "alpha")
    await untouched(proxy, "last")
    assert await hear(proxy) == "once more"
