"""What reading, counting, translating and writing a request takes, by the size of its history and its tools.

Public functions of the pure floor, called in this process: no sockets, no proxy.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import msgspec
from msgspec import Struct
from rich.table import Table

from benchmarks.figures import short
from benchmarks.front import json_option, tell
from benchmarks.machine import versions
from benchmarks.prompt import messages_request
from benchmarks.report import empty_table, encode
from benchmarks.timing import Line, Spread, line, timed
from ccproxy_trio.settings.model import DialectOptions, Models, ProfileName, ProviderSettings, Secret
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.request import Target, translate
from ccproxy_trio.translate.tokens import count_request
from ccproxy_trio.wire import openai
from ccproxy_trio.wire.anthropic import decode_request

HISTORIES_KB = (10, 100, 1_000, 10_000)
TOOLS = (1, 24, 200)
NAMES: tuple[ProfileName, ...] = (
    "generic",
    "openai",
    "azure",
    "openrouter",
    "deepseek",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "vllm",
)
MODEL = "some-model"  # unknown to all rules, so that the profile alone decides
FILE = "def total(values):\n    return sum(value for value in values if value)\n" * 6


class Row(Struct, frozen=True, kw_only=True):
    """One stage over one sweep: `times` by `sizes`, in kB of history or in tools. So is `line`."""

    sweep: str
    stage: str
    sizes: tuple[int, ...]
    kilobytes: tuple[float, ...]  # of the whole request
    times: tuple[Spread, ...]
    line: Line


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]


class SizedRequest(Struct, frozen=True, kw_only=True):
    """A request: its size in the sweep's own measure, and its body."""

    size: int
    body: bytes


HISTORY = "kB of history"
OFFERED = "tools"
ALL = "all of it"


def sized_requests(largest_kb: int) -> Mapping[str, Sequence[SizedRequest]]:
    """The requests of both sweeps, by the sweep's name, with three histories at least."""
    histories = [size for size in HISTORIES_KB if size <= max(largest_kb, HISTORIES_KB[2])]
    return {
        HISTORY: [SizedRequest(size=size, body=with_history(size * 1000)) for size in histories],
        OFFERED: [SizedRequest(size=count, body=with_tools(count)) for count in TOOLS],
    }


def with_history(size_bytes: int) -> bytes:
    """A conversation of about that size: a question, then rounds of thought, call and result."""
    messages: list[object] = [{"role": "user", "content": "Find out what is slow."}]
    grown = len(msgspec.json.encode(messages))
    rounds = 0
    while grown < size_bytes:
        turn = _round(rounds)
        grown += len(msgspec.json.encode(turn))
        messages += turn
        rounds += 1
    return msgspec.json.encode(
        {"model": "claude-opus-4-8", "max_tokens": 32000, "stream": True, "messages": messages}
    )


def with_tools(count: int) -> bytes:
    """One question with that many tools."""
    return messages_request("claude-opus-4-8", stream=True, tools=count)


def _round(number: int) -> list[object]:
    call = f"toolu_{number:024d}"
    return [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look at the next file, which the last one imports."},
                {
                    "type": "tool_use",
                    "id": call,
                    "name": "Read",
                    "input": {"path": f"/src/part_{number}.py", "limit": 200},
                },
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call, "content": FILE}],
        },
    ]


def stages(body: bytes) -> Mapping[str, Callable[[], object]]:
    """What is timed over one request, by name: each takes what the one before would hand it."""
    request = decode_request(body)
    target = _target("generic")
    chat = translate(request, target).chat
    return {
        "decode_request": partial(decode_request, body),
        "count_request": partial(count_request, request),
        **{f"to {name}": partial(translate, request, _target(name)) for name in NAMES},
        "encode": partial(openai.encode, chat),
        ALL: partial(_all, body, target),
    }


def _all(body: bytes, target: Target) -> bytes:
    request = decode_request(body)
    count_request(request)
    return openai.encode(translate(request, target).chat)


def _target(profile: ProfileName) -> Target:
    provider = ProviderSettings(
        name=profile,
        api_key=Secret("none"),
        base_url="http://127.0.0.1/v1",
        models=Models(big=(MODEL,)),
        profile=profile,
        options=DialectOptions(max_tools=None),  # some take 128 only, but here they are to be compared
    )
    return Target(provider=profile, model=MODEL, dialect=resolve(provider, MODEL))


def measure(batches: int, *, largest_kb: int) -> Report:
    """Time every stage over every request, each in `batches` batches or as many as there is time for."""
    requests = sized_requests(largest_kb)
    rows = [row for sweep, sized in requests.items() for row in _rows(sweep, sized, batches)]
    facts = versions() | {
        "batches": str(batches),
    }
    return Report(facts=facts, rows=tuple(rows))


def _rows(sweep: str, requests: Sequence[SizedRequest], batches: int) -> list[Row]:
    """Stage by stage, with all sizes of one stage behind each other: they are to be compared."""
    work = [stages(request.body) for request in requests]
    gc.collect()
    gc.freeze()  # these requests wait for their turn: what is timed has none of them around
    try:
        found = {stage: [timed(each[stage], batches=batches) for each in work] for stage in work[0]}
    finally:
        gc.unfreeze()
    return [_row(sweep, stage, requests, times) for stage, times in found.items()]


def _row(sweep: str, stage: str, requests: Sequence[SizedRequest], times: Sequence[Spread]) -> Row:
    sizes = tuple(request.size for request in requests)
    return Row(
        sweep=sweep,
        stage=stage,
        sizes=sizes,
        kilobytes=tuple(len(request.body) / 1000 for request in requests),
        times=tuple(times),
        line=line([(size, time.us) for size, time in zip(sizes, times, strict=True)]),
    )


def draw(report: Report) -> Table:
    """The report as a table: one part for each sweep, which names its own columns."""
    title = "Microseconds a request, by size; for each kB or tool more; how straight"
    table = empty_table(title, report.facts, first="", figures=("",) * 7)
    table.show_header = False
    for sweep in dict.fromkeys(row.sweep for row in report.rows):
        rows = [row for row in report.rows if row.sweep == sweep]
        table.add_section()
        table.add_row(*_heads(rows[0]), style="bold")
        for row in rows:
            table.add_row(*_cells(row))
    return table


def _heads(row: Row) -> Sequence[str]:
    sizes = [f"{size:,}" for size in row.sizes]
    return (row.sweep, *_left(sizes), "spread", "each", "bend")


def _cells(row: Row) -> Sequence[str]:
    times = [short(time.us) for time in row.times]
    widest = max((time.high_us - time.low_us) / time.us for time in row.times)
    bend = "" if row.line.bend is None else f"{row.line.bend:.2f}"
    return (f"  {row.stage}", *_left(times), f"{widest:.0%}", short(row.line.slope_us), bend)


def _left(cells: Sequence[str]) -> Sequence[str]:
    """As many cells as the longest sweep has."""
    return (*cells, *[""] * (len(HISTORIES_KB) - len(cells)))


@click.command("translate")
@click.option(
    "--batches",
    type=click.IntRange(1, 1_000),
    default=31,
    show_default=True,
    help="How many batches of calls each stage is timed for; their median counts.",
)
@click.option(
    "--largest",
    type=click.IntRange(HISTORIES_KB[2]),
    default=HISTORIES_KB[-1],
    show_default=True,
    metavar="KB",
    help="The longest history, in kB; 1,000 at least.",
)
@json_option
def command(batches: int, largest: int, json_path: Path | None) -> None:
    """What reading, counting, translating and writing a request takes."""
    report = measure(batches, largest_kb=largest)
    tell(draw(report), encode(report), json_path)
