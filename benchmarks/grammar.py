"""What checking every event costs: the checker's time against all that the proxy does for the same stream.

The proxy's time is the CPU time of its process, sockets and all, while it relays one long answer after the
other. The checker's is that of the public `Grammar` over the events of the same answer, in the same batches,
timed here: it is far too small to be found as the difference between two proxies.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import trio
from msgspec import Struct
from rich.table import Table

from benchmarks.asking import Client
from benchmarks.front import json_option, measured, tell
from benchmarks.machine import versions
from benchmarks.prompt import messages_request
from benchmarks.proxy import RunningProxy, running_proxy
from benchmarks.report import empty_table, encode
from benchmarks.scripted import ScriptedProvider
from benchmarks.subjects import MESSAGES, MODELS
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Event,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Stop,
    TextBlock,
    TextDelta,
    Usage,
)

WORDS = 1_000  # of an answer, one chunk and one event each
SHAPES = {"one chunk a read": 1, "100 chunks a read": 100}
WARM_UPS = 2
GOAL_PERCENT = 2.0


class Row(Struct, frozen=True, kw_only=True):
    """One shape of stream. Times in microseconds of CPU for each chunk."""

    shape: str
    streams: int
    proxy_us: float
    check_us: float
    percent: float


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: dict[str, str]
    goal_percent: float
    rows: tuple[Row, ...]


async def measure(streams: int) -> Report:
    """Relay `streams` answers in each shape, and check their events as often.

    Raises:
        Spoiled: a request went wrong. (In an ExceptionGroup.)
        OSError: this system does not tell the CPU time of a process.
    """
    rows = [await _row(shape, at_once, streams) for shape, at_once in SHAPES.items()]
    facts = versions() | {
        "chunks a stream": str(WORDS),
    }
    return Report(facts=facts, goal_percent=GOAL_PERCENT, rows=tuple(rows))


async def _row(shape: str, at_once: int, streams: int) -> Row:
    provider = ScriptedProvider("steady", words=WORDS, at_once=at_once)
    config = {"providers": [provider.entry("big", "middle", "small")], "health_check_interval": 0}
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, provider.serve, [provider.listen()])
        async with running_proxy(config) as proxy:
            proxy_seconds = await _relaying(proxy, streams)
        nursery.cancel_scope.cancel()
    check_seconds = _checking(batches_of(at_once), streams)
    return Row(
        shape=shape,
        streams=streams,
        proxy_us=proxy_seconds / WORDS * 1e6,
        check_us=check_seconds / WORDS * 1e6,
        percent=check_seconds / proxy_seconds * 100,
    )


async def _relaying(proxy: RunningProxy, streams: int) -> float:
    """CPU seconds that the proxy takes for one stream."""
    body = messages_request(MODELS["big"], stream=True)
    async with Client(proxy.port) as client:
        for _ in range(WARM_UPS):
            await client.post(MESSAGES, body, answered_by="steady")
        before = proxy.cpu_seconds()
        for _ in range(streams):
            await client.post(MESSAGES, body, answered_by="steady")
        return (proxy.cpu_seconds() - before) / streams


def _checking(batches: Sequence[Sequence[Event]], streams: int) -> float:
    """CPU seconds that the checker takes for one stream."""
    before = time.process_time()
    for _ in range(streams):
        grammar = Grammar()
        for batch in batches:
            grammar.check(batch)
    return (time.process_time() - before) / streams


def batches_of(at_once: int) -> list[list[Event]]:
    """The events of the answer, as the reads bring them."""
    start = MessageStart(Message(id="msg_1", model="claude-opus-4-8", usage=Usage()))
    end = MessageDelta(Stop(stop_reason="end_turn"), Usage(output_tokens=WORDS))
    words: list[Event] = [ContentBlockDelta(0, TextDelta("answered-by-steady ")) for _ in range(WORDS)]
    first: list[Event] = [start, ContentBlockStart(0, TextBlock()), words[0]]
    rest = [words[done : done + at_once] for done in range(1, WORDS, at_once)]
    return [first, *rest, [ContentBlockStop(0), end, MessageStop()]]


def draw(report: Report) -> Table:
    """The report as a table."""
    title = "CPU time a chunk in microseconds, and the checker's part of it"
    figures = ("whole proxy", "checker", "part", "goal", "streams")
    table = empty_table(title, report.facts, first="stream", figures=figures)
    for row in report.rows:
        goal = f"< {report.goal_percent:.0f} %"
        cells = (f"{row.proxy_us:.1f}", f"{row.check_us:.2f}", f"{row.percent:.2f} %", goal, str(row.streams))
        table.add_row(row.shape, *cells)
    return table


@click.command("grammar")
@click.option(
    "--streams",
    type=click.IntRange(1, 1_000),
    default=30,
    show_default=True,
    help="How many answers of 1,000 chunks are relayed in each shape.",
)
@json_option
def command(streams: int, json_path: Path | None) -> None:
    """What checking every emitted event takes of a stream's time."""
    report = measured(partial(measure, streams))
    tell(draw(report), encode(report), json_path)
