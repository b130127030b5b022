"""Answers of providers on Anthropic's own wire, through the whole proxy, in virtual time."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from ccproxy_trio.journal import AttemptEnded, Entry, ExchangeEnded, FellOver, RaceDecided
from ccproxy_trio.settings.model import DialectOptions, Settings
from ccproxy_trio.translate.question import Asked
from tests.edge.virtual import (
    Client,
    FakeAnswer,
    FakeUpstream,
    House,
    Script,
    hello,
    settings_for,
    silent_for,
    virtual_house,
)
from tests.translate.native.answering import (
    HELLO,
    THEIR_ID,
    THEIR_MODEL,
    Json,
    answer,
    delta,
    frame,
    message_start,
    read_events,
    start,
    stop,
    stream_of,
    text_block,
    thinking_block,
    tool_block,
)

Clock = trio.testing.MockClock

ASKED_FOR = "claude-opus-4"
NATIVE = DialectOptions(wire="anthropic")
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "request-id": "req_theirs",
    "anthropic-ratelimit-requests-remaining": "7",
    "server": "theirs",
    "set-cookie": "a=b",
}


def says(*events: Json | bytes, after: float = 0.0, every: float = 0.0) -> Script:
    """An answer of these events, each sent by itself."""

    async def script(given: FakeAnswer) -> None:
        await trio.sleep(after)
        for event in events:
            await given.send.send(event if isinstance(event, bytes) else frame(event))
            await trio.sleep(every)

    return script


def native_upstream(script: Script) -> FakeUpstream:
    return FakeUpstream(script, headers=HEADERS)


def native(*names: str, **others: Any) -> Settings:
    """Settings in which these providers speak Anthropic's wire, and "chat" does not."""
    options = {f"{name}_options": NATIVE for name in names if name != "chat"}
    return settings_for(*names, **options, **others)


async def asked(house: House, *, stream: bool = True, **body: Any) -> tuple[Client, bytes]:
    client = Client(house.connect())
    await client.post({"stream": stream, **body}, **{"user-agent": "claude-cli/2.1"})
    await client.head()
    return client, await client.body()


def renamed(data: bytes) -> bytes:
    return data.replace(THEIR_MODEL.encode(), ASKED_FOR.encode())


def events(body: bytes) -> list[Json]:
    return [event for event in read_events(body) if event["type"] != "ping"]


def shape(body: bytes) -> list[str]:
    return [event["type"] for event in events(body)]


def of(journal: Sequence[Entry], kind: type) -> list[Any]:
    return [entry for entry in journal if isinstance(entry, kind)]


RICH = answer(thinking_block(0, "hm"), text_block(1, "Hello"), tool_block(2, "Read", "{}"), reason="tool_use")


async def test_a_client_that_reads_along_gets_the_providers_bytes_and_headers(autojump_clock: Clock) -> None:
    data = b": hello\n\n" + stream_of(RICH).replace(b"\n", b"\r\n")
    async with virtual_house(native("a"), a=native_upstream(says(data))) as house:
        client, body = await asked(house)
    assert body == renamed(data)
    assert client.headers["request-id"] == "req_theirs"
    assert client.headers["x-ccproxy-request-id"].startswith("req_")
    assert client.headers["anthropic-ratelimit-requests-remaining"] == "7"
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert not {"server", "set-cookie"} & (set(client.headers) - {"server"})
    assert client.headers.get("server") != "theirs"
    (ended,) = of(house.journal, ExchangeEnded)
    assert (ended.how, ended.input_tokens, ended.output_tokens) == ("complete", 125, 15)
    assert ended.request_id == client.headers["x-ccproxy-request-id"]


async def test_however_the_reads_cut_it(autojump_clock: Clock) -> None:
    data = stream_of(RICH)
    pieces = [data[at : at + 37] for at in range(0, len(data), 37)]
    async with virtual_house(native("a"), a=native_upstream(says(*pieces, every=0.01))) as house:
        _, body = await asked(house)
    assert body == renamed(data)


async def test_a_client_that_waits_gets_every_member_and_the_headers(autojump_clock: Clock) -> None:
    first = message_start(new={"a": 1})
    async with virtual_house(native("a"), a=native_upstream(says(first, *RICH[1:]))) as house:
        client, body = await asked(house, stream=False)
    message = json.loads(body)
    assert (message["model"], message["id"], message["new"]) == (ASKED_FOR, THEIR_ID, {"a": 1})
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use"]
    assert message["usage"] == {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 15}
    assert client.headers["request-id"] == "req_theirs"
    assert client.headers["content-type"] == "application/json"


