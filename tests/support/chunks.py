"""Chat Completions answers, written readably: chunk payloads, SSE bytes and whole completions.

The shapes are those of the OpenAI API reference ("The chat completion chunk object", "The chat completion
object"). Everything here is plain data, so a test may take a list of chunks apart and misarrange it.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

Chunk = dict[str, Any]
DONE = b"data: [DONE]\n\n"


class Call(Struct, frozen=True):
    """A tool call as a provider makes it. `arguments` is encoded as JSON; a `str` goes out as it is.

    `extra` is Gemini's `extra_content`, which carries a call's thought signature.
    """

    name: str
    arguments: dict[str, Any] | str
    id: str = "call_0"  # the same in every answer: some servers restart their numbering each turn
    extra: dict[str, Any] | None = None

    @property
    def arguments_text(self) -> str:
        """The arguments as the provider writes them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


class Usage(Struct, frozen=True, kw_only=True):
    """What a provider says it counted, in tokens. `cached` is a part of `prompt`."""

    prompt: int = 100
    completion: int = 7
    cached: int = 0

    def as_json(self) -> dict[str, Any]:
        """The `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


def chunk(delta: dict[str, Any], *, finish: str | None = None) -> Chunk:
    """One chunk with one choice."""
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "up-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def role_chunk() -> Chunk:
    """The first chunk of most providers: a role and nothing to show."""
    return chunk({"role": "assistant", "content": ""})


def text_chunks(*pieces: str) -> list[Chunk]:
    """Visible text, one chunk a piece."""
    return [chunk({"content": piece}) for piece in pieces]


def reasoning_chunks(*pieces: str, field: str = "reasoning_content") -> list[Chunk]:
    """Reasoning, one chunk a piece, in the field that the provider uses for it."""
    return [chunk({field: piece}) for piece in pieces]


def detail_chunks(*pieces: dict[str, Any]) -> list[Chunk]:
    """Items of `reasoning_details` or pieces of them, as OpenRouter streams them: with their text beside."""
    return [
        chunk({"reasoning": piece.get("text") or piece.get("summary"), "reasoning_details": [piece]})
        for piece in pieces
    ]


def tool_call_chunks(*calls: Call) -> list[Chunk]:
    """Each call in three chunks: id and name, then its arguments in two halves, as OpenAI streams them."""
    chunks = []
    for index, call in enumerate(calls):
        text = call.arguments_text
        middle = len(text) // 2
        start = {"index": index, "id": call.id, "type": "function"} | _extra(call)
        chunks.append(chunk({"tool_calls": [start | {"function": {"name": call.name, "arguments": ""}}]}))
        chunks += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
            for half in (text[:middle], text[middle:])
        ]
    return chunks


def finish_chunk(reason: str) -> Chunk:
    """The chunk that ends the choice."""
    return chunk({}, finish=reason)


def usage_chunk(usage: Usage) -> Chunk:
    """The chunk after the last: no choice, only usage."""
    return chunk({}) | {"choices": [], "usage": usage.as_json()}


def error_chunk(message: str, *, code: int | str | None = None, kind: str = "server_error") -> Chunk:
    """An error object inside a stream whose status was 200."""
    return {"error": {"message": message, "type": kind, "code": code}}


def sse(payloads: Iterable[Chunk]) -> bytes:
    """The chunks as server-sent events, without `[DONE]`."""
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)


class Turn(Struct, frozen=True, kw_only=True):
    """One assistant turn, to be served as a stream or as a whole, whichever the request asks for.

    Order is reasoning, text, calls. `finish` None: `tool_calls` with calls, else `stop`. `details` are
    `reasoning_details`, in a stream one chunk each. On the other wires (`told.py`): `unseen`, it thought and
    shows none of it; `refusal`, in pieces.
    """

    text: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    reasoning: tuple[str, ...] = ()
    details: tuple[dict[str, Any], ...] = ()
    finish: str | None = None
    usage: Usage = Usage()
    unseen: bool = False
    refusal: tuple[str, ...] = ()

    @property
    def finish_reason(self) -> str:
        """The reason given for the end."""
        return self.finish or ("tool_calls" if self.calls else "stop")

    def content_chunks(self) -> list[Chunk]:
        """The role chunk and all content, without any end."""
        return [
            role_chunk(),
            *reasoning_chunks(*self.reasoning),
            *detail_chunks(*self.details),
            *text_chunks(*self.text),
            *tool_call_chunks(*self.calls),
        ]

    def chunks(self) -> list[Chunk]:
        """The whole stream but for `[DONE]`."""
        return [*self.content_chunks(), finish_chunk(self.finish_reason), usage_chunk(self.usage)]

    def completion(self) -> dict[str, Any]:
        """The `chat.completion` object."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.text) or None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.details:
            message["reasoning_details"] = list(self.details)
        if self.calls:
            message["tool_calls"] = [_whole_call(call) for call in self.calls]
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "up-model",
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": self.usage.as_json(),
        }


def says(*pieces: str, reasoning: Sequence[str] = (), usage: Usage | None = None) -> Turn:
    """A turn of text, a chunk for each piece."""
    return Turn(text=pieces, reasoning=tuple(reasoning), usage=usage or Usage())


def calls(
    *wanted: Call, text: str = "", reasoning: Sequence[str] = (), details: Sequence[dict[str, Any]] = ()
) -> Turn:
    """A turn that calls tools, several at once when several are given. Ids count within the turn."""
    numbered = tuple(
        replace(call, id=f"call_{index}") if call.id == "call_0" else call
        for index, call in enumerate(wanted)
    )
    return Turn(
        calls=numbered, text=(text,) if text else (), reasoning=tuple(reasoning), details=tuple(details)
    )


def _extra(call: Call) -> dict[str, Any]:
    return {"extra_content": call.extra} if call.extra else {}


def _whole_call(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_text},
    } | _extra(call)
