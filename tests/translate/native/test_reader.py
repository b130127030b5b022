"""What is understood of an answer that is passed on: content, order, end, tokens, and what is no answer."""

import json
from typing import Any

import pytest

from ccproxy_trio.translate.native.reader import MOST_ASIDE_BYTES
from ccproxy_trio.translate.parts import Finished, Heading, content_bearing
from ccproxy_trio.wire.events import OutputTokensDetails, Passage, Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import SseEvent
from tests.translate.native.answering import (
    HELLO,
    MESSAGE_STOP,
    PING,
    THEIR_ID,
    answer,
    delta,
    frame,
    message_delta,
    message_start,
    native_reader,
    parts_of,
    passages,
    read_events,
    relayed,
    start,
    stop,
    stream_of,
    text_block,
    thinking_block,
    tool_block,
)

HEAD = stream_of([message_start()])


def fault_of(*events: Any) -> UpstreamFault:
    """The fault that a stream ends in; an event is a dict, or bytes as they are."""
    reads = [event if isinstance(event, bytes) else frame(event) for event in events]
    with pytest.raises(UpstreamFault) as caught:
        parts_of(b"".join(reads))
    return caught.value


def what_shows(*events: Any) -> list[bool]:
    reader = native_reader()
    shown = []
    for event in (message_start(), *events):
        data = event if isinstance(event, bytes) else frame(event)
        shown.append(any(content_bearing(reader.feed(each)) for each in reader.decoder.feed(data)))
    return shown[1:]


# -- content --


@pytest.mark.parametrize(
    ("event", "shows"),
    [
        (PING, False),
        (b": comment\n\n", False),
        (start(0, {"type": "text", "text": ""}), False),
        (start(0, {"type": "thinking", "thinking": "", "signature": ""}), False),
        (start(0, {"type": "redacted_thinking", "data": "x"}), False),
        (start(0, {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}), True),
        (start(0, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "x", "input": {}}), True),
        (start(0, {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "x", "input": {}}), True),
        (start(0, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}), True),
        (start(0, {"type": "something_new"}), True),
        (start(0, {"type": "text", "text": "said at once"}), True),
        ({"type": "something_new"}, False),
    ],
)
def test_what_commits_to_a_provider(event: Any, shows: bool) -> None:
    assert what_shows(event) == [shows]


@pytest.mark.parametrize(
    ("block", "kind", "shows"),
    [
        ({"type": "text", "text": ""}, "text_delta", True),
        ({"type": "thinking", "thinking": ""}, "thinking_delta", True),
        ({"type": "thinking", "thinking": ""}, "signature_delta", False),
        ({"type": "text", "text": ""}, "citations_delta", False),
    ],
)
def test_a_delta_with_something_to_read_in_it_commits(block: Any, kind: str, shows: bool) -> None:
    assert what_shows(start(0, block), delta(0, kind, ""), delta(0, kind, "x"))[1:] == [False, shows]


def test_of_a_run_of_deltas_one_that_says_something_is_enough() -> None:
    quiet, said = frame(delta(0, "text_delta", "")), frame(delta(0, "text_delta", "x"))
    assert what_shows(start(0, {"type": "text", "text": ""}), quiet * 3)[1:] == [False]
    assert what_shows(start(0, {"type": "text", "text": ""}), quiet + said + quiet)[1:] == [True]


def test_deltas_that_come_together_are_one_passage() -> None:
    data = stream_of(answer(text_block(0, *"several words")))
    assert sum(part.act == "content_block_delta" for part in passages(parts_of(data))) == 1
    assert sum(part.act == "content_block_delta" for part in passages(parts_of(*_singles(data)))) == 13


def _singles(data: bytes) -> list[bytes]:
    return [piece + b"\n\n" for piece in data.split(b"\n\n")[:-1]]


def test_pings_and_empty_deltas_are_no_progress_and_everything_else_is() -> None:
    reader = native_reader()
    counts = []
    events = [
        message_start(),
        PING,
        start(0, {"type": "thinking", "thinking": ""}),
        delta(0, "thinking_delta", ""),
        delta(0, "thinking_delta", "x"),
        delta(0, "thinking_delta", ""),
        PING,
        delta(0, "signature_delta", "x"),
        stop(0),
        {"type": "something_new"},
        start(1, {"type": "text", "text": ""}),
        delta(1, "text_delta", "x"),
        delta(1, "text_delta", "x"),
        delta(1, "text_delta", ""),
    ]
    for event in events:
        for each in reader.decoder.feed(frame(event)):
            reader.feed(each)
        counts.append(reader.progress)
    assert counts == [0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 6, 7, 7]