async def test_a_message_that_was_not_streamed_reaches_both_kinds_of_client(autojump_clock: Clock) -> None:
    async def whole(given: FakeAnswer) -> None:
        given.is_event_stream = False  # type: ignore[misc]
        await given.send.send(
            json.dumps(message_start(content=[{"type": "text", "text": "Hi"}])["message"]).encode()
        )

    async with virtual_house(native("a"), a=FakeUpstream(whole)) as house:
        _, body = await asked(house, stream=False)
        _, frames = await asked(house)
    assert json.loads(body)["content"] == [{"type": "text", "text": "Hi"}]
    assert shape(frames)[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("early", [False, True], ids=["at once", "behind an early head"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_native_provider_takes_over_from_a_chat_provider(
    autojump_clock: Clock, early: bool, stream: bool
) -> None:
    dies = silent_for(30.0 if early else 0.0, _dies)
    upstreams = {"chat": FakeUpstream(dies), "a": native_upstream(says(*HELLO))}
    async with virtual_house(native("chat", "a", commit_after=20.0), **upstreams) as house:
        client, body = await asked(house, stream=stream)
    assert len(of(house.journal, FellOver)) == 1
    if not stream:
        assert json.loads(body)["content"] == [{"type": "text", "text": "Hello world"}]
    elif early:
        assert shape(body).count("message_start") == 1
        assert THEIR_ID.encode() not in body
        assert b"Hello" in body
        assert events(body)[-2]["usage"]["cache_read_input_tokens"] == 100
        assert "x-ccproxy-request-id" not in client.headers
    else:
        assert body == renamed(stream_of(HELLO))


async def _dies(_: FakeAnswer) -> None:
    pass


FAILURES: dict[str, list[Json | bytes]] = {
    "dies at once": [],
    "dies before content": list(HELLO[:3]),
    "dies behind hidden thinking": [message_start(), *thinking_block(0, "")],
    "says an error": [
        message_start(),
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
    ],
    "says nothing": [*answer()],
    "speaks another language": [b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'],
    "mixes up its blocks": [message_start(), delta(0, "text_delta", "x")],
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("early", [False, True], ids=["at once", "behind an early head"])
async def test_a_chat_provider_takes_over_from_a_native_one(
    autojump_clock: Clock, failure: str, early: bool
) -> None:
    script = says(*FAILURES[failure], after=30.0 if early else 0.0)
    upstreams = {"a": FakeUpstream(script), "chat": FakeUpstream(hello)}
    async with virtual_house(native("a", "chat", commit_after=20.0), **upstreams) as house:
        client, body = await asked(house)
    assert shape(body) == [
        *("message_start", "content_block_start", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    assert b"hello" in body
    assert THEIR_ID.encode() not in body
    assert "x-ccproxy-request-id" not in client.headers


async def test_pings_and_a_beginning_are_no_content(autojump_clock: Clock) -> None:
    async def pings(given: FakeAnswer) -> None:
        await given.send.send(stream_of(HELLO[:3]))
        while True:
            await trio.sleep(5.0)
            await given.send.send(frame({"type": "ping"}) + b": x\n\n")

    upstreams = {"a": FakeUpstream(pings), "chat": FakeUpstream(hello)}
    async with virtual_house(native("a", "chat", a_timeout=40.0), **upstreams) as house:
        began_at = trio.current_time()
        _, body = await asked(house)
        assert trio.current_time() - began_at == pytest.approx(40.0, abs=1.0)
    assert b"hello" in body
    assert of(house.journal, AttemptEnded)[0].outcome == "content_timeout"


async def test_an_answer_that_breaks_off_ends_in_an_error_with_its_block_open(autojump_clock: Clock) -> None:
    async with virtual_house(native("a"), a=native_upstream(says(*HELLO[:-1]))) as house:
        _, body = await asked(house)
    assert shape(body)[-2:] == ["content_block_delta", "error"]
    assert events(body)[-1]["error"]["type"] == "api_error"
    (ended,) = of(house.journal, ExchangeEnded)
    assert ended.how == "midfail"


async def test_an_answer_without_anything_in_it_is_given_where_nobody_has_a_better_one(
    autojump_clock: Clock,
) -> None:
    nothing = answer(thinking_block(0, ""))
    async with virtual_house(native("a", patience=0.0), a=native_upstream(says(*nothing))) as house:
        client, body = await asked(house)
        _, whole = await asked(house, stream=False)
    assert body == renamed(stream_of(nothing))
    assert client.headers["request-id"] == "req_theirs"
    assert json.loads(whole)["content"] == [{"type": "thinking", "thinking": "", "signature": "Eo8BCkYIBxgC"}]


async def test_a_silent_provider_is_covered_by_heartbeats_in_its_own_block(autojump_clock: Clock) -> None:
    """Its pings do not keep Claude Code from giving up."""

    async def slow(given: FakeAnswer) -> None:
        await given.send.send(stream_of(HELLO[:4]))
        for _ in range(20):
            await trio.sleep(5.0)
            await given.send.send(frame({"type": "ping"}))
        await given.send.send(stream_of(HELLO[4:]))

    settings = native("a", heartbeat_interval=40.0)
    async with virtual_house(settings, a=FakeUpstream(slow)) as house:
        _, body = await asked(house)
    deltas = [event["delta"]["text"] for event in events(body) if event["type"] == "content_block_delta"]
    assert deltas == ["Hello", "", "", " world"]
    assert body.count(frame({"type": "ping"})) == 21


async def test_where_no_heartbeat_has_a_place_none_is_sent(autojump_clock: Clock) -> None:
    """The totals are there, the end is not, and what is open takes no delta."""

    async def dawdles(given: FakeAnswer) -> None:
        block = [start(0, {"type": "something_new"}), stop(0)]
        whole = answer(block)
        await given.send.send(stream_of(whole[:-1]))
        await trio.sleep(100.0)
        await given.send.send(stream_of(whole[-1:]))

    settings = native("a", heartbeat_interval=40.0)
    async with virtual_house(settings, a=FakeUpstream(dawdles)) as house:
        _, body = await asked(house)
    assert shape(body) == [
        *("message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"),
    ]


async def test_a_block_that_a_heartbeat_opened_stands_in_front_of_the_providers(
    autojump_clock: Clock,
) -> None:
    upstreams = {"a": native_upstream(says(*RICH, after=150.0))}
    settings = native("a", a_timeout=300.0, commit_after=20.0, heartbeat_interval=60.0)
    async with virtual_house(settings, **upstreams) as house:
        _, body = await asked(house)
    starts = [event for event in events(body) if event["type"] == "content_block_start"]
    assert [event["index"] for event in starts] == [0, 1, 2, 3]
    assert [event["content_block"]["type"] for event in starts] == [
        "thinking",
        "thinking",
        "text",
        "tool_use",
    ]
    assert starts[2]["index"] == 2


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("quick", "slow"), [("a", "chat"), ("chat", "a")])
async def test_a_race_between_the_wires_is_won_by_the_first_content(
    autojump_clock: Clock, quick: str, slow: str, stream: bool
) -> None:
    def script(name: str, after: float) -> Script:
        begun = stream_of(HELLO[:3])
        return says(begun, *HELLO[3:], after=after) if name == "a" else silent_for(after, hello)

    upstreams = {slow: native_upstream(script(slow, 60.0)), quick: native_upstream(script(quick, 0.5))}
    settings = native(slow, quick, hedge_after=2.0)
    async with virtual_house(settings, **upstreams) as house:
        client, body = await asked(house, stream=stream)
    (decided,) = of(house.journal, RaceDecided)
    assert (decided.winner, decided.loser) == (quick, slow)
    assert (b"Hello world" in body or b"Hello" in body) == (quick == "a")
    assert ("x-ccproxy-request-id" in client.headers) == (quick == "a")
    if stream and quick == "a":
        assert body == renamed(stream_of(HELLO))


async def test_a_beginning_alone_wins_no_race(autojump_clock: Clock) -> None:
    async def begins(given: FakeAnswer) -> None:
        await given.send.send(stream_of(HELLO[:3]))
        await trio.sleep_forever()

    upstreams = {"a": native_upstream(begins), "chat": FakeUpstream(silent_for(5.0, hello))}
    async with virtual_house(native("a", "chat", hedge_after=2.0), **upstreams) as house:
        client, body = await asked(house)
    (decided,) = of(house.journal, RaceDecided)
    assert (decided.winner, decided.loser) == ("chat", "a")
    assert b"hello" in body
    assert THEIR_ID.encode() not in body
    assert "x-ccproxy-request-id" not in client.headers


@pytest.mark.parametrize(("names", "kept"), [(("chat",), False), (("chat", "a"), True)])
async def test_a_body_is_kept_only_where_somebody_would_be_sent_it(
    autojump_clock: Clock, names: tuple[str, ...], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []
    wait = silent_for(1.0, hello)
    from ccproxy_trio import attempt

    put = attempt.put

    def seen(asked: Asked, target: Any) -> Any:
        bodies.append(asked.body)
        return put(asked, target)

    monkeypatch.setattr(attempt, "put", seen)
    upstreams = {name: FakeUpstream(wait) for name in names}
    async with virtual_house(native(*names), **upstreams) as house:
        await asked(house)
    assert [bool(body) for body in bodies] == [kept]


async def test_a_tool_that_is_offered_to_a_slow_reader_arrives_whole(autojump_clock: Clock) -> None:
    many = answer(text_block(0, *["word "] * 3000))
    async with virtual_house(native("a"), a=native_upstream(says(stream_of(many)))) as house:
        _, body = await asked(house)
    assert body == renamed(stream_of(many))
