"""Answers without a stream: on the provider's side, on the client's, and on both."""

import json
from typing import Any

import pytest

from ccproxy_trio.translate.native.fold import fold_frames
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.support.answer_validation import message_violations
from tests.support.answers import MODEL
from tests.translate.native.answering import (
    HELLO,
    THEIR_ID,
    THEIR_MODEL,
    Client,
    Json,
    answer,
    delta,
    message_delta,
    message_start,
    native_reader,
    read_events,
    relayed,
    start,
    stop,
    stream_of,
    text_block,
    thinking_block,
    tool_block,
)

RICH: Json = {
    "id": THEIR_ID,
    "type": "message",
    "role": "assistant",
    "model": THEIR_MODEL,
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "Eo8B"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "It says é", "citations": [{"type": "char_location", "cited_text": "é"}]},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "x", "deep": {"n": 10**30}}},
        {"type": "tool_use", "id": "toolu_2", "name": "Now", "input": {}},
        {"type": "something_new", "with": ["what", None]},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "container": {"id": "container_1"},
    "context_management": {"applied_edits": []},
    "usage": {"input_tokens": 25, "output_tokens": 15, "cache_creation": {"ephemeral_5m_input_tokens": 0}},
    "something_new": 7,
}


def folded(data: bytes) -> Json:
    """The message that a client gets which asked without `stream`."""
    message: Json = json.loads(fold_frames(relayed(data)))
    return message


def whole(body: Json | bytes, **switches: Any) -> bytes:
    """The frames that a client gets of a body that came whole."""
    reader, client = native_reader(), Client(**switches)
    data = body if isinstance(body, bytes) else json.dumps(body, indent=1).encode()
    client.take(reader.feed_completion(data))
    client.take(reader.end())
    return client.sent


def fault_of(body: Json | bytes) -> UpstreamFault:
    with pytest.raises(UpstreamFault) as caught:
        whole(body)
    return caught.value


def test_a_message_keeps_every_member_whether_it_is_streamed_in_between_or_not() -> None:
    told = json.loads(fold_frames(whole(RICH)))
    assert told == RICH | {"model": MODEL}
    assert list(told)[:4] == ["id", "type", "role", "model"]


def test_a_message_for_a_client_that_reads_along_is_a_stream_like_any_other() -> None:
    events = read_events(whole(RICH))
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert starts[3]["input"] == {}
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert kinds == [
        *("thinking_delta", "signature_delta", "text_delta", "input_json_delta", "input_json_delta"),
    ]
    ending = {"stop_reason": "tool_use", "stop_sequence": None, "container": {"id": "container_1"}}
    assert events[-2]["delta"] == ending
    assert events[-2]["context_management"] == {"applied_edits": []}


def test_a_stream_under_another_content_type_is_read_as_one() -> None:
    assert whole(b"\xef\xbb\xbf" + stream_of(HELLO)) == relayed(stream_of(HELLO))
    assert fault_of(stream_of(HELLO[:-1])).kind is FaultKind.TRUNCATED


def test_a_message_of_blanks_is_empty_and_can_be_given_all_the_same() -> None:
    body = RICH | {"content": [], "stop_reason": "end_turn"}
    reader, client = native_reader(), Client()
    reader.feed_completion(json.dumps(body).encode())
    with pytest.raises(UpstreamFault) as caught:
        reader.end()
    assert caught.value.kind is FaultKind.EMPTY
    client.take(reader.concede())
    assert json.loads(fold_frames(client.sent)) == body | {"model": MODEL}


@pytest.mark.parametrize("content", [None, "text", 7])
def test_content_that_is_no_list_is_none(content: Any) -> None:
    assert fault_of(RICH | {"content": content, "stop_reason": "end_turn"}).kind is FaultKind.EMPTY


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"<html><title>502 Bad Gateway</title></html>", FaultKind.PROTOCOL, "cannot be read"),
        (b"", FaultKind.TRUNCATED, "broke off"),
        (b"[]", FaultKind.PROTOCOL, "cannot be read"),
        (b"{}", FaultKind.PROTOCOL, "not one of the Messages API"),
        (b'{"object":"chat.completion","choices":[]}', FaultKind.PROTOCOL, "not one of the Messages API"),
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}',
            FaultKind.OVERLOADED,
            "Busy",
        ),
        (b'{"error":{"type":"rate_limit_error","message":"Busy"}}', FaultKind.RATE_LIMITED, "Busy"),
        (b'{"detail":"Busy"}', FaultKind.UPSTREAM_ERROR, "Busy"),
        (b'{"error":"Busy"}', FaultKind.UPSTREAM_ERROR, "Busy"),
        (b'{"type":"message","content":[7]}', FaultKind.PROTOCOL, "cannot be read"),
        (b'{"type":"something_new"}', FaultKind.TRUNCATED, "broke off"),
    ],
)
def test_a_body_that_is_no_message_is_a_fault(body: bytes, kind: FaultKind, text: str) -> None:
    fault = fault_of(body)
    assert fault.kind is kind
    assert text in fault.message


