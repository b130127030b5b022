import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccproxy_trio.translate.walk import INTERRUPTED
from ccproxy_trio.wire.faults import RequestRefused
from tests.support.validation import violations
from tests.translate.asking import (
    assistant,
    call,
    instruct,
    request,
    result,
    said,
    text,
    translated,
    upstream,
    user,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


def roles(messages: list[dict[str, Any]]) -> str:
    return " ".join(message["role"] for message in messages)


def test_result_that_never_comes_is_told_as_interrupted() -> None:
    messages = said(user("a"), assistant(call("t1"), call("t2")), user(result("t2", "B")), assistant("so"))
    assert roles(messages) == "user assistant tool tool assistant"
    assert [message["content"] for message in messages[2:4]] == ["B", INTERRUPTED]


def test_calls_at_the_very_end_are_settled() -> None:
    assert roles(said(user("a"), assistant(call("t1")))) == "user assistant tool"


def test_user_text_without_results_settles_what_is_pending_first() -> None:
    messages = said(user("a"), assistant(call("t1")), user("stop"))
    assert roles(messages) == "user assistant tool user"
    assert messages[2]["content"] == INTERRUPTED


def test_system_message_between_call_and_result_waits_for_the_result() -> None:
    messages = said(user("a"), assistant(call("t1")), instruct("mind"), user(result("t1", "A")))
    assert roles(messages) == "user assistant tool user"
    assert messages[3]["content"] == "<system-reminder>\nmind\n</system-reminder>"


def test_one_of_two_calls_with_the_same_id_is_answered_the_other_is_interrupted() -> None:
    messages = said(user("a"), assistant(call("t"), call("t")), user(result("t", "A")))
    first, second = (made["id"] for made in messages[1]["tool_calls"])
    assert first != second
    answers = {message["tool_call_id"]: message["content"] for message in messages[2:]}
    assert answers == {first: "A", second: INTERRUPTED}


def test_second_result_of_a_call_becomes_text() -> None:
    messages = said(user("a"), assistant(call("t")), user(result("t", "A"), result("t", "again")))
    assert roles(messages) == "user assistant tool user"
    assert messages[3]["content"].endswith("again")


def test_neighbouring_assistant_texts_are_merged() -> None:
    assert said(user("a"), assistant("b"), assistant("c"))[1:] == [{"role": "assistant", "content": "b\n\nc"}]
    several = said(user("a"), *(assistant(word) for word in "bcd"), assistant("e", call("t")), assistant("f"))
    assert [message["content"] for message in several] == ["a", "b\n\nc\n\nd", "e", INTERRUPTED, "f"]


def test_assistant_text_before_a_calling_assistant_stays_its_own_message() -> None:
    messages = said(user("a"), assistant("b"), assistant("c", call("t")), user(result("t")))
    assert roles(messages) == "user assistant assistant tool"


def test_assistant_with_nothing_to_say_disappears() -> None:
    messages = said(
        user("a"), assistant("", {"type": "thinking", "thinking": "x", "signature": ""}), user("b")
    )
    assert roles(messages) == "user user"


def test_empty_user_text_disappears() -> None:
    assert roles(said(user("a"), user(""), user(text(""), text("b")))) == "user user"


def test_conversation_without_any_content_is_refused() -> None:
    with pytest.raises(RequestRefused, match="at least one message must have content"):
        said(user(""))


def test_neighbouring_users_are_joined_for_strict_templates() -> None:
    assert said(user("a"), user("b"), merge_users=True) == [{"role": "user", "content": "a\n\nb"}]


def test_first_assistant_gets_a_user_before_it_where_that_is_demanded() -> None:
    assert said(assistant("b"), user("c"), profile="gemini")[0] == {"role": "user", "content": "."}
    assert roles(said(assistant("b"), user("c"))) == "assistant user"


def test_leading_system_messages_join_the_system_prompt() -> None:
    body = upstream(request(instruct("one"), instruct("two"), user("hi"), system="zero"))
    assert body["messages"][0] == {"role": "system", "content": "zero\n\none\n\ntwo"}


def test_conversation_of_system_messages_only_is_a_system_prompt() -> None:
    assert said(instruct("one")) == [{"role": "system", "content": "one"}]


def test_mid_system_is_hoisted_where_templates_want_it() -> None:
    body = upstream(request(user("a"), instruct("mind"), user("b"), system="S"), mid_system="hoist")
    assert body["messages"][0] == {"role": "system", "content": "S\n\nmind"}
    assert roles(body["messages"]) == "system user user"


def test_reminder_joins_the_user_message_behind_it_too() -> None:
    messages = said(user("a"), assistant("b"), instruct("mind"), user("c"))
    assert messages[2]["content"] == "<system-reminder>\nmind\n</system-reminder>\n\nc"


def test_reminder_joins_one_user_message_only() -> None:
    messages = said(user("a"), assistant("b"), instruct("mind"), user("c"), user("d"))
    assert roles(messages) == "user assistant user user"
    assert messages[3]["content"] == "d"


def test_empty_system_messages_say_nothing() -> None:
    assert said(user("a"), instruct(""), instruct(), instruct(text(""))) == [{"role": "user", "content": "a"}]


def test_media_follow_all_results_of_the_turn() -> None:
    messages = said(
        user("a"),
        assistant(call("t1"), call("t2")),
        user(result("t1", [IMAGE])),
        user(result("t2", "B"), "c"),
    )
    assert roles(messages) == "user assistant tool tool user user"
    assert messages[4]["content"][0]["type"] == "image_url"


def test_media_stay_in_the_tool_message_where_allowed() -> None:
    messages = said(
        user("a"),
        assistant(call("t1"), call("t2")),
        user(result("t1", [IMAGE]), result("t2", [text("x"), IMAGE])),
        tool_media="tool",
    )
    assert roles(messages) == "user assistant tool tool"
    assert [part["type"] for part in messages[2]["content"]] == ["image_url"]
    assert [part["type"] for part in messages[3]["content"]] == ["text", "image_url"]


def test_empty_result_is_empty_text() -> None:
    messages = said(user("a"), assistant(call("t")), user({"type": "tool_result", "tool_use_id": "t"}))
    assert messages[2]["content"] == ""


def test_empty_result_stays_text_where_media_may_stand_in_it() -> None:
    assert said(user("a"), assistant(call("t")), user(result("t", "")), tool_media="tool")[2]["content"] == ""


def test_cache_breakpoint_of_a_result_is_kept_where_it_counts() -> None:
    conversation = (
        user("a"),
        assistant(call("t")),
        user(result("t", "x", cache_control={"type": "ephemeral"})),
    )
    marked = said(*conversation, cache="openai_breakpoint")[2]["content"]
    assert marked == [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]
    assert said(*conversation)[2]["content"] == "x"


def test_at_most_four_breakpoints_are_written() -> None:
    hour = {"type": "ephemeral", "ttl": "1h"}
    messages = said(*(user(text(word, cache_control=hour)) for word in "abcdef"), cache="openai_breakpoint")
    marks = [message["content"][0]["prompt_cache_breakpoint"] for message in messages[:4]]
    assert marks == [{"mode": "explicit", "ttl": "12h"}] * 4
    assert [message["content"] for message in messages[4:]] == ["e", "f"]


def test_text_bytes_survive_whatever_they_are() -> None:
    words = "  \ttab\r\n\u2028 日本 😀 \u0000 é "
    assert said(user(words))[0]["content"] == words


def test_prefill_is_continued_in_the_words_of_the_server() -> None:
    conversation = (user("a"), assistant("Sure"))
    plain = upstream(request(*conversation))
    assert "continue_final_message" not in plain
    continued = upstream(request(*conversation), "vllm")
    assert (continued["add_generation_prompt"], continued["continue_final_message"]) == (False, True)
    assert "continue_final_message" not in upstream(request(user("a")), "vllm")
    prefixed = upstream(request(*conversation), "mistral")["messages"][-1]
    assert prefixed == {"role": "assistant", "content": "Sure", "prefix": True}
    assert "prefix" not in upstream(request(user("a")), "mistral")["messages"][-1]


def test_ten_thousand_messages_take_time_in_proportion() -> None:
    turns = [
        turn for n in range(2500) for turn in (user("a"), assistant(call(f"t{n}")), user(result(f"t{n}")))
    ]
    turns += [instruct("s", clear_at="next_user_message") for _ in range(2500)]
    assert len(said(*turns)) == 7501


def _seconds(count: int) -> float:
    """CPU time for so many results in reverse order, and for as many neighbours; the better of two runs."""
    ids = [f"t{n}" for n in range(count)]
    parallel = request(user("a"), assistant(*map(call, ids)), user(*map(result, reversed(ids))))
    neighbours = request(user("a"), *[assistant("x" * 100)] * count)

    def once() -> float:
        began = time.process_time()
        assert len(translated(parallel).chat.messages) == count + 2
        assert len(translated(neighbours).chat.messages) == 2
        return time.process_time() - began

    return min(once(), once())


def test_order_of_results_and_neighbours_cost_time_in_proportion() -> None:
    # Four times as many: four times the time, where it grew with the square sixteen times.
    assert _seconds(12_000) < 9 * _seconds(3_000)


def test_calls_of_one_id_are_answered_in_their_order_and_given_up_in_it() -> None:
    messages = said(
        user("a"),
        assistant(call("t"), call("s"), call("t"), call("u")),
        user(result("t", "first"), result("u", "last")),
        user("b"),
    )
    asked = [each["id"] for each in messages[1]["tool_calls"]]
    told = {each["tool_call_id"]: each["content"] for each in messages if each["role"] == "tool"}
    assert [told[each] for each in asked] == ["first", INTERRUPTED, INTERRUPTED, "last"]
    assert list(told) == [asked[0], asked[3], asked[1], asked[2]]


# What any client may send, in any order: every block type that a turn can hold, ids that repeat or are unfit.
ids = st.sampled_from(["t1", "t2", "t3", "functions.Bash:0", "x" * 60, "", "é"])
words = st.sampled_from(["", "a", " ", "日本", "x\ny"])
flags = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
texts = st.builds(lambda word, flag: text(word, **flag), words, flags)
contents = words | st.lists(
    texts | st.just(IMAGE) | st.just({"type": "tool_reference", "tool_name": "T"}), max_size=2
)
results = st.builds(result, ids, contents, is_error=st.booleans())
calls = st.builds(
    lambda made, name: call(made, name, a=1), ids, st.sampled_from(["Bash", "a b", "n" * 70, ""])
)
thoughts = st.builds(lambda word: {"type": "thinking", "thinking": word, "signature": ""}, words)
searches = st.just({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
users = st.builds(
    lambda blocks: user(*blocks), st.lists(results | results | texts | st.just(IMAGE), max_size=4)
)
assistants = st.builds(
    lambda blocks: assistant(*blocks), st.lists(calls | calls | texts | thoughts | searches, max_size=4)
)
systems = st.builds(
    lambda word, when: instruct(word, clear_at=when),
    words,
    st.sampled_from([None, "next_user_message", "never"]),
)
plain = st.builds(user, words) | st.builds(assistant, words)
conversations = st.lists(users | assistants | systems | plain, min_size=1, max_size=8)
options = st.fixed_dictionaries(
    {},
    optional={
        "merge_users": st.booleans(),
        "mid_system": st.sampled_from(["user", "keep", "hoist"]),
        "tool_media": st.sampled_from(["user", "tool"]),
        "tool_id": st.sampled_from(["plain40", "mistral9"]),
        "null_content": st.booleans(),
        "replay": st.sampled_from(["none", "reasoning_content", "reasoning_details", "gemini_extra"]),
        "cache": st.sampled_from(["none", "cache_control", "openai_breakpoint"]),
        "vision": st.booleans(),
    },
)


def assert_legal(messages: list[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])  # an open call of the message just before, once
            continue
        assert open_calls == []
        open_calls = [made["id"] for made in message.get("tool_calls", ())]
        assert len(set(open_calls)) == len(open_calls)
        if message["role"] == "assistant":
            assert message["content"] or open_calls
        else:
            assert message["content"]
    assert open_calls == []


@given(conversations, options)
@settings(max_examples=200, deadline=None)
def test_any_conversation_becomes_a_legal_chat(
    conversation: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    try:
        messages = said(*conversation, **options)
    except RequestRefused:
        return  # nothing in it but emptiness, which a test above is about
    assert_legal(messages)
    anthropic_only = {"tool_use_id", "is_error", "clear_at", "input", "signature", "source", "thinking"}
    assert anthropic_only & {key for message in messages for key in message} == set()


@given(conversations)
@settings(max_examples=80, deadline=None)
def test_any_conversation_for_openai_is_one_that_its_package_accepts(
    conversation: list[dict[str, Any]],
) -> None:
    try:
        body = upstream(request(*conversation), "openai", model="gpt-4o")
    except RequestRefused:
        return
    assert violations(body) == []


@given(conversations)
@settings(max_examples=100, deadline=None)
def test_no_words_of_a_conversation_are_lost(conversation: list[dict[str, Any]]) -> None:
    written = json.dumps([message for message in conversation if message["role"] != "system"] or [user("a")])
    for key in ("text", "content"):
        written = written.replace(f'"{key}": "a"', f'"{key}": "MARK"')
    marked, spoken = json.loads(written), written.count('"MARK"')
    try:
        chat = json.dumps(said(*marked))
    except RequestRefused:
        chat = ""
    assert chat.count("MARK") == spoken


def test_translation_says_where_thinking_is_wanted() -> None:
    assert translated(request()).show_thinking
    assert translated(request(thinking={"type": "adaptive"})).show_thinking
    assert not translated(request(thinking={"type": "disabled"})).show_thinking
    assert not translated(request(thinking={"type": "adaptive", "display": "omitted"})).show_thinking
