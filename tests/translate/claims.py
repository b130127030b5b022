"""What holds for every request of a session, whoever answered before and whoever is asked now.

Each claim gives a sentence for everything that breaks it. They are judged by what the models in the history
are known to have said (`Turn.pieces`), not by what the translation wrote into it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from tests.translate.native.asking import encoded
from tests.translate.seats import (
    MARK,
    PASSED_BACK,
    Json,
    Piece,
    details_of,
    extra_of,
    is_thoughtless,
    native_block,
    phase_of,
    reasoning_item,
    violations,
)
from tests.translate.sessions import ON, PNG, Sent, Turn

_BYPASS = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_THINKING = ("thinking", "redacted_thinking")
_members = msgspec.json.Decoder(dict[str, Raw])


def it_is_taken(sent: Sent) -> Iterator[str]:
    """By the vendor's own types, and by the rules of sequence; and nothing of ours shows."""
    yield from violations(sent.seat, sent.outgoing)
    if b"ccpx1." in sent.outgoing.body:
        yield "a carrier of ours was sent"


def every_word_arrives_once(sent: Sent) -> Iterator[str]:
    """What was said, called and answered; and the images, where they can be seen."""
    read = sent.outgoing.body.decode()
    said = [block for message in sent.asked["messages"] for block in _without_thinking(message)]
    for mark in MARK.findall(json.dumps(said)):
        if read.count(mark) != 1:
            yield f"{mark} was sent {read.count(mark)} times"
    seen = read.count(PNG)
    if sent.seat.dialect.vision and seen != json.dumps(said).count(PNG):
        yield f"{seen} images were sent"


def calls_and_results_stay_together(sent: Sent) -> Iterator[str]:
    """Each call with its own result, in the order of the calls."""
    asked = _native_pairs(sent.asked["messages"])
    read = _PAIRS[sent.seat.dialect.wire](sent.body)
    if read != asked:
        yield f"calls and results were {asked}, and are {read}"


def nobody_reads_anothers_reasoning(sent: Sent) -> Iterator[str]:
    """A model of OpenAI's wires its own alone; on Anthropic's nobody what was thought elsewhere."""
    read = sent.outgoing.body.decode()
    for turn in sent.turns:
        for piece in turn.pieces:
            secrets = [piece.seal, piece.mark if piece.kind == "thought" else ""]
            if not _may_read(sent, turn, piece) and any(secret and secret in read for secret in secrets):
                yield f"{sent.seat.name} reads the {piece.kind} {piece.mark} of {turn.seat.name}"


def _may_read(sent: Sent, turn: Turn, piece: Piece) -> bool:
    if sent.seat.dialect.wire != "anthropic":
        return _is_own(sent, turn)
    if turn.seat.dialect.wire != "anthropic" or _was_refused_for_a_signature(sent):
        return False
    return bool(piece.seal) or sent.seat.checks != "its own"


def its_own_reasoning_comes_back(sent: Sent) -> Iterator[str]:
    """As it was given, in order, and where it was."""
    yield from _BACK[sent.seat.dialect.wire](sent)


def thinking_is_on_unless_the_loop_lost_it(sent: Sent) -> Iterator[str]:
    """With thinking on, the tool loop at hand begins with a thought; off it is for no other reason."""
    if sent.seat.dialect.wire != "anthropic" or sent.client.thinking not in ON:
        return
    body = sent.body
    read, had = _loop(body["messages"]), _loop(sent.asked["messages"])
    broken_off = _lost(had, read) or _is_headless(had)
    if sent.seat.checks == "every call":
        broken_off = any(map(is_thoughtless, body["messages"]))
    if _thinks(body) in ON and (_lost(had, read) or (_is_strict(sent) and broken_off)):
        yield "thinking is on, and a turn called without it"
    if _thinks(body) not in ON and not broken_off:
        yield "thinking is off for no reason"


def _is_strict(sent: Sent) -> bool:
    """Whether the provider insists on thoughts, as far as it is asked; Claude may decide by itself."""
    return sent.seat.checks == "every call" or (
        sent.seat.checks == "its own" and _thinks(sent.body) == "enabled"
    )


def what_is_refused_is_foreign(sent: Sent) -> Iterator[str]:
    """A provider has to be asked twice only for what nobody but it can tell."""
    foreign = [
        piece
        for turn in sent.turns
        if turn.seat.dialect.wire == "anthropic" and turn.seat.provider != sent.seat.provider
        for piece in turn.pieces
    ]
    if _was_refused_for_a_signature(sent) and not any(piece.seal for piece in foreign):
        yield f"refused: {sent.refusals}"
    if any("Expected" in refused for refused in sent.refusals):
        decided_itself = sent.seat.dialect.thinking_style == "adaptive" and sent.client.thinking == "adaptive"
        if not (decided_itself and _is_headless(_loop(sent.asked["messages"]))):
            yield f"refused: {sent.refusals}"
    if PASSED_BACK in sent.refusals:
        yield "refused for a thought that nobody had"


