"""The proxy and its peers, in one run: the same upstream, the same request, in turns.

All programs are up at the same time, on the same core, and one of them is under load. In each round each
load takes every program once, in a random order that is the same in every run. What a program takes more
than the upstream alone is "added". The loads:

    whole answer    76 kB request with 24 tools, answered with 100 words without a stream
    burst           the same, answered with a stream of 100 chunks that the upstream sends at once
    first content   a stream of a chunk every 10 ms, whose first comes at once
    paced chunk     64 streams of 200 chunks, each 100 a second
    500, 429, ...   the first of two providers fails, against the same program's requests where none does
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import trio
from rich.console import Console

from benchmarks.asking import Spoiled
from benchmarks.compare_measures import AT_ONCE, STREAMS
from benchmarks.compare_report import Report, report
from benchmarks.compare_run import OURSELVES, Extent, Stopped, compare
from benchmarks.compare_tables import tables
from benchmarks.front import WIDTH, json_option, measured, rounds_option, tell
from benchmarks.machine import facts, pinning
from benchmarks.peers import PEERS, Misnamed, Peer, chosen, given
from benchmarks.peers_install import STORE, folders
from benchmarks.report import encode

SECONDS = 1.0
EPILOG = """\
A COMMAND is split into words as a shell would, but no shell runs it. {port} in it becomes the port on
127.0.0.1 that the program must listen on, {upstream} the base URL of the provider it must ask, ending in
/v1; the environment has the same as PORT, HOST, OPENAI_BASE_URL and OPENAI_API_KEY, and nothing of yours but
the PATH. The program must pass models' names on. Some do so for certain names only: what stands after NAME@
is put before them. So fuergaosi233's claude-code-proxy would be, from a clone with its requirements in .venv:

\b
    --peer 'fuergaosi233@gpt-=CLONE/.venv/bin/python CLONE/start_proxy.py'
"""


async def measure(peers: Sequence[Peer], store: Path, extent: Extent) -> Report:
    """Compare, and sum up.

    Raises:
        Spoiled: nothing can be said of ourselves, or the engine broke down. (In an ExceptionGroup.)
    """
    try:
        notes = await compare(peers, store, extent=extent, tell=partial(click.echo, err=True))
    except* Stopped as stopped:
        raise Spoiled("; ".join(map(str, stopped.exceptions))) from None
    except* trio.BrokenResourceError as broken:
        raise Spoiled("the load generator or the upstream ended early; what it said is above") from broken
    programs = [OURSELVES, *peers]
    return report(notes.samples, notes.gaps, peers=programs, facts=_facts(extent), flaws=notes.flaws)


def _facts(extent: Extent) -> Mapping[str, str]:
    counts = {
        "rounds": extent.rounds,
        "seconds a load": extent.seconds,
        "c": AT_ONCE,
        "paced streams": STREAMS,
        "cores": pinning(),
    }
    return facts(counts)


def _chosen(_context: click.Context, _option: click.Parameter, names: str) -> tuple[Peer, ...]:
    try:
        return chosen(names)
    except Misnamed as error:
        raise click.BadParameter(str(error)) from error


def _given(_context: click.Context, _option: click.Parameter, texts: Sequence[str]) -> tuple[Peer, ...]:
    try:
        peers = tuple(map(given, texts))
    except Misnamed as error:
        raise click.BadParameter(str(error)) from error
    if len({peer.name for peer in peers}) < len(peers):
        raise click.BadParameter("two peers have the same name")
    return peers


@click.command("compare", epilog=EPILOG)
@click.option(
    "--peers",
    callback=_chosen,
    default=",".join(PEERS),
    show_default=True,
    metavar="NAME,...",
    help="Which of the known peers; none: no one but those given with --peer.",
)
@click.option(
    "--peer",
    "others",
    callback=_given,
    multiple=True,
    metavar="NAME[@PREFIX]=COMMAND",
    help="A program of yours that takes Anthropic Messages; see below. May be given several times.",
)
@rounds_option
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=SECONDS,
    show_default=True,
    help="How long each load lasts in a round, at least.",
)
@click.option(
    "--keep",
    "store",
    flag_value=str(STORE),
    default=None,
    help="Keep what is installed in build/peers. What is there already is used, with or without this.",
)
@json_option
def command(
    peers: tuple[Peer, ...],
    others: tuple[Peer, ...],
    rounds: int,
    seconds: float,
    store: str | None,
    json_path: Path | None,
) -> None:
    """Other programs beside this one: what each adds, carries and takes, and how we compare.

    The known peers are installed by pip and npm into throw-away folders, in pinned versions. One that cannot
    be installed, does not start or answers wrongly is told in the table; the others go on.
    """
    with folders(None if store is None else Path(store)) as folder:
        told = measured(partial(measure, (*peers, *others), folder, Extent(rounds=rounds, seconds=seconds)))
    *first, last = tables(told)
    for table in first:
        Console(width=WIDTH).print(table)
    tell(last, encode(told), json_path)
