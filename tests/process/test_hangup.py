"""The client leaves: the provider's connection is closed within a second, and nobody's health suffers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx
import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, client_of, get, post
from tests.support.proxy import Proxy
from tests.support.scripted import Request, ScriptedProvider

pytestmark = pytest.mark.process
streaming = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])

WAITING: dict[str, Callable[[], faults.Steps]] = {
    "before the head": faults.silent,
    "before content": faults.headers_then_silent,
    "in the middle": lambda: faults.stops_talking("hello"),
}


@asynccontextmanager
async def asking(proxy: Proxy, *, streamed: bool) -> AsyncIterator[None]:
    """A request under way; leaving the block closes its connection."""
    async with trio.open_nursery() as nursery, client_of(proxy) as client:
        nursery.start_soon(partial(_ask, client, streamed=streamed))
        yield
        nursery.cancel_scope.cancel()


async def _ask(client: httpx.AsyncClient, *, streamed: bool) -> None:
    with suppress(httpx.ReadError):  # the client may be closed before the cancellation arrives here
        await client.post("/v1/messages", json=asks(stream=streamed))


async def gone_soon(request: Request) -> None:
    """The proxy has closed the provider's connection, or does so within a second."""
    with trio.fail_after(1):
        await request.gone.wait()


@streaming
@pytest.mark.parametrize("moment", WAITING)
async def test_a_hang_up_reaches_the_provider_within_a_second(
    moment: str, streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(WAITING[moment]())
    proxy = await start_proxy(provider)
    async with asking(proxy, streamed=streamed):
        request = await provider.arrived()
    await gone_soon(request)
    await unharmed(proxy, provider)


async def unharmed(proxy: Proxy, provider: ScriptedProvider) -> None:
    """Nothing was held against the provider, and the proxy serves on."""
    told = (await get(proxy, "/health")).json()["providers"]["alpha"]
    assert (told["status"], told["failure_count"], told["last_failure"]) == ("healthy", 0, None)
    provider.plays(says("ok"))
    assert (await post(proxy, asks())).status_code == 200


async def test_a_reader_that_saw_the_first_words_may_leave_too(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("hello"))
    proxy = await start_proxy(provider)
    text = ""
    with trio.CancelScope() as reading:
        async with (
            client_of(proxy) as client,
            client.stream("POST", "/v1/messages", json=asks(stream=True)) as answer,
        ):
            async for piece in answer.aiter_text():
                text += piece
                if "hello" in text:
                    reading.cancel()
    await gone_soon(provider.requests[0])
    await unharmed(proxy, provider)


async def test_ten_leavers_leave_nothing_behind(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("hello"))
    proxy = await start_proxy(provider)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(_ask_and_leave, proxy, provider)
    for request in provider.requests:
        await gone_soon(request)
    await unharmed(proxy, provider)


async def _ask_and_leave(proxy: Proxy, provider: ScriptedProvider) -> None:
    async with asking(proxy, streamed=True):
        await provider.arrived(10)
