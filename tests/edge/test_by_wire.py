"""What only Anthropic can serve goes to those who speak its wire, whoever else there is. Virtual time."""

import json
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ccproxy_trio.settings.model import DialectOptions, Settings, WebSearch
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house
from tests.support.chunks import says
from tests.support.told import told

Clock = trio.testing.MockClock
NATIVE = DialectOptions(wire="anthropic")
SEARCH = {
    "messages": [{"role": "user", "content": "Perform a web search for the query: trio"}],
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
    "tool_choice": {"type": "tool", "name": "web_search"},
}
FOR_ANTHROPIC_ALONE: dict[str, dict[str, Any]] = {
    "an MCP server": {"mcp_servers": [{"type": "url", "url": "https://mcp.example", "name": "m"}]},
    "a container": {"container": "c_1"},
    "a file for a container": {
        "messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "file_1"}]}]
    },
    "a tool that Anthropic runs": {"tools": [{"type": "code_execution_20250522", "name": "code_execution"}]},
}


async def natively(answer: FakeAnswer) -> None:
    for frame in told(says("natively"), "anthropic").frames:
        await answer.send.send(frame)


async def refuses(_: FakeAnswer) -> None:
    raise AssertionError("this one is not to be asked")


class Unreachable(FakeUpstream):
    def open(self, *_: Any, **__: Any) -> Any:
        raise UpstreamFault(FaultKind.CONNECT, "could not connect")


def mixed(*native: str, **others: Any) -> Settings:
    """Providers a, b and c, of which these speak Anthropic's wire."""
    settings = settings_for("a", "b", "c", **others)
    return msgspec.structs.replace(
        settings,
        providers=tuple(
            msgspec.structs.replace(one, options=NATIVE if one.name in native else DialectOptions())
            for one in settings.providers
        ),
    )


async def asked(house: House, **body: Any) -> tuple[int, str]:
    client = Client(house.connect())
    await client.post({"stream": False, **body})
    status = await client.head()
    said = json.loads(await client.body())
    return status, said["error"]["message"] if status != 200 else said["content"][0].get("text", "")


@pytest.mark.parametrize("body", FOR_ANTHROPIC_ALONE.values(), ids=FOR_ANTHROPIC_ALONE)
async def test_what_chat_cannot_say_goes_to_the_one_who_speaks_anthropics_wire(
    autojump_clock: Clock, body: dict[str, Any]
) -> None:
    a, b, c = FakeUpstream(refuses), FakeUpstream(refuses), FakeUpstream(natively)
    async with virtual_house(mixed("c"), a=a, b=b, c=c) as house:
        assert await asked(house, **body) == (200, "natively")
    assert [one.opened for one in (a, b, c)] == [0, 0, 1]


@pytest.mark.parametrize("body", FOR_ANTHROPIC_ALONE.values(), ids=FOR_ANTHROPIC_ALONE)
async def test_it_is_refused_where_nobody_speaks_anthropics_wire(
    autojump_clock: Clock, body: dict[str, Any]
) -> None:
    async with virtual_house(mixed(), a=FakeUpstream(hello), b=FakeUpstream(), c=FakeUpstream()) as house:
        status, message = await asked(house, **body)
    assert status == 400, message


async def test_where_those_fail_the_client_hears_of_them_and_of_nobody_else(autojump_clock: Clock) -> None:
    a, c = FakeUpstream(hello), Unreachable()
    async with virtual_house(mixed("c", patience=0.0), a=a, b=FakeUpstream(hello), c=c) as house:
        status, message = await asked(house, **FOR_ANTHROPIC_ALONE["a container"])
    assert status == 502
    assert "c unreachable" in message
    assert "a " not in message.replace("has a ", "")
    assert a.opened == 0


async def test_other_requests_go_to_whoever_comes_first(autojump_clock: Clock) -> None:
    a, c = FakeUpstream(hello), FakeUpstream(natively)
    async with virtual_house(mixed("c"), a=a, b=FakeUpstream(), c=c) as house:
        assert await asked(house) == (200, "hello")
    assert (a.opened, c.opened) == (1, 0)


async def test_a_web_search_goes_to_a_provider_that_searches_by_itself(autojump_clock: Clock) -> None:
    a, c = FakeUpstream(refuses), FakeUpstream(natively)
    async with virtual_house(mixed("c"), a=a, b=FakeUpstream(refuses), c=c) as house:
        assert await asked(house, **SEARCH) == (200, "natively")
    assert [tool["name"] for tool in json.loads(c.received[0])["tools"]] == ["web_search"]
    assert a.opened == 0


@pytest.mark.parametrize(
    "options",
    [DialectOptions(), DialectOptions(wire="anthropic", server_tools=False)],
    ids=["chat", "a third party"],
)
async def test_a_web_search_is_unavailable_where_nobody_searches(
    autojump_clock: Clock, options: DialectOptions
) -> None:
    a = FakeUpstream(refuses)
    async with virtual_house(settings_for("a", options=options), a=a) as house:
        client = Client(house.connect())
        await client.post({"stream": False, **SEARCH})
        assert await client.head() == 200
        blocks = json.loads(await client.body())["content"]
    assert blocks[1]["content"]["error_code"] == "unavailable"
    assert a.opened == 0


async def test_a_backend_of_ones_own_is_asked_before_a_provider(autojump_clock: Clock) -> None:
    class Engine:
        async def search(self, _: object) -> tuple[()]:
            return ()

    c = FakeUpstream(refuses)
    settings = mixed("c", web_search=WebSearch(searxng="http://127.0.0.1:8888"))
    upstreams = {"a": FakeUpstream(refuses), "b": FakeUpstream(refuses), "c": c}
    async with virtual_house(settings, search=Engine(), **upstreams) as house:
        status, _ = await asked(house, **SEARCH)
    assert (status, c.opened) == (200, 0)
