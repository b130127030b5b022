import json
from typing import Any

import msgspec
import pytest
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent
from msgspec import Raw
from pydantic import BaseModel, TypeAdapter

from ccproxy_trio.wire import events as wire
from ccproxy_trio.wire.events import Event, Message, Usage, encode_frame, encode_frames, encode_message

BLOCKS: list[wire.ContentBlock] = [
    wire.TextBlock("hello"),
    wire.ThinkingBlock("hm", "ccpx1.x"),
    wire.RedactedThinkingBlock("ccpx1.y"),
    wire.ToolUseBlock("toolu_1", "Bash", Raw(b'{"command":"ls"}')),
    wire.ServerToolUseBlock("srvtoolu_1", "web_search", Raw(b'{"query":"x"}')),
    wire.WebSearchToolResultBlock("srvtoolu_1", wire.WebSearchError("unavailable")),
    wire.WebSearchToolResultBlock("srvtoolu_1", [wire.WebSearchResult("https://x.test", "X", "abc")]),
]
DELTAS: list[wire.ContentDelta] = [
    wire.TextDelta("x"),
    wire.ThinkingDelta("x"),
    wire.SignatureDelta("x"),
    wire.InputJsonDelta("{}"),
]
REFUSED = wire.Stop(stop_reason="refusal", stop_details=wire.StopDetails(explanation="no"))
COUNTED = Usage(1, 2, 3, 4, wire.OutputTokensDetails(1))
MESSAGE = Message(id="msg_1", model="claude", usage=Usage())
EVENTS: list[Event] = [
    wire.MessageStart(MESSAGE),
    *(wire.ContentBlockStart(0, block) for block in BLOCKS),
    *(wire.ContentBlockDelta(0, delta) for delta in DELTAS),
    wire.ContentBlockStop(0),
    wire.MessageDelta(wire.Stop(stop_reason="stop_sequence", stop_sequence="END"), COUNTED),
    wire.MessageDelta(REFUSED, Usage()),
    wire.MessageStop(),
]


def assert_only_declared(model: BaseModel) -> None:
    """The SDK's types take any extra member; ours must not need that."""
    assert not model.model_extra, model
    for value in vars(model).values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                assert_only_declared(item)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_are_what_the_official_client_declares(event: Event) -> None:
    name, data = encode_frame(event).removesuffix(b"\n\n").split(b"\ndata: ")
    parsed: Any = TypeAdapter(RawMessageStreamEvent).validate_json(data, strict=True)
    assert name == b"event: " + parsed.type.encode()
    assert_only_declared(parsed)
    assert msgspec.json.decode(data, type=Event) == event


def test_a_whole_message_is_what_the_official_client_declares() -> None:
    message = msgspec.structs.replace(
        MESSAGE, content=BLOCKS, stop_reason="refusal", stop_details=REFUSED.stop_details, usage=COUNTED
    )
    assert_only_declared(SdkMessage.model_validate_json(encode_message(message), strict=True))


def test_an_error_event_has_the_envelope_of_the_api() -> None:
    frame = encode_frame(wire.ErrorEvent(wire.ErrorBody("overloaded_error", "Busy\nnow")))
    assert frame == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy\\nnow"}}\n\n'
    )


def test_the_four_counts_are_always_written_and_absent_members_never() -> None:
    usage = json.loads(encode_message(MESSAGE))["usage"]
    assert usage == {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    assert "stop_details" not in json.loads(encode_message(MESSAGE))
    assert b'"stop_sequence":null' in encode_message(MESSAGE)


def test_frames_are_joined_in_order() -> None:
    assert encode_frames(EVENTS) == b"".join(encode_frame(event) for event in EVENTS)
    assert encode_frames([wire.Ping()]) == b'event: ping\ndata: {"type":"ping"}\n\n'
