"""Every benchmark after the other, each in a process of its own, into one folder that `results` reads."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from benchmarks import session

# From the smallest to the largest: a fault shows early. With their standard counts.
ORDER = (
    "ask",
    "sse",
    "translate",
    "passing",
    "grammar",
    "gauge",
    "startup",
    "memory",
    "streams",
    "overhead",
    "workers",
    "fallback",
    "compare",
)
WITHIN = 3 * 3600.0  # seconds a benchmark may take


class OtherSession(Exception):
    """The folder has figures of another machine or of other versions: the two cannot stand in one table."""


def run(names: Sequence[str], into: Path, *, more: Mapping[str, Sequence[str]]) -> list[str]:
    """Run these benchmarks, and note each in the folder's session. The names of those that failed.

    `more`: what else some are told, by name.

    Raises:
        OtherSession: nothing was run.
    """
    into.mkdir(parents=True, exist_ok=True)
    now = session.here()
    known = session.load(into) or now
    if (known.machine, known.versions) != (now.machine, now.versions):
        raise OtherSession(f"{into} has figures of another machine or of other versions; begin an empty one")
    return [name for name in names if not _measure([name, *more.get(name, ())], into)]


def _measure(words: Sequence[str], into: Path) -> bool:
    """Run one as a user would, showing what it prints; whether it came to its end in time."""
    name, told = words[0], f"python -m benchmarks {shlex.join(words)}"
    path = into / f"{name}.json"
    load, began = os.getloadavg()[0], time.monotonic()
    click.echo(f"# {told}", err=True)
    line = [sys.executable, "-m", "benchmarks", *words, "--json", str(path)]
    try:
        subprocess.run(line, check=True, timeout=WITHIN)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    took = round(time.monotonic() - began, 1)
    now = session.here()
    known = replace(session.load(into) or now, measured_on=now.measured_on)
    done = session.Command(name=name, line=told, took=took, load=round(load, 2))
    session.save(known.with_command(done), into)
    return True


@click.command("all")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Write the figures into this folder, one file for each benchmark.",
)
@click.option(
    "--only",
    type=click.Choice(ORDER),
    multiple=True,
    metavar="NAME",
    help="Run this one; may be given several times. The folder's other figures stay.",
)
@click.option(
    "--more",
    type=(click.Choice(ORDER), str),
    multiple=True,
    metavar="NAME OPTIONS",
    help="Give a benchmark these options, too, as in: --more compare '--peer mine=\"serve {port}\"'.",
)
def command(into: Path, only: tuple[str, ...], more: tuple[tuple[str, str], ...]) -> None:
    """Run every benchmark with its standard counts. It takes long: leave the machine alone meanwhile."""
    names = [name for name in ORDER if name in only or not only]
    try:
        failed = run(names, into, more={name: shlex.split(options) for name, options in more})
    except OtherSession as other:
        raise click.ClickException(str(other)) from other
    if failed:
        raise click.ClickException(f"no figures of {', '.join(failed)}")
