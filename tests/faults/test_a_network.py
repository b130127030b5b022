"""Rows A02 to A04 and A25 to A27: names, and lines between two machines. Each is on a network of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.falling import SLACK, pair_of
from tests.faults.watching import assert_breaks_off, hear, tells, until
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, post
from tests.support.inside import descriptors, threads
from tests.support.line import FAR, NOBODY, Line, line_open
from tests.support.names import NameServer, resolver_on_loopback
from tests.support.proxy import Proxy
from tests.support.scripted import ScriptedProvider, body
from tests.support.told import Wire, told

pytestmark = [pytest.mark.process, pytest.mark.network]

ADDRESSES = {
    "second.test": ("127.0.0.1",),
    "dead-and-alive.test": (NOBODY, "::1"),
    "alive-and-dead.test": ("127.0.0.1", "100::9"),
}


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with line_open(seed=5) as opened:
        yield opened


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[None]:
    with resolver_on_loopback(tmp_path):
        yield


@pytest.fixture
async def names(resolver: None, nursery: trio.Nursery) -> NameServer:
    server = NameServer(ADDRESSES, silent=frozenset({"silent.test"}))
    await nursery.start(server.serve)
    return server


def far(
    providers: Providers, line: Line, *, wire: Wire = "chat", **more: Any
) -> tuple[ScriptedProvider, dict[str, Any]]:
    """A provider at the other end of the line, and its entry."""
    provider = providers.start("first", port=line.far_port(), wire=wire)
    return provider, provider.entry(base_url=f"http://{FAR}:{provider.port}/v1", **more)


# -- connecting --


async def test_a02_an_address_where_nobody_is_is_left_at_connect_timeout(
    line: Line, providers: Providers, start_proxy: StartProxy
) -> None:
    address = {"base_url": f"http://{NOBODY}:80/v1", "connect_timeout": 0.3}
    pair = await pair_of(providers, start_proxy, first=address)
    await pair.falls_over("connect_timeout", after=0.3)


async def test_a03_a_name_that_does_not_exist_falls_over(
    names: NameServer, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    address = {"base_url": "http://api.nowhere.invalid/v1"}
    pair = await pair_of(providers, start_proxy, first=address, wire=wire)
    await pair.falls_over("connect", failures=2)  # nothing was sent, so it is asked twice, at once
    assert "api.nowhere.invalid" in names.asked


async def test_a03_a_resolver_that_never_answers_is_left_at_connect_timeout(
    names: NameServer, providers: Providers, start_proxy: StartProxy
) -> None:
    address = {"base_url": "http://silent.test/v1", "connect_timeout": 0.3}
    pair = await pair_of(providers, start_proxy, first=address)
    await pair.falls_over("connect_timeout", after=0.3)
    assert "silent.test" in names.asked


async def test_a03_hanging_lookups_take_few_threads_and_none_from_other_names(
    names: NameServer, providers: Providers, start_proxy: StartProxy
) -> None:
    second = providers.start("second")
    second.plays(says("from second"))
    hanging = second.entry(name="first", base_url="http://silent.test/v1", connect_timeout=0.3)
    named = second.entry(base_url=f"http://second.test:{second.port}/v1")
    breaker = {"failure_threshold": 10_000, "minimum_requests": 0}
    proxy = await start_proxy(hanging, named, circuit_breaker=breaker, retry_budget={"min_per_s": 1000})
    before = threads(proxy.process.pid)
    most = 0
    for _ in range(3):
        async with trio.open_nursery() as asking:
            for _ in range(30):
                asking.start_soon(_expect, proxy, "from second")
            await trio.sleep(0.2)
            most = max(most, threads(proxy.process.pid))
    assert most - before <= 12
    assert len(second.requests) == 90


async def _expect(proxy: Proxy, text: str) -> None:
    with trio.fail_after(10):
        assert await hear(proxy) == text


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("dead-and-alive.test", "chat"),
        ("alive-and-dead.test", "chat"),
        ("dead-and-alive.test", "responses"),
        ("alive-and-dead.test", "anthropic"),
    ],
)
async def test_a04_of_a_live_and_a_dead_address_the_live_one_is_reached(
    name: str,
    wire: Wire,
    line: Line,
    names: NameServer,
    providers: Providers,
    start_proxy: StartProxy,
    nursery: trio.Nursery,
) -> None:
    first = providers.start("first", wire=wire)
    first.plays(says("from first"))
    await nursery.start(_relay_on_ipv6, first.port)
    entry = first.entry(base_url=f"http://{name}:{first.port}/v1", connect_timeout=3)
    proxy = await start_proxy(entry)
    began_at = trio.current_time()
    assert await hear(proxy, streamed=True) == "from first"
    assert trio.current_time() - began_at < 1 + SLACK
    await tells(proxy, "first", failure_count=0, last_error_type=None)


async def _relay_on_ipv6(port: int, task_status: trio.TaskStatus[Any]) -> None:
    """The same port on the other loopback address."""

    async def one_way(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        while data := await source.receive_some():
            await sink.send_all(data)
        scope.cancel()

    async def relay(client: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as both:
            both.start_soon(one_way, client, server, both.cancel_scope)
            both.start_soon(one_way, server, client, both.cancel_scope)

    await trio.serve_tcp(relay, port, host="::1", task_status=task_status)


# -- a peer that vanishes --


async def test_a25_a_peer_that_vanishes_under_a_stream_is_left_at_idle_timeout(
    line: Line, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first, entry = far(providers, line, idle_timeout=0.5, wire=wire)
    first.plays(faults.stops_talking("hel", "lo", wire=wire))
    proxy = await start_proxy(entry)
    before = descriptors(proxy.process.pid)["socket"]
    answers: list[httpx.Response] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask, proxy, answers)
        await until(lambda: bool(proxy.heard) and b'"lo"' in proxy.heard[-1].body)
        line.loss = 1.0
    assert_breaks_off(answers[0], after="hello", kind="timeout_error")
    await until(lambda: descriptors(proxy.process.pid)["socket"] == before)
    await tells(proxy, "first", failure_count=1, last_error_type="idle_timeout")
    assert first.under_way  # it has not been told: its connection is half open
    first.shut()


async def _ask(proxy: Proxy, answers: list[httpx.Response]) -> None:
    answers.append(await post(proxy, asks(stream=True)))


@pytest.mark.transport("trio", reason="httpx's waits for the first content, for 90 seconds by default")
async def test_a26_a_peer_that_vanished_from_the_pool_is_left_within_connect_timeout(
    line: Line, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first, entry = far(providers, line, connect_timeout=0.6, timeout=30, wire=wire)
    first.plays(says("from first"))
    second = providers.start("second")
    second.plays(says("from second"))
    proxy = await start_proxy(entry, second)
    assert await hear(proxy, streamed=True) == "from first"
    line.loss = 1.0
    began_at = trio.current_time()
    assert await hear(proxy, streamed=True) == "from second"
    assert 0.6 <= trio.current_time() - began_at < 0.6 + SLACK
    assert len(first.requests) == 1
    await tells(proxy, "first", failure_count=1, last_error_type="connect_timeout")
    first.shut()


@pytest.mark.transport("trio", reason="httpx's waits for the first content, for 90 seconds by default")
@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "long"])
async def test_a26_a_connection_that_a_router_forgot_is_replaced_and_nobody_fails(
    size: int, line: Line, providers: Providers, start_proxy: StartProxy
) -> None:
    first, entry = far(providers, line, connect_timeout=0.6, timeout=30)
    first.plays(says("from first"))
    proxy = await start_proxy(entry)
    assert await hear(proxy) == "from first"
    line.forget()
    began_at = trio.current_time()
    answer = await post(proxy, asks("x" * size))
    assert answer.json()["content"][0]["text"] == "from first"
    assert 0.3 <= trio.current_time() - began_at < 0.3 + SLACK
    assert [request.connection for request in first.requests] == [1, 2]
    await tells(proxy, "first", failure_count=0, last_error_type=None)
    first.shut()


async def test_a26_a_server_that_is_only_slow_is_not_taken_for_one_that_vanished(
    line: Line, providers: Providers, start_proxy: StartProxy
) -> None:
    first, entry = far(providers, line, connect_timeout=0.4)
    first.plays(says("at once"), faults.slow(says("after ", "all"), before=1.0, within=0))
    proxy = await start_proxy(entry)
    assert await hear(proxy) == "at once"
    assert await hear(proxy) == "after all"
    assert [request.connection for request in first.requests] == [1, 1]


# -- a bad line --


@pytest.mark.parametrize(
    ("harm", "wire"), [("loss", "chat"), ("bandwidth", "chat"), ("loss", "responses"), ("loss", "anthropic")]
)
async def test_a27_a_bad_line_is_slow_and_no_failure(
    harm: str, wire: Wire, line: Line, providers: Providers, start_proxy: StartProxy
) -> None:
    """15 % of all packets lost in both directions; 128 kbit/s."""
    first, entry = far(providers, line, idle_timeout=20, timeout=20, connect_timeout=15, wire=wire)
    words = [f"word{number} " for number in range(60)]
    pieces = [step for frame in told(says(*words), wire).frames for step in (body(frame), faults.Pause(0.01))]
    first.plays((faults.head(), *pieces, faults.BODY_END))
    proxy = await start_proxy(entry)
    line.loss, line.per_second = (0.15, None) if harm == "loss" else (0.0, 16_000)
    began_at = trio.current_time()
    assert await hear(proxy, streamed=True) == "".join(words)
    assert trio.current_time() - began_at > 0.6
    assert line.dropped or harm == "bandwidth"
    await tells(proxy, "first", failure_count=0, last_error_type=None)
    first.shut()  # else a farewell that was lost and is not yet repeated looks like a connection that is left
