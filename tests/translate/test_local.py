import json
from typing import Any, get_args

import anthropic.types
import msgspec
import pytest
from pydantic import TypeAdapter

from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.local import LocalAnswer, found, local_answer, not_found, search_question
from ccproxy_trio.wire.events import encode_frames
from ccproxy_trio.wire.search import Hit, SearchErrorCode
from tests.support.grammar import check_frames
from tests.translate.asking import assistant, call, instruct, request, result, said, tool, user

ORDER = "Perform a web search for the query: trio nurseries"
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
FORCED = {"type": "tool", "name": "web_search"}
EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)
HITS = (
    Hit(
        url="https://trio.example/a", title="Nurseries", snippet="They end together.", published="2024-05-01"
    ),
    Hit(url="https://other.example/b", title="Else"),
)


def plain(answer: LocalAnswer) -> Any:
    return tuple(json.loads(msgspec.json.encode(block)) for block in answer.content), answer.stop_reason


def answered(*messages: dict[str, Any], **fields: Any) -> Any:
    question = search_question(request(*messages, **fields))
    return None if question is None else plain(not_found(question, "unavailable"))


def asked(**limits: Any) -> Any:
    return search_question(request(user(ORDER), tools=[{**SEARCH, **limits}], tool_choice=FORCED))


def test_request_for_no_tokens_is_answered_with_none() -> None:
    answer = local_answer(request(max_tokens=0))
    assert answer is not None
    assert plain(answer) == ((), "max_tokens")


def test_request_for_tokens_is_not_answered_here() -> None:
    assert local_answer(request(user(ORDER), tools=[SEARCH], tool_choice=FORCED)) is None


def test_forced_web_search_is_told_to_be_unavailable() -> None:
    (use, found), stop_reason = answered(user(ORDER), tools=[SEARCH], tool_choice=FORCED)
    assert stop_reason == "end_turn"
    assert (use["type"], use["name"]) == ("server_tool_use", "web_search")
    assert use["id"].startswith("srvtoolu_")
    assert found == {
        "type": "web_search_tool_result",
        "tool_use_id": use["id"],
        "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
    }


def test_query_is_the_input_of_the_search() -> None:
    (use, _), _ = answered(user("earlier"), user("x", ORDER), tools=[SEARCH], tool_choice=FORCED)
    assert use["input"] == {"query": "trio nurseries"}


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"tools": [SEARCH], "tool_choice": FORCED}, True),
        ({"tools": [SEARCH], "tool_choice": {"type": "any"}}, True),
        ({"tools": [SEARCH], "tool_choice": {"type": "auto"}}, True),
        ({"tools": [SEARCH]}, True),
        ({"tools": [SEARCH, tool()], "tool_choice": FORCED}, True),
        ({"tools": [SEARCH, tool()], "tool_choice": {"type": "any"}}, False),
        ({"tools": [SEARCH, tool()]}, False),
        ({"tools": [SEARCH], "tool_choice": {"type": "none"}}, False),
        ({"tools": [tool("web_search")], "tool_choice": FORCED}, False),
        ({"tools": [tool()], "tool_choice": {"type": "any"}}, False),
        ({}, False),
    ],
)
def test_only_a_search_that_must_happen_is_answered_here(fields: dict[str, Any], ours: bool) -> None:
    assert (answered(user(ORDER), **fields) is not None) is ours


@pytest.mark.parametrize(
    "messages",
    [
        [user("What is Trio?")],
        [user(ORDER), assistant("x"), user("and now?")],
        [instruct(ORDER)],
        [user(ORDER), assistant(call("t")), user(result("t"))],
    ],
)
def test_plain_question_with_search_at_hand_goes_to_a_model(messages: list[dict[str, Any]]) -> None:
    assert answered(*messages, tools=[SEARCH]) is None


def test_two_searches_of_a_session_have_different_ids() -> None:
    ids = {
        answered(user(order), tools=[SEARCH], tool_choice=FORCED)[0][0]["id"]
        for order in (ORDER, ORDER + "!")
    }
    assert len(ids) == 2


