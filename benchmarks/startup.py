"""How long the proxy takes from its start to its first answers.

The clock starts before the process is there. `/health/live` is asked every few milliseconds until it is
answered, then `/v1/messages` once, which the upstream answers at once.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click
from msgspec import Struct
from rich.table import Table

from benchmarks.asking import Client, Spoiled
from benchmarks.figures import Rounds, over_rounds
from benchmarks.front import json_option, measured, tell
from benchmarks.goals import Found, under
from benchmarks.machine import facts
from benchmarks.proxy import running_proxy
from benchmarks.report import empty_table, encode
from benchmarks.subjects import MESSAGES, Mode, Subject, proxy_config
from benchmarks.upstream import canned_upstream

SHAPES = {"big": "burst-20"}


class Report(Struct, frozen=True, kw_only=True):
    """Seconds from the start of the process, over all starts."""

    facts: Mapping[str, str]
    starts: int
    to_live: Rounds
    to_answer: Rounds


async def measure(starts: int) -> Report:
    """Start the proxy so many times, one after the other.

    Raises:
        Spoiled: it did not start, or did not answer. (In an ExceptionGroup.)
    """
    async with canned_upstream() as upstream:
        times = [await _start(upstream.base_url) for _ in range(starts)]
    return Report(
        facts=facts({"starts": starts}),
        starts=starts,
        to_live=over_rounds([live for live, _ in times]),
        to_answer=over_rounds([answer for _, answer in times]),
    )


async def _start(base_url: str) -> tuple[float, float]:
    async with running_proxy(proxy_config(base_url, SHAPES)) as proxy:
        subject = Subject(name="proxy", port=proxy.port, pid=proxy.pid, shapes=SHAPES)
        async with Client(proxy.port) as client:
            ask = subject.ask(Mode.WHOLE)
            heard = await client.hear(MESSAGES, ask.body, marks=())
            if heard.status != 200 or ask.ends_with not in heard.answer:
                raise Spoiled(f"HTTP {heard.status}: {heard.tail}")
            return proxy.alive_after, heard.ended_at - proxy.started_at


def found(report: Report) -> Mapping[str, Found]:
    """The goal's figure: seconds to the first answer."""
    return {"start": Found(ours=report.to_answer.median)}


def draw(report: Report) -> Table:
    """The report as a table."""
    told = under(report.facts, found(report))
    figures = ("median", "shortest", "longest")
    table = empty_table("Seconds from the start of the process", told, first="answered", figures=figures)
    for name, each in (("/health/live", report.to_live), ("/v1/messages", report.to_answer)):
        table.add_row(name, *(f"{figure:.2f}" for figure in (each.median, each.low, each.high)))
    return table


@click.command("startup")
@click.option(
    "--starts",
    type=click.IntRange(1, 1000),
    default=15,
    show_default=True,
    help="How often the proxy is started.",
)
@json_option
def command(starts: int, json_path: Path | None) -> None:
    """How long the proxy takes from its start to its first answers."""
    report = measured(partial(measure, starts))
    tell(draw(report), encode(report), json_path)
