import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import Raw

from ccproxy_trio.translate.state import ReplayState, unseal
from ccproxy_trio.translate.stream import (
    Finished,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ThinkingSignature,
    ToolArguments,
    ToolEnd,
    ToolStart,
    content_bearing,
)
from ccproxy_trio.wire.events import StopDetails, Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import SseEvent
from tests.support.answers import call, delta, event, parts_of, reader_of

DONE = SseEvent(None, b"[DONE]")
COUNTS = {"prompt_tokens": 10, "completion_tokens": 2}


def kinds(parts: list[Part]) -> list[type]:
    return [type(part) for part in parts]


def fault_of(*events: SseEvent, **options: Any) -> FaultKind:
    with pytest.raises(UpstreamFault) as caught:
        parts_of(reader_of(**options), events)
    return caught.value.kind


def test_text_is_passed_on_at_once() -> None:
    reader = reader_of()
    assert reader.feed(delta(role="assistant", content="")) == []
    first = reader.feed(delta(content="hel"))
    assert kinds(first) == [ThinkingSignature, Text]
    assert reader.feed(delta(content="lo")) == [Text("lo")]


def test_arguments_are_passed_on_as_they_come() -> None:
    reader = reader_of()
    assert reader.feed(delta(tool_calls=[call(name="Bash", id="a")])) == []
    begun = reader.feed(delta(tool_calls=[call(args='{"a')]))
    assert begun[1:] == [ToolStart("toolu_" + "a" * 24, "Bash"), ToolArguments('{"a')]
    assert reader.feed(delta(tool_calls=[call(args='":1}')])) == [ToolArguments('":1}')]
    reader.feed(delta("tool_calls"))
    assert kinds(reader.end()) == [ToolEnd, Finished]


def test_what_comes_first_is_always_content() -> None:
    for first in (
        delta(content="x"),
        delta(reasoning="x"),
        delta(tool_calls=[call(name="Bash", args="{}")]),
        delta(refusal="x"),
    ):
        assert content_bearing(reader_of().feed(first))
    assert not content_bearing(
        [ThinkingSignature("x"), RedactedThinking("x"), ToolEnd(), Finished("end_turn")]
    )


def test_it_is_finished_when_nothing_is_worth_waiting_for() -> None:
    reader = reader_of()
    reader.feed(delta(content="x"))
    reader.feed(event({"choices": [{"delta": {"content": "y"}}], "usage": COUNTS}))
    assert (reader.finish_seen, reader.finished) == (False, False)
    reader.feed(delta("stop"))
    assert (reader.finish_seen, reader.finished) == (True, False)
    reader.feed(event({"choices": [], "usage": None}))
    assert not reader.finished
    reader.feed(event({"choices": [], "usage": COUNTS}))
    assert reader.finished
    assert reader.feed(delta(content="late")) == []
    assert reader.end() == [Finished("end_turn", usage=Usage(10, 2))]


def test_done_alone_finishes() -> None:
    reader = reader_of()
    reader.feed(delta(content="x"))
    assert reader.feed(DONE) == []
    assert reader.finished
    assert not reader.finish_seen
    assert reader.end() == [Finished("end_turn")]


def test_blank_payloads_are_nothing() -> None:
    reader = reader_of()
    assert reader.feed(SseEvent(None, b"")) == []
    assert reader.feed(SseEvent(None, b" \n")) == []


def test_a_body_that_just_ends_is_truncated() -> None:
    assert fault_of() is FaultKind.TRUNCATED
    assert fault_of(delta(content="x")) is FaultKind.TRUNCATED
    assert fault_of(delta(tool_calls=[call(name="Bash", args='{"a')])) is FaultKind.TRUNCATED


def test_done_in_the_middle_of_a_call_is_truncated() -> None:
    assert fault_of(delta(tool_calls=[call(name="Bash", args='{"a')]), DONE) is FaultKind.TRUNCATED
    parts = parts_of(reader_of(), [delta(tool_calls=[call(name="Bash", args='{"a":1}')]), DONE])
    assert parts[-1] == Finished("tool_use")


