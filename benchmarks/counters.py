"""Counting the instructions that another process executes: with perf's counters, or in Valgrind's callgrind.

Both count user-space instructions of all threads. perf reads the processor's own counter and slows nothing
down, but virtual machines often have none; callgrind needs nothing but Valgrind, and patience.
"""

import enum
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from benchmarks.asking import Spoiled

EVENT = "instructions:u"
TOLD_WITHIN = 60.0  # seconds; a fraction of a second is usual

Work = Callable[[], Awaitable[object]]


class NotCounted(Spoiled):
    """The tool did not do what it was told. The text says what it said."""


class Tool(enum.StrEnum):
    """What counts."""

    PERF = "perf"
    CALLGRIND = "callgrind"


def usable() -> Tool | None:
    """The best tool of this machine."""
    if shutil.which("perf") and _perf_counts(EVENT):
        return Tool.PERF
    return Tool.CALLGRIND if shutil.which("valgrind") and shutil.which("vgdb") else None


def _perf_counts(event: str) -> bool:
    """Whether this processor, or the machine that plays it, has the counter and lets us read it."""
    command = ["perf", "stat", "-x", ",", "-e", event, "true"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.returncode == 0 and _perf_figure(told.stderr, event) is not None


def _perf_figure(told: str, event: str) -> int | None:
    """The figure in perf's line `count,unit,event,...`; None where it says `<not supported>` or the like."""
    for line in told.splitlines():
        count, *rest = line.split(",")
        if event in rest[:2]:
            return int(count) if count.isdigit() else None
    return None


def prefix_of(tool: Tool, folder: Path) -> Sequence[str]:
    """The command that the process must be started under; `folder` is for the tool's files."""
    match tool:
        case Tool.PERF:
            return ()
        case Tool.CALLGRIND:
            out = f"--callgrind-out-file={folder / 'callgrind'}"
            # Starting up is neither counted nor slowed down more than Valgrind does by itself.
            quick = ("--instr-atstart=no", f"--vgdb-prefix={folder / 'vgdb'}")
            return ("valgrind", "--tool=callgrind", *quick, out)


class Counter(Protocol):
    """Counts what one process executes."""

    async def count(self, work: Work) -> int:
        """The instructions during `work`.

        Raises:
            NotCounted: the tool did not do its part.
            trio.TooSlowError: nor did it say so.
        """


async def counter_of(tool: Tool, pid: int, folder: Path) -> Counter:
    """A counter of the process `pid`, which was started under `prefix_of` the tool and this `folder`.

    Raises:
        NotCounted: the tool cannot be had for this process.
    """
    match tool:
        case Tool.PERF:
            return Perf(pid, folder)
        case Tool.CALLGRIND:
            callgrind = Callgrind(pid, folder)
            await callgrind.tell("instrumentation", "on")
            return callgrind


class Callgrind:
    """A process under callgrind, told over Valgrind's own pipe when to write its figures down."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid = pid
        self._folder = folder
        self._dumps = 0

    async def count(self, work: Work) -> int:
        """The instructions during `work`."""
        await self._dump()
        await work()
        return await self._dump()

    async def tell(self, *words: str) -> None:
        """A command to callgrind.

        Raises:
            NotCounted: it did not take it.
        """
        command = ["vgdb", f"--vgdb-prefix={self._folder / 'vgdb'}", f"--pid={self._pid}", *words]
        with trio.fail_after(TOLD_WITHIN):
            told = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if told.returncode != 0:
            raise NotCounted(f"{' '.join(command)}: {told.stderr.decode(errors='replace')[-500:]}")

    async def _dump(self) -> int:
        """Have the figures since the last dump written down, and read them."""
        await self.tell("dump")
        self._dumps += 1
        told = await trio.Path(self._folder / f"callgrind.{self._dumps}").read_text()
        for line in told.splitlines():
            if line.startswith("totals:"):
                return int(line.split()[1])
        raise NotCounted(f"callgrind wrote no total: {told[-500:]}")


class Perf:
    """perf attached to a process for as long as something is counted."""

    def __init__(self, pid: int, folder: Path, *, event: str = EVENT) -> None:
        self._pid = pid
        self._figures = folder / "perf"
        self._event = event

    async def count(self, work: Work) -> int:
        """The events during `work`."""
        async with trio.open_nursery() as nursery:
            perf = await _Attached.start(nursery, self._command)
            await perf.tell(b"enable")
            await work()
            await perf.tell(b"disable")
            await perf.leave()
        told = await trio.Path(self._figures).read_text()
        figure = _perf_figure(told, self._event)
        if figure is None:
            raise NotCounted(f"perf has no figure: {told}")
        return figure

    def _command(self, orders: int, answers: int) -> list[str]:
        what = ["-x", ",", "-e", self._event, "-p", str(self._pid), "-o", str(self._figures)]
        return ["perf", "stat", *what, "-D", "-1", "--control", f"fd:{orders},{answers}"]


class _Attached:
    """A perf under way. It takes orders from one pipe and answers each on another."""

    def __init__(
        self, process: trio.Process, orders: trio.lowlevel.FdStream, answers: trio.lowlevel.FdStream
    ) -> None:
        self._process = process
        self._orders = orders
        self._answers = answers

    @classmethod
    async def start(cls, nursery: trio.Nursery, command: Callable[[int, int], list[str]]) -> "_Attached":
        """`command` is given the ends of the two pipes that are perf's."""
        orders_out, orders_in = os.pipe()
        answers_out, answers_in = os.pipe()
        start = partial(
            trio.run_process,
            command(orders_out, answers_in),
            check=False,
            pass_fds=(orders_out, answers_in),
            stderr=subprocess.DEVNULL,
        )
        try:
            process: trio.Process = await nursery.start(start)
        finally:
            os.close(orders_out)
            os.close(answers_in)
        return cls(process, trio.lowlevel.FdStream(orders_in), trio.lowlevel.FdStream(answers_out))

    async def tell(self, order: bytes) -> None:
        """Give an order and wait until it is obeyed."""
        ended = "perf ended before its time; is it permitted to look at this process?"
        with trio.fail_after(TOLD_WITHIN):
            try:
                await self._orders.send_all(order + b"\n")
            except trio.BrokenResourceError:
                raise NotCounted(ended) from None
            if not await self._answers.receive_some():
                raise NotCounted(ended)

    async def leave(self) -> None:
        """Detach; perf then writes its figures down."""
        self._process.send_signal(signal.SIGINT)
        await self._process.wait()
        await self._orders.aclose()
        await self._answers.aclose()
