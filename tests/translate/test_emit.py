import pytest
from msgspec import UNSET, Raw

from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.parts import (
    Finished,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ThinkingSignature,
    ToolArguments,
    ToolEnd,
    ToolStart,
)
from ccproxy_trio.translate.scale import Scale
from ccproxy_trio.translate.state import ReplayState, unseal
from ccproxy_trio.wire import events as wire
from ccproxy_trio.wire.events import Event, Usage, encode_frames
from tests.support.answers import MESSAGE_ID, MODEL, emitter_of
from tests.support.grammar import Story, check_frames

ANSWER: list[Part] = [ThinkingSignature("sig"), Text("hello"), Finished("end_turn", usage=Usage(10, 2))]


def told(events: list[Event], *, whole: bool = True) -> Story:
    return check_frames(encode_frames(events), whole=whole)


def test_it_opens_once_with_the_model_that_the_client_asked_for() -> None:
    emitter = emitter_of(input_tokens=25)
    (start,) = emitter.open()
    assert emitter.open() == []
    assert isinstance(start, wire.MessageStart)
    assert (start.message.id, start.message.model, start.message.usage) == (MESSAGE_ID, MODEL, Usage(25, 0))
    assert told([start, *emitter.take(ANSWER)]).of("text") == "hello"


def test_it_opens_by_itself() -> None:
    story = told(emitter_of().take(ANSWER))
    assert (story.kinds, story.stop) == (["text"], {"stop_reason": "end_turn", "stop_sequence": None})
    assert emitter_of().take([]) == []


def test_a_block_is_closed_only_together_with_what_follows() -> None:
    emitter = emitter_of()
    start = ToolStart("toolu_1", "Bash")
    for parts in ([Text("a")], [Text("b")]):
        assert not any(isinstance(event, wire.ContentBlockStop) for event in emitter.take(parts))
    stop, begin = emitter.take([start])
    assert (stop, begin) == (
        wire.ContentBlockStop(0),
        wire.ContentBlockStart(1, wire.ToolUseBlock("toolu_1", "Bash")),
    )
    assert emitter.take([ToolArguments("{}"), ToolEnd()]) == [
        wire.ContentBlockDelta(1, wire.InputJsonDelta("{}"))
    ]
    assert emitter.take([Finished("tool_use")])[0] == wire.ContentBlockStop(1)


def test_thinking_is_signed_before_it_closes() -> None:
    parts = [Thinking("a"), Thinking("b"), ThinkingSignature("sig"), Text("c"), Finished("end_turn")]
    story = told(emitter_of().take(parts))
    assert story.blocks[0] == {"type": "thinking", "thinking": "ab", "signature": "sig"}
    assert story.kinds == ["thinking", "text"]


def test_thinking_behind_a_signature_is_another_block() -> None:
    parts = [
        Thinking("a"),
        ThinkingSignature("1"),
        Thinking("b"),
        ThinkingSignature("2"),
        Finished("max_tokens"),
    ]
    assert [block["signature"] for block in told(emitter_of().take(parts)).blocks] == ["1", "2"]


def test_thinking_that_nobody_signed_is_signed_here() -> None:
    story = told(emitter_of().take([Thinking("a"), Text("b"), Finished("end_turn")]))
    assert unseal(story.blocks[0]["signature"]) == ReplayState("", "")


def test_state_without_thinking_is_a_block_of_its_own() -> None:
    parts: list[Part] = [
        Text("a"),
        RedactedThinking("state"),
        ToolStart("toolu_1", "Bash"),
        Finished("tool_use"),
    ]
    assert told(emitter_of().take(parts)).kinds == ["text", "redacted_thinking", "tool_use"]


