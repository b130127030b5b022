"""Where the proxy's time goes, stage by stage: py-spy's samples of the real process under load.

Only running code is sampled, not waiting. The client and the provider are in the benchmark's own process.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import click
import trio
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.asking import Spoiled
from benchmarks.front import WIDTH, json_option, measured, tell
from benchmarks.machine import versions
from benchmarks.proxy import running_proxy
from benchmarks.report import empty_table, encode
from benchmarks.stages import OTHER, STAGES, Shares, shares
from benchmarks.stepped import BURST, Exchanges, SteppedProvider, listening_to

WARM_UPS = 20
CHUNKS = 1000  # of a stream: a second or less
RATE = 500  # samples a second
TITLE = "Percent of the proxy's samples"
COMMAND = "python -m benchmarks profile --into docs/performance.md"
_BLOCK = re.compile(r"(<!-- measured: profile -->\n).*?(<!-- end -->)", re.DOTALL)

Load = Callable[[Exchanges, trio.Event], Awaitable[None]]


class Report(Struct, frozen=True, kw_only=True):
    """The samples by load and stage, and what they were taken of."""

    facts: Mapping[str, str]
    loads: Mapping[str, Shares]


async def measure(seconds: float) -> Report:
    """Sample the proxy for so long under each load.

    Raises:
        Spoiled: a request went wrong, or py-spy cannot look at the proxy. (In an ExceptionGroup.)
    """
    spy = _py_spy()
    provider = SteppedProvider()
    proxy = running_proxy(provider.config, workers=0)
    async with provider.open(), proxy as running, listening_to(running.port) as listener:
        exchanges = Exchanges(provider, listener)
        await exchanges.whole(WARM_UPS)
        await exchanges.bursts(WARM_UPS)
        found = {
            name: await _sampled(spy, running.pid, seconds, during=partial(load, exchanges))
            for name, load in LOADS.items()
        }
    told = await trio.run_process([spy, "--version"], capture_stdout=True)
    facts = versions() | {
        "py-spy": told.stdout.decode().split()[-1],
        "seconds a column": f"{seconds:g}",
    }
    return Report(facts=facts, loads=found)


def _py_spy() -> str:
    """py-spy, beside our Python or on the path."""
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy")
    if spy is None:
        raise Spoiled("py-spy is not installed (`pip install py-spy`)")
    return spy


async def _sampled(
    spy: str, pid: int, seconds: float, *, during: Callable[[trio.Event], Awaitable[None]]
) -> Shares:
    """The samples of `pid` while a load runs, which ends once the event given to it is set."""
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        how = ["-f", "raw", "-o", str(stacks), "-r", str(RATE), "-d", f"{seconds:g}", "--full-filenames"]
        command = [spy, "record", "-p", str(pid), *how]
        done = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(during, done)
            told = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
            done.set()
        if told.returncode != 0:
            raise Spoiled(_why_not(told))
        return shares(stacks.read_text().splitlines())


def _why_not(told: "subprocess.CompletedProcess[bytes]") -> str:
    text = told.stderr.decode(errors="replace").strip()
    if "permission" in text.lower():
        text += (
            "\npy-spy reads another process's memory: run this as root, with the capability SYS_PTRACE, "
            "or with kernel.yama.ptrace_scope at 0."
        )
    return f"py-spy ended with status {told.returncode}: {text}"


async def _requests(exchanges: Exchanges, done: trio.Event) -> None:
    while not done.is_set():
        await exchanges.whole(1)


async def _bursts(exchanges: Exchanges, done: trio.Event) -> None:
    while not done.is_set():
        await exchanges.bursts(1)


async def _chunks(exchanges: Exchanges, done: trio.Event) -> None:
    """Long streams, so that hardly anything but their chunks is seen."""
    while not done.is_set():
        async with exchanges.stream() as come:
            await come(CHUNKS)


LOADS: Mapping[str, Load] = MappingProxyType({"request": _requests, "burst": _bursts, "chunks": _chunks})


def draw(report: Report) -> Table:
    """The report as a table, a column for each load."""
    heads = ("request", f"burst of {BURST}", "chunk alone")
    table = empty_table(TITLE, report.facts, first="stage", figures=heads)
    for stage in (*STAGES, OTHER):
        percents = [load.percent(stage) for load in report.loads.values()]
        if any(percents):
            table.add_row(stage, *(f"{percent:.1f}" if percent else "" for percent in percents))
    table.add_section()
    table.add_row("samples", *(str(load.total) for load in report.loads.values()))
    return table


def block(report: Report) -> str:
    """The report for a page in Markdown, with the command that makes it."""
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(draw(report))
    table = "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())
    return f"\n```bash\n{COMMAND}\n```\n\n```text\n{table}\n```\n\n"


def renewed(page: str, report: Report) -> str:
    """The page with the report between its marks `measured: profile` and `end`.

    Raises:
        ValueError: it has no such marks.
    """
    page, marks = _BLOCK.subn(lambda found: found[1] + block(report) + found[2], page)
    if not marks:
        raise ValueError("there is no place marked `<!-- measured: profile -->` to `<!-- end -->`")
    return page


@click.command("profile")
@click.option(
    "--seconds",
    type=click.FloatRange(0.5, 600),
    default=10,
    show_default=True,
    help="How long the proxy is sampled under each load.",
)
@click.option(
    "--into",
    "page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="PATH",
    help="Write the table into this page, too, between its marks.",
)
@json_option
def command(seconds: float, page: Path | None, json_path: Path | None) -> None:
    """Where the proxy's time goes, stage by stage, under requests, bursts and single chunks."""
    report = measured(partial(measure, seconds))
    tell(draw(report), encode(report), json_path)
    if page is None:
        return
    try:
        page.write_text(renewed(page.read_text(), report))
    except ValueError as error:
        raise click.ClickException(f"{page}: {error}") from error
