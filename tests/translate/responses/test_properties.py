"""Whatever is sent on the Responses wire: the grammar holds, nothing is lost, and reasoning comes back."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec import Struct

from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.parts import content_bearing
from ccproxy_trio.wire.events import Message, encode_frames, encode_message
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.sse import SseEvent
from tests.support import goldens
from tests.support.answers import emitter_of, reader_of, show, show_completion
from tests.support.grammar import Story, check_frames
from tests.support.seals import encrypted
from tests.support.validation_responses import violations
from tests.translate.asking import request
from tests.translate.responses.asking import body, completed, event, frames, question

Json = dict[str, Any]
texts = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=6)
cuts = st.lists(st.integers(min_value=0), max_size=5)


class Answer(Struct, frozen=True):
    """An answer as items, and how each of them is dealt: in these pieces."""

    items: list[Json]
    pieces: list[list[str]]

    def told(self, *, whole_only: bool = False) -> list[SseEvent]:
        """The stream. `whole_only`: nothing is told in pieces."""
        out = [event("response.created", response={"status": "in_progress"})]
        for place, (item, pieces) in enumerate(zip(self.items, self.pieces, strict=True)):
            at = {"output_index": place, "item_id": item["id"]}
            out.append(event("response.output_item.added", output_index=place, item=_begun(item)))
            if not whole_only:
                out += [event(f"{_KINDS[item['type']]}.delta", **at, delta=piece) for piece in pieces]
                out.append(event(f"{_KINDS[item['type']]}.done", **at, **_whole("".join(pieces))))
            out.append(event("response.output_item.done", output_index=place, item=item))
        return [*out, completed(output=self.items, usage={"input_tokens": 9, "output_tokens": 9})]


_KINDS = {
    "message": "response.output_text",
    "reasoning": "response.reasoning_summary_text",
    "function_call": "response.function_call_arguments",
}


def _begun(item: Json) -> Json:
    empty = {"content": [], "summary": [], "arguments": ""}
    return item | {name: value for name, value in empty.items() if name in item} | {"encrypted_content": "no"}


def _whole(text: str) -> Json:
    return {"text": text, "arguments": text}


@st.composite
def answers(draw: DrawFn) -> Answer:
    """Runs of reasoning in front of words and calls, as OpenAI's models give them."""
    items: list[Json] = []
    pieces: list[list[str]] = []
    kinds = draw(st.lists(st.sampled_from(["message", "function_call"]), min_size=1, max_size=4))
    for number, kind in enumerate(kinds):
        if draw(st.booleans()):
            summary = draw(st.lists(texts, max_size=2))
            items.append(_reasoning(number, "".join(summary), then=kind))
            pieces.append(summary)
        said = draw(st.lists(texts, min_size=1, max_size=3))
        if kind == "message":
            content = [{"type": "output_text", "text": "".join(said)}]
            items.append({"id": f"msg_{number}", "type": kind, "role": "assistant", "content": content})
        else:
            arguments = json.dumps({"text": "".join(said)}, ensure_ascii=False)
            said = [arguments[:3], arguments[3:]]
            items.append({"id": f"fc_{number}", "type": kind, "name": f"t{number}", "arguments": arguments})
        pieces.append(said)
    return Answer(items, pieces)


def _reasoning(number: int, summary: str, *, then: str) -> Json:
    item = f"rs_{number}"
    return {
        "id": item,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": summary}] if summary else [],
        "encrypted_content": encrypted("acme", item_id=item, summary=summary, then=then),
        "status": None,
    }


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(edges)]


def story(reads: list[bytes], **options: Any) -> Story:
    return check_frames(encode_frames(show(reader_of(wire="responses", **options), emitter_of(), reads)))


@settings(max_examples=25)
@given(answers(), st.booleans(), st.booleans(), cuts)
def test_everything_arrives_byte_for_byte_however_it_is_told_and_cut(
    answer: Answer, whole_only: bool, show_thinking: bool, places: list[int]
) -> None:
    data = frames(answer.told(whole_only=whole_only))
    told = story(cut(data, places), show_thinking=show_thinking)
    texts_ = [item["content"][0]["text"] for item in answer.items if item["type"] == "message"]
    thoughts = "".join(part["text"] for item in answer.items for part in item.get("summary", ()))
    calls = [(item["name"], item["arguments"]) for item in answer.items if item["type"] == "function_call"]
    assert [block["text"] for block in told.blocks if block["type"] == "text"] == texts_
    assert told.of("thinking") == (thoughts if show_thinking else "")
    assert [(b["name"], b["input"]) for b in told.blocks if b["type"] == "tool_use"] == calls
    assert told.stop is not None
    assert told.stop["stop_reason"] == ("tool_use" if calls else "end_turn")
    assert story([data], show_thinking=show_thinking).blocks == told.blocks


@settings(max_examples=25)
@given(answers(), st.sampled_from(["stream", "told whole", "whole"]), st.booleans(), st.booleans())
def test_all_reasoning_comes_back_where_it_was(
    answer: Answer, way: str, show_thinking: bool, calls_last: bool
) -> None:
    reader, emitter = reader_of(wire="responses", show_thinking=show_thinking), emitter_of()
    if way == "whole":
        whole = {"object": "response", "status": "completed", "output": answer.items}
        events = show_completion(reader, emitter, json.dumps(whole).encode())
    else:
        events = show(reader, emitter, [frames(answer.told(whole_only=way == "told whole"))])
    content = kept(fold(events))
    if calls_last:  # Claude Code sends words in front of calls
        content.sort(key=lambda block: block["type"] == "tool_use")
    items = next_turn(content)
    reasoning = [item for item in answer.items if item["type"] == "reasoning"]
    back = [item for item in items if item["type"] == "reasoning"]
    assert sorted(back, key=lambda item: item["id"]) == [
        {name: value for name, value in item.items() if name != "status"} for item in reasoning
    ]
    if not calls_last:
        assert [item["type"] for item in items] == [item["type"] for item in answer.items]


