"""Turns in the words of Anthropic's Messages API: stream events and whole messages.

Thinking is signed by the provider that thought. Ids are its own and never repeat. Source: the API reference,
"Streaming messages".
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.chunks import Call, Turn, Usage
from tests.support.seals import Teller, redacted, signature

_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
_TOLD_AT_THE_END = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)
Parts = tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...], bytes]
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def event(kind: str, **members: Any) -> bytes:
    """An event as bytes."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()


def error_event(message: str, *, kind: str = "api_error") -> bytes:
    """The event that ends a stream which failed."""
    return event("error", error={"type": kind, "message": message}, request_id="req_scripted")


def usage_of(usage: Usage, *, output: int) -> dict[str, Any]:
    """The `usage` object with so many tokens of output."""
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def whole(turn: Turn, by: Teller) -> dict[str, Any]:
    """The `message` object. A `finish` that is none of Chat's words is a stop reason as it is."""
    usage = usage_of(turn.usage, output=turn.usage.completion)
    return _message(by, content=_blocks(turn, by), usage=usage) | _stop(turn)


def parts(turn: Turn, by: Teller) -> Parts:
    """The stream: its opening, its content, what closes that and tells the reason, and the end."""
    start = _message(by, content=[], stop_reason=None, usage=usage_of(turn.usage, output=1))
    content: list[bytes] = []
    blocks = _blocks(turn, by)
    for index, block in enumerate(blocks):
        if index:
            content.append(event("content_block_stop", index=index - 1))
        content += _block_events(block, index, turn)
    last = [event("content_block_stop", index=len(blocks) - 1)] if blocks else []
    usage = {key: usage_of(turn.usage, output=turn.usage.completion)[key] for key in _TOLD_AT_THE_END}
    finish = (*last, event("message_delta", delta=_stop(turn), usage=usage))
    return (event("message_start", message=start), PING), tuple(content), finish, event("message_stop")


def _message(by: Teller, **members: Any) -> dict[str, Any]:
    fixed = {"id": f"msg_{by.mark}", "type": "message", "role": "assistant", "model": by.model}
    return fixed | {"stop_sequence": None} | members


def _stop(turn: Turn) -> dict[str, Any]:
    """Why the answer ended."""
    reason = _REASONS.get(turn.finish_reason, turn.finish_reason)
    stop = {"stop_reason": reason, "stop_sequence": "###" if reason == "stop_sequence" else None}
    details = {"type": "refusal", "category": None, "explanation": "Not this."}
    return stop | ({"stop_details": details} if reason == "refusal" else {})


def _blocks(turn: Turn, by: Teller) -> list[dict[str, Any]]:
    """The content blocks as they are in the end."""
    thought = "".join(turn.reasoning)
    shown = {"type": "thinking", "thinking": thought, "signature": signature(by.name, thought)}
    hidden = {"type": "redacted_thinking", "data": redacted(by.name, by.number)}
    text = "".join((*turn.text, *turn.refusal))
    return [
        *([shown] if turn.reasoning else [hidden] if turn.unseen else []),
        *([{"type": "text", "text": text}] if turn.text or turn.refusal else []),
        *[_use(call, place, by) for place, call in enumerate(turn.calls)],
    ]


def _use(call: Call, place: int, by: Teller) -> dict[str, Any]:
    use_id = f"toolu_{by.mark}{place:02}" if call.id.startswith("call_") else call.id
    return {"type": "tool_use", "id": use_id, "name": call.name, "input": _input(call)}


def _input(call: Call) -> Any:
    """The arguments as an object. A text that is no JSON is for streams alone: no object can hold it."""
    try:
        return json.loads(call.arguments_text)
    except ValueError:
        return {}


def _block_events(block: dict[str, Any], index: int, turn: Turn) -> Iterator[bytes]:
    """One block, without its stop."""

    def delta(kind: str, **members: Any) -> bytes:
        return event("content_block_delta", index=index, delta={"type": kind} | members)

    empty: dict[str, Any] = {"thinking": "", "signature": "", "text": "", "input": {}}
    start = {key: empty.get(key, value) for key, value in block.items()}
    yield event("content_block_start", index=index, content_block=start)
    match block["type"]:
        case "thinking":
            yield from (delta("thinking_delta", thinking=piece) for piece in turn.reasoning)
            yield delta("signature_delta", signature=block["signature"])
        case "text":
            yield from (delta("text_delta", text=piece) for piece in (*turn.text, *turn.refusal))
        case "tool_use":
            text = _arguments(block, turn)
            for piece in ("", text[: len(text) // 2], text[len(text) // 2 :]):
                yield delta("input_json_delta", partial_json=piece)


def _arguments(block: dict[str, Any], turn: Turn) -> str:
    """The text of a call's arguments, which a test may have made no JSON."""
    found = [call.arguments_text for call in turn.calls if call.name == block["name"]]
    same = [text for text in found if not _is_json(text)]
    return same[0] if same else json.dumps(block["input"])


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
