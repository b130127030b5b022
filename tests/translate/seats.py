"""Models behind every wire, played in process: what each says of a request, and how it answers.

Whatever a model writes bears a mark, `<12>`, that occurs nowhere else. What it wants to see again is sealed
as in `tests.support.seals`, by the provider and, where it matters, by the model; so every request shows whose
reasoning it holds.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.native.headers import betas_in
from ccproxy_trio.translate.question import Outgoing
from tests.support import validation, validation_anthropic, validation_responses
from tests.support.chunks import DONE, chunk, finish_chunk, sse
from tests.support.seals import encrypted, redacted, signature
from tests.support.told_anthropic import event
from tests.support.told_responses import Events
from tests.translate.asking import provider

Json = dict[str, Any]
Kind = Literal["thought", "hidden", "words", "call"]
_KINDS: dict[str, Kind] = {"t": "thought", "h": "hidden", "s": "words", "c": "call"}
MARK = re.compile(r"<\d+>")
PASSED_BACK = "The `content[].thinking` in the thinking mode must be passed back to the API."


class Seat(Struct, frozen=True, kw_only=True):
    """A model at a provider. `signs`: its thinking bears signatures. `checks`: what it says of a history.

    "its own": no thinking but what it signed, and the loop at hand begins with it. "every call": each was
    made with a thought, wherever it came from. `extras` are the keys of its dialect that OpenAI lacks.
    """

    name: str
    provider: str
    model: str
    dialect: Dialect
    signs: bool = True
    checks: Literal["nothing", "its own", "every call"] = "nothing"
    extras: frozenset[str] = frozenset()

    @property
    def sealer(self) -> str:
        """Who can read what it sealed: with OpenAI the very model, with Anthropic whoever has the account."""
        return self.provider if self.dialect.wire == "anthropic" else f"{self.provider} {self.model}"


def _seat(profile: str, model: str, *, name: str = "", extras: str = "", **more: Any) -> Seat:
    who = more.pop("at", profile)
    own = {key: more.pop(key) for key in ("signs", "checks") if key in more}
    spoken = resolve(provider(profile, **more), model)
    return Seat(
        name=name or who,
        provider=who,
        model=model,
        dialect=spoken,
        extras=frozenset(extras.split()),
        **own,
    )


CHAT = (
    _seat("deepseek", "deepseek-reasoner", extras="thinking reasoning_content"),
    _seat("moonshot", "kimi-k2-thinking", extras="reasoning_content"),
    _seat("openrouter", "x/y", extras="reasoning reasoning_details"),
    _seat("gemini", "gemini-3-pro", extras="extra_content"),
    _seat("mistral", "mistral-large-latest"),
)
RESPONSES = (
    _seat("openai", "gpt-5.4"),
    _seat("openai", "gpt-5.5", name="openai-next"),
    _seat("azure", "gpt-5.4"),
)
NATIVE = (
    _seat("anthropic", "claude-opus-4-8", checks="its own"),
    _seat("anthropic", "claude-sonnet-4-5", name="anthropic-budget", checks="its own"),
    _seat("anthropic", "claude-opus-4-8", at="other-account", checks="its own"),
    _seat("minimax", "MiniMax-M2", wire="anthropic"),
    _seat("zai", "glm-4.7", wire="anthropic", signs=False),
    _seat(
        "deepseek",
        "deepseek-v4",
        at="deepseek-native",
        wire="anthropic",
        signs=False,
        checks="every call",
    ),
)
SEATS = (*CHAT, *RESPONSES, *NATIVE)


class Piece(Struct, frozen=True):
    """A part of an answer. `seal` is what its provider alone has a use for."""

    kind: Kind
    mark: str
    seal: str = ""

    @property
    def input(self) -> Json:
        """A call's."""
        return {"command": self.mark}


# -- what it says of a request -------------------------------------------------------------------------


def violations(seat: Seat, outgoing: Outgoing) -> list[str]:
    """What is wrong with a request, a sentence each."""
    body = json.loads(outgoing.body)
    match seat.dialect.wire:
        case "chat":
            return validation.violations(body, also_allowed=seat.extras)
        case "responses":
            return validation_responses.violations(body, name=seat.sealer)
        case _:
            return validation_anthropic.violations(body, betas=betas_in(outgoing.headers))


