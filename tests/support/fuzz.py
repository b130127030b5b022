"""What nobody would send: request bodies and provider answers, from nearly right to not at all.

`bodies` are requests with some of their members replaced, left out, doubled or nested; `answers` are bytes of
a provider, whole or cut, with frames that do not fit. Both keep to the vocabulary of the real thing, since
pure noise is refused at the door and finds nothing behind it.
"""

import copy
import json
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Json = Any

IMAGE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}

_FOR_USER: list[Json] = [
    {"type": "text", "text": "hi"},
    {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}},
    {"type": "image", "source": IMAGE},
    {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
    {"type": "document", "source": PDF, "title": "t", "context": "c"},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
    {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "out"},
    {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "image", "source": IMAGE}]},
    {"type": "tool_result", "tool_use_id": "nobody", "is_error": True},
]
_FOR_ASSISTANT: list[Json] = [
    {"type": "text", "text": "hi"},
    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
    {"type": "tool_use", "id": "toolu_2", "name": "no such tool", "input": {}},
    {"type": "thinking", "thinking": "hm", "signature": "ccpx1.AAAA"},
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "redacted_thinking", "data": "opaque"},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}},
    {"type": "mcp_tool_result", "tool_use_id": "m", "content": "x", "is_error": False},
]
_MESSAGES = {"user": _FOR_USER, "assistant": _FOR_ASSISTANT, "system": _FOR_USER[:1]}
# What is refused, or may be, wherever it stands.
_ODD: list[Json] = [
    {"type": "container_upload", "file_id": "f"},
    {"type": "compaction", "content": "before"},
    {"type": "compaction", "encrypted_content": "x"},
    {"type": "novelty", "anything": [1]},
    {"type": "computer_20250124", "name": "computer"},
    {"type": "tool_addition", "tool": {"name": "late", "input_schema": {}}},
    {"role": "tool", "content": "x"},
    [{"url": "u"}],
    -1,
    1.5,
    10**20,
    "\ud83d",
    None,
]
_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"a": {"anyOf": [{"const": 1}, {"type": ["string", "null"]}]}, "b": {"$ref": "#/$defs/b"}},
    "$defs": {"b": {"type": "array", "items": {"$ref": "#/$defs/b"}}},
    "required": ["a", "gone"],
    "additionalProperties": False,
}
_TOOLS: list[Json] = [
    {"name": "Bash", "description": "d", "input_schema": _SCHEMA},
    {"name": "x" * 90, "input_schema": {"type": "object"}, "defer_loading": True},
    {"type": "custom", "name": "c", "input_schema": {}, "strict": True},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    {"type": "code_execution_20250522", "name": "code_execution"},
    {"type": "memory_20250818", "name": "memory"},
]
_FIELDS: dict[str, list[Json]] = {
    "system": [
        "s",
        [{"type": "text", "text": "x-anthropic-billing-header: 1"}, {"type": "text", "text": "s"}],
    ],
    "thinking": [{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 4096}, {"type": "disabled"}],
    "output_config": [{"effort": "max"}, {"format": {"type": "json_schema", "schema": _SCHEMA}}],
    "tool_choice": [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "Bash"}, {"type": "none"}],
    "stop_sequences": [["a", "b", "c", "d", "hel", " "], []],
    "metadata": [{"user_id": '{"session_id":"s"}'}, {"user_id": "u"}, {}],
    "temperature": [1, 0.5],
    "top_k": [5],
    "max_tokens": [1, 10**9],
    "context_management": [{"edits": [{"type": "clear_thinking_20251015"}]}],
    "service_tier": ["auto", "standard_only"],
    "mcp_servers": [[]],
    "thread": [{"type": "create"}],
}

junk: SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["text", "user", "object", "toolu_1", "\ud83d", "\x00", "𝒳"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def _message(role: str) -> SearchStrategy[Json]:
    contents = st.text(max_size=4) | st.lists(st.sampled_from(_MESSAGES[role]), max_size=4)
    return st.fixed_dictionaries({"role": st.just(role), "content": contents})


@st.composite
def requests(draw: DrawFn) -> Json:
    """A request whose parts are each as the API has them, in any order and number."""
    messages = st.lists(st.sampled_from(sorted(_MESSAGES)).flatmap(_message), max_size=5)
    fields = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(any_) for name, any_ in _FIELDS.items()}
    )
    ask = {
        "model": draw(st.sampled_from(["claude-opus-4-8", "gpt-5.1"])),
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}, *draw(messages)],
        "stream": draw(st.booleans()),
        **draw(fields),
    }
    if draw(st.booleans()):
        ask["tools"] = draw(st.lists(st.sampled_from(_TOOLS), max_size=4, unique_by=str))
    return copy.deepcopy(ask)


