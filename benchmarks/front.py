"""What every benchmark's command has in common: how it runs, where its table and its figures go."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import h11
import trio
from rich.console import Console
from rich.table import Table

from benchmarks.asking import Spoiled
from ccproxy_trio.journal import bottom

WIDTH = 80  # columns; a file and a pipe have none of their own

_Report = TypeVar("_Report")

json_option = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write the figures into this file, too.",
)

rounds_option = click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="How often each row is measured, in turns with the others; the medians are shown.",
)

seconds_option = click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=2.0,
    show_default=True,
    help="How long each row is measured in a round.",
)


def measured(measure: Callable[[], Awaitable[_Report]]) -> _Report:
    """The report of `measure`, which may raise what benchmarks raise, in a group or not.

    Raises:
        click.ClickException: a request or a program went wrong, so there is none.
    """
    try:
        report = trio.run(measure)
    except* (Spoiled, trio.TooSlowError, OSError, h11.RemoteProtocolError) as spoiled:
        raise click.ClickException(f"nothing was measured: {bottom(spoiled)}") from spoiled
    return report


def tell(table: Table, figures: bytes, json_path: Path | None) -> None:
    """Print the table; write the figures where somebody wants them."""
    Console(width=WIDTH).print(table)
    if json_path is not None:
        json_path.write_bytes(figures)
