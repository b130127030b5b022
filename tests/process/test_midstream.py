"""The provider dies after its first words: what was shown stays true, and nothing false is added."""

import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import Call, role_chunk, says, tool_call_chunks
from tests.support.client import Event, asks, events_of, get, post, text_of

pytestmark = pytest.mark.process

TOOL = {"name": "Bash", "description": "run", "input_schema": {"type": "object", "properties": {}}}
DEATHS = {
    "fin": faults.dies_after_text("hel", "lo", how="fin"),
    "rst": faults.dies_after_text("hel", "lo", how="rst"),
    "clean end without a finish": faults.dies_after_text("hel", "lo", how="clean"),
    "error object": faults.error_in_stream("hel", "lo"),
    "no json": faults.no_json("hel", "lo"),
    "silence": faults.stops_talking("hel", "lo"),
}


def assert_ends_in_error_with_its_block_open(events: list[Event]) -> None:
    """The last event is the error, nothing follows it, and the block before it was not closed."""
    kinds = [event.kind for event in events if event.kind != "ping"]
    assert kinds.count("error") == 1
    assert kinds[-1] == "error"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") + 1
    assert "message_delta" not in kinds
    assert "message_stop" not in kinds
    error = events[-1].data["error"]
    assert error["type"] != "overloaded_error"
    assert "first" in error["message"]


@pytest.mark.parametrize("death", DEATHS)
async def test_a_death_after_the_first_words_is_told_as_an_error(
    death: str, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(DEATHS[death])
    proxy = await start_proxy(first.entry(idle_timeout=0.5), second)
    with trio.fail_after(5):
        answer = await post(proxy, asks(stream=True))
    events = events_of(answer.text)
    assert text_of(events) == "hello"
    assert_ends_in_error_with_its_block_open(events)
    assert second.requests == []


async def test_a_death_in_the_middle_of_a_call_leaves_the_call_open(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    call = tool_call_chunks(Call("Bash", {"command": "rm -rf /tmp/x"}))
    first.plays(faults.dies([role_chunk(), *call[:2]], "fin"))
    proxy = await start_proxy(first)
    events = events_of((await post(proxy, asks(stream=True, tools=[TOOL]))).text)
    assert_ends_in_error_with_its_block_open(events)


async def test_whoever_waits_for_the_whole_answer_gets_another_providers(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.dies_after_text("hel", "lo", how="fin"))
    second.plays(says("from second"))
    proxy = await start_proxy(first, second)
    answer = await post(proxy, asks())
    assert answer.json()["content"] == [{"type": "text", "text": "from second"}]


async def test_the_repeat_without_stream_goes_to_another_provider(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.dies_after_text("hel", "lo", how="fin"))
    second.plays(says("from second"))
    proxy = await start_proxy(first, second)
    session = {"x_claude_code_session_id": "6f9f1d5e-6a41-4c55-9f0b-0a3c4f1f2a11"}
    await post(proxy, asks(stream=True), **session)
    answer = await post(proxy, asks(), **session)
    assert answer.json()["content"][0]["text"] == "from second"


async def test_a_provider_that_always_starts_and_always_dies_is_left_in_the_end(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.dies_after_text("hello", how="fin"))
    proxy = await start_proxy(first, second, circuit_breaker={"failure_threshold": 3})
    for number in range(6):
        await post(proxy, asks(f"question {number}", stream=True))
    assert len(first.requests) == 3
    assert (await get(proxy, "/health")).json()["providers"]["first"]["status"] == "circuit_open"
