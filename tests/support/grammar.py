"""What a client of the Messages API may be sent: a checker that shares no code with what it checks.

Written from the API's description of streams and from what the real Claude Code was seen to reject: it reads
frames as bytes and events as plain JSON.
"""

import json
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_STOP_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}
_GROWTH = {  # block type -> its delta's type and member, its own member
    "text": ("text_delta", "text", "text"),
    "thinking": ("thinking_delta", "thinking", "thinking"),
    "tool_use": ("input_json_delta", "partial_json", "input"),
    "server_tool_use": ("input_json_delta", "partial_json", "input"),
}


def read_frames(data: bytes) -> list[Json]:
    """The events in `data`, which must consist of whole frames in the one form that Claude Code reads."""
    assert data == b"" or data.endswith(b"\n\n"), "the last frame is not complete"
    events = []
    for frame in data.split(b"\n\n")[:-1]:
        name, separator, payload = frame.partition(b"\ndata: ")
        assert separator, f"no data line: {frame!r}"
        assert name.startswith(b"event: "), f"no event line: {frame!r}"
        assert b"\n" not in payload, f"data over more than one line: {frame!r}"
        assert b"\r" not in payload, f"a bare carriage return ends a line: {frame!r}"
        event = json.loads(payload)
        assert event["type"] == name.removeprefix(b"event: ").decode(), f"name and type differ: {frame!r}"
        events.append(event)
    return events


class Story:
    """What a checked stream told. `blocks` are whole content blocks, a tool's input as its JSON text.

    `open` is the type of the block that was left open (only before an error). `quiet` counts empty deltas.
    """

    def __init__(self) -> None:
        self.blocks: list[Json] = []
        self.open: str | None = None
        self.message: Json | None = None
        self.stop: Json | None = None
        self.usage: Json | None = None
        self.error: Json | None = None
        self.over = False
        self.quiet = 0

    def of(self, kind: str) -> str:
        """All that the blocks of one type said, one after the other."""
        own = _GROWTH[kind][2]
        return "".join(block[own] for block in self.blocks if block["type"] == kind)

    @property
    def kinds(self) -> list[str]:
        """The types of the blocks, in order."""
        return [block["type"] for block in self.blocks]


def check(events: Sequence[Json], *, whole: bool = True) -> Story:
    """Assert that `events` are a word of the grammar, a complete one if `whole`; what they tell."""
    story = Story()
    closed_at = -1  # position of the last content_block_stop
    for position, event in enumerate(events):
        assert not story.over, f"{event['type']} after the end"
        kind = event["type"]
        if kind == "ping":
            assert story.message is not None, "a ping before the beginning"
            continue
        assert (kind == "message_start") == (story.message is None), f"{kind} at {position}"
        if closed_at >= 0 and kind != "error":
            assert kind in ("content_block_start", "message_delta"), (
                f"a block was closed early, before {kind}"
            )
        closed_at = -1
        match kind:
            case "message_start":
                _start(event["message"], story)
            case "content_block_start":
                _open(event, story)
            case "content_block_delta":
                _grow(event, story)
            case "content_block_stop":
                _close(event, story)
                closed_at = position
            case "message_delta":
                _end(event, story)
            case "message_stop":
                assert story.stop is not None, "message_stop without message_delta"
                story.over = True
            case "error":
                assert set(event["error"]) == {"type", "message"}
                story.error = event["error"]
                story.over = True
            case _:
                raise AssertionError(f"unknown event {kind}")
    if whole:
        assert story.over, "neither message_stop nor error"
    return story


def check_frames(data: bytes, *, whole: bool = True) -> Story:
    """`check` on bytes."""
    return check(read_frames(data), whole=whole)


def _start(message: Json, story: Story) -> None:
    assert message["content"] == []
    assert message["stop_reason"] is None
    assert message["stop_sequence"] is None
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["id"].startswith("msg_")
    _counts(message["usage"])
    story.message = message


def _open(event: Json, story: Story) -> None:
    assert story.open is None, "two blocks open"
    assert story.stop is None, "a block after message_delta"
    assert event["index"] == len(story.blocks), f"index {event['index']} is not the next"
    block = dict(event["content_block"])
    kind = block["type"]
    if kind in _GROWTH:
        own = _GROWTH[kind][2]
        assert block[own] == ({} if own == "input" else ""), f"{kind} does not start empty"
        block[own] = ""
    if kind == "thinking":
        assert block["signature"] == ""
    if kind == "tool_use":
        ids = [other["id"] for other in story.blocks if other["type"] == kind]
        assert block["id"].startswith("toolu_")
        assert block["id"] not in ids, "a tool id occurs twice"
        assert block["name"]
    if kind == "redacted_thinking":
        assert block["data"]
    story.blocks.append(block)
    story.open = kind


def _grow(event: Json, story: Story) -> None:
    assert story.open is not None, "a delta without a block"
    assert event["index"] == len(story.blocks) - 1, "a delta for another block"
    block, delta = story.blocks[-1], event["delta"]
    if delta["type"] == "signature_delta":
        assert block["type"] == "thinking"
        assert block["signature"] == "", "signed twice"
        assert delta["signature"]
        block["signature"] = delta["signature"]
        return
    assert block["type"] in _GROWTH, f"{block['type']} takes no delta"
    expected, member, own = _GROWTH[block["type"]]
    assert delta["type"] == expected, f"{delta['type']} in a block of type {block['type']}"
    assert not block.get("signature"), "the signature was not the last delta"
    block[own] += delta[member]
    story.quiet += not delta[member]


def _close(event: Json, story: Story) -> None:
    assert story.open is not None, "nothing to close"
    assert event["index"] == len(story.blocks) - 1
    if story.open == "thinking":
        assert story.blocks[-1]["signature"], "thinking was not signed"
    story.open = None


def _end(event: Json, story: Story) -> None:
    assert story.open is None, "message_delta with a block open"
    assert story.stop is None, "two message_delta events would be counted twice"
    stop = event["delta"]
    assert stop["stop_reason"] in _STOP_REASONS
    assert (stop["stop_reason"] == "stop_sequence") or stop["stop_sequence"] is None
    assert (stop["stop_reason"] == "refusal") == ("stop_details" in stop)
    if stop["stop_reason"] == "tool_use":
        assert "tool_use" in story.kinds
    if "tool_use" in story.kinds:
        assert stop["stop_reason"] not in ("end_turn", "stop_sequence")
    _counts(event["usage"])
    assert event["usage"]["output_tokens"] > 0
    story.stop, story.usage = stop, event["usage"]


def _counts(usage: Json) -> None:
    for name in _COUNTS:
        assert type(usage[name]) is int, f"{name} is {usage[name]!r}"
        assert usage[name] >= 0
