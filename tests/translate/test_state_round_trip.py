"""What a provider said, kept by the client as Claude Code keeps it, and read again on the next turn."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec import Raw, Struct

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.request import Target, translate
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.events import Message, encode_message
from ccproxy_trio.wire.openai import encode
from ccproxy_trio.wire.sse import encode as frame
from tests.support.answers import emitter_of, reader_of, show, show_completion
from tests.translate import sessions

Json = dict[str, Any]

words = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() and not text.isspace())
extras = st.one_of(
    words.map(lambda text: {"google": {"thought_signature": text}}),
    words.map(lambda text: {"vertex": {"thought_signature": text, "more": [1.0, None]}}),
)
details = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("reasoning.text"), "text": words},
        optional={"signature": words | st.none(), "format": words, "id": words | st.none()},
    ),
    st.fixed_dictionaries({"type": st.just("reasoning.summary"), "summary": words}),
    st.fixed_dictionaries({"type": st.just("reasoning.encrypted"), "data": words}, optional={"id": words}),
    st.fixed_dictionaries({"type": words, "anything": st.integers() | words}),
)


class Answer(Struct, frozen=True):
    """One answer. `deltas` are in order of time; the rest is what they bring."""

    deltas: list[Json]
    calls: list[Json]  # name, arguments and, where there is one, extra_content
    reasoning: str = ""
    details: list[Json] = []

    def stream(self) -> bytes:
        """The answer as a stream."""
        chunks: list[Json] = [{"choices": [{"index": 0, "delta": delta}]} for delta in self.deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        return b"".join(frame(json.dumps(chunk).encode()) for chunk in chunks)

    def whole(self) -> bytes:
        """The answer as one message."""
        calls = [
            {"id": "call_0", "function": {"name": call["name"], "arguments": call["arguments"]}}
            | {key: call[key] for key in call.keys() & {"extra_content"}}
            for call in self.calls
        ]
        message = {"content": "Hi", "reasoning_content": self.reasoning, "tool_calls": calls}
        message["reasoning_details"] = self.details
        return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


@st.composite
def answers(draw: DrawFn, *, most_details: int = 4) -> Answer:
    """Reasoning, details, text and calls; state may come early or late, and signatures behind their calls."""
    calls: list[Json] = []
    groups: list[list[Json]] = [[{"content": "Hi"}]]
    lates: list[Json] = []
    for number in range(draw(st.integers(0, 3))):
        call: Json = {"name": f"tool{number}", "arguments": json.dumps({"n": number})}
        piece: Json = {"index": number, "id": "call_0", "function": dict(call)}
        late: Json = {"index": number}
        if draw(st.booleans()):
            call["extra_content"] = draw(extras)
            bearer = late if draw(st.booleans()) else piece
            bearer["extra_content"] = call["extra_content"]
        calls.append(call)
        groups.append([{"tool_calls": [piece]}])
        lates.append({"tool_calls": [late]})
    thoughts = draw(st.lists(words, max_size=3))
    kept = [
        detail | {"index": number}
        for number, detail in enumerate(draw(st.lists(details, max_size=most_details)))
    ]
    groups += [[{"reasoning_content": thought}] for thought in thoughts]
    order = draw(st.permutations(range(len(groups))))
    # Thoughts, and calls, have an order among themselves; everything else may come at any time.
    deltas = [delta for at in _in_order(order, len(calls)) for delta in groups[at]]
    for late in lates:  # right behind its call, or at the very end
        number = late["tool_calls"][0]["index"]
        its_call = next(at for at, delta in enumerate(deltas) if _number_of(delta) == number)
        deltas.insert(its_call + 1 if draw(st.booleans()) else len(deltas), late)
    for at, detail in zip(
        sorted(draw(_places(len(kept), len(deltas))), reverse=True), reversed(kept), strict=True
    ):
        deltas.insert(at, {"reasoning_details": [detail]})
    return Answer(deltas, calls, "".join(thoughts), kept)


def _number_of(delta: Json) -> int | None:
    """The number of the call that the delta brings."""
    return delta["tool_calls"][0]["index"] if "tool_calls" in delta else None


def _places(many: int, among: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, among), min_size=many, max_size=many)


def _in_order(order: Sequence[int], calls: int) -> list[int]:
    """`order` with the calls (1 ... `calls`) in order, and the thoughts behind them too."""
    made = iter(range(1, calls + 1))
    thought = iter(sorted(at for at in order if at > calls))
    return [at if at == 0 else next(made) if at <= calls else next(thought) for at in order]


def answered(answer: Answer, *, streamed: bool, **options: Any) -> Message:
    """The message that the client gets."""
    reader, emitter = reader_of(**options), emitter_of()
    if streamed:
        return fold(show(reader, emitter, [answer.stream()]))
    return fold(show_completion(reader, emitter, answer.whole()))


def kept_by_claude_code(message: Message) -> list[Json]:
    """The content of the message that comes back."""
    return sessions.kept_by_claude_code(json.loads(encode_message(message))["content"])


def next_turn(
    content: list[Json], *, provider: str = "acme", model: str = "up-model", **switches: Any
) -> Json:
    """The assistant's message that the upstream reads when this content comes back."""
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call, "content": "ok"} for call in calls]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": results or "go on"},
    ]
    asked = {"model": "claude-opus-4-8", "max_tokens": 1000, "messages": messages}
    target = Target(provider=provider, model=model, dialect=Dialect(**switches))
    chat = translate(decode_request(json.dumps(asked).encode()), target).chat
    read = json.loads(encode(chat))["messages"]
    found: list[Json] = [message for message in read if message["role"] == "assistant"]
    assert len(found) == 1
    return found[0]