def refusal(seat: Seat, outgoing: Outgoing) -> str | None:
    """What a provider that checks says of the thinking in a history; None: it takes it."""
    body = json.loads(outgoing.body)
    match seat.checks:
        case "nothing":
            return None
        case "its own":
            return validation_anthropic.thinking_refusal(body, seat.sealer, "turns")
        case "every call":
            off = (body.get("thinking") or {}).get("type") == "disabled"
            return None if off or not any(map(is_thoughtless, body["messages"])) else PASSED_BACK


def is_thoughtless(message: Json) -> bool:
    """Whether a turn calls without a thought before it."""
    kinds = [block["type"] for block in message["content"] if not isinstance(block, str)]
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")


# -- what it answers -----------------------------------------------------------------------------------


def pieces_of(seat: Seat, shape: str, number: Callable[[], int]) -> tuple[Piece, ...]:
    """An answer as the model would give it: `t` is thought that it shows, `h` hidden, `s` words, `c` a call.

    What it cannot say is left out, and so are thoughts that lead to nothing.
    """
    groups = re.findall("[th]*[sc]", shape)
    if seat.dialect.wire == "responses":  # its models speak before they call, as Claude Code keeps it
        groups.sort(key=lambda group: group[-1] == "c")
    said = "".join(groups) if seat.signs else "".join(groups).replace("h", "")
    kinds = [_KINDS[letter] for letter in said]
    return tuple(
        _piece(seat, kind, then, number()) for kind, then in zip(kinds, (*kinds[1:], "words"), strict=True)
    )


def _piece(seat: Seat, kind: Kind, then: str, number: int) -> Piece:
    mark = f"<{number}>"
    match seat.dialect.wire, kind:
        case "chat", "call" if seat.dialect.replay == "gemini_extra":
            return Piece(kind, mark, f"signature of {number}." if number % 3 else "")
        case _, "words" | "call":
            return Piece(kind, mark)
        case "responses", _:
            item = reasoning_item(Piece(kind, mark))
            shown = mark if kind == "thought" else ""
            followed = {"words": "message", "call": "function_call"}.get(then, "reasoning")
            return Piece(kind, mark, encrypted(seat.sealer, item_id=item["id"], summary=shown, then=followed))
        case "anthropic", "hidden":
            return Piece(kind, mark, redacted(seat.sealer, number))
        case "anthropic", _:
            return Piece(kind, mark, signature(seat.sealer, mark) if seat.signs else "")
        case _:
            return Piece(kind, mark, f"seal of {number}.")


def told(seat: Seat, pieces: Sequence[Piece]) -> list[bytes]:
    """The answer as the reads in which it comes."""
    match seat.dialect.wire:
        case "chat":
            return [*_chunks(seat, pieces), DONE]
        case "responses":
            return _response(pieces)
        case _:
            return list(_message(seat, pieces))


def details_of(pieces: Sequence[Piece]) -> list[Json]:
    """The thoughts among the pieces as items of `reasoning_details`."""
    return [item for place, piece in enumerate(pieces) for item in _details(piece, place)]


def _details(piece: Piece, place: int) -> list[Json]:
    shown = {"type": "reasoning.text", "text": piece.mark, "signature": None, "index": 2 * place}
    sealed = {"type": "reasoning.encrypted", "data": piece.seal, "index": 2 * place + 1}
    told_of: dict[str, list[Json]] = {"thought": [shown, sealed], "hidden": [sealed]}
    return told_of.get(piece.kind, [])


def extra_of(piece: Piece) -> Json | None:
    """What Gemini wants to see again with a call."""
    return {"google": {"thought_signature": piece.seal}} if piece.seal else None


def phase_of(pieces: Sequence[Piece]) -> str:
    """What OpenAI says an answer's words are for."""
    return "commentary" if any(piece.kind == "call" for piece in pieces) else "final_answer"


def reasoning_item(piece: Piece) -> Json:
    """A thought as the Responses API gives it, and wants it back."""
    shown = [{"type": "summary_text", "text": piece.mark}] if piece.kind == "thought" else []
    item = f"rs_{int(piece.mark.strip('<>')):06}"
    return {"id": item, "type": "reasoning", "summary": shown, "encrypted_content": piece.seal}