_ANYTHING = junk | st.sampled_from(_ODD)


@st.composite
def bodies(draw: DrawFn) -> bytes:
    """The body of a request: as it should be, with flaws somewhere inside, or not even JSON."""
    ask = draw(requests())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        places = list(_places(ask))
        if places:
            draw(st.sampled_from(places))(draw)
    data = json.dumps(ask, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 19)) == 19:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    return data


_Change = Callable[[DrawFn], None]


def _places(document: Json) -> Iterator[_Change]:
    """Every member at every depth, as a change that may be made there."""
    members: list[Any] = []
    match document:
        case dict():
            members = list(document)
        case list():
            members = list(range(len(document)))
    for member in members:
        yield _change(document, member)
        yield from _places(document[member])


def _change(inside: MutableMapping[str, Json] | MutableSequence[Json], member: Any) -> _Change:
    def change(draw: DrawFn) -> None:
        match draw(st.sampled_from(["replace", "drop", "wrap", "add"])):
            case "replace":
                inside[member] = copy.deepcopy(draw(_ANYTHING))
            case "drop":
                del inside[member]
            case "wrap":
                inside[member] = [inside[member]]
            case _ if isinstance(inside, MutableMapping):
                inside[draw(st.sampled_from(["type", "content", "cache_control", "id", "x"]))] = draw(junk)
            case _:
                inside.append(copy.deepcopy(draw(_ANYTHING)))

    return change


def _delta(delta: Json, **choice: Json) -> Json:
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def _call(function: Json, **others: Json) -> Json:
    return _delta({"tool_calls": [{"index": 0, "function": function, **others}]})


_CHUNKS: list[Json] = [
    _delta({"role": "assistant", "content": ""}),
    _delta({"content": "hel"}),
    _delta({"content": "lo</think>"}),
    _delta({"content": "<think>"}),
    _delta({"content": None, "refusal": "no"}),
    _delta({"reasoning_content": "hm"}),
    _delta({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}),
    _call({"name": "Bash", "arguments": ""}, id="call_0"),
    _call({"arguments": '{"command":'}),
    _call({"arguments": '"ls"}'}, extra_content={"google": {"thought_signature": "s"}}),
    _delta({"tool_calls": [{"index": 1, "id": "call_0", "function": {"name": "Bash", "arguments": "{}"}}]}),
    _delta({"function_call": {"name": "Bash", "arguments": "[1]"}}),
    *(
        _delta({}, finish_reason=why)
        for why in ("stop", "tool_calls", "length", "content_filter", "error", "?")
    ),
    {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    {"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": "x"}},
    {"choices": [], "prompt_filter_results": []},
    {"error": {"message": "prompt is too long", "code": 400}},
    {"error": {"message": "try later", "type": "rate_limit_error"}},
]
_FRAMES = [
    b"data: [DONE]\n\n",
    b": keep-alive\n\n",
    b"event: error\ndata: {}\n\n",
    b"data: <html>\n\n",
    b"\n",
    b"data:",
]


@st.composite
def answers(draw: DrawFn) -> list[bytes]:
    """What a provider sends with its 200, in the pieces in which it comes."""
    chunks = st.sampled_from(_CHUNKS).map(_frame) | junk.map(_frame)
    frames = draw(st.lists(chunks | st.sampled_from(_FRAMES) | st.binary(max_size=3), max_size=8))
    ending = [_frame(_delta({}, finish_reason="stop")), b"data: [DONE]\n\n"] if draw(st.booleans()) else []
    data = b"".join([*frames, *ending])
    edges = sorted(
        {0, len(data), *(cut % (len(data) + 1) for cut in draw(st.lists(st.integers(0), max_size=4)))}
    )
    return [data[start:stop] for start, stop in pairwise(edges)]


def _frame(document: Json) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
