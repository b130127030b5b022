"""A web search from the client's socket to the search engine's, through a real proxy."""

from typing import Any

import pytest
import trio
from anthropic import Anthropic

from tests.conftest import Providers, StartProxy
from tests.support.client import asks, post, with_anthropic
from tests.support.grammar import check_frames
from tests.support.scripted import Linger, json_reply
from tests.support.searxng import hit, page, searxng

pytestmark = pytest.mark.process

SEARCH: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Perform a web search for the query: canary trio"}],
    "tools": [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "max_uses": 8,
            "allowed_domains": ["a.example"],
        }
    ],
    "tool_choice": {"type": "tool", "name": "web_search"},
}
FOUND = page(
    hit("https://docs.a.example/x", "<b>Nurseries</b>", "They &amp; their tasks\x07"),
    hit("https://b.example/", "Not asked for"),
    hit("javascript:alert(1)", "Not of the web"),
)


async def test_the_vendors_client_reads_what_was_found(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    async with searxng(*FOUND) as instance:
        proxy = await start_proxy(provider, web_search={"searxng": instance.url})

        def read(client: Anthropic) -> Any:
            with client.messages.stream(**asks(**SEARCH)) as stream:
                streamed = stream.get_final_message()
            return streamed, client.messages.create(**asks(**SEARCH))

        for message in await with_anthropic(proxy, read):
            use, results, text = message.content
            assert use.input == {"query": "canary trio"}
            assert [(each.title, each.url) for each in results.content] == [
                ("Nurseries", "https://docs.a.example/x")
            ]
            assert "They & their tasks" in text.text
            assert message.stop_reason == "end_turn"
            assert message.usage.server_tool_use.web_search_requests == 1
        assert [asked["q"] for asked in instance.asked] == ["canary trio site:a.example"] * 2
    assert provider.requests == []
    assert f"Web search: SearXNG at {instance.url}" in proxy.output
    assert "canary trio" not in proxy.output


async def test_an_engine_that_limits_us_is_told_of(providers: Providers, start_proxy: StartProxy) -> None:
    async with searxng(*json_reply(429, {})) as instance:
        proxy = await start_proxy(providers.start("alpha"), web_search={"searxng": instance.url})
        told = await post(proxy, asks(**SEARCH))
    assert told.json()["content"][1]["content"]["error_code"] == "too_many_requests"
    assert "Web search failed: it limits our rate (HTTP 429)" in proxy.output
    assert "canary trio" not in proxy.output


async def test_an_engine_that_hangs_is_left_in_time(providers: Providers, start_proxy: StartProxy) -> None:
    async with searxng(Linger()) as instance:
        search = {"searxng": instance.url, "timeout": 0.5}
        proxy = await start_proxy(providers.start("alpha"), web_search=search)
        told = await post(proxy, asks(**SEARCH, stream=True))
        with trio.fail_after(5):
            await instance.left.wait()
    assert check_frames(told.content).blocks[1]["content"]["error_code"] == "unavailable"
