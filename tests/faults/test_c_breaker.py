"""When a breaker opens, what its provider is spared then, and how it comes back. Waits are scaled down."""

from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.watching import NO_JITTER, RawClient, hear, last_of, tells, told_of, until, untouched
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, post
from tests.support.scripted import Hold, Reply, Request

pytestmark = pytest.mark.process

FAILS = faults.status(500)
ONE_FAILURE = NO_JITTER | {"failure_threshold": 1, "max_recovery_timeout": 600}


async def test_c01_a_success_between_two_runs_of_failures_keeps_it_closed(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(FAILS, FAILS, says("from first"), FAILS, FAILS)
    proxy = await start_proxy(first, last_of(providers), circuit_breaker={"failure_threshold": 3})
    heard = [await hear(proxy) for _ in range(5)]
    assert heard == ["from last", "from last", "from first", "from last", "from last"]
    await tells(proxy, "first", status="healthy", state="closed", failure_count=2, opens=0)
    await hear(proxy)  # one more is three in a row
    await tells(proxy, "first", status="circuit_open", opens=1)


async def test_c02_an_open_breaker_spares_its_provider_until_its_wait_is_over(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(FAILS, FAILS, FAILS, says("from first"))
    breaker = NO_JITTER | {"failure_threshold": 3, "recovery_timeout": 0.8}
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=breaker)
    for _ in range(3):
        assert await hear(proxy) == "from last"
    opened_at = first.requests[2].at
    told = await tells(proxy, "first", status="circuit_open", state="open")
    assert told["open_for_s"] <= 0.8
    heard = []
    while "from first" not in heard:
        heard.append(await hear(proxy))
    assert len(heard) > 5
    assert len(first.requests) == 4
    assert first.requests[3].at - opened_at >= 0.8
    await tells(proxy, "first", status="healthy", state="closed", failure_count=0)


async def test_c03_of_a_hundred_that_come_when_the_wait_is_over_one_is_the_trial(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, last, gate = providers.start("first"), last_of(providers), trio.Event()
    first.plays(FAILS, (Hold(gate), *faults.status(500)))
    proxy = await start_proxy(first, last, circuit_breaker=ONE_FAILURE | {"recovery_timeout": 0.2})
    await hear(proxy)
    await trio.sleep(0.25)
    async with AsyncExitStack() as connected, trio.open_nursery() as nursery:
        clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in range(100)]
        statuses: list[int] = []

        async def ask(client: RawClient) -> None:
            statuses.append(await client.status_of(asks()))

        for client in clients:
            nursery.start_soon(ask, client)
        await until(lambda: len(statuses) == 99, within=10)
        assert len(first.requests) == 2
        await tells(proxy, "first", state="half_open", in_flight=1)
        gate.set()
    assert statuses == [200] * 100
    assert (len(first.requests), len(last.requests)) == (2, 101)


async def test_c04_a_trial_whose_client_leaves_is_given_back_to_the_next_request(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(FAILS, faults.silent(), says("from first"))
    proxy = await start_proxy(
        first, last_of(providers), circuit_breaker=ONE_FAILURE | {"recovery_timeout": 0.2}
    )
    assert await hear(proxy) == "from last"
    await trio.sleep(0.25)
    async with await RawClient.to(proxy) as client:
        await client.send(asks())
        await first.arrived(2)
        assert await hear(proxy) == "from last"  # while the trial is under way, others go elsewhere
    await tells(proxy, "first", state="half_open", in_flight=0)
    assert await hear(proxy) == "from first"
    await tells(proxy, "first", status="healthy", state="closed")


async def test_c06_each_failed_trial_doubles_the_wait_up_to_the_limit(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """A thousandth of 60, 120, 240, 480, 600, 600 seconds, and a little for the requests between."""
    first = providers.start("first")
    first.plays(FAILS)
    breaker = ONE_FAILURE | {"recovery_timeout": 0.06, "max_recovery_timeout": 0.6}
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=breaker)
    with trio.fail_after(10):
        while len(first.requests) < 7:
            assert await hear(proxy) == "from last"
    waits = [later.at - earlier.at for earlier, later in pairwise(first.requests)]
    for waited, least in zip(waits, (0.06, 0.12, 0.24, 0.48, 0.6, 0.6), strict=True):
        assert least <= waited < least + 1.0  # a busy machine may be late
    assert (await told_of(proxy, "first"))["opens"] == 7


async def test_c07_a_trial_that_is_rate_limited_closes_and_rests(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(FAILS, faults.status(429, "slow down", retry_after="20"))
    proxy = await start_proxy(
        first, last_of(providers), circuit_breaker=ONE_FAILURE | {"recovery_timeout": 0.2}
    )
    await hear(proxy)
    await trio.sleep(0.25)
    assert await hear(proxy) == "from last"
    told = await tells(proxy, "first", status="healthy", state="cooling", open_for_s=None)
    assert 18 < told["cooling_for_s"] <= 20
    assert await hear(proxy) == "from last"
    assert len(first.requests) == 2


async def test_c08_fifty_in_flight_that_all_fail_open_it_once(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, gate = providers.start("first"), trio.Event()
    held: Reply = (Hold(gate), *faults.status(500))
    first.plays(*[held] * 50, FAILS)
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=NO_JITTER)
    async with AsyncExitStack() as connected, trio.open_nursery() as nursery:
        for _ in range(50):
            client = await connected.enter_async_context(await RawClient.to(proxy))
            nursery.start_soon(client.status_of, asks())
        await first.arrived(50)
        for _ in range(5):
            await hear(proxy)
        before = await tells(proxy, "first", state="open", opens=1, in_flight=50)
        gate.set()
    after = await tells(proxy, "first", state="open", opens=1, in_flight=0)
    assert 50 < after["open_for_s"] <= before["open_for_s"] <= 60  # one step of the back-off
    assert proxy.output.count("Circuit open") == 1
    assert len(first.requests) == 55


async def test_c09_a_success_from_before_it_opened_does_not_close_it(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, gate = providers.start("first"), trio.Event()
    first.plays(faults.paused("late ", gate, "success"), FAILS)
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=ONE_FAILURE)
    async with await RawClient.to(proxy) as client:
        await client.send(asks(stream=True))
        await client.read_until(b"late ")
        assert await hear(proxy) == "from last"
        await tells(proxy, "first", state="open", opens=1)
        gate.set()
        assert b"success" in await client.read_until(b"event: message_stop")
    await tells(proxy, "first", status="circuit_open", state="open", opens=1, in_flight=0)
    assert await hear(proxy) == "from last"


@pytest.mark.parametrize("rule", ["window", "consecutive only"])
async def test_c10_a_flapping_provider_is_opened_by_the_window_rule_alone(
    rule: str, providers: Providers, start_proxy: StartProxy
) -> None:
    first, asked = providers.start("first"), 0

    def flap(_request: Request) -> Reply:
        nonlocal asked
        asked += 1
        return FAILS if asked % 2 else says("from first")

    first.behaves(flap)
    breaker = NO_JITTER | {"failure_threshold": 3}
    if rule == "consecutive only":
        breaker |= {"minimum_requests": 0}
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=breaker)
    for _ in range(24):
        await hear(proxy)
    if rule == "window":
        await tells(proxy, "first", status="circuit_open", state="open", opens=1)
        assert len(first.requests) == 11  # the first failure among ten or more, half of which failed
        assert "6 of 11 attempts failed within 60 s" in proxy.output
    else:
        await tells(proxy, "first", status="healthy", state="closed", opens=0)
        assert len(first.requests) == 24


async def test_c19_a_recovered_primary_gets_its_trial_from_the_next_request(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Nobody sees a failure, neither of the first trials nor of the one that passes."""
    first = providers.start("first")
    first.plays(FAILS, FAILS, FAILS, says("from first"))
    breaker = ONE_FAILURE | {"recovery_timeout": 0.1, "max_recovery_timeout": 0.1}
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=breaker)
    heard = []
    for _ in range(4):
        heard += [await hear(proxy), await hear(proxy)]
        await trio.sleep(0.15)
    assert heard == ["from last"] * 6 + ["from first"] * 2
    assert len(first.requests) == 5


async def test_c08_fifty_streams_that_die_together_are_one_step_too(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, gate = providers.start("first"), trio.Event()
    stream = faults.paused("half", gate, "")
    dying: Reply = (*stream[: stream.index(Hold(gate)) + 1], *faults.closes("rst"))
    first.plays(dying)
    proxy = await start_proxy(first, last_of(providers), circuit_breaker=NO_JITTER)
    async with AsyncExitStack() as connected:
        clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in range(50)]
        for client in clients:
            await client.send(asks(stream=True))
        for client in clients:
            await client.read_until(b"half")
        gate.set()
        for client in clients:
            assert b"event: message_stop" not in await client.read_until(b"event: error")
    await tells(proxy, "first", state="open", opens=1, in_flight=0)
    assert proxy.output.count("Circuit open") == 1
    assert (await post(proxy, asks())).status_code == 200
    await untouched(proxy, "last")
