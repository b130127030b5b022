import json
from typing import Any

import msgspec
import pytest

from ccproxy_trio.translate.local import local_answer
from tests.translate.asking import assistant, call, instruct, request, result, tool, user

ORDER = "Perform a web search for the query: trio nurseries"
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
FORCED = {"type": "tool", "name": "web_search"}


def answered(*messages: dict[str, Any], **fields: Any) -> Any:
    answer = local_answer(request(*messages, **fields))
    return (
        None
        if answer is None
        else (tuple(json.loads(msgspec.json.encode(block)) for block in answer.content), answer.stop_reason)
    )


def test_request_for_no_tokens_is_answered_with_none() -> None:
    assert answered(max_tokens=0) == ((), "max_tokens")


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
