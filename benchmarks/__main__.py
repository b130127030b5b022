"""`python -m benchmarks`: what the proxy costs, measured on this machine."""

from pathlib import Path

import click
import h11
import trio
from rich.console import Console

from benchmarks import fallback as falling_over
from benchmarks import grammar as checking
from benchmarks.asking import Spoiled
from benchmarks.report import draw, encode

WIDTH = 80  # columns; a file and a pipe have none of their own


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
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write the figures into this file, too.",
)
def fallback(requests: int, json_path: Path | None) -> None:
    """The time that failing over adds to a request whose first provider fails."""
    try:
        report = trio.run(falling_over.measure, requests)
    except* (Spoiled, trio.TooSlowError, OSError, h11.RemoteProtocolError) as spoiled:
        raise click.ClickException(f"nothing was measured: {_first(spoiled)}") from spoiled
    Console(width=WIDTH).print(draw(report))
    if json_path is not None:
        json_path.write_bytes(encode(report))


@main.command()
@click.option(
    "--streams",
    type=click.IntRange(1, 1_000),
    default=30,
    show_default=True,
    help="How many answers of 1,000 chunks are relayed in each shape.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write the figures into this file, too.",
)
def grammar(streams: int, json_path: Path | None) -> None:
    """What checking every emitted event takes of a stream's time."""
    try:
        report = trio.run(checking.measure, streams)
    except* (Spoiled, trio.TooSlowError, OSError, h11.RemoteProtocolError) as spoiled:
        raise click.ClickException(f"nothing was measured: {_first(spoiled)}") from spoiled
    Console(width=WIDTH).print(checking.draw(report))
    if json_path is not None:
        json_path.write_bytes(checking.encode(report))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error inside; nurseries nest the groups."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
