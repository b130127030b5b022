import hashlib
import json
from typing import Any

import pytest

from ccproxy_trio.translate.request import Target, translate
from ccproxy_trio.wire.faults import RequestRefused, Untranslatable
from tests.translate.asking import dialect, request, text, tool, translated, upstream


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "n"}]}, "mcp_servers"),
        ({"thread": {"type": "continue", "id": "t"}}, "thread"),
        ({"compaction": {"enabled": True}}, "compaction"),
        ({"container": "container_1"}, "container"),
        ({"container": {"skills": []}}, "container"),
    ],
)
def test_what_only_anthropic_can_do_is_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(RequestRefused, match=f"^{name}: ") as caught:
        upstream(request(**fields))
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request_error")


def test_what_means_nothing_elsewhere_is_dropped() -> None:
    body = upstream(
        request(mcp_servers=[], thread={"type": "create"}, compaction=None, service_tier="auto"), "openai"
    )
    assert set(body) == {"model", "messages", "stream", "stream_options", "max_completion_tokens"}


def test_upstream_is_always_streamed_unless_it_cannot() -> None:
    assert upstream(request(stream=False))["stream"] is True
    body = upstream(request(stream=True), streaming=False)
    assert "stream" not in body
    assert "stream_options" not in body
    assert "stream_options" not in upstream(request(stream=True), stream_usage=False)


@pytest.mark.parametrize(
    ("asked", "cap", "sent"), [(64000, None, 64000), (64000, 8192, 8192), (100, 8192, 100)]
)
def test_output_limit_is_lowered_never_raised(asked: int, cap: int | None, sent: int) -> None:
    assert upstream(request(max_tokens=asked), output_cap=cap)["max_tokens"] == sent


def test_sampling_is_sent_only_where_it_is_taken() -> None:
    asked = request(temperature=0, top_p=0.5, top_k=7)
    assert {key: upstream(asked, top_k=True)[key] for key in ("temperature", "top_p", "top_k")} == {
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 7,
    }
    assert not {"temperature", "top_p", "top_k"} & set(upstream(asked, sampling=False))
    assert {"temperature", "top_p"} & set(upstream(asked, temperature=False)) == {"top_p"}
    assert {"temperature", "top_p"} & set(upstream(asked, top_p=False)) == {"temperature"}


@pytest.mark.parametrize(
    ("options", "sent", "ours"),
    [
        ({}, ["a", "b", "c", "d"], ("e",)),
        ({"stop": False}, None, ("a", "b", "c", "d", "e")),
    ],
)
def test_stop_sequences_beyond_what_the_upstream_takes_are_ours(
    options: dict[str, Any], sent: list[str] | None, ours: tuple[str, ...]
) -> None:
    asked = request(stop_sequences=["a", "b", "", "\n", "a", "c", "d", "e"])
    assert upstream(asked, **options).get("stop") == sent
    assert translated(asked, **options).stop_sequences == ours


def test_model_that_stops_by_itself_leaves_us_nothing_to_stop() -> None:
    assert translated(request(stop_sequences=["a"])).stop_sequences == ()
    assert "stop" not in upstream(request(stop_sequences=[]))


USER = json.dumps({"device_id": "d" * 64, "account_uuid": "a-b", "session_id": "s-1"})


def test_user_id_is_hashed_into_the_field_of_the_dialect() -> None:
    digest = hashlib.sha256(USER.encode()).hexdigest()
    asked = request(metadata={"user_id": USER})
    assert upstream(asked, "openai")["safety_identifier"] == digest
    assert upstream(asked, "groq")["user"] == digest
    body = json.dumps(upstream(asked, "openai"))
    assert "s-1" not in body
    assert digest not in json.dumps(upstream(asked))
    assert "user" not in upstream(request(metadata={}), "groq")


