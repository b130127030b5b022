"""What a client gets of an answer that is passed on: the provider's bytes, and ours where they have to be."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccproxy_trio.translate.grammar import Grammar, GrammarBroken
from ccproxy_trio.translate.parts import Finished, Heading, Text
from ccproxy_trio.translate.scale import Scale
from ccproxy_trio.wire.events import (
    ContentBlockStart,
    ContentBlockStop,
    ErrorBody,
    ErrorEvent,
    Passage,
    TextBlock,
    ThinkingBlock,
    encode_frames,
)
from tests.support.answers import MESSAGE_ID, MODEL
from tests.translate.native.answering import (
    HELLO,
    MESSAGE_STOP,
    PING,
    THEIR_ID,
    Client,
    Json,
    answer,
    delta,
    frame,
    message_delta,
    message_start,
    native_reader,
    pieces_of,
    read_events,
    relayed,
    renamed,
    start,
    stop,
    stream_of,
    text_block,
    thinking_block,
    tool_block,
)

RICH = answer(
    thinking_block(0, "hm"),
    text_block(1, "I look", " at it"),
    [start(2, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}), stop(2)],
    [start(3, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}), stop(3)],
    tool_block(4, "Read", "", '{"path":', '"x"}'),
    reason="tool_use",
)


def final(frames: bytes) -> anthropic.types.Message:
    """What the official client makes of a stream."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=frames))
    http = anthropic.DefaultHttpxClient(transport=transport)
    asked: Any = [{"role": "user", "content": "hi"}]
    with (
        anthropic.Anthropic(api_key="x", base_url="http://p.test", max_retries=0, http_client=http) as sdk,
        sdk.messages.stream(model=MODEL, max_tokens=9, messages=asked) as stream,
    ):
        return stream.get_final_message()


def types(data: bytes) -> list[str]:
    return [event["type"] for event in read_events(data)]


# -- what is held back --


def test_nothing_is_closed_before_it_is_known_how_it_goes_on() -> None:
    client = Client()
    expected = stream_of(HELLO)
    reader = native_reader()
    sent = []
    for event in HELLO:
        for each in reader.decoder.feed(frame(event)):
            client.take(reader.feed(each))
        sent.append(types(client.sent)[-1])
    client.take(reader.end())
    assert sent[-4:] == ["content_block_delta"] * 4  # behind the last delta: stop, totals, end
    assert client.sent == renamed(expected)


@pytest.mark.parametrize("length", range(len(RICH)))
def test_an_answer_that_breaks_off_leaves_its_block_open(length: int) -> None:
    told = read_events(relayed(stream_of(RICH[:length])))
    assert told[-1]["type"] == "error"
    before = RICH[:length]
    while before and before[-1]["type"] in ("content_block_stop", "message_delta"):
        before = before[:-1]
    assert stream_of(told[:-1]) == renamed(stream_of(before)) or not before


def test_keep_alives_behind_a_block_wait_with_its_end() -> None:
    client, reader = Client(), native_reader()
    for each in reader.decoder.feed(stream_of(HELLO[:6]) + frame(PING) + b": x\n\n"):
        client.take(reader.feed(each))
    assert types(client.sent)[-1] == "content_block_delta"
    assert not client.sent.endswith(b": x\n\n")
    for each in reader.decoder.feed(frame(start(1, {"type": "text", "text": ""}))):
        client.take(reader.feed(each))
    assert b"\n\n: x\n\nevent: content_block_start" in client.sent


def test_of_two_blocks_that_end_together_the_first_end_goes_out() -> None:
    events = [message_start(), *text_block(0, "x")[:2], *text_block(1, "y")[:2], stop(0), stop(1)]
    assert types(relayed(stream_of(events)))[-2:] == ["content_block_stop", "error"]


# -- an early head, heartbeats --


def test_behind_an_early_head_the_providers_own_is_left_out() -> None:
    client = Client()
    client.show(client.emitter.open())
    told = read_events(client.relay(stream_of(HELLO)))
    assert [event["type"] for event in told].count("message_start") == 1
    assert told[0]["message"]["id"] == MESSAGE_ID
    assert THEIR_ID.encode() not in client.sent
    assert told[-2]["usage"] == {  # what the head did not tell
        "input_tokens": 25,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 0,
        "output_tokens": 15,
    }
    assert final(client.sent).usage.cache_read_input_tokens == 100


def test_a_thinking_block_that_a_heartbeat_opened_is_closed_and_the_others_move_up() -> None:
    client = Client()
    client.beat()
    told = read_events(client.relay(stream_of(RICH)))
    assert [event["content_block"]["type"] for event in told if "content_block" in event] == [
        *("thinking", "thinking", "text", "server_tool_use", "web_search_tool_result", "tool_use"),
    ]
    starts = [event["index"] for event in told if event["type"] == "content_block_start"]
    assert starts == [0, 1, 2, 3, 4, 5]
    message = final(client.sent)
    assert [block.type for block in message.content][2:] == [
        *("text", "server_tool_use", "web_search_tool_result", "tool_use")
    ]
    assert message.content[5].input == {"path": "x"}  # type: ignore[union-attr]


