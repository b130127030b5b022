"""What the goldens do not say of answers on the Responses wire: liveness, ends, kinds of faults."""

import json
from typing import Any

import pytest

from ccproxy_trio.translate.parts import Finished, Text, ToolStart, content_bearing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import SseEvent
from tests.support.answers import parts_of, read_stream, reader_of
from tests.translate.responses.asking import completed, event, frames, text_delta

ITEM = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "Bash", "arguments": ""}


def reader(**switches: Any) -> Any:
    return reader_of(wire="responses", **switches)


def fault_of(*events: SseEvent, whole: bytes | None = None) -> UpstreamFault:
    read = reader()
    with pytest.raises(UpstreamFault) as raised:
        parts_of(read, events) if whole is None else read.feed_completion(whole)
    return raised.value


def test_nothing_is_waited_for_once_the_response_has_ended() -> None:
    read = reader()
    read.begin({})
    assert read.feed(text_delta("hello")) == [*read_signature(), Text("hello")]
    assert not read.finish_seen
    read.feed(completed())
    assert read.finish_seen
    assert read.finished
    assert read.feed(text_delta("more")) == []


def read_signature() -> list[Any]:
    """What stands in front of the first content."""
    return reader().feed(text_delta("x"))[:-1]


def test_done_ends_the_reading_but_not_the_answer() -> None:
    read = reader()
    read.feed(text_delta("hello"))
    assert read.feed(SseEvent(None, b"[DONE]")) == []
    assert (read.finished, read.finish_seen) == (True, False)
    with pytest.raises(UpstreamFault) as raised:
        read.end()
    assert raised.value.kind is FaultKind.TRUNCATED


def test_reasoning_that_shows_nothing_is_a_sign_of_life() -> None:
    read = reader()
    for kind in ("response.output_item.added", "response.output_item.done"):
        before = read.progress
        assert read.feed(event(kind, output_index=0, item=ITEM)) == []
        assert read.progress > before
    before = read.progress
    read.feed(event("keepalive"))
    read.feed(SseEvent(None, b"  "))
    assert read.progress == before


def test_thinking_that_is_not_shown_is_a_sign_of_life() -> None:
    read = reader(show_thinking=False)
    before = read.progress
    assert read.feed(event("response.reasoning_summary_text.delta", output_index=0, delta="hm")) == []
    assert read.progress > before


@pytest.mark.parametrize(
    "first",
    [
        [text_delta("a")],
        [event("response.output_item.done", output_index=0, item=ITEM), text_delta("a", 1)],
        [
            event("response.output_item.done", output_index=0, item=ITEM),
            event("response.output_item.done", output_index=1, item=CALL),
        ],
        [event("response.output_item.done", output_index=0, item={**ITEM, "summary": [{"text": "a"}]})],
    ],
)
def test_the_first_parts_are_content(first: list[SseEvent]) -> None:
    read = reader()
    given = [parts for each in first if (parts := read.feed(each))]
    assert content_bearing(given[0])


def test_a_call_is_shown_as_soon_as_its_arguments_begin() -> None:
    read = reader()
    begun = {**CALL, "status": "in_progress"}
    assert read.feed(event("response.output_item.added", output_index=0, item=begun)) == []
    shown = read.feed(event("response.function_call_arguments.delta", output_index=0, delta='{"a'))
    assert [part.name for part in shown if isinstance(part, ToolStart)] == ["Bash"]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("rate_limit_exceeded", "Rate limit reached", FaultKind.RATE_LIMITED),
        ("server_error", "The server had an error", FaultKind.UPSTREAM_ERROR),
        ("context_length_exceeded", "Your input exceeds the context window", FaultKind.CONTEXT_OVERFLOW),
        ("insufficient_quota", "You exceeded your current quota", FaultKind.QUOTA),
        ("content_filter", "The prompt was filtered", FaultKind.CONTENT_POLICY),
        ("invalid_api_key", "Incorrect API key provided", FaultKind.AUTH),
    ],
)
def test_failures_are_told_apart_by_their_codes(code: str, message: str, kind: FaultKind) -> None:
    error = {"code": code, "message": message}
    assert fault_of(event("response.failed", response={"status": "failed", "error": error})).kind is kind
    assert fault_of(event("error", **error)).kind is kind
    assert fault_of(event("error", error=error)).kind is kind
    assert (
        fault_of(event("response.created", response={}), SseEvent("error", json.dumps(error).encode())).kind
        is kind
    )
    assert fault_of(whole=json.dumps({"error": error}).encode()).kind is kind