def test_what_deltas_say_is_put_together() -> None:
    citation = {"type": "char_location", "cited_text": "x"}
    cited = {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "citations_delta", "citation": citation},
    }
    compacted = {"type": "compaction_delta", "content": "short", "encrypted_content": "y"}
    blocks = [
        *thinking_block(0, "hm"),
        *[
            start(1, {"type": "text", "text": ""}),
            delta(1, "text_delta", "a"),
            cited,
            delta(1, "text_delta", "é"),
        ],
        *[cited, stop(1)],
        *tool_block(2, "Read", '{"pa', 'th":"x"}'),
        *tool_block(3, "Read", '{"broken', id="toolu_3"),
        *tool_block(4, "Now", "", id="toolu_4"),
        *[
            start(5, {"type": "compaction", "content": None}),
            {**cited, "index": 5, "delta": compacted},
            stop(5),
        ],
        *[start(6, {"type": "text", "text": "", "citations": []}), {**cited, "index": 6}, stop(6)],
        *[
            start(7, {"type": "text", "text": ""}),
            {**cited, "index": 7, "delta": {"type": "new", "text": "x"}},
            stop(7),
        ],
        *[
            start(8, {"type": "text", "text": ""}),
            {**cited, "index": 8, "delta": {"type": "citations_delta"}},
            stop(8),
        ],
    ]
    content = folded(stream_of(answer(blocks)))["content"]
    assert content[:3] == [
        {"type": "thinking", "thinking": "hm", "signature": "Eo8BCkYIBxgC"},
        {"type": "text", "text": "aé", "citations": [citation, citation]},
        {"type": "tool_use", "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "name": "Read", "input": {"path": "x"}},
    ]
    assert content[3]["input"] == {"__unparsedToolInput": {"raw": '{"broken', "len": 8}}
    assert content[4]["input"] == {}
    assert content[5] == {"type": "compaction", "content": "short", "encrypted_content": "y"}
    assert content[6]["citations"] == [citation]
    assert content[7:] == [{"type": "text", "text": ""}] * 2


def test_blocks_of_the_same_number_are_blocks_of_their_own() -> None:
    content = folded(stream_of(answer(text_block(0, "a"), text_block(0, "b"))))["content"]
    assert [block["text"] for block in content] == ["a", "b"]


def test_the_end_overwrites_what_it_tells_and_nothing_else() -> None:
    began = {"input_tokens": 25, "output_tokens": 1, "service_tier": "standard", "server_tool_use": None}
    ending = message_delta("refusal", input_tokens=None, server_tool_use={"web_search_requests": 1})
    nothing = {"type": "message_delta", "usage": None}
    ending["delta"] |= {"stop_details": {"type": "refusal"}, "container": None}
    events = [message_start(usage=began), message_start(id="again"), *text_block(0, "x")]
    told = folded(stream_of([*events, nothing, ending | {"new": 1}, HELLO[-1]]))
    counted = {"input_tokens": 25, "output_tokens": 15, "service_tier": "standard"}
    assert told["usage"] == counted | {"server_tool_use": {"web_search_requests": 1}}
    assert (told["id"], told["stop_reason"], told["new"]) == (THEIR_ID, "refusal", 1)
    assert told["stop_details"] == {"type": "refusal"}
    assert told["container"] is None


def test_a_plain_answer_is_one_of_the_official_types() -> None:
    told = folded(stream_of(HELLO))
    assert message_violations(json.dumps(told)) == []
    assert [block["text"] for block in told["content"]] == ["Hello world"]


def test_half_characters_become_whole_ones() -> None:
    data = stream_of(answer(text_block(0, "HALF"))).replace(b"HALF", rb"\ud83d")
    assert folded(data)["content"] == [{"type": "text", "text": "\ufffd"}]


@pytest.mark.parametrize("data", [b"", stream_of(HELLO[:-1]), stream_of(HELLO[-1:])])
def test_what_is_not_whole_is_not_folded(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a whole answer"):
        fold_frames(data)


def test_an_answer_that_begins_with_ours_is_folded_too() -> None:
    client = Client()
    client.show(client.emitter.open())
    assert json.loads(fold_frames(client.relay(stream_of(HELLO))))["model"] == MODEL
