import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.memory import ENTRY_BYTES, SchemaMemory
from ccproxy_trio.translate.request import Target, Translated, translate
from ccproxy_trio.translate.schema import Kind
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import RequestRefused, Untranslatable
from tests.translate.asking import dialect, request, tool

KINDS: list[Kind] = ["json", "gemini", "openai"]
keywords = st.sampled_from(
    ["type", "properties", "$ref", "anyOf", "$id", "enum", "const", "items", "minimum"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["object", "string", "#/a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=3),
    max_leaves=8,
)
schemas = st.dictionaries(keywords, values, max_size=4) | values


def small(number: int) -> Raw:
    return Raw(json.dumps({"type": "object", "properties": {}, "title": f"{number:04}"}).encode())


def entry_bytes(asked: Raw) -> int:
    memory = SchemaMemory()
    memory.parameters(asked, "json", "x")
    return memory.held_bytes


class Counted:
    """Counts how often a schema is really rewritten."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._rewrite = schema.parameters
        monkeypatch.setattr(schema, "parameters", self)

    def __call__(self, asked: Raw, kind: Kind, where: str) -> Raw:
        self.times += 1
        return self._rewrite(asked, kind, where)


def outcome(asked: MessagesRequest, target: Target) -> Translated | str:
    try:
        return translate(asked, target)
    except (RequestRefused, Untranslatable) as error:
        return f"{type(error)} {error}"


@given(st.lists(schemas, max_size=4), st.sampled_from(["generic", "gemini", "openai"]), st.booleans())
def test_request_is_translated_the_same_with_and_without_a_memory(
    offered: list[Any], profile: str, strict: bool
) -> None:
    tools = [
        tool(f"Tool{place}", input_schema=each, strict=strict)
        for place, each in enumerate([*offered, *offered])
    ]
    asked = request(tools=[*tools, {"type": "bash_20250124", "name": "bash"}])
    target = Target(provider="alpha", model="m", dialect=dialect(profile, strict=True))
    remembering = replace(target, rewrite=SchemaMemory().parameters)
    plain = outcome(asked, target)
    for _ in range(3):
        assert outcome(asked, remembering) == plain


def test_schema_that_comes_again_is_rewritten_once_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, memory = Counted(monkeypatch), SchemaMemory()
    for _ in range(3):
        for kind in KINDS:
            memory.parameters(small(1), kind, "x")
    assert counted.times == len(KINDS)


def test_what_is_refused_is_refused_again_in_words_that_name_its_place() -> None:
    memory = SchemaMemory()
    for place in ("tools.A", "tools.B"):
        with pytest.raises(RequestRefused, match=rf"^{place}: must be a JSON object"):
            memory.parameters(Raw(b"[]"), "json", place)
    assert memory.held_bytes == 0


def test_schema_that_was_used_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SchemaMemory(most_bytes=20 * entry_bytes(small(0)))
    counted = Counted(monkeypatch)
    for number in range(20):
        memory.parameters(small(number), "json", "x")
    memory.parameters(small(0), "json", "x")
    memory.parameters(small(20), "json", "x")  # takes the place of the second
    assert counted.times == 21
    memory.parameters(small(0), "json", "x")
    assert counted.times == 21
    memory.parameters(small(1), "json", "x")
    assert counted.times == 22


def test_memory_stays_within_its_bound_whatever_is_asked() -> None:
    most = 50 * ENTRY_BYTES
    memory = SchemaMemory(most_bytes=most)
    held = []
    for number in range(500):
        memory.parameters(small(number), KINDS[number % 3], "x")
        held.append(memory.held_bytes)
    assert max(held) <= most
    assert held[-1] > most / 2


def test_schema_too_large_to_be_worth_it_pushes_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, memory = Counted(monkeypatch), SchemaMemory(most_bytes=50 * ENTRY_BYTES)
    memory.parameters(small(0), "json", "x")
    before = memory.held_bytes
    memory.parameters(Raw(json.dumps({"title": "x" * 3 * ENTRY_BYTES}).encode()), "json", "x")
    assert memory.held_bytes == before
    memory.parameters(small(0), "json", "x")
    assert counted.times == 2


@pytest.mark.parametrize("kind", KINDS)
def test_memory_keeps_no_request_body_alive(kind: Kind) -> None:
    body = b'{"type":"object","properties":{"a":{"type":"string"}}}'
    memory, schemas = SchemaMemory(), msgspec.json.Decoder(Raw)
    references = sys.getrefcount(body)
    memory.parameters(schemas.decode(body), kind, "x")
    assert memory.held_bytes > 0
    assert sys.getrefcount(body) == references