def native_block(piece: Piece, use_id: str = "") -> Json:
    """A piece as Anthropic's content block."""
    match piece.kind:
        case "words":
            return {"type": "text", "text": piece.mark}
        case "call":
            return {"type": "tool_use", "id": use_id, "name": "Bash", "input": piece.input}
        case "hidden":
            return {"type": "redacted_thinking", "data": piece.seal}
        case _:
            return {"type": "thinking", "thinking": piece.mark, "signature": piece.seal}


def _chunks(seat: Seat, pieces: Sequence[Piece]) -> Iterator[bytes]:
    called = 0
    for place, piece in enumerate(pieces):
        match piece.kind:
            case "words":
                yield sse([chunk({"content": piece.mark})])
            case "call":
                function = {"name": "Bash", "arguments": json.dumps(piece.input)}
                extra = extra_of(piece)
                more = {"extra_content": extra} if extra else {}
                # Some servers restart their numbering in every answer.
                call = {"index": called, "id": f"call_{called}", "function": function, **more}
                called += 1
                yield sse([chunk({"tool_calls": [call]})])
            case _ if seat.dialect.replay == "reasoning_details":
                shown = {"reasoning": piece.mark} if piece.kind == "thought" else {}
                yield sse([chunk(shown | {"reasoning_details": _details(piece, place)})])
            case "thought":
                yield sse([chunk({"reasoning_content": piece.mark})])
            case _:
                pass  # nobody is told
    yield sse([finish_chunk("tool_calls" if called else "stop")])


def _response(pieces: Sequence[Piece]) -> list[bytes]:
    events = Events()
    output = [_item(piece, place, phase_of(pieces)) for place, piece in enumerate(pieces)]
    events.add("response.created", response={"status": "in_progress"})
    for place, (piece, item) in enumerate(zip(pieces, output, strict=True)):
        at = {"output_index": place, "item_id": item["id"]}
        events.add("response.output_item.added", output_index=place, item=_begun(item))
        match piece.kind:
            case "thought":
                events.add("response.reasoning_summary_text.delta", **at, summary_index=0, delta=piece.mark)
            case "words":
                events.add("response.output_text.delta", **at, content_index=0, delta=piece.mark)
            case "call":
                events.add("response.function_call_arguments.delta", **at, delta=item["arguments"])
            case "hidden":
                pass
        events.add("response.output_item.done", output_index=place, item=item)
    events.add("response.completed", response={"status": "completed", "output": output})
    return events.frames


def _item(piece: Piece, place: int, phase: str) -> Json:
    match piece.kind:
        case "words":
            content = [{"type": "output_text", "text": piece.mark}]
            return {"id": f"msg_{place}", "type": "message", "content": content, "phase": phase}
        case "call":
            arguments = json.dumps(piece.input)
            return {"id": f"fc_{place}", "type": "function_call", "name": "Bash", "arguments": arguments}
        case _:
            return reasoning_item(piece)


def _begun(item: Json) -> Json:
    empty: Json = {"content": [], "arguments": "", "summary": [], "encrypted_content": None}
    return item | {key: value for key, value in empty.items() if key in item}


def _message(seat: Seat, pieces: Sequence[Piece]) -> Iterator[bytes]:
    mark = pieces[0].mark.strip("<>")
    own = f"_01{mark}" if seat.signs else ""  # imitators begin anew in every answer
    usage = {"input_tokens": 100, "output_tokens": 1}
    start = {"id": f"msg{own}", "type": "message", "role": "assistant", "model": seat.model, "content": []}
    yield event("message_start", message=start | {"stop_reason": None, "stop_sequence": None, "usage": usage})
    yield event("ping")
    for index, piece in enumerate(pieces):
        block = native_block(piece, f"toolu{own}x{index}" if own else f"call_{index}")
        empty: Json = {"thinking": "", "signature": "", "text": "", "input": {}}
        begun = {key: empty.get(key, value) for key, value in block.items()}
        yield event("content_block_start", index=index, content_block=begun)
        for delta in _deltas(block):
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    called = any(piece.kind == "call" for piece in pieces)
    stop = {"stop_reason": "tool_use" if called else "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": 7})
    yield event("message_stop")


def _deltas(block: Json) -> Iterator[Json]:
    match block["type"]:
        case "text":
            yield {"type": "text_delta", "text": block["text"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        case "thinking":
            yield {"type": "thinking_delta", "thinking": block["thinking"]}
            if block["signature"]:
                yield {"type": "signature_delta", "signature": block["signature"]}