def beaten(events: list[Json], place: int, beats: int = 1) -> bytes:
    """The stream, with heartbeats in front of the event at `place`."""
    client, reader = Client(), native_reader()
    for at, event in enumerate(events):
        if at == place:
            for _ in range(beats):
                client.beat()
        for each in reader.decoder.feed(frame(event)):
            client.take(reader.feed(each))
    client.take(reader.end())
    return client.sent


@pytest.mark.parametrize("place", range(len(RICH)))
def test_a_heartbeat_anywhere_leaves_the_answer_what_it_was(place: int) -> None:
    sent = beaten(RICH, place, beats=2)
    told = read_events(sent)
    starts = [event["index"] for event in told if event["type"] == "content_block_start"]
    stops = [event["index"] for event in told if event["type"] == "content_block_stop"]
    assert starts == list(range(len(starts)))
    assert sorted(stops) == starts
    deltas = [event for event in told if event["type"] == "content_block_delta"]
    quiet = [event for event in deltas if event["delta"] != {} and "" in event["delta"].values()]
    assert len(quiet) >= 2 or place == len(RICH) - 1
    expected, found = final(renamed(stream_of(RICH))), final(sent)
    own = [block for block in found.content if block.type == "thinking" and not block.thinking]
    rest = [block for block in found.content if block not in own]
    assert rest == expected.content
    assert len(own) <= 1
    assert all(block.signature for block in own)  # type: ignore[union-attr]


def test_a_heartbeat_follows_the_open_block() -> None:
    for place, kind in ((3, "thinking_delta"), (7, "text_delta"), (15, "input_json_delta")):
        before, after = types(beaten(RICH, -1)), read_events(beaten(RICH, place))
        assert len(after) == len(before) + 1, place
        assert after[place]["delta"]["type"] == kind


def test_between_the_totals_and_the_end_there_is_no_place_for_a_block() -> None:
    events = answer([start(0, {"type": "something_new"}), stop(0)])
    assert beaten(events, len(events) - 1) == renamed(stream_of(events))


def test_a_block_that_had_to_be_stopped_is_not_stopped_again() -> None:
    block = [start(0, {"type": "something_new"}), PING, stop(0)]
    told = read_events(beaten(answer(block, text_block(1, "x")), 4))
    shape = [(event["type"], event.get("index")) for event in told if "index" in event]
    assert shape[:5] == [
        ("content_block_start", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
    ]
    assert [kind for kind, index in shape if index == 0] == ["content_block_start", "content_block_stop"]
    assert shape[-1] == ("content_block_stop", 2)


def test_a_block_before_one_of_ours_keeps_its_number() -> None:
    late = {"type": "content_block_delta", "index": 0, "delta": {"type": "something_new"}}
    block = [start(0, {"type": "something_new"}), late, stop(0)]
    told = read_events(beaten(answer(block, text_block(1, "x")), 3))
    assert [event["index"] for event in told if event.get("delta") == {"type": "something_new"}] == [0]
    assert [event["index"] for event in told if event["type"] == "content_block_start"] == [0, 1, 2]


def test_a_block_of_the_same_number_that_begins_anew_is_stopped_again() -> None:
    again = [
        start(0, {"type": "something_new"}),
        start(0, {"type": "text", "text": ""}),
        delta(0, "text_delta", "x"),
        stop(0),
    ]
    told = read_events(beaten(answer(again), 3))
    assert [event["type"] for event in told].count("content_block_stop") == 3


def test_an_answer_without_a_beginning_gets_ours() -> None:
    told = read_events(relayed(stream_of(HELLO[1:])))
    assert told[0]["type"] == "ping"
    assert told[1]["message"]["id"] == MESSAGE_ID
    assert [event["type"] for event in told[2:]] == [event["type"] for event in HELLO[2:]]


def test_headers_of_the_answer_are_no_event() -> None:
    client = Client()
    client.take([Heading((("request-id", "req_1"),))])
    assert client.sent == b""


def test_nothing_follows_the_end() -> None:
    client = Client()
    client.relay(stream_of(HELLO))
    assert client.emitter.take([Text("x"), Finished("end_turn")]) == []
    assert client.emitter.heartbeat() == []


# -- counts --


def test_counts_are_told_in_the_clients_measure_and_the_rest_of_them_as_they_are() -> None:
    client = Client(scale=Scale(client=200, real=100))
    ending = message_delta(cache_creation={"ephemeral_5m_input_tokens": 3})
    told = read_events(client.relay(stream_of([*HELLO[:-2], ending, MESSAGE_STOP])))
    assert told[0]["message"]["usage"]["cache_read_input_tokens"] == 200
    assert told[-2]["usage"] == {
        "input_tokens": 50,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 0,
        "output_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 3},
    }


def test_counts_of_nothing_stay_in_a_measure_of_their_own() -> None:
    client = Client(scale=Scale(client=200, real=100))
    told = read_events(client.relay(stream_of([message_start(usage={}), *HELLO[1:]])))
    assert told[0]["message"]["usage"] == {}


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 0}])
def test_a_prompt_that_nobody_counted_is_estimated(usage: Json | None) -> None:
    """Zeros would hide the turn from compaction."""
    client = Client(input_tokens=4321)
    events = [message_start(usage=usage), *HELLO[1:-2], message_delta(), MESSAGE_STOP]
    told = read_events(client.relay(stream_of(events)))
    assert told[-2]["usage"]["input_tokens"] == 4321
    assert told[-2]["usage"]["output_tokens"] == 15


