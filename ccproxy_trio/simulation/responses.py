"""What a simulated provider sends on OpenAI's Responses API. Pure; its errors are those of `chat`.

Shapes are those of the OpenAI API reference ("The response object", "Streaming events").
"""

from itertools import count

from ccproxy_trio.simulation import chat
from ccproxy_trio.simulation.said import TEXT, WORDS, encoded, named

Event = dict[str, object]
_PLACE: Event = {"item_id": "msg_simulated", "output_index": 0, "content_index": 0}

refusal = chat.refusal
quota_refusal = chat.quota_refusal


def opening(model: str) -> bytes:
    """The response, as yet without output."""
    begun = _response(model, [], status="in_progress")
    return named(
        [
            {"type": "response.created", "sequence_number": 0, "response": begun},
            {"type": "response.in_progress", "sequence_number": 1, "response": begun},
        ]
    )


def words(model: str) -> tuple[bytes, ...]:
    """One message's deltas; its start comes with the first of them."""
    start: list[Event] = [
        {
            "type": "response.output_item.added",
            "sequence_number": 2,
            "output_index": 0,
            "item": _message([], status="in_progress"),
        },
        {"type": "response.content_part.added", "sequence_number": 3, **_PLACE, "part": _text("")},
    ]
    deltas: list[Event] = [
        {
            "type": "response.output_text.delta",
            "sequence_number": number,
            **_PLACE,
            "delta": text,
            "logprobs": [],
        }
        for number, text in zip(count(4), WORDS, strict=False)
    ]
    return (named([*start, deltas[0]]), *(named([delta]) for delta in deltas[1:]))


def closing(model: str, *, prompt: int) -> bytes:
    """The end of the message and of the response."""
    at = 4 + len(WORDS)
    said = _message([_text(TEXT)], status="completed")
    return named(
        [
            {
                "type": "response.output_text.done",
                "sequence_number": at,
                **_PLACE,
                "text": TEXT,
                "logprobs": [],
            },
            {"type": "response.content_part.done", "sequence_number": at + 1, **_PLACE, "part": _text(TEXT)},
            {
                "type": "response.output_item.done",
                "sequence_number": at + 2,
                "output_index": 0,
                "item": said,
            },
            _completed(model, [said], number=at + 3, prompt=prompt),
        ]
    )


def hollow(model: str) -> bytes:
    """The end of the response, where no item was begun."""
    return named([_completed(model, [], number=2, prompt=0)])


def whole(model: str, *, prompt: int) -> bytes:
    """The same answer as one response."""
    said = _message([_text(TEXT)], status="completed")
    return encoded(_response(model, [said], status="completed", prompt=prompt))


def nothing(model: str) -> bytes:
    """A response without output."""
    return encoded(_response(model, [], status="completed", prompt=0))


def _completed(model: str, output: list[Event], *, number: int, prompt: int) -> Event:
    ended = _response(model, output, status="completed", prompt=prompt)
    return {"type": "response.completed", "sequence_number": number, "response": ended}


def _response(model: str, output: list[Event], *, status: str, prompt: int | None = None) -> Event:
    """`prompt` is None where the tokens are not counted yet."""
    return {
        "id": "resp_simulated",
        "object": "response",
        "created_at": 0,
        "model": model,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None if prompt is None else _usage(prompt),
    }


def _usage(prompt: int) -> Event:
    written = len(WORDS)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + written,
    }


def _message(content: list[Event], *, status: str) -> Event:
    return {
        "id": "msg_simulated",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _text(text: str) -> Event:
    return {"type": "output_text", "text": text, "annotations": []}