def test_what_an_empty_delta_may_follow() -> None:
    blocks = [
        *thinking_block(0, "hm"),
        *text_block(1, "x"),
        *tool_block(2, "Read", "{}"),
        start(3, {"type": "web_search_tool_result", "content": []}),
        stop(3),
    ]
    reads = [frame(event) for event in answer(blocks)]
    told = [(part.act, part.takes) for part in passages(parts_of(*reads)) if part.act.startswith("content_")]
    takes = [
        "thinking",
        "thinking",
        None,
        None,
        "text",
        "text",
        None,
        "tool_use",
        "tool_use",
        None,
        None,
        None,
    ]
    assert [taken for _, taken in told] == takes


# -- the end --


def test_the_last_part_tells_how_it_ended_and_what_it_cost() -> None:
    ending = message_delta(
        "max_tokens",
        cache_creation_input_tokens=7,
        server_tool_use={"web_search_requests": 1},
        output_tokens_details={"thinking_tokens": 4},
    )
    events = [message_start(), *text_block(0, "x"), ending, MESSAGE_STOP]
    finished = parts_of(stream_of(events))[-1]
    usage = Usage(25, 15, 7, 100, output_tokens_details=OutputTokensDetails(4))
    assert finished == Finished("max_tokens", usage=usage)


@pytest.mark.parametrize(
    ("began", "ended", "usage"),
    [
        ({}, {"output_tokens": 3}, Usage(0, 3)),
        (None, {"input_tokens": 5, "output_tokens": 3}, Usage(5, 3)),
        ({"input_tokens": 5, "output_tokens": 1}, None, Usage(5, 1)),
        ({"input_tokens": 5}, {"input_tokens": None, "output_tokens": "3"}, Usage(5)),
        ({"input_tokens": -5}, {"output_tokens": 3.0}, Usage(0, 3)),
        ("none", 7, None),
        ({"input_tokens": 10**30}, {}, Usage(10**12)),
    ],
)
def test_totals_overwrite_what_was_told_before_and_nonsense_tells_nothing(
    began: Any, ended: Any, usage: Usage | None
) -> None:
    events = [
        message_start(usage=began),
        *text_block(0, "x"),
        message_delta() | {"usage": ended},
        MESSAGE_STOP,
    ]
    finished = parts_of(stream_of(events))[-1]
    assert isinstance(finished, Finished)
    assert finished.usage == usage


@pytest.mark.parametrize("length", range(1, len(HELLO)))
def test_a_stream_that_ends_before_its_end_is_truncated(length: int) -> None:
    assert fault_of(*HELLO[:length]).kind is FaultKind.TRUNCATED


def test_a_body_of_nothing_is_truncated() -> None:
    assert fault_of().kind is FaultKind.TRUNCATED


def test_nothing_counts_behind_the_end() -> None:
    data = stream_of(HELLO)
    assert relayed(data + b"data: [DONE]\n\n: x\n\n" + frame(delta(9, "text_delta", "x"))) == relayed(data)
    reader = native_reader()
    for each in reader.decoder.feed(data):
        reader.feed(each)
    assert reader.finished
    assert reader.finish_seen
    assert reader.feed(reader.decoder.feed(frame(delta(0, "text_delta", "x")))[0]) == []


def test_only_the_end_ends_an_answer() -> None:
    reader = native_reader()
    for each in reader.decoder.feed(stream_of(HELLO[:-1])):
        reader.feed(each)
    assert not reader.finish_seen


@pytest.mark.parametrize(
    "block",
    [[], text_block(0), text_block(0, ""), thinking_block(0, ""), [start(0, {"type": "redacted_thinking"})]],
)
@pytest.mark.parametrize("reason", ["end_turn", "tool_use", None])
def test_an_answer_without_anything_to_show_is_empty(block: Any, reason: str | None) -> None:
    assert fault_of(*answer(block, reason=reason)).kind is FaultKind.EMPTY


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "pause_turn", "stop_sequence", "something_new"])
def test_an_answer_may_be_empty_for_a_reason(reason: str) -> None:
    *_, last = parts_of(stream_of(answer(reason=reason)))
    known = reason if reason != "something_new" else "end_turn"
    assert last == Finished(known, usage=Usage(25, 15, 0, 100))  # type: ignore[arg-type]


