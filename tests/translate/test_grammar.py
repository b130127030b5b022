"""The checker beside the emitter: it takes what a client can read, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy_trio.translate.grammar import Grammar, GrammarBroken
from ccproxy_trio.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorBody,
    ErrorEvent,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    SignatureDelta,
    Stop,
    StopReason,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    Usage,
    WebSearchError,
    WebSearchToolResultBlock,
    encode_frames,
)
from tests.support import grammar as outside
from tests.support.goldens import load_all

START = MessageStart(Message(id="msg_1", model="m", usage=Usage()))
ERROR = ErrorEvent(ErrorBody("api_error", "it broke"))
TEXT = TextBlock()
CALL = ToolUseBlock("toolu_1", "Bash")
THINKING = ThinkingBlock()
SIGNED = SignatureDelta("s")


def ends(reason: StopReason) -> MessageDelta:
    return MessageDelta(Stop(stop_reason=reason), Usage(output_tokens=1))


def block(index: int, begun: TextBlock | ThinkingBlock | ToolUseBlock, *deltas: Event) -> list[Event]:
    return [ContentBlockStart(index, begun), *deltas, ContentBlockStop(index)]


def grow(index: int, delta: TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta) -> Event:
    return ContentBlockDelta(index, delta)


def accepts(events: list[Event]) -> bool:
    try:
        Grammar().check(events)
    except GrammarBroken:
        return False
    return True


def is_readable(events: list[Event]) -> bool:
    """The outside judge's opinion; it shares no code with the checker."""
    try:
        outside.check_frames(encode_frames(events), whole=False)
    except AssertionError:
        return False
    return True


WORDS: list[list[Event]] = [
    [START, *block(0, TEXT, grow(0, TextDelta("a"))), ends("end_turn"), MessageStop()],
    [START, Ping(), *block(0, CALL, grow(0, InputJsonDelta("{}"))), Ping(), ends("tool_use"), MessageStop()],
    [
        START,
        *block(0, THINKING, grow(0, ThinkingDelta("")), grow(0, SIGNED)),
        ends("max_tokens"),
        MessageStop(),
    ],
    [START, *block(0, TEXT), *block(1, CALL), ends("max_tokens"), MessageStop()],
    [START, ERROR],
    [START, ContentBlockStart(0, TEXT), grow(0, TextDelta("a")), ERROR],
    [START, ends("refusal"), MessageStop()],
]
NO_WORDS: list[list[Event]] = [
    [Ping()],
    [ERROR],
    [START, START],
    [START, MessageStop()],
    [START, ends("tool_use")],
    [START, *block(0, CALL), ends("end_turn")],
    [START, ContentBlockStart(1, TEXT)],
    [START, *block(0, TEXT), ContentBlockStart(0, TEXT)],
    [START, ContentBlockStart(0, TEXT), ContentBlockStop(1)],
    [START, ContentBlockStart(0, TEXT), grow(1, TextDelta("a"))],
    [START, ContentBlockStart(0, TEXT), ContentBlockStart(1, TEXT)],
    [START, ContentBlockStart(0, TEXT), ends("end_turn")],
    [START, ContentBlockStart(0, TEXT), grow(0, InputJsonDelta("{}"))],
    [START, ContentBlockStart(0, CALL), grow(0, TextDelta("a"))],
    [START, *block(0, THINKING, grow(0, ThinkingDelta("a")))],
    [START, ContentBlockStart(0, THINKING), grow(0, SIGNED), grow(0, ThinkingDelta("a"))],
    [START, ContentBlockStart(0, THINKING), grow(0, SIGNED), grow(0, SIGNED)],
    [START, grow(-1, TextDelta("a"))],
    [START, ContentBlockStop(-1)],
    [START, ContentBlockStart(0, RedactedThinkingBlock("x")), grow(0, TextDelta("a"))],
    [START, ends("end_turn"), ends("end_turn")],
    [START, ends("end_turn"), ContentBlockStart(0, TEXT)],
    [START, ends("end_turn"), MessageStop(), Ping()],
    [START, ERROR, MessageStop()],
]


