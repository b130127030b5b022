"""Claude Code's WebSearch with a search engine behind the proxy: what was found reaches the model."""

import pytest

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support.agent import agent, tool_results
from tests.support.chunks import Call, calls, says
from tests.support.scripted import json_reply
from tests.support.searxng import hit, page, searxng

pytestmark = pytest.mark.claude

LOOK_UP = calls(Call("WebSearch", {"query": "structured concurrency"}))


async def test_what_was_found_reaches_the_models_next_turn(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.behaves(agent(LOOK_UP, says("Found it.")))
    found = page(
        hit("https://trio.example/nurseries", "Notes on <b>nurseries</b>", "Tasks end where they began."),
        hit("https://other.example/", "Another page"),
    )
    async with searxng(*found) as instance:
        done = await claude(await start_proxy(provider, web_search={"searxng": instance.url})).ask("Search.")
        assert [asked["q"] for asked in instance.asked] == ["structured concurrency"]
    assert (done.failed, done.text) == (False, "Found it.")
    (result,) = tool_results(provider.requests[-1])
    for fact in (
        "Notes on nurseries",
        "https://trio.example/nurseries",
        "Tasks end where they began.",
        "https://other.example/",
    ):
        assert fact in result


async def test_a_search_that_fails_is_told_to_the_model(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.behaves(agent(LOOK_UP, says("No luck.")))
    async with searxng(*json_reply(500, {})) as instance:
        done = await claude(await start_proxy(provider, web_search={"searxng": instance.url})).ask("Search.")
    assert (done.failed, done.text) == (False, "No luck.")
    assert "unavailable" in tool_results(provider.requests[-1])[0]