def test_an_empty_answer_can_be_given_all_the_same() -> None:
    reader = native_reader()
    reader.begin({"request-id": "req_1"})
    data = stream_of(answer(thinking_block(0, "")))
    with pytest.raises(UpstreamFault):
        parts_of(data, reader=reader)
    conceded = reader.concede()
    assert isinstance(conceded[0], Heading)
    assert isinstance(conceded[-1], Finished)
    assert b"".join(part.raw for part in passages(conceded)) == data


# -- headers --


def test_the_providers_headers_come_before_its_first_event() -> None:
    reader = native_reader()
    reader.begin({"request-id": "req_1", "server": "x", "anthropic-ratelimit-requests-limit": "5"})
    parts = parts_of(stream_of(HELLO), reader=reader)
    assert parts[0] == Heading((("request-id", "req_1"), ("anthropic-ratelimit-requests-limit", "5")))
    assert not any(isinstance(part, Heading) for part in parts[1:])
    assert not content_bearing(parts[:1])


# -- faults --


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", FaultKind.OVERLOADED),
        ("rate_limit_error", FaultKind.RATE_LIMITED),
        ("authentication_error", FaultKind.AUTH),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_an_error_event_is_a_fault_by_its_type(kind: str, expected: FaultKind, named: bool) -> None:
    payload = json.dumps({"type": "error", "error": {"type": kind, "message": "Not now"}}).encode()
    name = b"event: error\n" if named else b""
    fault = fault_of(*HELLO[:4], name + b"data: " + payload + b"\n\n")
    assert (fault.kind, fault.message) == (expected, "Not now")


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"error":{"message":"Not now"}}\n\n',
        b'data: {"error":{"message":"Not now"},"type":"exception"}\n\n',
        b'data: {"message":"Not now"}\n\n',
        b"event: error\ndata: Not now\n\n",
        b'{"type":"error","error":{"message":"Not now"}}\n\n',
    ],
)
def test_an_error_is_seen_in_whatever_form(raw: bytes) -> None:
    assert fault_of(message_start(), raw).message == "Not now"


@pytest.mark.parametrize(
    "events",
    [
        [message_start(), delta(0, "text_delta", "x")],
        [*HELLO[:4], delta(1, "text_delta", "x")],
        [*HELLO[:4], delta(0, "thinking_delta", "x")],
        [*HELLO[:4], delta(0, "input_json_delta", "x")],
        [message_start(), *tool_block(0, "Read")[:1], delta(0, "text_delta", "x")],
        [*HELLO[:3], frame(delta(0, "text_delta", "x")) * 2 + frame(delta(0, "signature_delta", "x"))],
        [message_start(), b"event: content_block_start\ndata: {\n\n"],
        [message_start(), b"event: content_block_start\ndata: {}\n\n"],
        [
            *HELLO[:3],
            b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"x}\n\n',
        ],
        [
            *HELLO[:3],
            b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"\xff"}}\n\n',
        ],
        [*HELLO[:3], b"event: content_block_delta\ndata: {}\n\n" * 2],
        [b"event: message_start\ndata: []\n\n"],
        [*HELLO[:-1], b'event: message_stop\ndata: {"type":"mess'],
        [b"event: content_block_stop\ndata: 7\n\n"],
        [b"event: message_delta\ndata: " + b"[" * 5000 + b"\n\n"],
        [b'data: {"id":"chatcmpl-1","object":"chunk","choices":[{"delta":{"content":"x"}}]}\n\n'],
        [b"data: {}\n\n"],
        [b"data: <html>\n\n"],
    ],
)
def test_what_claude_code_would_throw_away_is_a_fault(events: list[Any]) -> None:
    assert fault_of(*events).kind is FaultKind.PROTOCOL


def test_only_frames_can_be_passed_on() -> None:
    with pytest.raises(TypeError):
        native_reader().feed(SseEvent("ping", b"{}"))


# -- what is mended --


def test_events_without_a_name_get_one() -> None:
    data = stream_of(HELLO)
    bare = b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"event"))
    assert relayed(bare) == relayed(data)
    assert relayed(data.replace(b"event: content_block_delta", b"event: message")) == relayed(data)


def test_a_message_in_an_event_stream_is_told_as_events() -> None:
    body = json.dumps(
        {**message_start()["message"], "content": [{"type": "text", "text": "Hello"}]}, indent=1
    )
    events = read_events(relayed(body.encode() + b"\n\n"))
    assert [event["type"] for event in events] == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]


def test_a_byte_order_mark_is_gone() -> None:
    assert relayed(b"\xef\xbb\xbf" + stream_of(HELLO)) == relayed(stream_of(HELLO))


