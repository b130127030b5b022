"""Good answers, judged by the vendor's own client, and how connections are kept."""

from typing import Any

import httpx
import pytest
import trio
from anthropic import Anthropic

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import Call, Usage, calls, says
from tests.support.client import MODEL, asks, client_of, events_of, kinds_of, post, text_of, with_anthropic

pytestmark = pytest.mark.process

TOOL = {"name": "Bash", "description": "run", "input_schema": {"type": "object", "properties": {}}}


async def test_the_vendors_client_reads_a_stream(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    usage = Usage(prompt=100, completion=7, cached=80)
    provider.plays(says("hel", "lo", usage=usage))
    proxy = await start_proxy(provider)

    def read(client: Anthropic) -> Any:
        with client.messages.stream(**asks()) as stream:
            return list(stream.text_stream), stream.get_final_message()

    texts, message = await with_anthropic(proxy, read)
    assert "".join(texts) == "hello"
    assert message.stop_reason == "end_turn"
    assert message.model == MODEL
    assert message.id.startswith("msg_")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (20, 80)
    assert message.usage.output_tokens == 7


async def test_the_vendors_client_reads_a_whole_answer(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    provider.plays(calls(Call("Bash", {"command": "ls"}), Call("Bash", {"command": "pwd"}), text="Looking."))
    proxy = await start_proxy(provider)
    message = await with_anthropic(proxy, lambda client: client.messages.create(**asks(tools=[TOOL])))
    text, first, second = message.content
    assert text.text == "Looking."
    assert [call.input for call in (first, second)] == [{"command": "ls"}, {"command": "pwd"}]
    assert first.id.startswith("toolu_")
    assert first.id != second.id
    assert message.stop_reason == "tool_use"


async def test_ids_are_new_each_time_though_the_provider_repeats_its_own(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(calls(Call("Bash", {})))
    proxy = await start_proxy(provider)
    answers = [(await post(proxy, asks(tools=[TOOL]))).json() for _ in range(3)]
    assert len({answer["id"] for answer in answers}) == 3
    assert len({answer["content"][0]["id"] for answer in answers}) == 3


async def test_azure_is_asked_in_its_own_way(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("azure", api_version="2024-02-15-preview")
    provider.plays(says("from azure"))
    proxy = await start_proxy(provider)
    assert (await post(proxy, asks())).json()["content"][0]["text"] == "from azure"


async def test_the_first_words_arrive_while_the_provider_still_talks(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider, gate = providers.start("alpha"), trio.Event()
    provider.plays(faults.paused("first", gate, "second"))
    proxy = await start_proxy(provider)
    async with (
        client_of(proxy) as client,
        client.stream("POST", "/v1/messages", json=asks(stream=True)) as answer,
    ):
        pieces = answer.aiter_text()
        text = ""
        with trio.fail_after(5):
            while "first" not in text:
                text += await anext(pieces)
            assert "second" not in text
            gate.set()
            async for piece in pieces:
                text += piece
    assert text_of(events_of(text)) == "firstsecond"
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_the_body_ends_with_message_stop(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider)
    events = events_of((await post(proxy, asks(stream=True))).text)
    assert kinds_of(events)[0] == "message_start"
    assert kinds_of(events)[-2:] == ["message_delta", "message_stop"]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_a_connection_serves_one_request_after_another(
    streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider)
    async with client_of(proxy) as client:
        ports = {await _port_used(client, stream=streamed) for _ in range(3)}
    assert len(ports) == 1
    assert {request.connection for request in provider.requests} == {1}


async def _port_used(client: httpx.AsyncClient, *, stream: bool) -> int:
    async with client.stream("POST", "/v1/messages", json=asks(stream=stream)) as answer:
        await answer.aread()
        address: tuple[str, int] = answer.extensions["network_stream"].get_extra_info("client_addr")
    return address[1]


@pytest.mark.parametrize("streamed", ["true", "false"])
async def test_connection_close_is_obeyed(
    streamed: str, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider)
    body = (
        b'{"model":"claude-x","max_tokens":9,"stream":%s,"messages":[{"role":"user","content":"hi"}]}'
        % streamed.encode()
    )
    head = (
        b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    stream = await trio.open_tcp_stream("127.0.0.1", int(proxy.base_url.rsplit(":", 1)[1]))
    async with stream:
        await stream.send_all(head + body)
        with trio.fail_after(5):
            received = b"".join([data async for data in stream])
    assert received.startswith(b"HTTP/1.1 200")


async def test_twenty_at_once_each_get_their_own_answer(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.behaves(lambda request: says("echo ", request.messages[-1]["content"]))
    proxy = await start_proxy(provider)
    heard: dict[int, str] = {}

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        answer = await client.post("/v1/messages", json=asks(f"n{number}", stream=number % 2 == 0))
        is_stream = answer.headers["content-type"].startswith("text/event-stream")
        heard[number] = text_of(events_of(answer.text)) if is_stream else answer.json()["content"][0]["text"]

    async with client_of(proxy) as client, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, client, number)
    assert heard == {number: f"echo n{number}" for number in range(20)}


async def test_twenty_at_once_are_with_the_provider_at_once(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider, gate = providers.start("alpha"), trio.Event()
    provider.plays(faults.paused("first", gate, "second"))
    proxy = await start_proxy(provider)
    async with client_of(proxy) as client, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(lambda: client.post("/v1/messages", json=asks(stream=True)))
        with trio.fail_after(10):
            await provider.arrived(20)
        gate.set()