@pytest.mark.parametrize("events", WORDS)
def test_a_word_is_taken(events: list[Event]) -> None:
    assert accepts(events)


@pytest.mark.parametrize("events", NO_WORDS)
def test_no_other_is(events: list[Event]) -> None:
    assert not accepts(events)
    assert accepts(events[:-1])


@pytest.mark.parametrize("golden", list(load_all()), ids=lambda golden: golden.name)
def test_every_golden_stream_is_a_word_and_none_without_one_of_its_events(golden) -> None:
    events = golden.events([golden.upstream])
    assert accepts(events)
    for missing in range(len(events) - 1):
        kept = [*events[:missing], *events[missing + 1 :]]
        assert accepts(kept) == is_readable(kept)


_REASONS: list[StopReason] = ["end_turn", "max_tokens", "tool_use"]
indices = st.integers(-1, 2)
anything = st.one_of(
    st.sampled_from([START, Ping(), MessageStop(), ERROR]),
    st.builds(
        ContentBlockStart,
        indices,
        st.sampled_from(
            [
                TEXT,
                THINKING,
                RedactedThinkingBlock("x"),
                WebSearchToolResultBlock("srvtoolu_1", WebSearchError("unavailable")),
                ServerToolUseBlock("srvtoolu_1", "web_search", Raw(b"{}")),
            ]
        ),
    ),
    st.builds(ContentBlockStart, indices, st.integers().map(lambda n: ToolUseBlock(f"toolu_{n}", "Bash"))),
    st.builds(
        ContentBlockDelta,
        indices,
        st.sampled_from([TextDelta("a"), ThinkingDelta("a"), SIGNED, InputJsonDelta("{}")]),
    ),
    st.builds(ContentBlockStop, indices),
    st.sampled_from(_REASONS).map(ends),
)


@st.composite
def likely(draw: st.DrawFn) -> list[Event]:
    """Words with a flaw here and there: mostly what may follow, now and then anything."""
    events: list[Event] = [START]
    for _ in range(draw(st.integers(0, 10))):
        event = draw(anything)
        for _ in range(30):
            if accepts([*events, event]) or draw(st.integers(0, 40)) == 0:
                break
            event = draw(anything)
        events.append(event)
    return events


@given(likely() | st.lists(anything, max_size=4))
def test_it_agrees_with_a_judge_that_shares_no_code_with_it(events: list[Event]) -> None:
    assert accepts(events) == is_readable(events)


def test_a_violation_tells_the_kinds_and_none_of_the_content() -> None:
    events = [START, ContentBlockStart(0, TEXT), *[grow(0, TextDelta("secret"))] * 3, MessageStop()]
    with pytest.raises(GrammarBroken) as broken:
        Grammar().check(events)
    assert broken.value.kinds == ("message_start", "text", "text_delta x 3", "message_stop")
    assert "secret" not in str(broken.value)


def test_it_is_over_when_nothing_may_follow_and_not_before() -> None:
    for word in WORDS:
        grammar = Grammar()
        for event in word[:-1]:
            grammar.check([event])
            assert not grammar.is_over
        grammar.check(word[-1:])
        assert grammar.is_over == isinstance(word[-1], MessageStop | ErrorEvent)


def test_a_long_stream_is_told_by_its_end() -> None:
    grammar = Grammar()
    grammar.check([START])
    for index in range(1000):
        grammar.check(block(index, TEXT, grow(index, TextDelta("a"))))
    with pytest.raises(GrammarBroken) as broken:
        grammar.check([MessageStop()])
    assert len(broken.value.kinds) < 100
    assert broken.value.kinds[-1] == "message_stop"


def test_a_violation_can_still_be_followed_by_an_error() -> None:
    grammar = Grammar()
    grammar.check([START, ContentBlockStart(0, TEXT)])
    with pytest.raises(GrammarBroken):
        grammar.check([MessageStop()])
    grammar.check([ERROR])
