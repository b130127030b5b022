"""Web searches through the whole proxy, in virtual time."""

import json
from typing import Any

import anthropic.types
import pytest
import trio
import trio.testing

from ccproxy_trio.journal import Note
from ccproxy_trio.settings.model import Settings, WebSearch
from ccproxy_trio.wire.search import Hit, SearchFault, SearchQuestion
from tests.edge.virtual import Client, FakeUpstream, House, hello, settings_for, virtual_house
from tests.support.grammar import check_frames

Clock = trio.testing.MockClock

TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
QUERY = "canary-5f1e"
HITS = (Hit(url="https://a.example/", title="<b>A</b>", snippet="about a"), Hit(url="ftp://b/", title="B"))


class Engine:
    """Finds `hits` after `seconds`, or fails."""

    def __init__(self, *, seconds: float = 0.0, error: Exception | None = None) -> None:
        self._seconds = seconds
        self._error = error
        self.asked: list[SearchQuestion] = []
        self.was_left = False

    async def search(self, question: SearchQuestion) -> tuple[Hit, ...]:
        self.asked.append(question)
        try:
            await trio.sleep(self._seconds)
        except trio.Cancelled:
            self.was_left = True
            raise
        if self._error is not None:
            raise self._error
        return HITS


def settings(**others: Any) -> Settings:
    search = {"searxng": "http://127.0.0.1:8888", **others.pop("search", {})}
    return settings_for("a", web_search=WebSearch(**search), **others)


def search_for(query: str = QUERY, **limits: Any) -> dict[str, Any]:
    order = {"role": "user", "content": f"Perform a web search for the query: {query}"}
    choice = {"type": "tool", "name": "web_search"}
    return {"messages": [order], "tools": [{**TOOL, **limits}], "tool_choice": choice}


async def ask(house: House, *, stream: bool, **body: Any) -> tuple[int, bytes, Client]:
    client = Client(house.connect())
    await client.post({**(body or search_for()), "stream": stream})
    status = await client.head()
    return status, await client.body(), client


def warnings(house: House) -> list[str]:
    return [
        entry.text
        for entry in house.journal
        if isinstance(entry, Note) and entry.level in ("warning", "error")
    ]


async def test_a_stream_tells_what_was_found(autojump_clock: Clock) -> None:
    engine, upstream = Engine(), FakeUpstream(hello)
    async with virtual_house(settings(), search=engine, a=upstream) as house:
        status, body, _ = await ask(house, stream=True)
        assert warnings(house) == []
        assert QUERY not in repr(house.journal)
    story = check_frames(body)
    assert status == 200
    assert story.kinds == ["server_tool_use", "web_search_tool_result", "text"]
    assert story.blocks[1]["content"] == [
        {
            "type": "web_search_result",
            "url": "https://a.example/",
            "title": "A",
            "encrypted_content": "",
            "page_age": None,
        }
    ]
    assert "1. A\nhttps://a.example/\nabout a" in story.of("text")
    assert story.stop == {"stop_reason": "end_turn", "stop_sequence": None}
    assert story.usage is not None
    assert story.usage["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}
    assert [question.query for question in engine.asked] == [QUERY]
    assert upstream.opened == 0


async def test_a_client_that_wants_it_whole_gets_a_message(autojump_clock: Clock) -> None:
    async with virtual_house(settings(), search=Engine(), a=FakeUpstream(hello)) as house:
        status, body, _ = await ask(house, stream=False)
    message = anthropic.types.Message.model_validate_json(body, strict=True)
    assert status == 200
    assert [block.type for block in message.content] == ["server_tool_use", "web_search_tool_result", "text"]
    assert message.usage.server_tool_use is not None
    assert message.usage.server_tool_use.web_search_requests == 1


async def test_pings_flow_while_a_search_takes_its_time(autojump_clock: Clock) -> None:
    async with virtual_house(
        settings(search={"timeout": 100.0}), search=Engine(seconds=40.0), a=FakeUpstream(hello)
    ) as house:
        _, body, client = await ask(house, stream=True)
    check_frames(body)
    assert [(round(at), kind) for at, kind in client.kinds()[:4]] == [
        (0, "message_start"),
        (15, "ping"),
        (30, "ping"),
        (40, "content_block_start"),
    ]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_search_that_takes_too_long_is_unavailable(autojump_clock: Clock, stream: bool) -> None:
    engine = Engine(seconds=1e6)
    async with virtual_house(settings(), search=engine, a=FakeUpstream(hello)) as house:
        status, body, _ = await ask(house, stream=stream)
        assert warnings(house) == ["Web search failed: no answer within 10 s"]
    assert status == 200
    assert b'"error_code":"unavailable"' in body
    assert b"web_search_requests" not in body
    assert trio.current_time() == pytest.approx(10.0, abs=0.5)
    assert engine.was_left


async def test_a_failure_is_told_as_what_it_is(autojump_clock: Clock) -> None:
    engine = Engine(error=SearchFault("too_many_requests", "it limits our rate (HTTP 429)"))
    async with virtual_house(settings(), search=engine, a=FakeUpstream(hello)) as house:
        _, body, _ = await ask(house, stream=True)
        assert warnings(house) == ["Web search failed: it limits our rate (HTTP 429)"]
        assert QUERY not in repr(house.journal)
    story = check_frames(body)
    assert story.kinds == ["server_tool_use", "web_search_tool_result"]
    assert story.blocks[1]["content"] == {
        "type": "web_search_tool_result_error",
        "error_code": "too_many_requests",
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (search_for(max_uses=0), "max_uses_exceeded"),
        (search_for(""), "invalid_tool_input"),
        (search_for("x" * 5000), "query_too_long"),
    ],
)
async def test_a_question_not_worth_asking_reaches_nobody(
    autojump_clock: Clock, body: dict[str, Any], code: str
) -> None:
    engine = Engine()
    async with virtual_house(settings(), search=engine, a=FakeUpstream(hello)) as house:
        _, told, _ = await ask(house, stream=False, **body)
    assert json.loads(told)["content"][1]["content"]["error_code"] == code
    assert engine.asked == []


