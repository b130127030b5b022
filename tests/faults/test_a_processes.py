"""Rows A29 and A30: a provider whose process is killed, or stands still, under many streams."""

import signal
from collections.abc import Iterator

import httpx
import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.watching import assert_breaks_off, hear, tells, told_of, until
from tests.support.chunks import says
from tests.support.client import asks, events_of, post, text_of
from tests.support.lone import LoneProvider, words
from tests.support.proxy import Proxy
from tests.support.told import Wire

pytestmark = pytest.mark.process


@pytest.fixture
def endless(wire: Wire) -> Iterator[LoneProvider]:
    """Its answers do not end within any test."""
    with LoneProvider("first", every=0.1, count=1000, wire=wire) as provider:
        yield provider


async def _ask(proxy: Proxy, answers: list[httpx.Response]) -> None:
    answers.append(await post(proxy, asks(stream=True)))


def _begun(proxy: Proxy) -> int:
    """How many streams have shown content."""
    return sum(b"text_delta" in heard.body for heard in proxy.heard)


async def test_a29_fifty_streams_whose_provider_is_killed_all_end_in_an_error(
    endless: LoneProvider, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """On the further wires it is ten, which open the breaker as well."""
    count = 50 if wire == "chat" else 10
    second = providers.start("second")
    second.plays(says("from second"))
    proxy = await start_proxy(endless.entry(), second, circuit_breaker={"recovery_jitter": 0})
    answers: list[httpx.Response] = []
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(_ask, proxy, answers)
        await until(lambda: _begun(proxy) == count, within=20)
        endless.send_signal(signal.SIGKILL)
    assert len(answers) == count
    for answer in answers:
        assert_breaks_off(answer, after=text_of(events_of(answer.text)))
    told = await tells(proxy, "first", status="circuit_open", state="open", opens=1)
    assert 50 < told["open_for_s"] <= 60  # the first wait: each of them did not make it longer
    assert second.requests == []
    assert await hear(proxy, streamed=True) == "from second"


async def test_a29_with_the_provider_replaced_new_streams_are_well(
    providers: Providers, start_proxy: StartProxy
) -> None:
    with LoneProvider("first", every=0.001, count=3) as provider:
        proxy = await start_proxy(provider.entry(timeout=10))
        assert await hear(proxy, streamed=True) == words(3)
        provider.send_signal(signal.SIGKILL)
        provider.start()
        for streamed in (True, False):
            assert await hear(proxy, streamed=streamed) == words(3)
        await tells(proxy, "first", failure_count=0, opens=0)


async def test_a30_a_provider_that_stands_still_for_less_than_idle_timeout_is_waited_for(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    with LoneProvider("first", every=0.01, count=60, wire=wire) as provider:
        proxy = await start_proxy(provider.entry(idle_timeout=5))
        answers: list[httpx.Response] = []
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(_ask, proxy, answers)
            await until(lambda: _begun(proxy) == 10, within=20)
            provider.send_signal(signal.SIGSTOP)
            await trio.sleep(0.8 if wire == "chat" else 0.3)
            provider.send_signal(signal.SIGCONT)
        assert [text_of(events_of(answer.text)) for answer in answers] == [words(60)] * 10
        await tells(proxy, "first", failure_count=0, last_error_type=None)


@pytest.mark.parametrize("wire", ["chat"])
async def test_a30_for_more_than_idle_timeout_it_is_not(
    endless: LoneProvider, providers: Providers, start_proxy: StartProxy
) -> None:
    proxy = await start_proxy(endless.entry(idle_timeout=0.5))
    answers: list[httpx.Response] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask, proxy, answers)
        await until(lambda: _begun(proxy) == 1, within=20)
        endless.send_signal(signal.SIGSTOP)
    assert_breaks_off(answers[0], after=text_of(events_of(answers[0].text)), kind="timeout_error")
    endless.send_signal(signal.SIGCONT)
    assert (await told_of(proxy, "first"))["last_error_type"] == "idle_timeout"
