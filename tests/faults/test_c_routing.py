"""Nobody is left, or several are alike: panic, waiting, the retry budget, strategies, probes."""

from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise

import httpx
import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.watching import (
    NO_JITTER,
    RawClient,
    assert_final,
    hear,
    last_of,
    tells,
    told_of,
    until,
)
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, error_of, post
from tests.support.scripted import Send, head, raw_reply

pytestmark = pytest.mark.process
FAILS = faults.status(500)
MIB = 2**20


async def test_c12_when_all_are_open_each_is_asked_at_most_once_a_second(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Three seconds of clients that never stop asking, and would be told to come again."""
    both = [providers.start(name) for name in ("first", "second")]
    for provider in both:
        provider.plays(FAILS)
    proxy = await start_proxy(
        *both,
        circuit_breaker={"failure_threshold": 1},
        patience=0,
        on_exhaustion="wait",
    )
    assert error_of(await post(proxy, asks()))[0] == 529
    for provider in both:
        await tells(proxy, provider.name, state="open")
    opened_at = trio.current_time()
    told: list[httpx.Response] = []
    while trio.current_time() < opened_at + 3:
        told.append(await post(proxy, asks()))
    for provider in both:
        forced = [request.at for request in provider.requests if request.at > opened_at]
        assert 2 <= len(forced) <= 4
        assert all(later - earlier > 0.95 for earlier, later in pairwise(forced))
    assert len(told) > 30
    for answer in told:
        status, kind, message = error_of(answer)
        assert (status, kind) == (529, "overloaded_error")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "first" in message
        assert "second" in message


async def test_c12_without_panic_nobody_is_asked(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    provider.plays(FAILS)
    proxy = await start_proxy(
        provider, circuit_breaker={"failure_threshold": 1}, patience=0, panic="fail", on_exhaustion="wait"
    )
    for _ in range(5):
        assert error_of(await post(proxy, asks()))[0] == 529
    assert len(provider.requests) == 1


async def test_c13_the_earliest_rest_is_waited_out(providers: Providers, start_proxy: StartProxy) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.status(429, "slow down", retry_after="50"))
    second.plays(faults.status(429, "slow down", retry_after="2"), says("from second"))
    proxy = await start_proxy(first, second, patience=5)
    started_at = trio.current_time()
    assert await hear(proxy) == "from second"
    assert 2 <= trio.current_time() - started_at < 3
    assert (len(first.requests), len(second.requests)) == (1, 2)


async def test_c14_with_every_key_rejected_nobody_is_asked_and_the_client_stops(
    providers: Providers, start_proxy: StartProxy
) -> None:
    both = [providers.start(name) for name in ("first", "second")]
    for provider in both:
        provider.plays(faults.status(401, "Incorrect API key"))
    proxy = await start_proxy(*both, patience=30)
    assert_final(await post(proxy, asks()), 502, "api_error")
    for streamed in (True, False):
        with trio.fail_after(1):
            message = assert_final(await post(proxy, asks(stream=streamed)), 502, "api_error")
        assert [
            provider.name for provider in both if f"{provider.name} rejected its key" not in message
        ] == []
    assert [len(provider.requests) for provider in both] == [1, 1]


async def test_c15_a_lone_provider_that_comes_back_is_found_within_a_second(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Its breaker would wait a minute; what finds it is one forced attempt a second."""
    provider = providers.absent("alpha")
    proxy = await start_proxy(provider, circuit_breaker={"failure_threshold": 1}, patience=20, queue_wait=20)
    answered_at: list[float] = []

    async def ask() -> None:
        assert await hear(proxy) == "ok"
        answered_at.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        await tells(proxy, "alpha", state="open")
        await trio.sleep(2.3)
        provider.open()
        back_at = trio.current_time()
    assert min(answered_at) - back_at <= 1.2  # a second, and the request itself
    assert max(answered_at) - back_at <= 2.5  # the others in its wake
    await tells(proxy, "alpha", status="healthy")


async def test_c18_random_meets_everybody_once_and_alike_often(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """The limit to chi squared is passed by one in a million of fair shuffles."""
    names = ("alpha", "beta", "gamma")
    made = [providers.start(name) for name in names]
    for provider in made:
        provider.plays(says(provider.name))
    proxy = await start_proxy(*made, fallback_strategy="random", circuit_breaker={"failure_threshold": 9})
    async with AsyncExitStack() as connected, trio.open_nursery() as nursery:

        async def ask(client: RawClient) -> None:
            for _ in range(50):
                assert await client.status_of(asks()) == 200

        for _ in range(3):
            nursery.start_soon(ask, await connected.enter_async_context(await RawClient.to(proxy)))
    counts = [len(provider.requests) for provider in made]
    assert sum((count - 50) ** 2 / 50 for count in counts) < 27.6
    for provider in made:
        provider.plays(FAILS)
    before = Counter({provider.name: len(provider.requests) for provider in made})
    await post(proxy, asks("one more"))
    after = Counter({provider.name: len(provider.requests) for provider in made})
    assert min((after - before).values()) >= 1  # without replacement: each was asked before any again
    assert set(after - before) == set(names)


async def test_c20_a_good_probe_does_not_close_what_traffic_has_opened(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(FAILS)
    proxy = await start_proxy(
        first,
        last_of(providers).entry(health_check_interval=0),
        circuit_breaker=NO_JITTER | {"failure_threshold": 1, "recovery_timeout": 60},
        health_check_interval=0.1,
    )
    assert await hear(proxy) == "from last"
    await tells(proxy, "first", status="circuit_open")
    seen = len(first.probes)
    states = set()
    while len(first.probes) < seen + 4:  # all of them good
        states.add((await told_of(proxy, "first"))["status"])
        await trio.sleep(0.01)
    assert states == {"circuit_open"}
    assert await hear(proxy) == "from last"  # a probe has ended the wait, so this was a trial
    assert len(first.requests) == 2
    told = await tells(proxy, "first", status="circuit_open")
    assert told["opens"] == 2
    assert "Circuit closed" not in proxy.output


PROBES = {
    "there-is-none": (raw_reply(404, b"nothing"), "unsupported"),
    "not-this-way": (raw_reply(405, b""), "unsupported"),
    "rejected-key": (faults.status(401), "auth"),
    "failing": (faults.status(500), "fail"),
    "limited": (faults.status(429, "slow down", retry_after="30"), "limited"),
    "huge": (
        (head(200, headers={"content-length": str(10 * MIB)}), *[Send(b"x" * (MIB // 16))] * 160),
        "ok",
    ),
    "silent": (faults.silent(), None),
}


async def test_c21_each_answer_to_a_probe_is_taken_for_what_it_says(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """One that never answers is given up after ten seconds, which another test waits for in virtual time."""
    made = {name: providers.start(name) for name in PROBES}
    for name, (reply, _) in PROBES.items():
        made[name].answers_probes(reply)
    proxy = await start_proxy(*made.values(), health_check_interval=0.5)
    for name, (_, result) in PROBES.items():
        await until(lambda each=made[name]: bool(each.probes), within=3)  # type: ignore[misc]
        if result is not None:
            await until(lambda told=f"[{name}] Health probe: {result}": told in proxy.output)  # type: ignore[misc]
    for name in ("there-is-none", "not-this-way", "huge", "silent"):
        await tells(proxy, name, status="healthy", state="closed", failure_count=0)
    await tells(proxy, "rejected-key", status="circuit_open", state="auth_error")
    assert (await told_of(proxy, "failing"))["failure_count"] >= 1
    await tells(proxy, "limited", status="healthy", state="cooling", failure_count=0)
    with trio.fail_after(1):  # nobody has read ten megabytes
        await made["huge"].probes[0].gone.wait()
    assert len(made["silent"].probes) == 1  # one at a time, and traffic goes on meanwhile
    assert await hear(proxy) == "ok"
    made["silent"].shut()


async def test_c24_in_a_full_outage_repetitions_stay_within_the_budget(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Breakers and rests are out of the way, so that nothing but the budget holds the attempts back."""
    both = [providers.start(name) for name in ("first", "second")]
    for provider in both:
        provider.plays(faults.status(529))
    ttl, floor, ratio = 0.5, 1.0, 0.2
    proxy = await start_proxy(
        *both,
        circuit_breaker={
            "failure_threshold": 10_000,
            "minimum_requests": 0,
            "cooldown_default": 0.001,
            "cooldown_max": 0.001,
        },
        retry_budget={"ratio": ratio, "min_per_s": floor, "ttl": ttl},
        patience=0,
    )
    started_at, count = trio.current_time(), 300

    async def ask(client: RawClient) -> None:
        for _ in range(count // 4):
            assert await client.status_of(asks()) in (429, 502)

    async with AsyncExitStack() as connected, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask, await connected.enter_async_context(await RawClient.to(proxy)))
    seconds = trio.current_time() - started_at
    attempts = sum(len(provider.requests) for provider in both)
    assert count < attempts <= count * (1 + ratio) + floor * (seconds + ttl)