async def test_without_a_backend_a_search_is_unavailable_at_once(autojump_clock: Clock) -> None:
    upstream = FakeUpstream(hello)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        _, body, _ = await ask(house, stream=True)
    assert check_frames(body).blocks[1]["content"]["error_code"] == "unavailable"
    assert upstream.opened == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_ends_its_search(autojump_clock: Clock, stream: bool) -> None:
    engine = Engine(seconds=9.0)
    async with virtual_house(settings(), search=engine, a=FakeUpstream(hello)) as house:
        client = Client(house.connect())
        await client.post({**search_for(), "stream": stream})
        await trio.sleep(1.0)
        await client.stream.aclose()
        await trio.sleep(1.0)
        assert engine.was_left
        assert warnings(house) == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_search_takes_one_of_the_places_and_gives_it_back(
    autojump_clock: Clock, stream: bool
) -> None:
    engine = Engine(seconds=5.0)
    async with virtual_house(settings(max_exchanges=1), search=engine, a=FakeUpstream(hello)) as house:
        first = Client(house.connect())
        await first.post({**search_for(), "stream": stream})
        await trio.sleep(1.0)
        assert (await ask(house, stream=True))[0] == 529
        assert await first.head() == 200
        await first.body()
        assert (await ask(house, stream=True))[0] == 200
    assert len(engine.asked) == 2


async def test_a_bug_of_a_backend_ends_its_own_stream(autojump_clock: Clock) -> None:
    engine = Engine(seconds=1.0, error=KeyError(QUERY))
    async with virtual_house(settings(), search=engine, a=FakeUpstream(hello)) as house:
        _, body, _ = await ask(house, stream=True)
        assert len(warnings(house)) == 1
        assert QUERY not in repr(house.journal)
    story = check_frames(body)
    assert story.error is not None
    assert story.blocks == []


async def test_domains_are_kept_to_whatever_the_engine_finds(autojump_clock: Clock) -> None:
    async with virtual_house(settings(), search=Engine(), a=FakeUpstream(hello)) as house:
        _, told, _ = await ask(house, stream=False, **search_for(allowed_domains=["z.example"]))
    assert json.loads(told)["content"][1]["content"] == []


async def test_a_search_among_other_tools_is_left_out_of_the_request(autojump_clock: Clock) -> None:
    engine, upstream = Engine(), FakeUpstream(hello)
    other = {"name": "Bash", "input_schema": {"type": "object"}}
    async with virtual_house(settings(), search=engine, a=upstream) as house:
        _, body, _ = await ask(
            house, stream=True, messages=[{"role": "user", "content": "hi"}], tools=[TOOL, other]
        )
        told = [entry.text for entry in house.journal if isinstance(entry, Note)]
    assert check_frames(body).of("text") == "hello"
    assert engine.asked == []
    assert any("web_search" in text for text in told)
