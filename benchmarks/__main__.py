"""`python -m benchmarks`: what the proxy costs, measured on this machine."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import h11
import trio
from rich.console import Console
from rich.table import Table

from benchmarks import fallback as falling_over
from benchmarks import grammar as checking
from benchmarks.asking import Spoiled
from benchmarks.report import draw, encode
from ccproxy_trio.journal import bottom

WIDTH = 80  # columns; a file and a pipe have none of their own

_Report = TypeVar("_Report")

_json_option = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write the figures into this file, too.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure the proxy. It runs as a process of its own; everything stays on 127.0.0.1."""


@main.command()
@click.option(
    "--requests",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How often each case is measured, streaming and not; a hang, which takes long, a fifth as often.",
)
@_json_option
def fallback(requests: int, json_path: Path | None) -> None:
    """The time that failing over adds to a request whose first provider fails."""
    report = _measured(falling_over.measure, requests)
    _tell(draw(report), encode(report), json_path)


@main.command()
@click.option(
    "--streams",
    type=click.IntRange(1, 1_000),
    default=30,
    show_default=True,
    help="How many answers of 1,000 chunks are relayed in each shape.",
)
@_json_option
def grammar(streams: int, json_path: Path | None) -> None:
    """What checking every emitted event takes of a stream's time."""
    report = _measured(checking.measure, streams)
    _tell(checking.draw(report), encode(report), json_path)


def _measured(measure: Callable[[int], Awaitable[_Report]], often: int) -> _Report:
    """The report, or the end of the command where something went wrong."""
    try:
        report = trio.run(measure, often)
    except* (Spoiled, trio.TooSlowError, OSError, h11.RemoteProtocolError) as spoiled:
        raise click.ClickException(f"nothing was measured: {bottom(spoiled)}") from spoiled
    return report


def _tell(table: Table, figures: bytes, json_path: Path | None) -> None:
    Console(width=WIDTH).print(table)
    if json_path is not None:
        json_path.write_bytes(figures)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
