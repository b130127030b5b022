import json
from typing import Any

import pytest
from msgspec import Raw

from ccproxy_trio.translate.state import ReplayState, seal, text_detail
from tests.translate.asking import assistant, call, said, user


def sealed(*, provider: str = "alpha", model: str = "m", **state: Any) -> str:
    return seal(ReplayState(provider, model, **state))


def thinking(words: str, signature: str | None) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


def redacted(data: str) -> dict[str, Any]:
    return {"type": "redacted_thinking", "data": data}


def recalled(*blocks: Any, replay: str) -> dict[str, Any]:
    return said(user("a"), assistant(*blocks), replay=replay)[1]


def test_our_thinking_comes_back_as_reasoning_content() -> None:
    message = recalled(
        thinking("one", sealed()), call("t"), thinking(" two", sealed()), replay="reasoning_content"
    )
    assert message["reasoning_content"] == "one two"


def test_reasoning_that_was_hidden_from_the_client_comes_back_too() -> None:
    message = recalled(
        redacted(sealed(details=[text_detail("secret")])), call("t"), replay="reasoning_content"
    )
    assert message["reasoning_content"] == "secret"


@pytest.mark.parametrize("signature", [None, "", "EqQB", sealed(provider="beta"), sealed(model="other")])
def test_foreign_thinking_is_never_sent(signature: str | None) -> None:
    message = recalled(thinking("private", signature), call("t"), replay="reasoning_content")
    assert message["reasoning_content"] == ""


def test_kimi_gets_a_space_where_the_history_has_no_reasoning() -> None:
    assert said(user("a"), assistant(call("t")), model="kimi-k2")[1]["reasoning_content"] == " "


def test_plain_answers_need_no_reasoning_content() -> None:
    assert "reasoning_content" not in recalled("text", replay="reasoning_content")


def test_merged_assistants_keep_their_reasoning() -> None:
    first, second = assistant(thinking("one", sealed()), "a"), assistant(thinking("two", sealed()), "b")
    (merged,) = said(first, second, replay="reasoning_content")
    assert merged == {"role": "assistant", "content": "a\n\nb", "reasoning_content": "one\n\ntwo"}


def test_reasoning_details_come_back_unchanged_and_in_order() -> None:
    details = [Raw(b'{"type":"reasoning.text","text":"1.0"}'), Raw(b'{"type":"x","n":1.50}')]
    message = recalled(
        thinking("t", sealed(details=details[:1])),
        redacted(sealed(details=details[1:])),
        "x",
        replay="reasoning_details",
    )
    assert message["reasoning_details"] == [json.loads(bytes(detail)) for detail in details]
    assert "reasoning_details" not in recalled("x", replay="reasoning_details")


def test_thought_signatures_come_back_to_their_calls() -> None:
    extra = {"google": {"thought_signature": "sig"}}
    state = sealed(signatures={"t1": Raw(json.dumps(extra).encode()), "gone": Raw(b"{}")})
    first, second = recalled(redacted(state), call("t1"), call("t2"), replay="gemini_extra")["tool_calls"]
    assert first["extra_content"] == extra
    assert "extra_content" not in second


def test_history_from_elsewhere_gets_the_documented_bypass_on_its_first_call() -> None:
    first, second = recalled(call("t1"), call("t2"), replay="gemini_extra")["tool_calls"]
    assert first["extra_content"] == {"google": {"thought_signature": "skip_thought_signature_validator"}}
    assert "extra_content" not in second
    assert "tool_calls" not in recalled("text", replay="gemini_extra")


def test_vertex_reads_its_own_key() -> None:
    url = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi"
    messages = said(user("a"), assistant(call("t")), profile="auto", base_url=url, model="gemini-3-pro")
    assert list(messages[1]["tool_calls"][0]["extra_content"]) == ["vertex"]