def test_the_clients_limits_are_part_of_the_question() -> None:
    usual, limited = asked(), asked(allowed_domains=["a.example"], blocked_domains=["b.example"], max_uses=0)
    assert (usual.max_uses, usual.allowed_domains, usual.blocked_domains) == (8, (), ())
    assert limited.max_uses == 0
    assert (limited.allowed_domains, limited.blocked_domains) == (("a.example",), ("b.example",))


def test_a_search_without_a_query_is_a_question_still() -> None:
    question = search_question(request(instruct("x"), tools=[SEARCH], tool_choice=FORCED))
    assert question is not None
    assert question.query == ""


def test_what_was_found_is_told_as_results_and_in_words() -> None:
    (use, results, text), stop_reason = plain(found(asked(), HITS))
    assert stop_reason == "end_turn"
    assert use["input"] == {"query": "trio nurseries"}
    assert results["tool_use_id"] == use["id"]
    assert results["content"] == [
        {
            "type": "web_search_result",
            "url": "https://trio.example/a",
            "title": "Nurseries",
            "encrypted_content": "",
            "page_age": "2024-05-01",
        },
        {
            "type": "web_search_result",
            "url": "https://other.example/b",
            "title": "Else",
            "encrypted_content": "",
            "page_age": None,
        },
    ]
    assert text["text"] == (
        'Web search results for "trio nurseries":\n\n'
        "1. Nurseries (2024-05-01)\nhttps://trio.example/a\nThey end together.\n\n"
        "2. Else\nhttps://other.example/b"
    )


def test_a_search_that_found_nothing_says_so() -> None:
    (_, results, text), _ = plain(found(asked(), ()))
    assert results["content"] == []
    assert text["text"] == 'The web search for "trio nurseries" found nothing.'


@pytest.mark.parametrize("hits", [HITS, ()])
def test_the_vendors_types_take_what_was_found(hits: tuple[Hit, ...]) -> None:
    answer = found(asked(), hits)
    emitter = Emitter(message_id="msg_x", model="claude-opus-4-8", input_tokens=7)
    events = emitter.answer(answer.content, stop_reason=answer.stop_reason, usage=answer.usage)
    story = check_frames(encode_frames(events))
    assert story.kinds == ["server_tool_use", "web_search_tool_result", "text"]
    for event in events:
        EVENT.validate_json(msgspec.json.encode(event), strict=True)
    message = anthropic.types.Message.model_validate_json(msgspec.json.encode(fold(events)), strict=True)
    assert message.usage.server_tool_use is not None
    assert message.usage.server_tool_use.web_search_requests == 1
    assert message.usage.input_tokens == 7
    assert message.usage.output_tokens > 1


@pytest.mark.parametrize("code", get_args(SearchErrorCode))
def test_the_vendors_types_take_every_reason_for_nothing(code: SearchErrorCode) -> None:
    answer = not_found(asked(), code)
    emitter = Emitter(message_id="msg_x", model="m", input_tokens=7)
    events = emitter.answer(answer.content, stop_reason=answer.stop_reason, usage=answer.usage)
    check_frames(encode_frames(events))
    message = anthropic.types.Message.model_validate_json(msgspec.json.encode(fold(events)), strict=True)
    result = message.content[1]
    assert result.type == "web_search_tool_result"
    assert not isinstance(result.content, list)
    assert result.content.error_code == code
    assert message.usage.server_tool_use is None


def test_what_was_found_comes_back_in_a_later_request_as_titles_and_addresses() -> None:
    blocks, _ = plain(found(asked(), HITS))
    blocks[1]["content"][0]["encrypted_content"] = "RU5DUllQVEVE"
    messages = said(user(ORDER), assistant(*blocks), user("and?"))
    (told,) = (message["content"] for message in messages if message["role"] == "assistant")
    assert told.startswith('[used web_search: {"query":"trio nurseries"}]')
    assert "Nurseries\nhttps://trio.example/a\nElse\nhttps://other.example/b" in told
    assert "They end together." in told
    assert "RU5D" not in json.dumps(messages)


def test_a_failed_search_comes_back_as_its_reason() -> None:
    blocks, _ = plain(not_found(asked(), "too_many_requests"))
    messages = said(user(ORDER), assistant(*blocks), user("and?"))
    assert "too_many_requests" in messages[1]["content"]