def test_an_end_with_nothing_in_it_is_empty_and_can_be_conceded() -> None:
    assert fault_of(DONE) is FaultKind.EMPTY
    assert fault_of(delta("stop")) is FaultKind.EMPTY
    assert fault_of(delta(tool_calls=[call(args="{}")]), delta("tool_calls")) is FaultKind.EMPTY
    assert fault_of(delta(reasoning="x"), delta("stop"), show_thinking=False) is FaultKind.EMPTY
    reader = reader_of()
    with pytest.raises(UpstreamFault):
        parts_of(reader, [event({"choices": [{"finish_reason": "stop"}], "usage": COUNTS})])
    assert reader.concede()[-1] == Finished("end_turn", usage=Usage(10, 2))


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_tokens"), ("content_filter", "refusal"), ("stop_sequence", "stop_sequence")],
)
def test_an_end_with_a_reason_may_be_empty(finish: str, reason: str) -> None:
    finished = parts_of(reader_of(), [delta(finish)])[-1]
    assert isinstance(finished, Finished)
    assert finished.stop_reason == reason


@pytest.mark.parametrize("finish", ["error", "network_error", "abort", "Cancelled"])
def test_a_finish_reason_may_be_a_failure(finish: str) -> None:
    assert fault_of(delta(finish, content="x")) is FaultKind.UPSTREAM_ERROR


def test_a_provider_out_of_resources_is_overloaded() -> None:
    assert fault_of(delta("insufficient_system_resource")) is FaultKind.OVERLOADED


@pytest.mark.parametrize(
    "payload",
    [
        {"error": {"message": "boom"}},
        {"error": "boom"},
        {"error": {"message": "boom"}, "choices": [{"delta": {"content": "x"}}]},
        {"object": "error", "message": "boom"},
        {"message": "boom", "code": "x"},
        {"detail": "boom"},
        [{"error": {"message": "boom"}}],
    ],
)
def test_error_objects_are_faults(payload: object) -> None:
    reader = reader_of()
    with pytest.raises(UpstreamFault, match="boom"):
        reader.feed(event(payload))


def test_an_error_that_says_nothing_is_none() -> None:
    reader = reader_of()
    for nothing in (None, "", {}, False):
        assert reader.feed(event({"error": nothing, "choices": []})) == []
    assert reader.feed(event({"id": "x"})) == []


@pytest.mark.parametrize(
    "data", [b'{"error":{"message":"boom"}}', b'{"message":"boom"}', b'{"text":"boom"}', b"boom", b'"boom"']
)
def test_an_event_called_error_is_a_fault_whatever_is_in_it(data: bytes) -> None:
    with pytest.raises(UpstreamFault) as caught:
        reader_of().feed(SseEvent("error", data))
    assert caught.value.kind in (FaultKind.UPSTREAM_ERROR, FaultKind.SERVER_ERROR)


def test_a_code_in_an_error_object_counts_as_a_status() -> None:
    assert fault_of(event({"error": {"message": "slow down", "code": 429}})) is FaultKind.RATE_LIMITED


def test_a_finish_reason_that_is_no_word_is_none() -> None:
    reader = reader_of()
    for nothing in (None, "", 0, {}):
        reader.feed(event({"choices": [{"delta": {"content": "x"}, "finish_reason": nothing}]}))
        assert not reader.finish_seen


@pytest.mark.parametrize("member", ["stop_reason", "matched_stop"])
def test_a_matched_stop_sequence_is_told_unless_it_is_a_finish_reason_or_a_token(member: str) -> None:
    for value, reason in [
        ("END", "stop_sequence"),
        ("end_turn", "end_turn"),
        (2, "end_turn"),
        ("", "end_turn"),
    ]:
        choice = {"delta": {"content": "x"}, "finish_reason": "stop", member: value}
        finished = parts_of(reader_of(), [event({"choices": [choice]})])[-1]
        assert isinstance(finished, Finished)
        told = (finished.stop_reason, finished.stop_sequence)
        assert told == (reason, "END" if reason == "stop_sequence" else None)


def test_the_first_finish_reason_wins() -> None:
    parts = parts_of(reader_of(), [delta("length", content="x"), delta("stop"), DONE])
    assert parts[-1] == Finished("max_tokens")


def test_a_refusal_is_text_and_a_stop_reason() -> None:
    parts = parts_of(reader_of(), [delta(refusal="No"), delta(refusal="."), delta("stop")])
    assert parts[1:] == [
        Text("No"),
        Text("."),
        Finished("refusal", stop_details=StopDetails(explanation="No.")),
    ]


