"""Turns in the words of OpenAI's Responses API: the full sequence of stream events, and whole responses.

Order of items is reasoning, message, calls, as the models give them. Item ids are the provider's own and
never repeat. Source: the API reference, "Responses" and "Streaming events".
"""

import json
from typing import Any

from tests.support.chunks import Call, Turn, Usage
from tests.support.seals import Teller, encrypted

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
Parts = tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...], bytes]


class Events:
    """The frames of one stream, numbered as they come."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def add(self, kind: str, **members: Any) -> None:
        """One more event."""
        self.frames.append(event(kind, **members, sequence_number=len(self.frames)))


def event(kind: str, **members: Any) -> bytes:
    """An event as bytes."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()


def error_event(message: str, *, code: str | None = None) -> bytes:
    """The event that is nothing but an error."""
    return event("error", code=code, message=message, param=None, sequence_number=99)


def failed_event(message: str, *, code: str = "server_error", by: Teller | None = None) -> bytes:
    """The end of a response that failed."""
    error = {"code": code, "message": message}
    response = _response(by or Teller(), status="failed", error=error)
    return event("response.failed", response=response, sequence_number=99)


def usage_of(usage: Usage) -> dict[str, Any]:
    """The `usage` object."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }


def whole(turn: Turn, by: Teller) -> dict[str, Any]:
    """The `response` object at its end. A turn whose `finish` is "failed" has failed."""
    items = [_done(item) for item in _items(turn, by)]
    reason = _INCOMPLETE.get(turn.finish_reason)
    if turn.finish_reason == "failed":
        error = {"code": "server_error", "message": "The model failed"}
        return _response(by, status="failed", error=error, usage=usage_of(turn.usage))
    return _response(
        by,
        status="incomplete" if reason else "completed",
        incomplete_details={"reason": reason} if reason else None,
        output=items,
        usage=usage_of(turn.usage),
    )


def parts(turn: Turn, by: Teller) -> Parts:
    """The stream: its opening, its content, what closes that, and the end."""
    events = Events()
    for kind in ("response.created", "response.in_progress"):
        events.add(kind, response=_response(by, status="in_progress"))
    opened = len(events.frames)
    closing = opened
    for index, item in enumerate(_items(turn, by)):
        events.add("response.output_item.added", output_index=index, item=_begun(item))
        at = {"item_id": item["id"], "output_index": index}
        closing = _ADD[item["type"]](events, item, at, turn)
        events.add("response.output_item.done", output_index=index, item=_done(item))
    response = whole(turn, by)
    events.add(f"response.{response['status']}", response=response)
    frames = tuple(events.frames)
    return frames[:opened], frames[opened:closing], frames[closing:-1], frames[-1]


def _response(by: Teller, *, status: str, **members: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "id": f"resp_{by.mark}",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": by.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }
    return usual | members


def _items(turn: Turn, by: Teller) -> list[dict[str, Any]]:
    """The items as they are in the end."""
    said: list[dict[str, Any]] = []
    if turn.text or turn.refusal:
        text = {"type": "output_text", "text": "".join(turn.text), "annotations": [], "logprobs": []}
        refused = {"type": "refusal", "refusal": "".join(turn.refusal)}
        content = [text] * bool(turn.text) + [refused] * bool(turn.refusal)
        said.append({"id": f"msg_{by.mark}", "type": "message", "role": "assistant", "content": content})
    said += [_call(call, place, by) for place, call in enumerate(turn.calls)]
    return [*_reasoning(turn, by, then=said[0]["type"] if said else ""), *said]


def _reasoning(turn: Turn, by: Teller, *, then: str) -> list[dict[str, Any]]:
    if not (turn.reasoning or turn.unseen):
        return []
    summary = "".join(turn.reasoning)
    item_id = f"rs_{by.mark}"
    sealed = encrypted(by.name, item_id=item_id, summary=summary, then=then) if by.seals else None
    shown = [{"type": "summary_text", "text": summary}] if summary else []
    return [{"id": item_id, "type": "reasoning", "summary": shown, "encrypted_content": sealed}]


def _call(call: Call, place: int, by: Teller) -> dict[str, Any]:
    return {
        "id": f"fc_{by.mark}_{place}",
        "type": "function_call",
        "call_id": f"call_{by.mark}_{place}" if call.id.startswith("call_") else call.id,
        "name": call.name,
        "arguments": call.arguments_text,
    }


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """The item as its opening event shows it. What is encrypted there is not what counts in the end."""
    empty: dict[str, Any] = {"content": [], "arguments": "", "summary": []}
    start = item | {key: value for key, value in empty.items() if key in item}
    if item["type"] == "reasoning":
        return start | {"encrypted_content": "early" if item["encrypted_content"] else None}
    return start | {"status": "in_progress"}


def _done(item: dict[str, Any]) -> dict[str, Any]:
    return item if item["type"] == "reasoning" else item | {"status": "completed"}


def _add_reasoning(events: Events, item: dict[str, Any], at: dict[str, Any], turn: Turn) -> int:
    closing = len(events.frames)
    for number, part in enumerate(item["summary"]):
        at_part = at | {"summary_index": number}
        events.add("response.reasoning_summary_part.added", **at_part, part=part | {"text": ""})
        for piece in turn.reasoning:
            events.add("response.reasoning_summary_text.delta", **at_part, delta=piece)
        closing = len(events.frames)
        events.add("response.reasoning_summary_text.done", **at_part, text=part["text"])
        events.add("response.reasoning_summary_part.done", **at_part, part=part)
    return closing


def _add_message(events: Events, item: dict[str, Any], at: dict[str, Any], turn: Turn) -> int:
    closing = len(events.frames)
    for number, part in enumerate(item["content"]):
        at_part = at | {"content_index": number}
        kind = part["type"]
        member = "text" if kind == "output_text" else "refusal"
        also: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        events.add("response.content_part.added", **at_part, part=part | {member: ""})
        for piece in turn.text if kind == "output_text" else turn.refusal:
            events.add(f"response.{kind}.delta", **at_part, delta=piece, **also)
        closing = len(events.frames)
        events.add(f"response.{kind}.done", **at_part, **{member: part[member]}, **also)
        events.add("response.content_part.done", **at_part, part=part)
    return closing


def _add_call(events: Events, item: dict[str, Any], at: dict[str, Any], _turn: Turn) -> int:
    text = item["arguments"]
    for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
        events.add("response.function_call_arguments.delta", **at, delta=piece)
    closing = len(events.frames)
    events.add("response.function_call_arguments.done", **at, name=item["name"], arguments=text)
    return closing


_ADD = {"reasoning": _add_reasoning, "message": _add_message, "function_call": _add_call}