@pytest.mark.parametrize(
    "members", [{}, {"id": None}, {"id": ""}, {"id": "msg_"}, {"id": "chatcmpl-1"}, {"id": 7, "usage": None}]
)
def test_what_a_message_needs_is_put_in(members: Any) -> None:
    event = {"type": "message_start", "message": members}
    (told, *_) = read_events(relayed(stream_of([event, *HELLO[1:]])))
    message = told["message"]
    assert message["id"].startswith("msg_aaa")
    assert (message["type"], message["role"], message["content"]) == ("message", "assistant", [])
    assert (message["stop_reason"], message["stop_sequence"]) == (None, None)
    assert message["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_a_message_start_that_comes_again_has_the_same_id() -> None:
    again = message_start(id="other")
    first, second = (
        event["message"]["id"]
        for event in read_events(relayed(stream_of([again, again, *HELLO[1:]])))
        if event["type"] == "message_start"
    )
    assert first == second
    assert first.startswith("msg_aaa")
    first, second = (
        event["message"]["id"]
        for event in read_events(relayed(stream_of([message_start(), again, *HELLO[1:]])))
        if event["type"] == "message_start"
    )
    assert first == second == THEIR_ID


def test_ids_of_calls_are_ours_where_they_may_come_again() -> None:
    blocks = [
        tool_block(0, "Read", id="call_0"),
        tool_block(1, "Read", id="call_0"),
        tool_block(2, "Read", id="toolu_1"),
        tool_block(3, "Read", id="toolu_1"),
        [start(4, {"type": "server_tool_use", "id": "ws_1", "name": "web_search", "input": {}}), stop(4)],
        [start(5, {"type": "web_search_tool_result", "tool_use_id": "ws_1", "content": []}), stop(5)],
        [
            start(6, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}),
            stop(6),
        ],
        [start(7, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}), stop(7)],
        [start(8, {"type": "mcp_tool_use", "name": "x", "input": {}}), stop(8)],
        [start(9, {"type": "web_search_tool_result", "tool_use_id": "unheard", "content": []}), stop(9)],
    ]
    told = [
        event["content_block"]
        for event in read_events(relayed(stream_of(answer(*blocks))))
        if "content_block" in event
    ]
    ids = [block.get("id", block.get("tool_use_id")) for block in told]
    assert ids[2] == "toolu_1"
    assert ids[6] == ids[7] == "srvtoolu_1"
    assert ids[4] == ids[5]
    assert ids[9] == "unheard"
    assert [value.split("_")[0] for value in ids[:-1]] == [
        *("toolu", "toolu", "toolu", "toolu", "srvtoolu", "srvtoolu", "srvtoolu", "srvtoolu", "mcptoolu"),
    ]
    assert len({ids[0], ids[1], ids[2], ids[3], ids[8]}) == 5


def test_a_block_that_was_not_stopped_is_stopped_at_the_end() -> None:
    events = [event for event in HELLO if event["type"] != "content_block_stop"]
    assert read_events(relayed(stream_of(events))) == read_events(relayed(stream_of(HELLO)))
    without_totals = [event for event in events if event["type"] != "message_delta"]
    assert [event["type"] for event in read_events(relayed(stream_of(without_totals)))][-2:] == [
        "content_block_stop",
        "message_stop",
    ]


def test_a_stop_without_a_block_is_left_out() -> None:
    events = [*HELLO[:-2], stop(0), stop(7), *HELLO[-2:]]
    assert relayed(stream_of(events)) == relayed(stream_of(HELLO))


def test_text_that_comes_with_the_start_of_its_block_is_told_as_a_delta() -> None:
    block = [
        start(0, {"type": "text", "text": "Hello", "citations": None}),
        delta(0, "text_delta", " world"),
        stop(0),
    ]
    told = read_events(relayed(stream_of(answer(block))))
    assert told[2]["content_block"] == {"type": "text", "text": "", "citations": None}
    assert [event["delta"]["text"] for event in told if event["type"] == "content_block_delta"] == [
        "Hello",
        " world",
    ]


def test_an_input_that_comes_with_the_start_alone_is_told_as_a_delta() -> None:
    given = start(0, {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "é", "n": 1}})
    empty, whole = delta(0, "input_json_delta", ""), delta(0, "input_json_delta", "{}")
    for events, expected in (
        ([given, stop(0)], ['{"path":"é","n":1}']),
        ([given, empty, stop(0)], ["", '{"path":"é","n":1}']),
        ([given, whole, whole, stop(0)], ["{}", "{}"]),
    ):
        told = read_events(relayed(stream_of(answer(events))))
        assert [e["delta"]["partial_json"] for e in told if e["type"] == "content_block_delta"] == expected


