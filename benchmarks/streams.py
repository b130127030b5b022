"""What relaying a stream costs: a word at a time from many at once, and a hundred words in one send.

    paced   64 streams, each of 300 words, 100 a second; every word carries the instant it was sent
    burst   100 words that the upstream sends at once, to one client and to 16

Proxy and upstream alone take turns, in rounds; medians over the rounds are shown. A word's lateness is the
time from its sending by the upstream to its arrival at the client.
"""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click
from msgspec import Struct
from rich.table import Table

from benchmarks.figures import Rounds, low_high, over_rounds, short
from benchmarks.front import json_option, measured, rounds_option, seconds_option, tell
from benchmarks.load import LoadReport, load
from benchmarks.machine import facts, pinning
from benchmarks.report import empty_table, encode, quantiles
from benchmarks.subjects import Mode, Subject, in_turn, proxied_upstream

RATE = 100  # words a second, of each stream
BURST = "burst-100"
BURSTS_AT = (1, 16)  # connections


class Paced(Struct, frozen=True, kw_only=True):
    """Paced streams over all rounds. CPU in microseconds of the subject a word, times in milliseconds.

    `stream_s`: how long a stream took, in seconds; more than its pace says, and it was not kept up with.
    """

    subject: str
    words: int
    cpu_us: Rounds
    late_p50_ms: Rounds
    late_p99_ms: Rounds
    first_content_ms: Rounds
    stream_s: Rounds


class Bursts(Struct, frozen=True, kw_only=True):
    """Bursts over all rounds: times and CPU time each in milliseconds, and how many a second."""

    subject: str
    connections: int
    bursts: int
    first_content_ms: Rounds
    p50_ms: Rounds
    p95_ms: Rounds
    per_second: Rounds
    cpu_ms: Rounds


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    paced: tuple[Paced, ...]
    bursts: tuple[Bursts, ...]


class Counts(Struct, frozen=True, kw_only=True):
    """How much is measured: `seconds` a burst row, paced `streams` of `words` each, in so many rounds."""

    turns: int
    seconds: float
    streams: int
    words: int


class Found(Struct, frozen=True):
    """What the loads of one subject brought, round by round."""

    subject: Subject
    paced: list[LoadReport]
    bursts: dict[int, list[LoadReport]]


async def measure(counts: Counts) -> Report:
    """Measure everything in turns.

    Raises:
        Spoiled: a stream was not what it should be. (In an ExceptionGroup.)
        OSError: this system does not tell the CPU time of a process.
    """
    shapes = {"big": BURST, "middle": f"paced-{counts.words}-at-{RATE}"}
    async with proxied_upstream(shapes) as cast:
        found = [Found(subject, [], {at: [] for at in BURSTS_AT}) for subject in (cast.alone, cast.proxy)]
        for turn in range(counts.turns):
            for each in in_turn(found, turn):
                await _measure_once(each, counts)
    told = {
        "rounds": counts.turns,
        "paced streams": counts.streams,
        "words each": f"{counts.words} ({RATE} a second)",
        "words a burst": BURST,
        "cores used": pinning(),
    }
    return Report(
        facts=facts(told),
        paced=tuple(_paced(each) for each in found),
        bursts=tuple(_bursts(each, at) for at in BURSTS_AT for each in found),
    )


async def _measure_once(found: Found, counts: Counts) -> None:
    subject = found.subject
    watched = {"subject": subject.pid}
    paced = subject.ask(Mode.STREAM, tier="middle")
    streams = counts.streams
    found.paced.append(await load(subject.port, paced, connections=streams, requests=streams, cpu_of=watched))
    burst = subject.ask(Mode.STREAM, tier="big")
    for at, reports in found.bursts.items():
        reports.append(
            await load(subject.port, burst, connections=at, seconds=counts.seconds, cpu_of=watched)
        )


def _paced(found: Found) -> Paced:
    words = [len(report.lateness) for report in found.paced]
    cpu = [report.cpu_seconds["subject"] for report in found.paced]
    return Paced(
        subject=found.subject.name,
        words=sum(words),
        cpu_us=over_rounds([taken / count * 1e6 for taken, count in zip(cpu, words, strict=True)]),
        late_p50_ms=over_rounds([statistics.median(report.lateness) * 1000 for report in found.paced]),
        late_p99_ms=over_rounds([_p99(report.lateness) * 1000 for report in found.paced]),
        first_content_ms=_median_ms([report.to_first_content for report in found.paced]),
        stream_s=over_rounds([statistics.median(report.to_end) for report in found.paced]),
    )


def _bursts(found: Found, at: int) -> Bursts:
    reports = found.bursts[at]
    return Bursts(
        subject=found.subject.name,
        connections=at,
        bursts=sum(report.requests for report in reports),
        first_content_ms=_median_ms([report.to_first_content for report in reports]),
        p50_ms=_median_ms([report.to_end for report in reports]),
        p95_ms=over_rounds([quantiles(report.to_end)[1] * 1000 for report in reports]),
        per_second=over_rounds([report.per_second for report in reports]),
        cpu_ms=over_rounds([report.cpu_seconds["subject"] / report.requests * 1000 for report in reports]),
    )


def _median_ms(times: Sequence[Sequence[float]]) -> Rounds:
    return over_rounds([statistics.median(each) * 1000 for each in times])


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1] if len(values) > 1 else values[0]


def draw(report: Report) -> Table:
    """The report as a table of two parts, which name their own columns."""
    title = "Relaying streams: microseconds of CPU a word, milliseconds, bursts a second"
    table = empty_table(title, report.facts, first="", figures=("",) * 6)
    table.show_header = False
    heads = ("CPU µs", "low-high", "late p50", "late p99", "1st ms", "takes s")
    table.add_row("paced, a word", *heads, style="bold")
    for paced in report.paced:
        table.add_row(*_paced_cells(paced))
    table.add_section()
    heads = ("p50 ms", "low-high", "p95 ms", "per s", "1st ms", "CPU ms")
    table.add_row("bursts", *heads, style="bold")
    for bursts in report.bursts:
        table.add_row(*_burst_cells(bursts))
    return table


def _paced_cells(paced: Paced) -> Sequence[str]:
    late = (paced.late_p50_ms, paced.late_p99_ms, paced.first_content_ms, paced.stream_s)
    middles = (short(figure.median) for figure in late)
    return (f"  {paced.subject}", short(paced.cpu_us.median), low_high(paced.cpu_us), *middles)


def _burst_cells(bursts: Bursts) -> Sequence[str]:
    others = (bursts.p95_ms, bursts.per_second, bursts.first_content_ms, bursts.cpu_ms)
    middles = (short(figure.median) for figure in others)
    name = f"  c={bursts.connections:<2} {bursts.subject}"
    return (name, short(bursts.p50_ms.median), low_high(bursts.p50_ms), *middles)


@click.command("streams")
@rounds_option
@seconds_option
@click.option(
    "--streams",
    type=click.IntRange(1, 1000),
    default=64,
    show_default=True,
    help="How many paced streams there are at once.",
)
@click.option(
    "--words",
    type=click.IntRange(2, 10_000),
    default=300,
    show_default=True,
    help="How many words each paced stream has.",
)
@json_option
def command(rounds: int, seconds: float, streams: int, words: int, json_path: Path | None) -> None:
    """What relaying a stream costs: paced words from many at once, and bursts."""
    counts = Counts(turns=rounds, seconds=seconds, streams=streams, words=words)
    report = measured(partial(measure, counts))
    tell(draw(report), encode(report), json_path)
