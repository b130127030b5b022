"""What holds for every request, whatever a client sends and wherever it goes."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ccproxy_trio.translate.profiles import PROFILES
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import encode
from tests.support.validation import violations
from tests.translate.asking import assistant, instruct, request, result, text, tool, translated, user
from tests.translate.test_request_goldens import EXTRAS

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
MODELS = {
    "openai": ["gpt-4o", "gpt-5", "gpt-5.4", "o3"],
    "azure": ["gpt-4.1", "gpt-5"],
    "openrouter": ["anthropic/claude-sonnet-4.5", "x/y"],
    "deepseek": ["deepseek-chat"],
    "gemini": ["gemini-2.5-flash", "gemini-3-pro"],
    "groq": ["openai/gpt-oss-120b"],
    "mistral": ["mistral-large-latest"],
    "ollama": ["qwen3:8b"],
    "vllm": ["Qwen/Qwen3-32B", "moonshotai/Kimi-K2"],
    "generic": ["some-model", "deepseek-r1", "kimi-k2"],
    "moonshot": ["kimi-k2"],
    "zai": ["glm-4.6"],
    "minimax": ["MiniMax-M2"],
    "alibaba": ["qwen3-coder-plus"],
}
targets = st.sampled_from([(profile, model) for profile, models in MODELS.items() for model in models])


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def document(**source: Any) -> dict[str, Any]:
    return block("document", source=source)


def marked(blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Some of them with a cache mark."""
    marks = st.sampled_from([{}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
    return st.builds(lambda made, mark: {**made, **mark}, blocks, marks)


words = st.sampled_from(["", "a", " \n", "日本 é", "\u2028x\ty", "x" * 50])
ids = st.sampled_from(["t1", "t2", "t3", "functions.Bash:0", "x" * 300, "", "é", "call_0"])
names = st.sampled_from(["Bash", "mcp__a.b/c d", "n" * 70, "3d", "é", ""])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
texts = marked(st.builds(text, words))
images = marked(
    st.sampled_from(
        [
            block("image", source={"type": "base64", "media_type": "image/png", "data": PNG}),
            block("image", source={"type": "url", "url": "https://example.org/a.png"}),
            block("image", source={"type": "file", "file_id": "file_1"}),
        ]
    )
)
hits = st.builds(
    lambda word: block("search_result", source="https://s", title="T", content=[text(word)]), words
)
documents = marked(
    st.builds(lambda word: document(type="text", media_type="text/plain", data=word), words)
    | st.builds(lambda word: document(type="content", content=word), words)
    | st.builds(lambda made: document(type="content", content=made), st.lists(texts | images, max_size=2))
    | st.sampled_from(
        [
            document(type="base64", media_type="application/pdf", data="JVBERi0x"),
            {**document(type="url", url="https://example.org/a.pdf"), "title": "T", "context": "C"},
            document(type="file", file_id="file_1"),
        ]
    )
)
references = st.builds(lambda name: block("tool_reference", tool_name=name), names)
browsers = st.just(block("browser_state", tabs=[{"tab_id": "1", "title": "", "url": "", "active": True}]))
items = texts | images | documents | hits | references | browsers
results = marked(
    st.builds(
        result, ids, st.none() | words | st.lists(items, max_size=3), is_error=st.sampled_from([True, False])
    )
)
summaries = st.builds(lambda word: block("compaction", content=word), words)
changes = st.builds(
    lambda kind, name: block(kind, tool={"type": "tool_reference", "name": name}),
    st.sampled_from(["tool_addition", "tool_removal"]),
    st.sampled_from(["Bash", "mcp__a.b/c d"]),
)
calls = marked(
    st.builds(
        lambda id_, name, value: block("tool_use", id=id_, name=name, input=value, caller={"type": "direct"}),
        ids,
        names,
        values,
    )
)
thoughts = st.sampled_from(
    [
        block("thinking", thinking="hm", signature=""),
        block("thinking", thinking="hm", signature="EqQBCgIYAhIM"),
        block("redacted_thinking", data="EmwKAhgB"),
    ]
)
SERVER_RESULTS = (
    *("web_search", "web_fetch", "code_execution", "bash_code_execution"),
    *("text_editor_code_execution", "tool_search", "advisor", "mcp"),
)
served = st.sampled_from(
    [
        block("server_tool_use", id="s", name="web_search", input={"query": "q"}),
        block("mcp_tool_use", id="m", name="n", server_name="srv", input={}),
        block("mcp_tool_listing", mcp_server_name="srv", tools=[]),
        block("fallback", **{"from": {"model": "a"}, "to": {"model": "b"}}),
        block("container_upload", file_id="f"),
        *(
            block(
                f"{kind}_tool_result", tool_use_id="s", content={"type": "x", "encrypted_content": "SECRET"}
            )
            for kind in SERVER_RESULTS
        ),
    ]
)
# Calls and results twice, so that many conversations have some that belong together.
of_users = results | results | texts | images | documents | hits | summaries | changes
of_assistants = calls | calls | texts | thoughts | served | summaries | images | documents | changes
users = st.builds(lambda made: user(*made), st.lists(of_users, max_size=4)) | st.builds(user, words)
assistants = st.builds(lambda made: assistant(*made), st.lists(of_assistants, max_size=4)) | st.builds(
    assistant, words
)
systems = st.builds(
    lambda made, fields: instruct(*made, **fields),
    st.lists(texts | changes, max_size=2),
    st.sampled_from(
        [{}, {"clear_at": "never"}, {"output_config": {"effort": "low"}}, {"clear_at": "next_user_message"}]
    ),
)
conversations = st.lists(users | assistants | systems, min_size=1, max_size=8)
SCHEMA = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "anyOf": [{"required": ["a"]}]}
offers = st.lists(
    st.sampled_from(
        [
            tool("Bash", cache_control={"type": "ephemeral"}, defer_loading=True),
            tool("mcp__a.b/c d", input_schema=SCHEMA, strict=True),
            tool("n" * 70, type="custom", eager_input_streaming=True),
            {"type": "memory_20250818", "name": "memory"},
            {"type": "web_search_20250305", "name": "web_search"},
        ]
    ),
    unique_by=lambda made: made["name"],
)
fields = st.fixed_dictionaries(
    {"max_tokens": st.sampled_from([1, 1000, 64000])},
    optional={
        "system": words | st.lists(texts, max_size=3),
        "tools": offers,
        "tool_choice": st.sampled_from(
            [{"type": "auto"}, {"type": "any", "disable_parallel_tool_use": True}, {"type": "none"}]
        ),
        "thinking": st.sampled_from(
            [{"type": "adaptive"}, {"type": "disabled"}, {"type": "enabled", "budget_tokens": 8000}]
        ),
        "output_config": st.sampled_from(
            [{"effort": "max"}, {"format": {"type": "json_schema", "schema": SCHEMA}, "task_budget": {}}]
        ),
        "stop_sequences": st.lists(words, max_size=6),
        "metadata": st.just({"user_id": '{"session_id":"s"}'}),
        "temperature": st.just(1),
        "top_k": st.just(5),
        "service_tier": st.just("standard_only"),
        "speed": st.just("fast"),
        "context_management": st.just({"edits": [{"type": "clear_tool_uses_20250919"}]}),
        "cache_control": st.just({"type": "ephemeral"}),
        "betas": st.just(["b"]),
    },
)


@given(conversations, fields, targets)
@settings(max_examples=60, deadline=None)
def test_any_request_becomes_one_that_its_upstream_takes_or_a_refusal(
    conversation: list[dict[str, Any]], more: dict[str, Any], target: tuple[str, str]
) -> None:
    profile, model = target
    try:
        made = translated(request(*conversation, **more), profile, model=model)
    except RequestRefused as refused:
        if refused.message != "messages: at least one message must have content":
            raise
        return
    body = json.loads(encode(made.chat))
    assert violations(body, also_allowed=EXTRAS[profile]) == []
    assert "SECRET" not in json.dumps(body)


@given(conversations, fields, targets)
@settings(max_examples=40, deadline=None)
def test_the_same_request_always_becomes_the_same_bytes(
    conversation: list[dict[str, Any]], more: dict[str, Any], target: tuple[str, str]
) -> None:
    profile, model = target
    asked = request(*conversation, **more)
    try:
        first = encode(translated(asked, profile, model=model).chat)
    except RequestRefused:
        return
    assert encode(translated(asked, profile, model=model).chat) == first


@given(conversations, fields, st.lists(of_assistants, max_size=4), users, targets)
@settings(max_examples=80, deadline=None)
def test_what_was_said_keeps_its_bytes_when_a_turn_is_added(
    conversation: list[dict[str, Any]],
    more: dict[str, Any],
    answer: list[dict[str, Any]],
    question: dict[str, Any],
    target: tuple[str, str],
) -> None:
    profile, model = target
    assume(all(message.get("clear_at") != "next_user_message" for message in conversation))
    more = {
        key: value for key, value in more.items() if key != "cache_control"
    }  # stands at the end, moves on
    before = [*conversation, user("and?")]  # said: an empty turn would leave the assistant's last one open
    first = translated(request(*before, **more), profile, model=model)
    second = translated(request(*before, assistant("so", *answer), question, **more), profile, model=model)
    begun = msgspec.json.encode(first.chat.messages)
    assert msgspec.json.encode(second.chat.messages).startswith(begun.removesuffix(b"]"))


def numbered(value: Any, numbers: Iterator[int]) -> Any:
    """The same with a number of its own in each text that a model has to read."""
    match value:
        case (
            {"role": "system", "clear_at": "next_user_message"}
            | {"type": "thinking"}
            | {"encrypted_content": _}
        ):
            return value
        case {"type": "text", "data": str(words)}:
            return {**value, "data": f"<{next(numbers)}>{words}"}
        case {"type": "base64" | "url" | "file" | "tool_use" | "server_tool_use" | "mcp_tool_use"}:
            return value
        case dict():
            return {
                key: f"<{next(numbers)}>{item}"
                if key in ("text", "content") and isinstance(item, str)
                else numbered(item, numbers)
                for key, item in value.items()
            }
        case list():
            return [numbered(item, numbers) for item in value]
        case _:
            return value


def texts_in(value: Any) -> Iterator[str]:
    match value:
        case (
            {"role": _, "content": str(words)}
            | {"type": "text", "text": str(words)}
            | {"type": "text", "data": str(words)}
        ):
            yield words
        case {"type": "content" | "tool_result" | "compaction", "content": str(words)}:
            yield words
        case dict():
            for item in value.values():
                yield from texts_in(item)
        case list():
            for item in value:
                yield from texts_in(item)


@given(conversations, targets)
@settings(max_examples=120, deadline=None)
def test_every_text_arrives_once_and_byte_for_byte(
    conversation: list[dict[str, Any]], target: tuple[str, str]
) -> None:
    profile, model = target
    asked = numbered(conversation, iter(range(10_000)))
    try:
        made = translated(request(*asked), profile, model=model)
    except RequestRefused:
        made = None
    said = "\n\n".join(texts_in(json.loads(encode(made.chat))["messages"])) if made else ""
    expected = [words for words in texts_in(asked) if words.startswith("<")]
    assert {words: said.count(words) for words in expected} == dict.fromkeys(expected, 1)


@given(st.lists(calls, min_size=1, max_size=4), targets)
@settings(max_examples=40, deadline=None)
def test_arguments_are_the_clients_values(made: list[dict[str, Any]], target: tuple[str, str]) -> None:
    profile, model = target
    chat = translated(request(user("a"), assistant(*made)), profile, model=model).chat
    sent = json.loads(encode(chat))["messages"][1]["tool_calls"]
    for asked, arrived in zip(made, sent, strict=True):
        value = asked["input"]
        wanted = value if isinstance(value, dict) else {} if value is None else {"value": value}
        assert json.loads(arrived["function"]["arguments"]) == wanted


SPOILT = {
    "unknown content block type": block("hologram"),
    "Could not process image": block("image", source={"type": "url", "url": "file:///x"}),
    "Could not process PDF": document(type="base64", media_type="text/plain", data="aGk="),
    "Expected `str`": block("text", text=5),
    "field required": block("text"),
}


@given(conversations, st.data(), targets)
@settings(max_examples=150, deadline=None)
def test_what_cannot_be_said_is_refused_by_its_path(
    conversation: list[dict[str, Any]], data: st.DataObject, target: tuple[str, str]
) -> None:
    profile, model = target
    why = data.draw(st.sampled_from(list(SPOILT)))
    place = data.draw(st.integers(0, len(conversation)))
    spoilt = [*conversation[:place], user("a", SPOILT[why]), *conversation[place:]]
    with pytest.raises(RequestRefused) as caught:
        translated(request(*spoilt), profile, model=model)
    assert caught.value.message.startswith(f"messages.{place}.content.1")
    assert why in caught.value.message


def test_every_profile_is_among_the_targets() -> None:
    assert MODELS.keys() == PROFILES.keys() - {"anthropic"}  # whose requests are never translated