# -- what passes --


@pytest.mark.parametrize(
    "oddity",
    [
        frame({"type": "something_new", "index": 0}),
        b"event: something_new\ndata: not even JSON\n\n",
        b'event: something_new\ndata: {"error":{"message":"x"}}\n\n',
        b'data: {"type":"something_new"}\n\n',
        b"data: [DONE]\n\n",
        b": a comment\n\n",
        b"event: ping\n\n",
        b"event: ping\ndata:\n\n",
        b"retry: 3000\n\n",
        b"\n",
        frame(message_start()),
    ],
)
@pytest.mark.parametrize("place", range(len(HELLO)))
def test_harmless_oddities_pass_as_they_came(oddity: bytes, place: int) -> None:
    data = stream_of(HELLO[:place]) + oddity + stream_of(HELLO[place:])
    if place == 0 and oddity == frame(message_start()):
        return  # only the first
    expected = data.replace(b"claude-opus-4-8-20260801", b"claude-opus-4-8")
    assert relayed(data) == expected


@pytest.mark.parametrize(
    "events",
    [
        answer(text_block(3, "x"), text_block(9, "y")),
        answer(text_block(0, "x"), text_block(0, "y")),
        [message_start(), *text_block(0, "x"), MESSAGE_STOP],
        [message_start(), *text_block(0, "x"), {"type": "message_delta"}, MESSAGE_STOP],
        answer(
            [*text_block(0, "x")[:2], *text_block(1, "y")[:2], delta(0, "text_delta", "z"), stop(0), stop(1)]
        ),
        answer([*text_block(0, "x"), delta(0, "text_delta", "late")]),
        answer(
            [start(0, {"type": "something_new"}), delta(0, "text_delta", "x"), stop(0)], text_block(1, "x")
        ),
        answer([start(0, {}), stop(0)], text_block(1, "x")),
        answer([*text_block(0, "x")[:2], delta(0, "something_new", "x"), stop(0)]),
        answer(text_block(0, "x"), [message_delta()], text_block(1, "x")),
    ],
)
def test_what_claude_code_takes_is_passed_on_as_it_came(events: list[Any]) -> None:
    data = stream_of(events)
    expected = data.replace(b"claude-opus-4-8-20260801", b"claude-opus-4-8")
    told = read_events(relayed(data))
    assert told == read_events(expected) or [e for e in events if e == {"type": "message_delta"}]


def test_half_characters_pass() -> None:
    half = (
        rb"event: content_block_delta"
        + b"\n"
        + rb'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}'
        + b"\n\n"
    )
    data = stream_of(HELLO[:4]) + half + half * 2 + stream_of(HELLO[4:])
    assert half * 3 in relayed(data)


def test_of_keep_alives_without_end_not_all_are_kept() -> None:
    reader = native_reader()
    ping = b": " + b"x" * 1000 + b"\n\n"
    kept = 0
    for each in reader.decoder.feed(HEAD + ping * 2000):
        kept += sum(len(part.raw) for part in passages(reader.feed(each)))
    assert kept <= MOST_ASIDE_BYTES + len(HEAD)
    for each in reader.decoder.feed(stream_of(text_block(0, "x")[:2])):
        reader.feed(each)
    (part,) = reader.feed(reader.decoder.feed(ping)[0])
    assert isinstance(part, Passage)
    assert part.raw == ping


@pytest.mark.parametrize(
    "bad", [b"event: content_block_delta\ndata: {\n\n", frame(delta(7, "text_delta", "x"))]
)
def test_what_came_before_a_fault_is_said_however_the_network_cut_the_bytes(bad: bytes) -> None:
    good = frame(delta(0, "text_delta", "x"))
    for reads in ([good * 2 + bad + good], [good * 2, bad + good], [good, good, bad, good]):
        reader = native_reader()
        for each in reader.decoder.feed(stream_of(HELLO[:3])):
            reader.feed(each)
        said, fault = b"", None
        try:
            for data in reads:
                for each in reader.decoder.feed(data):
                    said += b"".join(part.raw for part in passages(reader.feed(each)))
            reader.end()
        except UpstreamFault as caught:
            fault = caught.kind
        assert fault is FaultKind.PROTOCOL
        assert said == good * 2
