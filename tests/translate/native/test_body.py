"""A body is passed on as it came, but for what this provider must not read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.settings.model import Secret
from ccproxy_trio.translate.native.profiles import NATIVE
from ccproxy_trio.translate.native.question import put
from ccproxy_trio.translate.question import Asked, Credential, Sender
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.faults import Untranslatable
from tests.support.validation_anthropic import violations
from tests.translate.asking import assistant, call, instruct, result, text, tool, user
from tests.translate.native.asking import OPUS, THIRD, asked, body, encoded, native, question, sent

MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}
TALK = (
    user("go"),
    instruct("agents"),
    assistant({"type": "thinking", "thinking": "hm", "signature": "EqMB"}, call("t1", command="é\\/")),
    user(result("t1", [text("a"), {"type": "future", "x": 1.0}]), text("and?", **MARK)),
)
FULL: dict[str, Any] = {
    "stream": True,
    "system": [text("x-anthropic-billing-header: 1"), text("brief", **MARK)],
    "tools": [tool("Bash", defer_loading=True), {"type": "web_search_20250305", "name": "web_search"}],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "output_config": {"effort": "high"},
    "metadata": {"user_id": "u"},
    "from_the_future": {"numbers": [1e3, 10, 1.50]},
}


def replaced(written: bytes, **changes: bytes) -> bytes:
    for name, value in changes.items():
        before = json.dumps(json.loads(written)[name], separators=(",", ":")).encode()
        written = written.replace(
            b'"%s":%s' % (name.encode(), before), b'"%s":%s' % (name.encode(), value), 1
        )
    return written


def test_all_that_differs_at_anthropic_is_the_model() -> None:
    written = encoded(body(*TALK, **FULL))
    assert question(written).outgoing().body == replaced(written, model=b'"claude-opus-4-8"')


def test_an_answer_is_always_asked_for_as_a_stream_unless_the_provider_cannot() -> None:
    written = encoded(body(stream=False))
    to = {"model": b'"claude-opus-4-8"'}
    assert question(written).outgoing().body == replaced(written, **to, stream=b"true")
    assert question(written, streaming=False).outgoing().body == replaced(written, **to)
    assert sent(body())["stream"] is True


_NAMES = st.sampled_from(["a", "é", "input", "cache_control", "x\\y", '"', "messages2"])
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(_NAMES, inside, max_size=3),
    max_leaves=6,
)


@given(_JSON, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_clients_put_beside_what_is_known_keeps_its_bytes(
    odd: Any, escaped: bool, blanks: Any
) -> None:
    what = body(
        user({"type": "text", "text": "a", "odd": odd}, {"type": "future", "odd": odd}),
        assistant(call("t1", odd=odd)),
        user(result("t1", "ok", odd=odd)),
        odd=odd,
        tools=[tool(odd=odd)],
    )
    written = json.dumps(what, ensure_ascii=escaped, indent=blanks).encode()
    passed = question(written).outgoing().body
    assert json.loads(passed) == {**json.loads(written), "model": OPUS, "stream": True}
    for name in ("messages", "tools"):
        value = json.dumps(what[name], ensure_ascii=escaped, indent=blanks).encode()
        if blanks is None:
            assert value in passed


def test_of_two_members_of_one_name_the_last_counts_and_goes_on() -> None:
    written = b'{"model":"a","max_tokens":5,"messages":[{"role":"user","content":"one"}],"metadata":{},' + (
        b'"messages":[{"role":"user","content":"one","content":"two"}],"model":"b","max_tokens":7}'
    )
    passed = question(written).outgoing().body
    assert passed == (
        b'{"model":"claude-opus-4-8","max_tokens":7,"messages":[{"role":"user","content":"one","content":"two"}],'
        b'"metadata":{},"stream":true}'
    )


@pytest.mark.parametrize("profile", sorted(NATIVE))
def test_what_servers_of_its_shape_do_not_read_is_not_sent_to_them(profile: str) -> None:
    passed = sent(body(*TALK, **FULL), native(profile, "m"), model="m")
    assert {"context_management", "output_config", "metadata"}.isdisjoint(passed)
    assert passed["from_the_future"] == FULL["from_the_future"]
    assert passed["thinking"] == {"type": "enabled", "budget_tokens": 16_000}
    assert passed["system"] == [text("brief", cache_control={"type": "ephemeral"})]
    assert passed["tools"] == [tool("Bash")]
    assert [message["role"] for message in passed["messages"]] == ["user", "assistant", "user"]
    assert passed["messages"][1] == TALK[2]


TEXT = st.sampled_from([text("a"), text("b")])
BLOCKS = st.lists(TEXT, min_size=1, max_size=3)
TURNS = st.lists(
    st.tuples(
        BLOCKS,
        st.none() | st.sampled_from(["one", "two"]),
        st.lists(
            st.sampled_from(
                [
                    text("said"),
                    {"type": "thinking", "thinking": "hm", "signature": ""},
                    {"type": "thinking", "thinking": "hm", "signature": "ccpx1.e30"},
                    {"type": "redacted_thinking", "data": "ccpx1.e30"},
                ]
            ),
            min_size=1,
            max_size=2,
        ),
        st.integers(0, 2),
    ),
    max_size=3,
)


@given(
    TURNS,
    st.sampled_from(["anthropic", THIRD, "vllm", "openrouter"]),
    st.sampled_from(["keep", "user", "hoist"]),
    st.sampled_from(["claude-opus-4-8", "claude-haiku-4-5", "claude-3-5-haiku", "m"]),
    st.sampled_from(
        [{}, {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "enabled", "budget_tokens": 31_999}}]
    ),
)
def test_a_valid_request_stays_valid(
    turns: list[Any], profile: str, mid_system: str, model: str, fields: dict[str, Any]
) -> None:
    messages: list[dict[str, Any]] = []
    for number, (said, instruction, answer, calls) in enumerate(turns):
        results = (
            [block for block in messages[-1]["content"] if block["type"] == "tool_use"] if messages else []
        )
        messages.append(user(*(result(block["id"]) for block in results), *said))
        messages += [instruct(instruction)] if instruction else []
        messages.append(assistant(*answer, *(call(f"t{number}{each}") for each in range(calls))))
    results = [block for block in messages[-1]["content"] if block["type"] == "tool_use"] if messages else []
    messages.append(user(*(result(block["id"]) for block in results), text("go on")))
    what = body(*messages, tools=[tool()], **fields)
    passed = sent(what, native(profile, model, mid_system=mid_system), model=model)
    betas = ["mid-conversation-system-2026-04-07", "prompt-caching-scope-2026-01-05"]
    assert set(violations(what, betas=betas)) <= {"a signature of the proxy's own was sent on"}
    assert violations(passed, betas=betas) == []
    said_by_client = [block["text"] for message in what["messages"] for block in _texts(message)]
    passed_on = json.dumps(passed, ensure_ascii=False)
    assert all(words in passed_on for words in said_by_client)


def _texts(message: dict[str, Any]) -> list[Any]:
    content = message["content"]
    blocks = [text(content)] if isinstance(content, str) else content
    return [block for block in blocks if block["type"] == "text"]


@pytest.mark.parametrize(
    "fields",
    [
        {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "m"}]},
        {"container": "c"},
        {"compaction": {"type": "auto"}},
        {"thread": {"type": "continue", "id": "t"}},
    ],
)
def test_what_only_anthropic_has_is_left_to_another_provider(fields: dict[str, Any]) -> None:
    assert sent(body(**fields)) == {**body(**fields), "model": OPUS, "stream": True}
    with pytest.raises(Untranslatable, match=f"{next(iter(fields))}: this provider has nothing like it"):
        sent(body(**fields), native(THIRD))
    assert sent(body(thread={"type": "create"}), native(THIRD))["messages"]


def test_the_query_the_headers_and_the_clients_key_go_with_it() -> None:
    written = encoded(body())
    key = Credential("authorization", Secret("Bearer x"))
    sender = Sender(headers=(("x-app", "cli"), ("cookie", "a=b")), query="beta=true", credential=key)
    target = Target(provider="alpha", model=OPUS, dialect=native())
    out = put(Asked(request=decode_request(written), body=written, sender=sender), target).outgoing()
    assert (out.query, out.credential) == ("beta=true", key)
    assert out.headers == (("anthropic-version", "2023-06-01"), ("x-app", "cli"))


def test_the_reader_knows_where_the_answer_comes_from() -> None:
    assert question(body()).reader(lambda: "0" * 24).finish_seen is False


def test_notes_say_what_was_left_out() -> None:
    assert question(body()).notes == ()
    assert question(body(**FULL), native(THIRD)).notes == (
        "tool web_search left out: it is run by Anthropic",
    )


def test_the_form_of_the_answer_is_told_in_words_where_the_member_for_it_is_left_out() -> None:
    form = {"type": "json_schema", "schema": {"type": "object", "properties": {"t": {"type": "string"}}}}
    for fields in ({"output_config": {"format": form}}, {"output_format": form}):
        passed = sent(body(system="brief", **fields), native(THIRD))
        assert passed["system"][0] == text("brief")
        assert '"properties":{"t":{"type":"string"}}' in passed["system"][1]["text"].replace(" ", "")
        assert sent(body(system="brief", **fields))["system"] == "brief"
    assert "system" not in sent(body(output_config={"effort": "low"}), native(THIRD))


def test_an_effort_beyond_the_model_is_lowered_and_what_stands_beside_it_stays() -> None:
    fields = {"output_config": {"effort": "max", "task_budget": {"type": "tokens", "total": 5}}}
    passed = sent(body(**fields), model="claude-opus-4-5")
    assert passed["output_config"] == {"effort": "high", "task_budget": {"type": "tokens", "total": 5}}
    assert sent(body(**fields))["output_config"] == fields["output_config"]
    assert sent(body(output_config={"effort": "odd"}), model="claude-opus-4-5")["output_config"] == {
        "effort": "odd"
    }
    budget = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": None}
    assert sent(body(**budget))["output_config"] == {"effort": "low"}
    assert asked(body()).body == encoded(body())