def test_a_matched_stop_sequence_has_its_text_and_cuts_what_follows() -> None:
    reader = reader_of(stop_sequences=("END", ""))
    follows = [call(name="Bash", args="{}")]
    parts = parts_of(reader, [delta(content="a EN"), delta(content="D b", reasoning="", tool_calls=follows)])
    assert parts[1:] == [Text("a "), Finished("stop_sequence", stop_sequence="END")]
    assert reader.finish_seen


def test_a_stop_sequence_behind_a_call_is_tool_use() -> None:
    reader = reader_of(stop_sequences=("END",))
    parts = parts_of(reader, [delta(tool_calls=[call(name="Bash", args="{}")]), delta(content="xEND")])
    assert kinds(parts) == [ThinkingSignature, ToolStart, ToolArguments, ToolEnd, Text, Finished]
    assert parts[-1] == Finished("tool_use")


def test_nothing_behind_a_stop_sequence_is_shown_even_in_the_same_list() -> None:
    reader = reader_of(stop_sequences=("END",))
    content = [{"type": "text", "text": "aEND"}, {"type": "thinking", "thinking": "b"}, "c"]
    assert parts_of(reader, [delta(content=content)])[1:] == [
        Text("a"),
        Finished("stop_sequence", stop_sequence="END"),
    ]


def test_content_lists_hold_texts_refusals_and_thoughts() -> None:
    content = [
        {"type": "thinking", "thinking": "a"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "b"}, {"type": "text"}]},
        "c",
        {"type": "text", "text": "d"},
        {"type": "refusal", "refusal": "e"},
        {"type": "image_url"},
    ]
    parts = parts_of(reader_of(), [delta("stop", content=content)])
    assert [part for part in parts if isinstance(part, Text | Thinking)] == [
        Thinking("a"),
        Thinking("b"),
        Text("c"),
        Text("d"),
        Text("e"),
    ]


def test_reasoning_of_another_shape_is_passed_over() -> None:
    parts = parts_of(reader_of(), [delta(reasoning_content={"x": 1}, reasoning="a"), delta("stop")])
    assert parts[0] == Thinking("a")


def test_names_are_mapped_back() -> None:
    reader = reader_of(names={"a_b": "a b"})
    parts = reader.feed(delta(tool_calls=[call(0, name="a_b", args="{}"), call(1, name="c", args="{}")]))
    assert [part.name for part in parts if isinstance(part, ToolStart)] == ["a b", "c"]


def test_an_empty_function_call_is_none() -> None:
    reader = reader_of()
    assert reader.feed(delta(function_call={"name": None, "arguments": None})) == []
    assert reader.feed(delta(function_call={"name": "", "arguments": ""})) == []
    assert reader.progress == 0
    behind = reader.feed(delta(tool_calls=[call(1, name="Bash", args="{}")]))
    assert kinds(behind) == [ThinkingSignature, ToolStart, ToolArguments], "nothing is waited for"


def test_text_that_was_held_back_comes_before_the_call_behind_it() -> None:
    reader = reader_of(think_tags=True, stop_sequences=("<stop>",))
    parts = parts_of(
        reader, [delta(content="<"), delta(tool_calls=[call(name="X", args="{}")]), delta("stop")]
    )
    assert kinds(parts) == [ThinkingSignature, Text, ToolStart, ToolArguments, ToolEnd, Finished]
    assert parts[1] == Text("<")


# The state that comes back with the next request.


def states(parts: list[Part]) -> list[ReplayState | None]:
    sealed = [
        part.signature if isinstance(part, ThinkingSignature) else part.data
        for part in parts
        if isinstance(part, ThinkingSignature | RedactedThinking)
    ]
    return [unseal(one) for one in sealed]


BARE = ReplayState("acme", "up-model")


def test_every_answer_signs_the_block_that_a_keep_alive_may_have_opened() -> None:
    parts = parts_of(reader_of(), [delta("stop", content="x")])
    assert kinds(parts) == [ThinkingSignature, Text, Finished]
    assert states(parts) == [BARE]


