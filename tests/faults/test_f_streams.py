"""Clients that leave, many streams at once, and providers that are killed and replaced under them."""

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import Expect, StartProxy
from tests.faults.watching import (
    RawClient,
    hear,
    request_bytes,
    tells,
    told_of,
    until,
    untouched,
)
from tests.support import faults
from tests.support.chunks import DONE, says, sse
from tests.support.client import asks, get
from tests.support.proxy import Proxy
from tests.support.scripted import BODY_END, body, head

pytestmark = pytest.mark.process


def _half_close(client: RawClient) -> None:
    client.stream.socket.shutdown(socket.SHUT_WR)


LEAVING: dict[str, Callable[[RawClient], None]] = {
    "fin": lambda client: client.stream.socket.close(),
    "rst": lambda client: client.reset(),
    "half-close": _half_close,
}


@pytest.mark.parametrize("how", LEAVING)
async def test_f01_a_client_that_leaves_ends_what_was_asked_for_it_within_a_second(
    how: str, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("hello"))
    proxy = await start_proxy(provider)
    async with await RawClient.to(proxy) as client:
        await client.send(asks(stream=True))
        await client.read_until(b"hello")
        LEAVING[how](client)
        with trio.fail_after(1):
            await provider.requests[0].gone.wait()
    await tells(proxy, "alpha", in_flight=0)
    await untouched(proxy, "alpha")


async def test_f01_many_that_leave_at_any_moment_leave_nothing_behind(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Before the head, before content and in the middle; by FIN and by RST."""
    provider = providers.start("alpha")
    moments = [faults.silent(), faults.headers_then_silent(), faults.stops_talking("hello")]
    proxy = await start_proxy(provider)
    for moment in moments:
        provider.plays(moment)
        async with AsyncExitStack() as connected:
            clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in range(10)]
            before = len(provider.requests)
            for number, client in enumerate(clients):
                await client.send(asks(stream=number % 2 == 0))
            await provider.arrived(before + 10)
            for number, client in enumerate(clients):
                LEAVING["rst" if number % 3 == 0 else "fin"](client)
            with trio.fail_after(1):
                for request in provider.requests[before:]:
                    await request.gone.wait()
    await tells(proxy, "alpha", in_flight=0)
    await untouched(proxy, "alpha")


async def test_f03_a_client_that_leaves_while_it_uploads_has_asked_nobody(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider)
    whole = request_bytes(asks("x" * 100_000))
    for how, sent in (
        ("fin", whole[:200]),
        ("rst", whole[:50_000]),
        ("fin", whole[:-1]),
        ("rst", whole[:-1]),
    ):
        async with await RawClient.to(proxy) as client:
            await client.stream.send_all(sent)
            LEAVING[how](client)
    assert await hear(proxy) == "ok"
    assert len(provider.requests) == 1
    await untouched(proxy, "alpha")


async def test_f05_a_hundred_streams_and_a_hundred_aborted_ones_leave_nothing_behind(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider, gate = providers.start("alpha"), trio.Event()
    provider.behaves(lambda request: faults.paused(f"begin {request.messages[-1]['content']} ", gate, "end"))
    proxy = await start_proxy(provider)
    async with AsyncExitStack() as connected:
        clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in range(200)]
        for number, client in enumerate(clients):
            await client.send(asks(f"number-{number}", stream=True))
        for number, client in enumerate(clients):
            await client.read_until(f"begin number-{number} ".encode())
        assert (await told_of(proxy, "alpha"))["in_flight"] == 200
        assert await health_takes(proxy) < 0.1
        for number, client in enumerate(clients[100:]):
            LEAVING["rst" if number % 2 else "fin"](client)
        await tells(proxy, "alpha", in_flight=100)
        gate.set()
        for number, client in enumerate(clients[:100]):
            heard = await client.read_until(b"event: message_stop")
            assert heard.count(f"begin number-{number} ".encode()) == heard.count(b'"end"') == 1
    await tells(proxy, "alpha", in_flight=0)
    await untouched(proxy, "alpha")


async def health_takes(proxy: Proxy) -> float:
    """Seconds until `/health` has answered, at best of three."""
    spans = []
    for _ in range(3):
        started_at = trio.current_time()
        assert (await get(proxy, "/health")).status_code == 200
        spans.append(trio.current_time() - started_at)
    return min(spans)


async def test_f06_a_provider_killed_under_its_streams_costs_these_and_no_more(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("hello"))
    proxy = await start_proxy(
        provider, patience=5, circuit_breaker={"failure_threshold": 5, "recovery_timeout": 60}
    )
    async with AsyncExitStack() as connected:
        clients = [await connected.enter_async_context(await RawClient.to(proxy)) for _ in range(50)]
        for client in clients:
            await client.send(asks(stream=True))
        for client in clients:
            await client.read_until(b"hello")
        provider.shut()
        heard = [await client.read_until(b"event: error") for client in clients]
    assert all(b"message_stop" not in each for each in heard)
    provider.plays(says("anew"))
    provider.open()
    assert await hear(proxy, streamed=True) == "anew"
    assert [await hear(proxy) for _ in range(10)] == ["anew"] * 10
    await tells(proxy, "alpha", status="healthy", in_flight=0)
    assert proxy.output.count("broke off in the middle of the answer") == 50


async def test_f14_liveness_never_depends_on_providers_and_readiness_does(
    providers: Providers, start_proxy: StartProxy
) -> None:
    absent = providers.absent("alpha")
    # The provider of the control request would keep it ready.
    proxy = await start_proxy(
        absent,
        patience=0,
        circuit_breaker={"failure_threshold": 1, "recovery_timeout": 0.5},
        expect=Expect(control="own"),
    )
    assert await statuses(proxy) == (200, 200, 200)
    await hear_nothing(proxy)
    await tells(proxy, "alpha", status="circuit_open")
    live, ready, health = await statuses(proxy)
    assert (live, ready) == (200, 503)
    assert health == 200
    absent.open()
    await until(lambda: is_ready(proxy))
    assert await hear(proxy) == "ok"
    await tells(proxy, "alpha", status="healthy")


async def statuses(proxy: Proxy) -> tuple[int, ...]:
    """Of liveness, readiness and `/health`."""
    paths = ("/health/live", "/health/ready", "/health")
    return tuple([(await get(proxy, path)).status_code for path in paths])


async def is_ready(proxy: Proxy) -> bool:
    return (await get(proxy, "/health/ready")).status_code == 200


async def hear_nothing(proxy: Proxy) -> None:
    """Ask, and be refused."""
    async with await RawClient.to(proxy) as client:
        assert await client.status_of(asks()) == 502


async def test_f14_health_is_told_while_every_stream_is_busy(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Twenty clients read as fast as the proxy can talk. What is sent costs this process next to nothing."""
    provider = providers.start("alpha")
    chunks = says(*["a few more words, "] * 3000).chunks()
    provider.plays((head(), *[body(sse(chunks))], body(DONE), BODY_END))
    proxy = await start_proxy(provider)
    done = 0

    async def talk() -> None:
        nonlocal done
        async with await RawClient.to(proxy) as client:
            await client.send(asks(stream=True))
            await client.read_until(b"event: message_stop")
        done += 1

    told = 0
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(talk)
        await provider.arrived()
        while done < 20:
            assert (await get(proxy, "/health")).status_code == 200
            told += 1
    assert told >= 5