def kept(message: Message) -> list[Json]:
    """The content as Claude Code keeps it: the members that it knows."""
    members = {
        "text": ("text",),
        "thinking": ("thinking", "signature"),
        "redacted_thinking": ("data",),
        "tool_use": ("id", "name", "input"),
    }
    blocks = json.loads(encode_message(message))["content"]
    return [{name: block[name] for name in ("type", *members[block["type"]])} for block in blocks]


def next_turn(content: list[Json]) -> list[Json]:
    """The model's items when this content comes back, in a request that OpenAI would take."""
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call, "content": "ok"} for call in calls]
    asked = request(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": results or "go on"},
    )
    sent = body(question(asked, model="up-model", wire="responses", name="acme"))
    moved = [fault for fault in violations(sent, name="acme") if "is not behind" not in fault]
    assert moved == []
    return [item for item in sent["input"] if item.get("role") != "user" and "output" not in item]


kinds = st.sampled_from(
    [
        *(f"{kind}.{end}" for kind in _KINDS.values() for end in ("delta", "done")),
        *("response.refusal.delta", "response.refusal.done", "response.reasoning_text.delta"),
        *("response.output_item.added", "response.output_item.done", "response.created", "keepalive"),
        *("response.completed", "response.incomplete", "response.failed", "error"),
    ]
)
wild_items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "other"])},
    optional={
        "id": st.none() | st.sampled_from(["a", "b"]),
        "name": st.none() | st.sampled_from(["X", "Y"]),
        "arguments": st.none() | st.sampled_from(["", "{", "{}", '{"a":1}']) | st.just({"a": 1}),
        "content": st.none()
        | texts
        | st.lists(st.fixed_dictionaries({}, optional={"text": texts, "refusal": texts}), max_size=2),
        "summary": st.none() | st.lists(st.fixed_dictionaries({"text": texts}), max_size=2),
        "encrypted_content": st.none() | texts,
        "phase": st.sampled_from([None, "commentary", "odd", 7]),
    },
)
wild_events = st.fixed_dictionaries(
    {"type": kinds},
    optional={
        "output_index": st.none() | st.integers(0, 2),
        "item_id": st.none() | st.sampled_from(["a", "b"]),
        "content_index": st.none() | st.integers(0, 1),
        "summary_index": st.none() | st.integers(0, 1),
        "delta": st.none() | texts | st.just(7),
        "text": texts,
        "refusal": texts,
        "arguments": st.sampled_from(["", "{", "{}", '{"a":1}']),
        "item": st.none() | wild_items,
        "response": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "status": st.sampled_from(["completed", "incomplete", "failed", None, 7]),
                "output": st.none() | st.lists(wild_items | st.none(), max_size=3),
                "error": st.none() | st.just({"message": "x"}),
                "incomplete_details": st.none() | st.just({"reason": "max_output_tokens"}),
                "usage": st.none() | st.just({"input_tokens": "9", "output_tokens": -1}) | st.just(7),
            },
        ),
        "error": st.just({"message": "x"}),
    },
)
wild_options = st.fixed_dictionaries(
    {
        "show_thinking": st.booleans(),
        "think_tags": st.booleans(),
        "encrypted_reasoning": st.booleans(),
        "stop_sequences": st.sampled_from([(), ("END",)]),
    }
)


@settings(max_examples=60)
@given(st.lists(wild_events, max_size=7), wild_options, cuts)
def test_any_events_are_a_word_of_the_grammar_however_they_are_cut(
    told: list[Json], options: Json, places: list[int]
) -> None:
    events = [SseEvent(each["type"], json.dumps(each).encode()) for each in told]
    holds(frames(events), options, places)
    reader = reader_of(wire="responses", **options)
    with suppress(UpstreamFault):
        first = next((parts for each in events if (parts := reader.feed(each))), ())
        assert not first or content_bearing(first), "the first parts are content"


@settings(max_examples=30)
@given(st.lists(wild_items, max_size=3), wild_options)
def test_any_response_is_a_word_of_the_grammar(output: list[Json], options: Json) -> None:
    holds(json.dumps({"output": output}).encode(), options, [])


damaged = {
    golden.name: golden.upstream
    for golden in goldens.load_all()
    if golden.case.dialect.get("wire") == "responses"
}


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(damaged)),
    st.lists(st.tuples(st.integers(0), st.integers(0, 20), st.binary(max_size=3)), max_size=3),
    wild_options,
    cuts,
)
def test_damaged_answers_are_a_word_of_the_grammar(
    name: str, damages: list[tuple[int, int, bytes]], options: Json, places: list[int]
) -> None:
    data = damaged[name]
    for where, length, instead in damages:
        at = where % (len(data) + 1)
        data = data[:at] + instead + data[at + length :]
    holds(data, options, places)


def holds(data: bytes, options: Json, places: list[int]) -> None:
    """Assert that the client gets a word of the grammar, the same however `data` is cut."""

    def reader() -> Any:
        return reader_of(wire="responses", **options)

    whole = encode_frames(show(reader(), emitter_of(), [data]))
    check_frames(whole)
    check_frames(encode_frames(show_completion(reader(), emitter_of(), data)))
    assert encode_frames(show(reader(), emitter_of(), cut(data, places))) == whole
