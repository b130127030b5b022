"""The judge of answers, judged: it must pass what is right and name what is wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.answer_validation import error_violations, event_violations, message_violations

USAGE = {
    "input_tokens": 1,
    "output_tokens": 2,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
}
TEXT = {"type": "text", "text": "hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"any": {"thing": 1e300}}}


def message(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content)}
    return whole | {"stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE} | more


def start(block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def grown(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta, **more}


def ending(**more: Any) -> dict[str, Any]:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return {"type": "message_delta", "delta": delta | more, "usage": USAGE}


def error(kind: str = "api_error", **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "req_1"} | more


REFUSED = {"type": "refusal", "category": None, "explanation": "no"}
RIGHT: list[tuple[Callable[[str], list[str]], dict[str, Any]]] = [
    (message_violations, message(TEXT, CALL)),
    (message_violations, message(TEXT, stop_reason="refusal", stop_details=REFUSED)),
    (message_violations, message({"type": "thinking", "thinking": "t", "signature": "s"})),
    (message_violations, message({"type": "redacted_thinking", "data": "d"})),
    (event_violations, {"type": "message_start", "message": message(stop_reason=None)}),
    (event_violations, start(TEXT)),
    (event_violations, start(CALL)),
    (event_violations, grown({"type": "input_json_delta", "partial_json": "{"})),
    (event_violations, ending(stop_reason="refusal", stop_details=REFUSED)),
    (event_violations, {"type": "content_block_stop", "index": 0}),
    (event_violations, {"type": "message_stop"}),
    (error_violations, error()),
    (error_violations, error("request_too_large")),
]
WRONG: list[tuple[Callable[[str], list[str]], dict[str, Any], str]] = [
    (message_violations, message(TEXT, extra=1), "extra: unknown"),
    (message_violations, message(TEXT | {"cache_control": {}}), "content.0.cache_control: unknown"),
    (message_violations, message(TEXT, usage=USAGE | {"total": 1}), "usage.total: unknown"),
    (message_violations, message(TEXT, usage=USAGE | {"input_tokens": "1"}), "usage.input_tokens"),
    (message_violations, message(TEXT, usage=USAGE | {"output_tokens": None}), "usage.output_tokens"),
    (message_violations, message(TEXT, stop_reason="stop"), "stop_reason"),
    (message_violations, message(CALL | {"input": "{}"}), "input"),
    (message_violations, message({"type": "image", "source": {}}), "content.0"),
    (message_violations, message(TEXT, role="user"), "role"),
    (event_violations, grown({"type": "text_delta", "text": 5}), "text"),
    (event_violations, grown({"type": "text_delta", "text": "x", "more": 1}), "delta.more: unknown"),
    (event_violations, grown({"type": "text_delta", "text": "x"}, more=1), "more: unknown"),
    (event_violations, start(TEXT) | {"index": "0"}, "index"),
    (event_violations, ending(stop_details=REFUSED | {"who": "me"}), "delta.stop_details.who: unknown"),
    (event_violations, {"type": "message_start", "message": message(extra=1)}, "message.extra: unknown"),
    (event_violations, {"type": "done"}, "type"),
    (error_violations, error("server_error"), "error"),
    (error_violations, error(detail="x"), "detail: unknown"),
    (error_violations, {"error": {"message": "m", "type": "api_error"}}, "type"),
]


@pytest.mark.parametrize(("judge", "right"), RIGHT)
def test_a_right_answer_has_no_violations(judge: Callable[[str], list[str]], right: dict[str, Any]) -> None:
    assert judge(json.dumps(right)) == []


@pytest.mark.parametrize(("judge", "wrong", "phrase"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(
    judge: Callable[[str], list[str]], wrong: dict[str, Any], phrase: str
) -> None:
    assert phrase in "\n".join(judge(json.dumps(wrong)))
