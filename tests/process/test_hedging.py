"""Two providers race over real sockets: the loser's connection is closed while the winner still speaks."""

import httpx
import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, client_of, get, told

pytestmark = pytest.mark.process
streaming = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
HANGS = {
    "silent": faults.silent,
    "headers, then silent": faults.headers_then_silent,
    "comments for ever": faults.comments_for_ever,
}


@streaming
@pytest.mark.parametrize("fault", HANGS)
async def test_the_loser_is_let_go_of_before_the_winner_has_ended(
    fault: str, streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(HANGS[fault]())
    gate = trio.Event()
    second.plays(faults.paused("from ", gate, "second"))
    proxy = await start_proxy(first, second, hedge_after=0.2)
    answers: list[httpx.Response] = []

    answered = trio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        answers.append(await client.post("/v1/messages", json=asks(stream=streamed)))
        answered.set()

    async with trio.open_nursery() as nursery, client_of(proxy) as client:
        nursery.start_soon(ask, client)
        with trio.fail_after(5):
            outrun = await first.arrived()
            await second.arrived()
            await outrun.gone.wait()
        assert answers == []
        gate.set()
        with trio.fail_after(5):
            await answered.wait()
    assert told(answers[0], streamed=streamed) == "from second"
    assert (len(first.requests), len(second.requests)) == (1, 1)
    loser = (await get(proxy, "/health")).json()["providers"]["first"]
    assert (loser["failure_count"], loser["last_failure"]) == (0, None)


@streaming
async def test_a_provider_that_answers_in_time_is_asked_alone(
    streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(says("from first"))
    proxy = await start_proxy(first, second, hedge_after=5)
    async with client_of(proxy) as client:
        for _ in range(3):
            answer = await client.post("/v1/messages", json=asks(stream=streamed))
            assert told(answer, streamed=streamed) == "from first"
    assert second.requests == []
