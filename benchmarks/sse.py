"""What a chunk of an answer takes on its way through: decoded, read, shown, checked and encoded again.

Public functions of the pure floor, called in this process as an attempt calls them, one read after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import msgspec
from msgspec import Struct
from rich.table import Table

from benchmarks.front import json_option, tell
from benchmarks.machine import versions
from benchmarks.report import empty_table, encode
from benchmarks.timing import Spread, timed
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.stream import Reader
from ccproxy_trio.wire.events import Event, encode_frames
from ccproxy_trio.wire.sse import Decoder, SseEvent

CHUNKS = 1_000  # of an answer; the end's few do not count
AT_ONCE = (1, 10, 100)  # chunks a read
WORD = "measure "

KINDS: Mapping[str, Mapping[str, object]] = {
    "text": {"content": WORD},
    "tool call arguments": {"tool_calls": [{"index": 0, "function": {"arguments": WORD}}]},
    "reasoning": {"reasoning_content": WORD},
}
_CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "Write", "arguments": '{"text": "'},
}
_CALL_END = {"index": 0, "function": {"arguments": '"}'}}


class Row(Struct, frozen=True, kw_only=True):
    """One kind of content, so many chunks a read. Times a chunk; `whole` is everything in one go."""

    kind: str
    at_once: int
    decoder: Spread
    reader: Spread
    emitter: Spread
    grammar: Spread
    encoder: Spread
    whole: Spread


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]


def measure(batches: int) -> Report:
    """Time every kind of answer at every number of chunks a read, each in `batches` batches."""
    rows = [_row(kind, at_once, batches) for kind in KINDS for at_once in AT_ONCE]
    facts = versions() | {
        "chunks an answer": str(CHUNKS),
        "batches": str(batches),
    }
    return Report(facts=facts, rows=tuple(rows))


def _row(kind: str, at_once: int, batches: int) -> Row:
    found = {
        stage: timed(work, batches=batches).over(CHUNKS)
        for stage, work in stages(reads(kind, at_once)).items()
    }
    return Row(
        kind=kind,
        at_once=at_once,
        decoder=found["decoder"],
        reader=found["reader"],
        emitter=found["emitter"],
        grammar=found["grammar"],
        encoder=found["encoder"],
        whole=found["whole"],
    )


def reads(kind: str, at_once: int) -> list[bytes]:
    """An answer as reads bring it: the first chunk alone, `at_once` of them each, and the end."""
    chunk = _chunk(KINDS[kind])
    first, last = _around(kind)
    full, left = divmod(CHUNKS, at_once)
    middle = [chunk * at_once] * full + ([chunk * left] if left else [])
    return [first, *middle, last]


def _around(kind: str) -> tuple[bytes, bytes]:
    """What comes before and after the chunks."""
    end = _chunk({}, finish_reason="stop") + b"data: [DONE]\n\n"
    if kind == "text":
        return _chunk({"role": "assistant", "content": ""}), end
    if kind == "reasoning":
        return _chunk({"role": "assistant"}), _chunk({"content": WORD}) + end
    called = _chunk({}, finish_reason="tool_calls") + b"data: [DONE]\n\n"
    return _chunk({"tool_calls": [_CALL]}), _chunk({"tool_calls": [_CALL_END]}) + called


def _chunk(delta: Mapping[str, object], *, finish_reason: str | None = None) -> bytes:
    """One chunk with everything that providers put around a delta."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    told = {
        "id": "chatcmpl-C0ffee1234567890abcdefABCDEF",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "some-model-2025-06-01",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [choice],
        "usage": None,
    }
    return b"data: " + msgspec.json.encode(told) + b"\n\n"


def stages(read: Sequence[bytes]) -> Mapping[str, Callable[[], object]]:
    """What is timed over the reads of one answer: each stage takes what the one before hands it."""
    events = decoded(read)
    parts = heard(events)
    shown = emitted(parts)
    return {
        "decoder": partial(decoded, read),
        "reader": partial(heard, events),
        "emitter": partial(emitted, parts),
        "grammar": partial(checked, shown),
        "encoder": partial(framed, shown),
        "whole": partial(relayed, read),
    }


def decoded(reads: Sequence[bytes]) -> list[list[SseEvent]]:
    """The events of each read."""
    decoder = Decoder()
    return [decoder.feed(data) for data in reads]


def heard(batches: Sequence[Sequence[SseEvent]]) -> list[list[Part]]:
    """The parts of each read."""
    reader = _reader()
    return [[part for event in events for part in reader.feed(event)] for events in batches] + [reader.end()]


def emitted(batches: Sequence[Sequence[Part]]) -> list[list[Event]]:
    """The client's events for each read."""
    emitter = _emitter()
    return [emitter.take(parts) for parts in batches]


def checked(batches: Sequence[Sequence[Event]]) -> None:
    """Every event against the grammar."""
    grammar = Grammar()
    for events in batches:
        grammar.check(events)


def framed(batches: Sequence[Sequence[Event]]) -> list[bytes]:
    """What is sent for each read."""
    return [encode_frames(events) for events in batches]


def relayed(reads: Sequence[bytes]) -> list[bytes]:
    """All of it in one go: what is sent for each read, and at the end."""
    decoder, reader, emitter, grammar = Decoder(), _reader(), _emitter(), Grammar()
    sent: list[bytes] = []
    for data in reads:
        parts: list[Part] = []
        for event in decoder.feed(data):
            parts += reader.feed(event)
        events = emitter.take(parts)
        grammar.check(events)
        sent.append(encode_frames(events))
    events = emitter.take(reader.end())
    grammar.check(events)
    return [*sent, encode_frames(events)]


def _reader() -> Reader:
    return Reader(
        target=Target(provider="p", model="m", dialect=Dialect()),
        names={},
        show_thinking=True,
        stop_sequences=(),
        mint=lambda: "a" * 24,
    )


def _emitter() -> Emitter:
    return Emitter(message_id="msg_1", model="claude-opus-4-8", input_tokens=19_000)


def draw(report: Report) -> Table:
    """The report as a table."""
    title = "Microseconds a chunk, stage by stage and in one go"
    figures = ("decode", "read", "show", "check", "encode", "all", "spread")
    table = empty_table(title, report.facts, first="chunks a read", figures=figures)
    for kind in dict.fromkeys(row.kind for row in report.rows):
        table.add_section()
        table.add_row(kind, style="bold")
        for row in report.rows:
            if row.kind == kind:
                table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> Sequence[str]:
    stages = (row.decoder, row.reader, row.emitter, row.grammar, row.encoder, row.whole)
    spread = (row.whole.high_us - row.whole.low_us) / row.whole.us
    return (f"  {row.at_once}", *(f"{stage.us:.2f}" for stage in stages), f"{spread:.0%}")


@click.command("sse")
@click.option(
    "--batches",
    type=click.IntRange(1, 1_000),
    default=31,
    show_default=True,
    help="How many batches of answers each stage is timed for; their median counts.",
)
@json_option
def command(batches: int, json_path: Path | None) -> None:
    """What a chunk of an answer takes on its way through."""
    report = measure(batches)
    tell(draw(report), encode(report), json_path)
