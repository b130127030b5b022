"""What passing on takes beside translating: the same answer and the same request, in either way.

Public functions of the pure floor, called in this process. Each row times both ways in turns and in CPU time,
so whatever else the machine does falls on both; a ratio is that of one turn, and the median turn counts.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import msgspec
from msgspec import Struct
from rich.table import Table

from benchmarks import sse, translate
from benchmarks.figures import short
from benchmarks.front import json_option, tell
from benchmarks.machine import versions
from benchmarks.report import empty_table, encode
from benchmarks.timing import BATCH_WITHIN
from ccproxy_trio.settings.model import Models, ProfileName, ProviderSettings, Secret
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.native.reader import NativeReader
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.wires import put
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.events import Message, Usage, encode_frames

Work = Callable[[], object]
THEIR_MODEL = "claude-opus-4-8-20260801"
HISTORIES_KB = (10, 100, 1_000)

# The kind of an answer -> the block it is in, and what each of its deltas is.
KINDS: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    "text": ({"type": "text", "text": ""}, {"type": "text_delta", "text": sse.WORD}),
    "tool call arguments": (
        {"type": "tool_use", "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "name": "Write", "input": {}},
        {"type": "input_json_delta", "partial_json": sse.WORD},
    ),
    "reasoning": (
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": sse.WORD},
    ),
}


class Row(Struct, frozen=True, kw_only=True):
    """One answer or request, both ways. Microseconds of CPU: a chunk of an answer, a whole request."""

    what: str
    shape: str
    passed_us: float
    translated_us: float
    ratio: float


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]


def measure(turns: int) -> Report:
    """Time every answer and every request both ways, in so many turns."""
    rows = [_answer(kind, at_once, turns) for kind in KINDS for at_once in sse.AT_ONCE]
    rows += [_request(size, turns) for size in HISTORIES_KB]
    facts = versions() | {"chunks an answer": str(sse.CHUNKS), "turns": str(turns)}
    return Report(facts=facts, rows=tuple(rows))


def _answer(kind: str, at_once: int, turns: int) -> Row:
    passed = partial(relayed, reads(kind, at_once))
    translated = partial(sse.relayed, sse.reads(kind, at_once))
    shape = "a chunk a read" if at_once == 1 else f"{at_once} chunks a read"
    return in_turns(passed, translated, what=kind, shape=shape, turns=turns, parts=sse.CHUNKS)


def _request(size_kb: int, turns: int) -> Row:
    body = translate.with_history(size_kb * 1000)
    asked = Asked(request=decode_request(body), body=body)
    passed, translated = (partial(asks, asked, target_of(name)) for name in ("anthropic", "generic"))
    return in_turns(passed, translated, what="request", shape=f"{size_kb:,} kB of history", turns=turns)


def in_turns(passed: Work, translated: Work, *, what: str, shape: str, turns: int, parts: int = 1) -> Row:
    """Time one way and the other, turn by turn; each call deals with so many parts."""
    calls = max(_enough(passed), _enough(translated))
    found = [(_cpu(passed, calls), _cpu(translated, calls)) for _ in range(turns)]
    return Row(
        what=what,
        shape=shape,
        passed_us=statistics.median(each[0] for each in found) / calls / parts * 1e6,
        translated_us=statistics.median(each[1] for each in found) / calls / parts * 1e6,
        ratio=statistics.median(one / other for one, other in found),
    )


def _enough(work: Work) -> int:
    """How many calls a turn needs for the clock's tick to be nothing."""
    return 1 + int(BATCH_WITHIN / max(_cpu(work, 1), 1e-6))


def _cpu(work: Work, calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        work()
    return time.process_time() - began


def reads(kind: str, at_once: int) -> list[bytes]:
    """An answer as reads bring it: its beginning, `at_once` deltas each, and its end."""
    block, delta = KINDS[kind]
    message = Message(
        id="msg_01XFDUDYJgAACzvnptvVoYEL",
        model=THEIR_MODEL,
        usage=Usage(input_tokens=19_000, output_tokens=1),
    )
    first = [
        _frame("message_start", message=message),
        _frame("content_block_start", index=0, content_block=block),
        _frame("ping"),
    ]
    last = [
        _frame("content_block_stop", index=0),
        _frame("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": sse.CHUNKS}),
        _frame("message_stop"),
    ]
    chunk = _frame("content_block_delta", index=0, delta=delta)
    full, left = divmod(sse.CHUNKS, at_once)
    middle = [chunk * at_once] * full + ([chunk * left] if left else [])
    return [b"".join(first), *middle, b"".join(last)]


def _frame(event: str, **members: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode({"type": event, **members}))


def relayed(read: Sequence[bytes]) -> list[bytes]:
    """What is sent for each read, and at the end."""
    reader = NativeReader(target=target_of("anthropic"), mint=lambda: "a" * 24)
    emitter = Emitter(message_id="msg_1", model="claude-opus-4-8", input_tokens=19_000)
    decoder, grammar = reader.decoder, Grammar()
    sent: list[bytes] = []
    for data in read:
        parts: list[Part] = []
        for event in decoder.feed(data):
            parts += reader.feed(event)
        events = emitter.take(parts)
        grammar.check(events)
        sent.append(encode_frames(events))
    events = emitter.take(reader.end())
    grammar.check(events)
    return [*sent, encode_frames(events)]


def asks(asked: Asked, target: Target) -> bytes:
    """A request as it goes to the target."""
    return put(asked, target).outgoing().body


def target_of(profile: ProfileName) -> Target:
    """A target that is passed requests on ("anthropic"), or has them translated."""
    provider = ProviderSettings(
        name=profile,
        api_key=Secret("none"),
        base_url="http://127.0.0.1/v1",
        models=Models(big=(translate.MODEL,)),
        profile=profile,
    )
    dialect: Dialect = resolve(provider, translate.MODEL)
    return Target(provider=profile, model=translate.MODEL, dialect=dialect)


def draw(report: Report) -> Table:
    """The report as a table."""
    title = "Microseconds of CPU a chunk or a request, passed on and translated"
    table = empty_table(title, report.facts, first="", figures=("passed on", "translated", "ratio"))
    for what in dict.fromkeys(row.what for row in report.rows):
        table.add_section()
        table.add_row(what, style="bold")
        for row in report.rows:
            if row.what == what:
                figures = (short(row.passed_us), short(row.translated_us), f"{row.ratio:.2f}")
                table.add_row(f"  {row.shape}", *figures)
    return table


@click.command("passing")
@click.option(
    "--turns",
    type=click.IntRange(1, 1_000),
    default=31,
    show_default=True,
    help="How often each row is timed in both ways; the median turn counts.",
)
@json_option
def command(turns: int, json_path: Path | None) -> None:
    """What passing an answer or a request on takes beside translating it."""
    report = measure(turns)
    tell(draw(report), encode(report), json_path)