def test_details_travel_in_the_signature_of_their_thinking() -> None:
    detail = {"type": "reasoning.encrypted", "data": "x"}
    events = [delta(reasoning="a", reasoning_details=[detail]), delta(content="b"), delta("stop")]
    parts = parts_of(reader_of(replay="reasoning_details"), events)
    assert kinds(parts) == [Thinking, ThinkingSignature, Text, Finished]
    assert states(parts) == [ReplayState("acme", "up-model", [Raw(json.dumps(detail).encode())])]


def test_details_are_not_kept_for_a_provider_that_does_not_want_them() -> None:
    events = [
        delta(reasoning="a", reasoning_details=[{"type": "reasoning.text", "text": "a"}]),
        delta("stop"),
    ]
    assert states(parts_of(reader_of(), events)) == [BARE]
    whole = {"choices": [{"message": {"content": "x", "reasoning_details": [{"type": "reasoning.text"}]}}]}
    reader = reader_of()
    assert states(reader.feed_completion(json.dumps(whole).encode()) + reader.end()) == [BARE]


def test_hidden_thinking_keeps_its_state() -> None:
    detail = {"type": "reasoning.text", "text": "a"}
    events = [delta(reasoning="a", reasoning_details=[detail]), delta(content="b"), delta("stop")]
    parts = parts_of(reader_of(replay="reasoning_details", show_thinking=False), events)
    assert kinds(parts) == [ThinkingSignature, RedactedThinking, Text, Finished]
    assert states(parts) == [BARE, ReplayState("acme", "up-model", [Raw(json.dumps(detail).encode())])]


def test_a_signature_that_comes_late_goes_out_before_the_next_block_or_the_end() -> None:
    extra = {"google": {"thought_signature": "x"}}
    late = {"tool_calls": [{"index": 0, "extra_content": extra}]}
    begun = delta(tool_calls=[call(name="Bash", args="{}")])
    kept = {"toolu_" + "a" * 24: Raw(json.dumps(extra).encode())}
    parts = parts_of(reader_of(replay="gemini_extra"), [begun, delta(**late), delta("tool_calls")])
    assert kinds(parts)[-3:] == [ToolEnd, RedactedThinking, Finished]
    assert states(parts) == [BARE, ReplayState("acme", "up-model", None, kept)]
    followed = [begun, delta(**late), delta(content="x"), delta("tool_calls")]
    parts = parts_of(reader_of(replay="gemini_extra"), followed)
    assert kinds(parts)[-4:] == [ToolEnd, RedactedThinking, Text, Finished]


def test_a_signature_goes_right_before_its_own_call() -> None:
    extra = {"google": {"thought_signature": "x"}}
    reader = reader_of(replay="gemini_extra")
    alternating = [
        delta(tool_calls=[call(0, name="A"), {**call(1, name="B"), "extra_content": extra}]),
        delta(tool_calls=[call(0, args="{}"), call(1, args="{}")]),
        delta("tool_calls"),
    ]
    parts = parts_of(reader, alternating)
    shown = [type(part) for part in parts if isinstance(part, ToolStart | RedactedThinking)]
    assert shown == [ToolStart, RedactedThinking, ToolStart]


def test_the_silent_progress_of_hidden_thinking_is_counted() -> None:
    reader = reader_of(show_thinking=False)
    for _ in range(3):
        assert reader.feed(delta(reasoning="x")) == []
    assert reader.progress == 3
    reader.feed(delta(content=""))
    assert reader.progress == 3
    reader.feed(delta(content="x", tool_calls=[call(name="Bash")]))
    assert reader.progress == 5


# Bodies that come whole.


def test_a_stream_under_another_content_type_is_read_as_one() -> None:
    body = b'data: {"choices":[{"delta":{"content":"hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    reader = reader_of()
    assert reader.feed_completion(b"\n" + body)[1:] == [Text("hello")]
    assert reader.finished
    assert reader.end() == [Finished("end_turn")]
    cut = reader_of()
    cut.feed_completion(b'data: {"choices":[{"delta":{"content":"hel"}}]}')
    with pytest.raises(UpstreamFault) as caught:
        cut.end()
    assert caught.value.kind is FaultKind.TRUNCATED


