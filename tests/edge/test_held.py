"""What a long answer holds on to while it is read."""

import gc
from collections.abc import Iterator

import trio
from trio.testing import MockClock

from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.openai import ChatRequest
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, settings_for, virtual_house

SAID_BY_NOBODY_ELSE = "a prompt that only this test knows"


def _kept() -> Iterator[object]:
    """The requests of this test that are still in memory, as the client's and as a provider's."""
    gc.collect()
    for found in gc.get_objects():
        if isinstance(found, MessagesRequest | ChatRequest) and SAID_BY_NOBODY_ELSE in repr(found.messages):
            yield type(found)


async def test_a_request_is_let_go_of_once_its_client_reads_the_answer(autojump_clock: MockClock) -> None:
    """It takes several times its size, and an answer may take minutes."""
    go_on = trio.Event()

    async def slowly(answer: FakeAnswer) -> None:
        await go_on.wait()
        await answer.text("hello")
        await trio.sleep_forever()

    async with virtual_house(settings_for("a"), a=FakeUpstream(slowly)) as house:
        client = Client(house.connect())
        messages = [{"role": "user", "content": SAID_BY_NOBODY_ELSE}]
        await client.post({"stream": True, "messages": messages})
        await trio.testing.wait_all_tasks_blocked()
        assert set(_kept()) == {MessagesRequest, ChatRequest}  # somebody else may yet have to be asked
        go_on.set()
        assert await client.head() == 200
        await trio.testing.wait_all_tasks_blocked()
        assert set(_kept()) == set()
