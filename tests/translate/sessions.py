"""A session of Claude Code's whose turns are answered on any wire: the proxy's own pieces, put together.

Each request goes out through `wires.put`, each answer comes back through its reader and an emitter, and the
client keeps of it what Claude Code keeps. What a provider refuses is put anew, as an attempt does it.
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from ccproxy_trio.audience import WholeAnswer
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.translate.question import Answering, Asked, Outgoing, Question, Sender
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.wires import put
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.events import encode_frames
from tests.support.told import error_body
from tests.translate.asking import assistant, instruct, result, text, tool, user
from tests.translate.native.answering import read_events
from tests.translate.native.asking import encoded
from tests.translate.seats import Json, Piece, Seat, pieces_of, refusal, told

MODEL = "claude-opus-4-8"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_BETAS = ("claude-code-20250219", "context-management-2025-06-27", "effort-2025-11-24")
_ALSO = ("prompt-caching-scope-2026-01-05", "mid-conversation-system-2026-04-07")
_HEADERS = (("anthropic-version", "2023-06-01"), ("anthropic-beta", ",".join((*_BETAS, *_ALSO))))
_MARKED = {"cache_control": {"type": "ephemeral"}}
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
_MOST_REFUSALS = 3
# What Claude Code sends back of a block; all else it drops.
_KEPT = {
    "text": ("text",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input"),
}
ON = frozenset({"adaptive", "enabled"})  # ways to ask for thinking
_BUDGET = {"enabled": {"budget_tokens": 8_000}}


class Client(Struct, frozen=True, kw_only=True):
    """Who asks. `keeps`: what comes back of an answer, "all" of it or what Claude Code keeps."""

    thinking: Literal["adaptive", "enabled", "disabled", "unsaid"] = "adaptive"
    keeps: Literal["known", "all"] = "known"


class Step(Struct, frozen=True, kw_only=True):
    """One request and its answer.

    `shape` is the answer's, see `seats.pieces_of`. `before` are asked first, and fail before any content.
    `waits`: a heartbeat comes before the content. `streams`: the client reads along. Of what the client says:
    `failed`, the tools did; `seen`, there are images in it; `swapped`, results come in another order; `also`,
    there is text beside them; `instructed`, a system message follows. `restart`: the history was summed up,
    or its oldest rounds are dropped.
    """

    seat: Seat
    shape: str = "s"
    before: tuple[Seat, ...] = ()
    waits: bool = False
    streams: bool = True
    failed: bool = False
    seen: bool = False
    swapped: bool = False
    also: bool = False
    instructed: bool = False
    restart: Literal["no", "summed up", "oldest dropped"] = "no"


class Turn(Struct, frozen=True):
    """Who answered, what was said, and what the client kept of it."""

    seat: Seat
    pieces: tuple[Piece, ...]
    content: list[Json]


class Sent(Struct, frozen=True, kw_only=True):
    """A request that was taken. `asked` is the client's, and `turns` are the answers in its history.

    `refusals` are what the provider said of it before it was put like this.
    """

    seat: Seat
    client: Client
    asked: Json
    asked_bytes: bytes
    outgoing: Outgoing
    turns: tuple[Turn, ...]
    refusals: tuple[str, ...]
    question: Question

    @property
    def body(self) -> Json:
        """What the provider reads."""
        read: Json = json.loads(self.outgoing.body)
        return read


class Session:
    """Plays steps. `sent` is every request that was taken, `ids` are those of messages and calls."""

    def __init__(self, client: Client) -> None:
        self.sent: list[Sent] = []
        self.ids: list[str] = []
        self._client = client
        self._numbers = itertools.count(1)
        self._history: list[tuple[Json, Turn | None]] = []
        self._unanswered: list[str] = []

    def play(self, steps: Iterable[Step]) -> None:
        """One step after the other."""
        for step in steps:
            self._say(step)
            for seat in step.before:
                self._ask(seat)
            self._hear(step, self._ask(step.seat))

    # What the client says.

    def _mark(self) -> str:
        return f"<{next(self._numbers)}>"

    def _say(self, step: Step) -> None:
        content: list[Json] = []
        for use_id in reversed(self._unanswered) if step.swapped else self._unanswered:
            shown = [text(self._mark()), _IMAGE] if step.seen else self._mark()
            content.append(result(use_id, shown, is_error=step.failed))
        if step.also or not content:
            content += [text(self._mark()), *([_IMAGE] if step.seen else [])]
        self._unanswered = []
        self._history.append((user(*content), None))
        if step.restart == "summed up":
            self._history = [(user(f"summary {self._mark()}"), None)]
        elif step.restart == "oldest dropped":
            rounds = [place for place, (message, _) in enumerate(self._history) if _is_spoken(message)]
            self._history = self._history[rounds[1] if len(rounds) > 1 else 0 :]
        if step.instructed:
            self._history.append((instruct(self._mark()), None))

    def _body(self) -> Json:
        messages = [message for message, _ in self._history]
        last = max(place for place, message in enumerate(messages) if message["role"] == "user")
        messages[last] = _with_mark(messages[last])
        thinking = self._client.thinking
        asked = {"thinking": {"type": thinking, **_BUDGET.get(thinking, {})}} if thinking != "unsaid" else {}
        edits = [{"type": "clear_thinking_20251015"}]
        return {
            "model": MODEL,
            "max_tokens": 32_000,
            "system": [text("x-anthropic-billing-header: cc_version=2"), text("You are kind.", **_MARKED)],
            "tools": [tool("Bash"), tool("Read", **_MARKED)],
            "messages": messages,
            "metadata": {"user_id": '{"session_id":"s"}'},
            "output_config": {"effort": "high"},
            "stream": True,
            **asked,
            **({"context_management": {"edits": edits}} if thinking in ON else {}),
        }

    # What is asked, and answered.

    def _ask(self, seat: Seat) -> Sent:
        body = self._body()
        written = encoded(body)
        sender = Sender(headers=_HEADERS, query="beta=true")
        asked = Asked(request=decode_request(written), body=written, sender=sender)
        dialect = seat.dialect
        refusals: list[str] = []
        while True:
            target = Target(provider=seat.provider, model=seat.model, dialect=dialect, session="s")
            question = put(asked, target)
            refused = refusal(seat, question.outgoing())
            if refused is None:
                break
            refusals.append(refused)
            error = json.dumps(error_body("anthropic", refused, kind="invalid_request_error")).encode()
            fault = classify(400, {}, error, profile=dialect.profile, wall_now=0)
            repair = question.repair(fault, dialect)
            assert repair is not None, refused
            assert not repair.lessons, refused  # the next request may have another history
            assert len(refusals) < _MOST_REFUSALS, refusals
            dialect = repair.dialect
        self.sent.append(
            Sent(
                seat=seat,
                client=self._client,
                asked=body,
                asked_bytes=written,
                outgoing=question.outgoing(),
                turns=tuple(turn for _, turn in self._history if turn is not None),
                refusals=tuple(refusals),
                question=question,
            )
        )
        return self.sent[-1]

    def _hear(self, step: Step, sent: Sent) -> None:
        pieces = pieces_of(step.seat, step.shape, lambda: next(self._numbers))
        if step.seat.dialect.wire == "anthropic" and sent.body.get("thinking", {}).get("type") not in ON:
            pieces = tuple(piece for piece in pieces if piece.kind in ("words", "call"))
        reader = sent.question.reader(lambda: f"{next(self._numbers):024}")
        reads = told(step.seat, pieces)
        message = self._read_along(reader, reads, step) if step.streams else self._wait(reader, reads)
        assert message["model"] == MODEL  # or Claude Code drops the thinking
        content = message["content"]
        if self._client.keeps == "known":
            content = kept_by_claude_code(content)
        self._unanswered = [block["id"] for block in content if block["type"] == "tool_use"]
        self.ids += [message["id"], *self._unanswered]
        self._history.append((assistant(*content), Turn(step.seat, pieces, content)))

    def _emitter(self) -> Emitter:
        return Emitter(message_id=f"msg_{next(self._numbers):024}", model=MODEL, input_tokens=25)

    def _read_along(self, reader: Answering, reads: Sequence[bytes], step: Step) -> Json:
        emitter, grammar = self._emitter(), Grammar()
        frames = b""
        beats = [emitter.open(), emitter.heartbeat()] if step.waits else []
        for events in (*beats, *(emitter.take(parts) for parts in _parts(reader, reads))):
            grammar.check(events)
            frames += encode_frames(events)
        return gathered(read_events(frames))

    def _wait(self, reader: Answering, reads: Sequence[bytes]) -> Json:
        answer = WholeAnswer(self._emitter)
        for parts in _parts(reader, reads):
            answer.hear(parts)
        message: Json = json.loads(answer.whole().body)
        return message


def _parts(reader: Answering, reads: Sequence[bytes]) -> Iterable[Sequence[Part]]:
    reader.begin({})
    for data in reads:
        for each in reader.decoder.feed(data):
            yield reader.feed(each)
    for each in reader.decoder.end():
        yield reader.feed(each)
    yield reader.end()


def gathered(events: Iterable[Json]) -> Json:
    """The message that a reader of the stream puts together; blocks that were not stopped are lost."""
    message: Json = {}
    blocks: dict[int, Json] = {}
    whole: list[Json] = []
    arguments: dict[int, str] = {}
    for told_of in events:
        match told_of:
            case {"type": "message_start", "message": begun}:
                message = begun
            case {"type": "content_block_start", "index": index, "content_block": block}:
                blocks[index] = dict(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                _grow(blocks[index], delta, arguments, index)
            case {"type": "content_block_stop", "index": index}:
                block = blocks.pop(index)
                if index in arguments:
                    block["input"] = json.loads(arguments.pop(index) or "{}")
                whole.append(block)
    assert whole
    return message | {"content": whole}


def _grow(block: Json, delta: Json, arguments: dict[int, str], index: int) -> None:
    match delta:
        case {"type": "text_delta", "text": more}:
            block["text"] += more
        case {"type": "thinking_delta", "thinking": more}:
            block["thinking"] += more
        case {"type": "signature_delta", "signature": proof}:
            block["signature"] = proof
        case {"type": "input_json_delta", "partial_json": more}:
            arguments[index] = arguments.get(index, "") + more


def kept_by_claude_code(content: Iterable[Json]) -> list[Json]:
    """The content that comes back: known members of known blocks, calls behind all else."""
    kept = [{name: block[name] for name in ("type", *_KEPT[block["type"]])} for block in content]
    return sorted(kept, key=lambda block: block["type"] == "tool_use")


def _is_spoken(message: Json) -> bool:
    """Whether a round of a conversation begins with it."""
    content: Any = message["content"]
    return message["role"] == "user" and (
        isinstance(content, str) or all(block["type"] != "tool_result" for block in content)
    )


def _with_mark(message: Json) -> Json:
    """With the breakpoint that Claude Code moves along the conversation."""
    content = message["content"]
    blocks = [text(content)] if isinstance(content, str) else content
    return message | {"content": [*blocks[:-1], blocks[-1] | _MARKED]}