def test_a_chunk_with_both_delta_and_message_is_read_once() -> None:
    both = {"delta": {"content": "hel"}, "message": {"content": "hello"}, "finish_reason": "stop"}
    assert parts_of(reader_of(), [event({"choices": [both]})])[1:] == [Text("hel"), Finished("end_turn")]


def test_a_choice_with_neither_delta_nor_message_may_still_end() -> None:
    parts = parts_of(reader_of(), [delta(content="x"), event({"choices": [{"finish_reason": "length"}]})])
    assert parts[-1] == Finished("max_tokens")


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"null", b'{"choices":'])
def test_a_body_that_is_no_completion_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault) as caught:
        reader_of().feed_completion(body)
    assert caught.value.kind is FaultKind.PROTOCOL


def test_a_message_beside_an_empty_delta_is_the_answer_or_a_repetition_of_it() -> None:
    said = {"delta": {}, "message": {"content": "hi"}, "finish_reason": "stop"}
    assert texts(parts_of(reader_of(), [event({"choices": [said]})])) == "hi"
    streamed = [delta(content="h"), delta(content="i"), event({"choices": [said]})]
    assert texts(parts_of(reader_of(), streamed)) == "hi"


def test_a_server_may_stream_messages_instead_of_deltas() -> None:
    pieces = [event({"choices": [{"message": {"content": piece}}]}) for piece in ("h", "i")]
    assert texts(parts_of(reader_of(), [*pieces, delta("stop")])) == "hi"


@pytest.mark.parametrize("index", [0, 0.0, "0", None])
def test_the_first_choice_is_numbered_zero_in_some_way(index: object) -> None:
    second, first = {"index": 1, "delta": {"content": "b"}}, {"index": index, "delta": {"content": "a"}}
    chunk = event({"choices": [second, first]})
    assert texts(parts_of(reader_of(), [chunk, delta("stop")])) == "a"


def test_the_only_choice_of_a_whole_completion_counts_whatever_its_number() -> None:
    reader = reader_of()
    body = b'{"choices":[{"index":1,"message":{"content":"a"}},{"index":2,"message":{"content":"b"}}]}'
    assert texts(reader.feed_completion(body) + reader.end()) == "a"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"message":{"content":"a"}}]}',
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
        b'id: 1\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
        b'retry: 1\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
    ],
)
def test_a_body_is_known_by_its_beginning(mark: bytes, body: bytes) -> None:
    reader = reader_of()
    assert texts(reader.feed_completion(mark + body) + reader.end()) == "a"


def test_an_error_full_of_blanks_does_not_spoil_an_answer() -> None:
    blank = {"message": "", "type": "", "param": "", "code": None}
    chunk = event({"error": blank, "choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]})
    assert texts(parts_of(reader_of(), [chunk])) == "hi"


def test_errors_in_a_list_are_read() -> None:
    with pytest.raises(UpstreamFault) as caught:
        reader_of().feed(event({"success": False, "errors": [{"code": 10000, "message": "boom"}]}))
    assert caught.value.message == "boom"


WORDS = {
    "end_turn": (
        "stop",
        "eos",
        "eos_token",
        "end",
        "end_turn",
        "complete",
        "done",
        "tool_calls",
        "tool_use",
        "x",
    ),
    "max_tokens": ("length", "max_tokens", "max_output_tokens", "model_length"),
    "model_context_window_exceeded": ("model_context_window_exceeded", "context_length"),
    "stop_sequence": ("stop_sequence",),
    "refusal": (
        *(
            "content_filter",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "sensitive",
            "refusal",
        ),
    ),
}


@pytest.mark.parametrize(("reason", "word"), [(reason, word) for reason in WORDS for word in WORDS[reason]])
@pytest.mark.parametrize("spelt", [str, str.upper, str.title])
def test_a_finish_reason_means_the_same_however_it_is_spelt(
    reason: str, word: str, spelt: Callable[[str], str]
) -> None:
    said = parts_of(reader_of(), [delta(content="hi"), delta(spelt(word))])[-1]
    called = parts_of(reader_of(), [delta(tool_calls=[call(0, name="X", args="{}")]), delta(spelt(word))])[-1]
    assert isinstance(said, Finished)
    assert isinstance(called, Finished)
    assert said.stop_reason == reason
    assert called.stop_reason == ("tool_use" if reason in ("end_turn", "stop_sequence") else reason)


def texts(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))