def what_needs_no_change_keeps_its_bytes(sent: Sent) -> Iterator[str]:
    """Anthropic finds a prompt again by its bytes."""
    if sent.seat.dialect.wire != "anthropic" or sent.refusals or sent.seat.dialect.mid_system != "keep":
        return
    asked, read = _members.decode(sent.asked_bytes), _members.decode(sent.outgoing.body)
    changed = {name for name in {*asked, *read} if bytes(asked.get(name, b"")) != bytes(read.get(name, b""))}
    allowed = {"model"}
    foreign = any(turn.seat.dialect.wire != "anthropic" or not turn.seat.signs for turn in sent.turns)
    if foreign or any(block.get("thinking") == "" for turn in sent.turns for block in turn.content):
        allowed |= {"messages"}
    if _thinks(sent.body) != sent.client.thinking:
        allowed |= {"thinking", "context_management"}
    if sent.client.thinking == "enabled":
        allowed |= {"thinking", "output_config"}
    if changed - allowed:
        yield f"changed: {sorted(changed - allowed)}"


CLAIMS: Sequence[Callable[[Sent], Iterator[str]]] = (
    it_is_taken,
    every_word_arrives_once,
    calls_and_results_stay_together,
    nobody_reads_anothers_reasoning,
    its_own_reasoning_comes_back,
    thinking_is_on_unless_the_loop_lost_it,
    what_is_refused_is_foreign,
    what_needs_no_change_keeps_its_bytes,
)


def broken(requests: Iterable[Sent], claim: Callable[[Sent], Iterator[str]]) -> list[str]:
    """Everything that breaks the claim, with the request that does."""
    return [
        f"request {place} to {sent.seat.name}: {fault}"
        for place, sent in enumerate(requests)
        for fault in claim(sent)
    ]


def _is_own(sent: Sent, turn: Turn) -> bool:
    return (turn.seat.provider, turn.seat.model) == (sent.seat.provider, sent.seat.model)


def _was_refused_for_a_signature(sent: Sent) -> bool:
    return any("Invalid" in refused for refused in sent.refusals)


def _without_thinking(message: Json) -> list[Json]:
    return [block for block in _blocks(message) if block["type"] not in _THINKING]


def _blocks(message: Json) -> list[Json]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


# -- calls and results ---------------------------------------------------------------------------------

_Pairs = list[tuple[list[str], list[str]]]


def _paired(calls: Iterable[tuple[str, Any]], results: Iterable[tuple[str, Any]]) -> _Pairs:
    """The marks of each call and of its result."""
    answers = dict(results)
    return [(MARK.findall(json.dumps(said)), MARK.findall(json.dumps(answers[call]))) for call, said in calls]