def cache_key(user_id: str | None, session: str | None = None) -> str | None:
    target = Target(
        provider="alpha", model="gpt-4o", dialect=dialect("openai", model="gpt-4o"), session=session
    )
    asked = request(metadata={"user_id": user_id}) if user_id else request()
    return translate(asked, target).chat.prompt_cache_key


def test_session_becomes_a_cache_key_that_does_not_tell_it() -> None:
    key = cache_key(USER)
    assert key is not None
    assert len(key) == 32
    assert "s-1" not in key
    assert key == cache_key(json.dumps({"session_id": "s-1"})) == cache_key("plain name", session="s-1")
    assert key != cache_key(None, session="s-2")


@pytest.mark.parametrize("user_id", [None, "plain", "{}", '{"session_id": 5}', '{"a":' + "[" * 5000])
def test_request_without_a_session_has_no_cache_key(user_id: str | None) -> None:
    assert cache_key(user_id) is None


def test_speed_and_tier_are_told_where_they_mean_something() -> None:
    assert upstream(request(speed="fast"), "openai")["service_tier"] == "priority"
    assert upstream(request(service_tier="standard_only"), "openai")["service_tier"] == "default"
    assert "service_tier" not in upstream(request(speed="fast"))


@pytest.mark.parametrize(
    ("system", "sent"),
    [
        ("x-anthropic-billing-header: cc_version=1\n\nYou are", "You are"),
        ("x-anthropic-billing-header: cc_version=1", None),
        ("", None),
        ([], None),
        ([text("x-anthropic-billing-header: a"), text("")], None),
        ("You are x-anthropic-billing-header", "You are x-anthropic-billing-header"),
        (None, None),
    ],
)
def test_billing_header_never_reaches_a_model(system: Any, sent: str | None) -> None:
    first = upstream(request(system=system))["messages"][0]
    assert first == (
        {"role": "user", "content": "hi"} if sent is None else {"role": "system", "content": sent}
    )


def test_system_prompt_keeps_its_breakpoints_where_they_count() -> None:
    asked = request(system=[text("A"), text("B", cache_control={"type": "ephemeral"})])
    assert upstream(asked, cache="cache_control", system_role="developer")["messages"][0] == {
        "role": "developer",
        "content": [
            {"type": "text", "text": "A"},
            {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}},
        ],
    }


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": [],
    "additionalProperties": False,
}


def test_schema_of_the_answer_is_strict_only_if_it_is_already() -> None:
    open_one = upstream(request(output_format={"type": "json_schema", "schema": SCHEMA}), "openai")
    assert open_one["response_format"]["json_schema"] == {"name": "output", "schema": SCHEMA}
    closed = {**SCHEMA, "required": ["a"]}
    asked = request(output_config={"format": {"type": "json_schema", "schema": closed}})
    assert upstream(asked, "openai")["response_format"]["json_schema"]["strict"] is True
    assert "strict" not in upstream(asked)["response_format"]["json_schema"]


def test_schema_of_the_answer_is_told_in_words_where_it_is_not_enforced() -> None:
    body = upstream(request(output_format={"type": "json_schema", "schema": SCHEMA}), json_schema=False)
    assert body["response_format"] == {"type": "json_object"}
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["messages"][0]["content"]


def test_answer_schema_for_gemini_is_in_its_subset() -> None:
    asked = request(output_format={"type": "json_schema", "schema": SCHEMA})
    assert "additionalProperties" not in upstream(asked, "gemini")["response_format"]["json_schema"]["schema"]


def test_nesting_past_the_limit_is_refused_whatever_holds_it() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"properties": {"a": deep}}
    with pytest.raises(Untranslatable, match=r"^output_config\.format\.schema: "):
        upstream(request(output_format={"type": "json_schema", "schema": deep}), "gemini")
    with pytest.raises(Untranslatable, match=r"^tools\.Bash\.input_schema: "):
        upstream(request(tools=[tool(input_schema=deep)]), "gemini")