# -- byte for byte --

spellings = st.sampled_from([(",", ":"), (", ", ": "), (" ,  ", " :\t")])
extras = st.dictionaries(
    st.sampled_from(["new", "é", "\n"]), st.none() | st.integers() | st.text(max_size=3), max_size=2
)
asides = st.sampled_from(
    [
        b"",
        b"",
        b": keep-alive\n\n",
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b"event: new\ndata: {]\n\n",
        b"\n\n",
    ]
)


@st.composite
def spelt(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A stream in some spelling, and what the client should get of it."""
    events = draw(st.sampled_from([RICH, HELLO]))
    separators, ending = draw(spellings), draw(st.sampled_from(["\n", "\r\n"]))
    space, comment = draw(st.sampled_from(["", " "])), draw(st.sampled_from(["", ": why\n", "id: 7\n"]))
    said = draw(st.text(min_size=1, max_size=5))
    pieces: list[bytes] = []
    for event in events:
        changed = json.loads(json.dumps(event).replace("I look", json.dumps(said)[1:-1]))
        changed |= draw(extras)
        text = json.dumps(changed, separators=separators, ensure_ascii=draw(st.booleans()))
        lines = f"{comment}event: {event['type']}\ndata:{space}{text}\n\n".replace("\n", ending)
        pieces += (lines.encode("utf-8", "replace"), draw(asides))
    data = b"".join(pieces[:-1])
    return data, data.replace(b"claude-opus-4-8-20260801", MODEL.encode())


@settings(max_examples=60)
@given(spelt(), st.lists(st.integers(min_value=0), max_size=8))
def test_but_for_the_models_name_the_client_gets_the_very_bytes_however_they_are_cut(
    streams: tuple[bytes, bytes], cuts: list[int]
) -> None:
    data, expected = streams
    assert relayed(data) == expected
    assert relayed(*pieces_of(data, cuts)) == expected


@settings(max_examples=30)
@given(spelt(), st.integers(min_value=0), st.lists(st.integers(min_value=0), max_size=4))
def test_every_beginning_of_an_answer_ends_in_an_error_and_was_the_providers(
    streams: tuple[bytes, bytes], length: int, cuts: list[int]
) -> None:
    data, expected = streams
    cut = data[: length % data.rindex(b"message_stop")]
    said, mark, rest = relayed(*pieces_of(cut, cuts)).rpartition(b"event: error\n")
    assert mark
    assert read_events(mark + rest)[0]["type"] == "error"
    # What is not whole at the very end gets line ends; before a beginning of theirs there is one of ours.
    assert expected.startswith(said.rstrip(b"\r\n")) or MESSAGE_ID.encode() in said


def test_the_official_client_reads_what_it_would_have_read_from_the_provider() -> None:
    assert final(relayed(stream_of(RICH))) == final(renamed(stream_of(RICH)))


# -- the checker --

OPEN = Passage(b"", "content_block_start", 0, "text")


@pytest.mark.parametrize(
    "events", [[OPEN], [Passage(b"", "message_start"), Passage(b"", "message_stop"), OPEN]]
)
def test_a_provider_has_no_word_before_the_beginning_nor_behind_the_end(events: list[Any]) -> None:
    with pytest.raises(GrammarBroken) as caught:
        Grammar().check(events)
    assert caught.value.kinds[-1].startswith("passage")


def test_what_is_ours_has_to_fit_what_is_theirs() -> None:
    begun = [Passage(b": x\n\n"), Passage(b"", "message_start"), OPEN]
    good: list[Any] = [ContentBlockStop(0), ContentBlockStart(1, ThinkingBlock())]
    Grammar().check([*begun, *good])
    Grammar().check([*begun, ErrorEvent(ErrorBody("api_error", "x"))])
    for bad in (
        [ContentBlockStop(1)],
        [ContentBlockStart(1, TextBlock())],
        [good[0], ContentBlockStart(2, TextBlock())],
    ):
        with pytest.raises(GrammarBroken):
            Grammar().check([*begun, *bad])


def test_a_run_of_passages_is_told_as_one() -> None:
    grammar = Grammar()
    more = Passage(b"", "content_block_delta", 0, "text")
    grammar.check([Passage(b"", "message_start"), OPEN, more, more])
    with pytest.raises(GrammarBroken) as caught:
        grammar.check([ContentBlockStop(4)])
    assert caught.value.kinds == ("passage x 4", "content_block_stop")


def test_a_passage_is_written_as_it_is() -> None:
    ending = ErrorEvent(ErrorBody("api_error", "x"))
    assert encode_frames([Passage(b": x\n\n"), ending]).startswith(b": x\n\nevent: error\n")