def _native_pairs(messages: Iterable[Json]) -> _Pairs:
    blocks = [block for message in messages for block in _blocks(message)]
    calls = [(block["id"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    results = [(block["tool_use_id"], block["content"]) for block in blocks if block["type"] == "tool_result"]
    return _paired(calls, results)


def _chat_pairs(body: Json) -> _Pairs:
    calls = [
        (call["id"], call["function"]) for each in body["messages"] for call in each.get("tool_calls", ())
    ]
    results = [(each["tool_call_id"], each["content"]) for each in body["messages"] if each["role"] == "tool"]
    return _paired(calls, results)


def _response_pairs(body: Json) -> _Pairs:
    calls = [
        (each["call_id"], each["arguments"]) for each in body["input"] if each["type"] == "function_call"
    ]
    results = [
        (each["call_id"], each["output"]) for each in body["input"] if each["type"] == "function_call_output"
    ]
    return _paired(calls, results)


_PAIRS: dict[str, Callable[[Json], _Pairs]] = {
    "chat": _chat_pairs,
    "responses": _response_pairs,
    "anthropic": lambda body: _native_pairs(body["messages"]),
}


# -- reasoning that comes back -------------------------------------------------------------------------


def _back_on_chat(sent: Sent) -> Iterator[str]:
    read = [message for message in sent.body["messages"] if message["role"] == "assistant"]
    if len(read) != len(sent.turns):
        yield f"{len(sent.turns)} turns became {len(read)}"
        return
    for message, turn in zip(read, sent.turns, strict=True):
        own = _is_own(sent, turn)
        calls = [piece for piece in turn.pieces if piece.kind == "call"]
        thought = "".join(piece.mark for piece in turn.pieces if piece.kind == "thought") if own else ""
        expected: Json = {}
        match sent.seat.dialect.replay:
            case "reasoning_content" if thought or calls:
                expected = {"reasoning_content": thought or sent.seat.dialect.empty_reasoning}
            case "reasoning_details" if own and details_of(turn.pieces):
                expected = {"reasoning_details": details_of(turn.pieces)}
            case "gemini_extra" if calls:
                extras = [extra_of(call) if own else None for call in calls]
                expected = {"extra": extras if any(extras) else [_BYPASS] + [None] * (len(calls) - 1)}
        found = {
            name: message[name] for name in ("reasoning_content", "reasoning_details") if name in message
        }
        if sent.seat.dialect.replay == "gemini_extra" and calls:
            found["extra"] = [call.get("extra_content") for call in message["tool_calls"]]
        if found != expected:
            yield f"of a turn of {turn.seat.name} came back {found}, not {expected}"


def _back_on_responses(sent: Sent) -> Iterator[str]:
    own = [turn for turn in sent.turns if _is_own(sent, turn)]
    marks = {piece.mark for turn in own for piece in turn.pieces}
    expected = [item for turn in own for item in _said_on_responses(turn.pieces)]
    read = [item for item in sent.body["input"] if item["type"] == "reasoning" or marks & set(_marks(item))]
    found = [{name: value for name, value in item.items() if name != "call_id"} for item in read]
    if found != expected:
        yield f"came back as {found}, not {expected}"
    foreign = [item for item in sent.body["input"] if item not in read and "phase" in item]
    if foreign:
        yield f"with OpenAI's marks: {foreign}"


def _marks(item: Json) -> list[str]:
    return MARK.findall(json.dumps(item)) if item.get("role") != "user" else []


def _said_on_responses(pieces: Sequence[Piece]) -> Iterator[Json]:
    for piece in pieces:
        match piece.kind:
            case "words":
                said = {"type": "message", "role": "assistant", "content": piece.mark}
                yield said | {"phase": phase_of(pieces)}
            case "call":
                arguments = json.dumps(piece.input, separators=(",", ":"))
                yield {"type": "function_call", "name": "Bash", "arguments": arguments}
            case _:
                yield reasoning_item(piece)


def _back_on_anthropics(sent: Sent) -> Iterator[str]:
    """Blocks in their order, each in the client's bytes."""
    expected = [block for turn in sent.turns for block in turn.content if _comes_back(sent, turn, block)]
    said = [block for message in sent.body["messages"] for block in _blocks(message)]
    found = [block for block in said if block["type"] in _THINKING]
    if found != expected:
        yield f"came back as {found}, not {expected}"
    elif any(encoded(block) not in sent.outgoing.body for block in expected):
        yield "in other bytes"


def _comes_back(sent: Sent, turn: Turn, block: Json) -> bool:
    """Whether a block of the history is the provider's own, or for all it can know."""
    shown = [native_block(piece) for piece in turn.pieces if _may_read(sent, turn, piece)]
    return block["type"] in _THINKING and block in shown


_BACK: dict[str, Callable[[Sent], Iterator[str]]] = {
    "chat": _back_on_chat,
    "responses": _back_on_responses,
    "anthropic": _back_on_anthropics,
}


# -- the tool loop at hand -----------------------------------------------------------------------------


def _thinks(body: Json) -> str:
    asked: Json = body.get("thinking") or {}
    return str(asked.get("type", "unsaid"))


def _loop(messages: Sequence[Json]) -> list[list[Json]]:
    """The blocks of the model's turns since the user last spoke, heartbeats aside."""
    turns: list[list[Json]] = []
    for message in messages:
        if message["role"] == "assistant":
            turns.append([block for block in _blocks(message) if block.get("thinking") != ""])
        elif message["role"] == "user" and not any(
            block["type"] == "tool_result" for block in _blocks(message)
        ):
            turns = []
    return turns


def _is_headless(turns: Sequence[Sequence[Json]]) -> bool:
    """Whether the first of them that calls does so without a thought before it."""
    calling = [turn for turn in turns if any(block["type"] == "tool_use" for block in turn)]
    return bool(calling) and calling[0][0]["type"] not in _THINKING


def _lost(had: Sequence[Sequence[Json]], read: Sequence[Sequence[Json]]) -> bool:
    """Whether a turn that began with a thought does so no more."""
    return any(
        before[0]["type"] in _THINKING and after[0]["type"] not in _THINKING
        for before, after in zip(had, read, strict=True)
    )