def test_a_response_that_was_cancelled_is_no_answer() -> None:
    for told in ({"status": "cancelled"}, {}):
        assert fault_of(event("response.cancelled", response=told)).kind is FaultKind.UPSTREAM_ERROR


def test_a_wait_that_a_failure_names_is_read() -> None:
    error = {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 2s."}
    assert fault_of(event("response.failed", response={"error": error})).retry_after == 2.0


def test_an_error_event_that_is_no_json_is_quoted() -> None:
    assert fault_of(SseEvent("error", b"upstream died")).message == "upstream died"


@pytest.mark.parametrize(
    "payload",
    [b"<html>", b"[1]", b'"text"', b'{"type":"response.output_text.delta","delta":{}}', b'{"a":"\xff"}'],
)
def test_what_is_no_event_is_a_fault(payload: bytes) -> None:
    assert fault_of(SseEvent(None, payload)).kind is FaultKind.PROTOCOL


def test_a_whole_body_that_is_no_text_is_a_fault() -> None:
    call = b'{"type":"function_call","name":"X","arguments":"\xff"}'
    assert fault_of(whole=b'{"output":[' + call + b"]}").kind is FaultKind.PROTOCOL


@pytest.mark.parametrize(
    "event_",
    [
        event("response.output_item.added"),
        event("response.output_item.done", item=None),
        event("response.output_item.done", item={"type": ["message"]}),
        event("response.output_item.done", item={"type": "image_generation_call", "summary": 5, "name": []}),
        event("response.completed"),
        event("response.in_progress", response=7),
        SseEvent(None, b"{}"),
        SseEvent("ping", b"{}"),
    ],
)
def test_what_is_not_read_may_be_of_any_shape(event_: SseEvent) -> None:
    parts = parts_of(reader(), [text_delta("a"), event_, completed()])
    assert [part.text for part in parts if isinstance(part, Text)] == ["a"]


@pytest.mark.parametrize("member", ["message", "detail", "errors"])
def test_an_error_without_a_wrapping_is_one(member: str) -> None:
    assert fault_of(SseEvent(None, json.dumps({member: "oops"}).encode())).kind is FaultKind.UPSTREAM_ERROR
    assert fault_of(whole=b'{"object":"error"}').kind is FaultKind.UPSTREAM_ERROR


def test_blanks_for_an_error_are_none() -> None:
    parts = parts_of(reader(), [text_delta("a"), completed(error={"code": None, "message": ""})])
    assert isinstance(parts[-1], Finished)


def test_an_empty_answer_can_be_conceded() -> None:
    read = reader()
    read.feed(completed())
    with pytest.raises(UpstreamFault) as raised:
        read.end()
    assert raised.value.kind is FaultKind.EMPTY
    assert read.concede()[-1] == Finished("end_turn")


def test_the_last_event_may_be_larger_than_others_may() -> None:
    """It repeats the whole prompt: instructions, tools, and the answer."""
    data = frames([text_delta("a"), completed(instructions="x" * 2**21)])
    assert isinstance(read_stream(reader(), [data])[-1], Finished)


def call_item(number: int) -> dict[str, Any]:
    name = f"f{number}"
    return {"type": "function_call", "id": f"fc_{number}", "call_id": name, "name": name, "arguments": "{}"}


def test_what_only_the_end_tells_of_is_taken_beside_what_was_told_before_it() -> None:
    told = event("response.output_item.done", output_index=1, item=call_item(2))
    parts = parts_of(reader(), [told, completed(output=[call_item(1), call_item(2)])])
    assert sorted(part.name for part in parts if isinstance(part, ToolStart)) == ["f1", "f2"]