both = st.booleans()


@given(answers(most_details=0), both, both)
def test_reasoning_comes_back(answer: Answer, streamed: bool, show_thinking: bool) -> None:
    message = answered(answer, streamed=streamed, replay="reasoning_content", show_thinking=show_thinking)
    read = next_turn(kept_by_claude_code(message), replay="reasoning_content")
    # Thoughts with something between them are separate blocks, put together with a blank line.
    assert read.get("reasoning_content", "").replace("\n\n", "") == answer.reasoning
    assert [call["function"]["name"] for call in read.get("tool_calls", ())] == [
        call["name"] for call in answer.calls
    ]


@given(answers(), both, both)
def test_details_come_back_unchanged_and_in_order(
    answer: Answer, streamed: bool, show_thinking: bool
) -> None:
    message = answered(answer, streamed=streamed, replay="reasoning_details", show_thinking=show_thinking)
    read = next_turn(kept_by_claude_code(message), replay="reasoning_details")
    assert read.get("reasoning_details", []) == answer.details
    assert "reasoning_content" not in read


@given(answers(), both, both)
def test_every_signature_comes_back_on_its_own_call(
    answer: Answer, streamed: bool, show_thinking: bool
) -> None:
    message = answered(answer, streamed=streamed, replay="gemini_extra", show_thinking=show_thinking)
    read = next_turn(kept_by_claude_code(message), replay="gemini_extra")
    told = [call.get("extra_content") for call in read.get("tool_calls", ())]
    expected = [call.get("extra_content") for call in answer.calls]
    if any(expected):
        assert told == expected
    elif expected:
        assert "skip_thought_signature_validator" in json.dumps(told[0])
        assert not any(told[1:])


@given(answers(), both, st.sampled_from(["reasoning_content", "reasoning_details", "gemini_extra"]))
def test_state_of_another_provider_or_model_is_never_sent(
    answer: Answer, streamed: bool, replay: str
) -> None:
    content = kept_by_claude_code(answered(answer, streamed=streamed, replay=replay))
    for elsewhere in ({"provider": "other"}, {"model": "other"}):
        for switch in ("none", "reasoning_content", "reasoning_details", "gemini_extra"):
            read = next_turn(content, replay=switch, **elsewhere)
            assert not read.get("reasoning_content")
            assert "reasoning_details" not in read
            for call in read.get("tool_calls", ()):
                assert "skip_thought" in json.dumps(call.get("extra_content", "skip_thought"))


def test_the_thoughts_of_every_turn_come_back_each_in_its_place() -> None:
    turns = []
    for thought in ("first", "second"):
        answer = Answer([{"reasoning_content": thought}, {"content": "Hi"}], [], thought)
        content = kept_by_claude_code(answered(answer, streamed=True, replay="reasoning_content"))
        turns += [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]
    asked = {"model": "m", "max_tokens": 9, "messages": [*turns, {"role": "user", "content": "and?"}]}
    target = Target(provider="acme", model="up-model", dialect=Dialect(replay="reasoning_content"))
    read = json.loads(encode(translate(decode_request(json.dumps(asked).encode()), target).chat))
    assert [m["reasoning_content"] for m in read["messages"] if m["role"] == "assistant"] == [
        "first",
        "second",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"n":' + "9" * 5000 + "}",
        '{"n":1e400,"m":-0.0,"k":1E5,"f":1.0}',
        '{"a":1,"a":2}',
        '{"s":"é\\/\\n"}',
        '{"deep":' + "[" * 200 + "]" * 200 + "}",
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_arguments_that_no_client_could_hold_are_the_same_on_the_next_turn(
    arguments: str, streamed: bool
) -> None:
    call = {"name": "tool0", "arguments": arguments}
    answer = Answer([{"tool_calls": [{"index": 0, "function": call}]}], [call])
    body = encode_message(answered(answer, streamed=streamed))
    content = bytes(msgspec.json.decode(body, type=dict[str, Raw])["content"])
    asked = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"},' + (
        b'{"role":"assistant","content":' + content + b'},{"role":"user","content":"go on"}]}'
    )
    target = Target(provider="acme", model="up-model", dialect=Dialect())
    read = msgspec.json.decode(encode(translate(decode_request(asked), target).chat))
    calls = [call for message in read["messages"] for call in message.get("tool_calls", ())]
    assert [call["function"]["arguments"] for call in calls] == [arguments]