def test_counts_are_estimated_where_the_provider_told_none() -> None:
    story = told(
        emitter_of(input_tokens=25).take([Text("x" * 42), Text("\u65e5" * 14), Finished("end_turn")])
    )
    assert story.usage == {
        "input_tokens": 25,
        "output_tokens": 20,  # (42 + 3 * 14) bytes / 4.2
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    nothing = told(emitter_of().take([Finished("max_tokens")]))
    a_call = [ToolStart("toolu_1", "x" * 30), ToolArguments("{      }"), Finished("tool_use")]
    for story, tokens in [(nothing, 1), (told(emitter_of().take(a_call)), 10)]:  # (30 + 8) bytes / 4.2
        assert story.usage is not None
        assert story.usage["output_tokens"] == tokens


def test_counts_that_the_provider_told_are_passed_on_and_zeros_are_not() -> None:
    def usage(given: Usage) -> list[int]:
        counts = told(
            emitter_of(input_tokens=25).take([Text("abcd"), Finished("end_turn", usage=given)])
        ).usage
        assert counts is not None
        return list(counts.values())[:4]

    assert usage(Usage(10, 2, 3, 4)) == [10, 2, 3, 4]
    assert usage(Usage(0, 2, 0, 4)) == [0, 2, 0, 4]  # all of the prompt was cached
    assert usage(Usage(0, 2)) == [25, 2, 0, 0]
    assert usage(Usage(10, 0)) == [10, 1, 0, 0]


def test_a_refusal_says_why() -> None:
    details = wire.StopDetails(explanation="No.")
    story = told(emitter_of().take([Text("No."), Finished("refusal", stop_details=details)]))
    assert story.stop == {
        "stop_reason": "refusal",
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": "No."},
    }


def test_after_the_end_it_gives_nothing() -> None:
    for end in (lambda emitter: emitter.take(ANSWER), lambda emitter: emitter.fail("api_error", "x")):
        emitter = emitter_of()
        assert not emitter.ended
        events = end(emitter)
        assert emitter.ended
        told(events)
        assert (emitter.take(ANSWER), emitter.heartbeat()) == ([], [])
    assert len(emitter_of().take([*ANSWER, Text("late")])) == len(emitter_of().take(ANSWER))


# Failures.


@pytest.mark.parametrize(
    ("parts", "left_open"),
    [
        ([], None),
        ([Text("a")], "text"),
        ([Thinking("a")], "thinking"),
        ([Text("a"), ToolStart("toolu_1", "Bash"), ToolArguments('{"a')], "tool_use"),
        ([ToolStart("toolu_1", "Bash"), ToolArguments("{}"), ToolEnd()], "tool_use"),
    ],
)
def test_a_failure_leaves_the_open_block_open(parts: list[Part], left_open: str | None) -> None:
    emitter = emitter_of()
    story = told(emitter.take(parts) + emitter.fail("overloaded_error", "busy"))
    assert (story.error, story.open) == ({"type": "overloaded_error", "message": "busy"}, left_open)


# Keep-alives.


def test_a_heartbeat_is_an_empty_delta_of_the_open_block() -> None:
    for part, delta in [
        (Text("a"), wire.TextDelta("")),
        (Thinking("a"), wire.ThinkingDelta("")),
        (ToolStart("toolu_1", "Bash"), wire.InputJsonDelta("")),
    ]:
        emitter = emitter_of()
        emitter.take([part])
        assert emitter.heartbeat() == [wire.ContentBlockDelta(0, delta)]


def test_a_heartbeat_opens_a_thinking_block_where_nothing_is_open() -> None:
    emitter = emitter_of()
    first, second = emitter.heartbeat(), emitter.heartbeat()
    assert [type(event) for event in first] == [
        wire.MessageStart,
        wire.ContentBlockStart,
        wire.ContentBlockDelta,
    ]
    assert second == first[2:]


def test_real_thinking_goes_on_in_the_block_of_a_heartbeat() -> None:
    emitter = emitter_of()
    events = emitter.heartbeat() + emitter.take([Thinking("Hm."), *ANSWER])
    story = told(events)
    assert (story.kinds, story.of("thinking"), story.quiet) == (["thinking", "text"], "Hm.", 1)


@pytest.mark.parametrize("first", [Text("a"), ToolStart("toolu_1", "Bash")])
def test_other_content_signs_and_closes_the_block_of_a_heartbeat(first: Part) -> None:
    emitter = emitter_of()
    events = emitter.heartbeat() + emitter.take([ThinkingSignature("sig"), first])
    story = told(events, whole=False)
    assert story.blocks[0] == {"type": "thinking", "thinking": "", "signature": "sig"}


def test_a_heartbeat_behind_a_block_that_takes_no_delta_opens_another() -> None:
    for parts in ([RedactedThinking("state")], [Thinking("a"), ThinkingSignature("sig")]):
        emitter = emitter_of()
        events = emitter.take(parts) + emitter.heartbeat() + emitter.take([Text("b"), Finished("end_turn")])
        assert told(events).kinds[1:] == ["thinking", "text"]


def test_a_failover_before_content_goes_on_behind_the_keep_alives() -> None:
    """The first provider died unseen: the client gets one message_start, gapless indices, one answer."""
    emitter = emitter_of()
    events = emitter.open() + emitter.heartbeat()
    events += emitter.heartbeat()  # the next provider is asked meanwhile
    events += emitter.take([Thinking("Hm."), ThinkingSignature("second"), Text("hello")])
    events += emitter.take([Finished("end_turn")])
    story = told(events)
    assert (story.kinds, story.blocks[0]["signature"], story.quiet) == (["thinking", "text"], "second", 2)


# Answers without a provider.


def test_a_local_answer_shows_every_kind_of_block() -> None:
    content: list[wire.ContentBlock] = [
        wire.ThinkingBlock("Hm.", "sig"),
        wire.TextBlock("hello"),
        wire.ToolUseBlock("toolu_1", "Bash", Raw(b'{"command":"ls"}')),
        wire.RedactedThinkingBlock("state"),
        wire.ServerToolUseBlock("srvtoolu_1", "web_search", Raw(b'{"query":"x"}')),
        wire.WebSearchToolResultBlock("srvtoolu_1", wire.WebSearchError("unavailable")),
    ]
    emitter = emitter_of()
    events = emitter.answer(content, stop_reason="tool_use")
    told(events)
    assert emitter.ended
    assert fold(events).content == content


def test_a_local_answer_may_be_empty() -> None:
    message = fold(emitter_of().answer([], stop_reason="max_tokens"))
    assert (message.content, message.stop_reason, message.stop_details) == ([], "max_tokens", UNSET)


def test_emitters_do_not_share_anything() -> None:
    one, other = emitter_of(), Emitter(message_id="msg_b", model="m", input_tokens=1)
    one.take([Text("a")])
    assert len(other.take([Text("a")])) == 3


def test_counts_are_told_scaled_and_estimates_too() -> None:
    doubled = Emitter(message_id="msg_1", model=MODEL, input_tokens=25, scale=Scale(2, 1))
    start, *_, delta, _ = doubled.take(ANSWER)
    assert isinstance(start, wire.MessageStart)
    assert start.message.usage == Usage(50, 0)
    assert isinstance(delta, wire.MessageDelta)
    assert delta.usage == Usage(20, 4)
    quiet = Emitter(message_id="msg_1", model=MODEL, input_tokens=25, scale=Scale(2, 1))
    told_nothing = quiet.take([Text("x" * 42), Finished("end_turn")])
    assert told_nothing[-2].usage == Usage(50, 20)  # type: ignore[union-attr]
