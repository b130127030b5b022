"""A turn in the words of each wire: its stream frame by frame, in parts that a fault can break up, and whole.

The shapes are those of the three APIs' references; what the vendors' own packages make of them is tested in
`test_wires.py`. The Chat Completions wire's own words are in `chunks.py`.
"""

import json
from collections.abc import Callable
from typing import Any, Literal, assert_never

from msgspec import Struct

from tests.support import told_anthropic, told_responses
from tests.support.chunks import DONE, Chunk, Turn, error_chunk, finish_chunk, role_chunk, sse, usage_chunk
from tests.support.seals import Teller

Wire = Literal["chat", "responses", "anthropic"]
WIRES: tuple[Wire, ...] = ("chat", "responses", "anthropic")


class Told(Struct, frozen=True, kw_only=True):
    """A streamed answer in frames, each the bytes of one event.

    `opening` is before any content. `content` leaves the last block open. `finish` closes it and tells the
    reason; on the Responses wire that is part of the mark. Behind `mark` nothing comes.
    """

    opening: tuple[bytes, ...]
    content: tuple[bytes, ...]
    finish: tuple[bytes, ...]
    mark: bytes

    @property
    def begun(self) -> tuple[bytes, ...]:
        """All but the end."""
        return self.opening + self.content

    @property
    def unmarked(self) -> tuple[bytes, ...]:
        """All but the last frame."""
        return self.begun + self.finish

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The whole stream."""
        return (*self.unmarked, self.mark)


def told(turn: Turn, wire: Wire = "chat", *, by: Teller | None = None) -> Told:
    """The turn as a stream of this wire."""
    teller = by or Teller()
    match wire:
        case "chat":
            return _told_in_chunks(turn)
        case "responses":
            parts = told_responses.parts(turn, teller)
        case "anthropic":
            parts = told_anthropic.parts(turn, teller)
        case _:
            assert_never(wire)
    opening, content, finish, mark = parts
    return Told(opening=opening, content=content, finish=finish, mark=mark)


def whole(turn: Turn, wire: Wire = "chat", *, by: Teller | None = None) -> dict[str, Any]:
    """The turn as one JSON object of this wire."""
    teller = by or Teller()
    match wire:
        case "chat":
            return turn.completion()
        case "responses":
            return told_responses.whole(turn, teller)
        case "anthropic":
            return told_anthropic.whole(turn, teller)
        case _:
            assert_never(wire)


def error_body(wire: Wire, message: str, *, kind: str, code: str | None = None, **more: Any) -> Any:
    """The JSON of a refusal: Anthropic's envelope, or OpenAI's, which its two wires share."""
    if wire == "anthropic":
        error = {"type": kind, "message": message}
        return {"type": "error", "error": error | more, "request_id": "req_scripted"}
    return {"error": {"message": message, "type": kind, "param": None, "code": code} | more}


def error_frame(
    wire: Wire, message: str, *, kind: str = "server_error", code: int | str | None = None
) -> bytes:
    """An error inside a stream whose status was 200, as an event of this wire."""
    match wire:
        case "chat":
            return sse([error_chunk(message, code=code, kind=kind)])
        case "responses":
            return told_responses.error_event(message, code=None if code is None else str(code))
        case "anthropic":
            return told_anthropic.error_event(message, kind=kind)
        case _:
            assert_never(wire)


def _told_in_chunks(turn: Turn) -> Told:
    def frames(*chunks: Chunk) -> tuple[bytes, ...]:
        return tuple(sse([chunk]) for chunk in chunks)

    return Told(
        opening=frames(role_chunk()),
        content=frames(*turn.content_chunks()[1:]),
        finish=frames(finish_chunk(turn.finish_reason), usage_chunk(turn.usage)),
        mark=DONE,
    )


def renamed_key(frame: bytes, key: bytes) -> bytes:
    """The same event with an odd key before its others."""
    start, brace, rest = frame.partition(b"{")
    return start + brace + b'"' + key + b'": 1, ' + rest


def with_usage(frame: bytes, usage: object) -> bytes:
    """The same event with this for its usage, wherever in it usage is told."""
    return _mapped(frame, lambda key, value: usage if key == "usage" and value is not None else value)


def without_usage(frame: bytes) -> bytes:
    """The same event without any usage."""
    return _mapped(frame, lambda key, value: _LEFT_OUT if key == "usage" else value)


_LEFT_OUT = object()


def _mapped(frame: bytes, change: Callable[[str, Any], Any]) -> bytes:
    head, _, data = frame.partition(b"data: ")
    if not data.startswith(b"{"):
        return frame

    def changed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made = {key: change(key, changed(item)) for key, item in value.items()}
        return {key: item for key, item in made.items() if item is not _LEFT_OUT}

    return head + b"data: " + json.dumps(changed(json.loads(data))).encode() + b"\n\n"
