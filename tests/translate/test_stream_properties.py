"""Whatever a provider sends: the grammar holds, nothing is lost, and only faults are raised."""

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from ccproxy_trio.translate.stream import content_bearing
from ccproxy_trio.wire.events import encode_frames
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.sse import Decoder, encode
from tests.support import goldens
from tests.support.answer_validation import error_violations, event_violations
from tests.support.answers import emitter_of, reader_of, show, show_completion
from tests.support.grammar import Story, check_frames, read_frames

texts = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() or "\n" in text)
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), st.lists, max_leaves=4)
objects = st.dictionaries(st.text(max_size=4), values, max_size=3)


@st.composite
def answers(draw: DrawFn) -> tuple[list[dict[str, Any]], str, str, list[tuple[str, str]]]:
    """Deltas of an answer whose calls may alternate, with its text, its reasoning and its calls."""
    calls = [(f"tool{number}", json.dumps(draw(objects))) for number in range(draw(st.integers(0, 3)))]
    queue: list[dict[str, Any]] = []
    for number, (name, arguments) in enumerate(calls):
        queue.append({"tool_calls": [{"index": number, "id": "call_0", "function": {"name": name}}]})
        edges = sorted({0, len(arguments), *draw(st.lists(st.integers(0, len(arguments)), max_size=3))})
        queue += [
            {"tool_calls": [{"index": number, "function": {"arguments": arguments[start:stop]}}]}
            for start, stop in pairwise(edges)
        ]
    text, thought = draw(st.lists(texts, max_size=4)), draw(st.lists(texts, max_size=4))
    speech = [{"content": piece} for piece in text] + [{"reasoning_content": piece} for piece in thought]
    deltas = interleaved(draw, [queue, [{"content": piece} for piece in text], speech[len(text) :]])
    return deltas, "".join(text), "".join(thought), calls


def interleaved(draw: DrawFn, queues: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The members of all queues, each queue's in order."""
    order = draw(st.permutations([number for number, queue in enumerate(queues) for _ in queue]))
    sources = [iter(queue) for queue in queues]
    return [next(sources[number]) for number in order]


def stream_of(deltas: Sequence[dict[str, Any]], *, finish: str | None = "stop") -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return b"".join(encode(json.dumps(chunk).encode()) for chunk in chunks) + encode(b"[DONE]")


def reads_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(edges)]


dialects = st.fixed_dictionaries(
    {
        "replay": st.sampled_from(["none", "reasoning_content", "reasoning_details", "gemini_extra"]),
        "show_thinking": st.booleans(),
    }
)


def told(reads: list[bytes], options: dict[str, Any]) -> Story:
    return check_frames(encode_frames(show(reader_of(**options), emitter_of(), reads)))


@given(answers(), dialects, st.lists(st.integers(min_value=0), max_size=6))
def test_text_reasoning_and_arguments_arrive_byte_for_byte_however_they_are_cut(
    answer: tuple[list[dict[str, Any]], str, str, list[tuple[str, str]]],
    options: dict[str, Any],
    cuts: list[int],
) -> None:
    deltas, text, thought, calls = answer
    data = stream_of(deltas)
    story = told(reads_of(data, cuts), options)
    if not (text or calls or (thought and options["show_thinking"])):
        assert story.error == {"type": "api_error", "message": "empty"}
        return
    assert story.of("text") == text
    assert story.of("thinking") == (thought if options["show_thinking"] else "")
    tools = [(block["name"], block["input"]) for block in story.blocks if block["type"] == "tool_use"]
    assert sorted(tools) == sorted(calls)
    assert story.stop is not None
    assert story.stop["stop_reason"] == ("tool_use" if calls else "end_turn")
    assert told([data], options).blocks == story.blocks


plain = st.text(alphabet="EN<k>/ \nx日", min_size=1, max_size=6)


@given(st.lists(plain, max_size=5), dialects, st.lists(st.integers(min_value=0), max_size=6))
def test_what_only_looks_like_a_stop_sequence_or_a_tag_is_text(
    pieces: list[str], options: dict[str, Any], cuts: list[int]
) -> None:
    text = "".join(pieces)
    data = stream_of([{"content": piece} for piece in pieces])
    story = told(reads_of(data, cuts), {**options, "stop_sequences": ("ENDE", "EN>>x!"), "think_tags": True})
    assert story.of("text") == text


@given(plain, plain, dialects, st.lists(st.integers(min_value=0), max_size=4))
def test_thoughts_in_tags_and_what_follows_arrive_however_they_are_dealt(
    thought: str, text: str, options: dict[str, Any], cuts: list[int]
) -> None:
    said = f" \n<think>\n{thought}</think>\n\n{text}"
    edges = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    pieces = [said[start:stop] for start, stop in pairwise(edges)]
    story = told([stream_of([{"content": piece} for piece in pieces])], {**options, "think_tags": True})
    # White space right behind a tag belongs to the tag.
    assert story.of("text") == text.lstrip()
    assert story.of("thinking") == (thought.lstrip() if options["show_thinking"] else "")


wild_calls = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.none() | st.integers(-1, 2),
            "id": st.none() | st.sampled_from(["", "a", "b"]),
            "function": st.none()
            | st.fixed_dictionaries(
                {},
                optional={
                    "name": st.none() | st.sampled_from(["", "X", "Y"]),
                    "arguments": st.none()
                    | st.sampled_from(["", "{", "}", "{}", '"a":1', '"', " "])
                    | objects,
                },
            ),
            "extra_content": st.none() | objects,
        },
    ),
    max_size=2,
)
wild_details = st.lists(
    st.none()
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted"])},
        optional={name: st.none() | texts for name in ("text", "summary", "signature", "data", "index")},
    ),
    max_size=2,
)
wild_deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none() | st.sampled_from(["", "<think>", "</think>", "a", "EN", "D", " "]),
        "reasoning": st.none() | texts,
        "reasoning_details": wild_details,
        "tool_calls": wild_calls,
        "function_call": st.none() | st.fixed_dictionaries({}, optional={"name": texts, "arguments": texts}),
        "refusal": st.none() | texts,
    },
)
wild_options = st.fixed_dictionaries(
    {
        "replay": st.sampled_from(["none", "reasoning_content", "reasoning_details", "gemini_extra"]),
        "show_thinking": st.booleans(),
        "think_tags": st.booleans(),
        "stop_sequences": st.sampled_from([(), ("END",)]),
    }
)


@given(
    st.lists(wild_deltas, max_size=6),
    wild_options,
    st.sampled_from([None, "stop", "tool_calls", "length", "content_filter", "error", "other"]),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_any_sequence_of_chunks_is_a_word_of_the_grammar(
    deltas: list[dict[str, Any]], options: dict[str, Any], finish: str | None, beats: list[bool]
) -> None:
    reader, emitter = reader_of(**options), emitter_of()
    events, parts = [], []
    try:
        for each in Decoder().feed(stream_of(deltas, finish=finish)):
            if beats.pop():
                events += emitter.heartbeat()
            fresh = reader.feed(each)
            assert parts or not fresh or content_bearing(fresh), "the first parts are content"
            parts += fresh
            events += emitter.take(fresh)
        events += emitter.take(reader.end())
    except UpstreamFault:
        events += emitter.fail("api_error", "x")
    check_frames(encode_frames(events))


@given(st.lists(wild_deltas, max_size=3), wild_options, st.sampled_from([None, "stop", "tool_calls"]))
def test_any_message_is_a_word_of_the_grammar(
    messages: list[dict[str, Any]], options: dict[str, Any], finish: str | None
) -> None:
    choices = [{"message": message, "finish_reason": finish} for message in messages]
    body = json.dumps({"choices": choices}).encode()
    check_frames(encode_frames(show_completion(reader_of(**options), emitter_of(), body)))


known_names = st.sampled_from(
    [
        *("choices", "delta", "message", "index", "finish_reason", "stop_reason", "content", "text", "type"),
        *("tool_calls", "function", "function_call", "name", "arguments", "id", "extra_content", "refusal"),
        *("reasoning", "reasoning_content", "reasoning_details", "usage", "prompt_tokens", "cached_tokens"),
        *("completion_tokens", "prompt_tokens_details", "error", "code", "detail", "object", "x_groq"),
    ]
)
fragments = st.sampled_from(
    [
        b"data: ",
        b"event: error",
        b"\n",
        b"\n\n",
        b"\r\n",
        b'{"choices":[{"delta":{"content":"x"}}]}',
        b'{"choices":[{"finish_reason":"stop"}]}',
        b"[DONE]",
        b'{"error":{"message":"x"}}',
        b"[",
        b"}",
        b'"',
    ]
)


@settings(max_examples=300)
@given(
    st.lists(fragments | st.binary(max_size=4), max_size=12),
    wild_options,
    st.lists(st.integers(min_value=0), max_size=4),
)
def test_any_bytes_are_a_word_of_the_grammar_however_they_are_cut(
    pieces: list[bytes], options: dict[str, Any], cuts: list[int]
) -> None:
    holds(b"".join(pieces), options, cuts)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known_names | st.text(max_size=3), inner),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(known_names, documents) | documents, max_size=4),
    wild_options,
    st.lists(st.integers(min_value=0), max_size=4),
)
def test_any_documents_are_a_word_of_the_grammar(
    payloads: list[Any], options: dict[str, Any], cuts: list[int]
) -> None:
    holds(b"".join(encode(json.dumps(payload).encode()) for payload in payloads), options, cuts)


goldens_by_name = {golden.name: golden.upstream for golden in goldens.load_all()}


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(goldens_by_name)),
    st.lists(st.tuples(st.integers(0), st.integers(0, 20), st.binary(max_size=3) | fragments), max_size=3),
    wild_options,
    st.lists(st.integers(min_value=0), max_size=4),
)
def test_damaged_answers_are_a_word_of_the_grammar(
    name: str, damages: list[tuple[int, int, bytes]], options: dict[str, Any], cuts: list[int]
) -> None:
    data = goldens_by_name[name]
    for where, length, instead in damages:
        at = where % (len(data) + 1)
        data = data[:at] + instead + data[at + length :]
    holds(data, options, cuts)


def holds(data: bytes, options: dict[str, Any], cuts: list[int]) -> None:
    """Assert that the client gets a word of the grammar, of known types, the same however `data` is cut."""
    whole = encode_frames(show(reader_of(**options), emitter_of(), [data]))
    told_once = encode_frames(show_completion(reader_of(**options), emitter_of(), data))
    for frames in (whole, told_once):
        check_frames(frames)
        for event in read_frames(frames):
            judge = error_violations if event["type"] == "error" else event_violations
            assert judge(json.dumps(event)) == []
    assert encode_frames(show(reader_of(**options), emitter_of(), reads_of(data, cuts))) == whole


def test_ten_thousand_pieces_take_no_time() -> None:
    arguments = json.dumps({"text": 'a "quoted" }{ word ' * 1500})
    pieces = [arguments[at : at + 3] for at in range(0, len(arguments), 3)]
    calls = [
        {"tool_calls": [{"index": 0, "function": {"name": "Write", "arguments": piece}}]} for piece in pieces
    ]
    texts = [{"content": "x"}, {"reasoning_content": "y"}] * 5000
    for deltas in (calls, texts):
        began_at = time.process_time()
        story = told([stream_of(deltas)], {})
        assert time.process_time() - began_at < 15.0
        assert story.error is None
