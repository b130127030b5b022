"""Other processes: their CPU time, their memory, and the cores they run on. All by way of Linux's /proc."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


class Cores(Struct, frozen=True):
    """Who runs where. With a single core both run on that."""

    subject: frozenset[int]
    engine: frozenset[int]


class Memory(Struct, frozen=True):
    """Bytes of a process tree: `rss` counts shared pages in each process, `pss` shares them out."""

    rss: int
    pss: int


def cores() -> Cores:
    """The first core for what is measured, the others for the engine."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or {first}))


def tree(pid: int) -> Iterator[int]:
    """The process and its descendants. One that ends meanwhile is left out."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    yield pid
    for thread in threads:
        for child in _children(thread):
            yield from tree(child)


def _children(thread: Path) -> list[int]:
    try:
        return [int(child) for child in (thread / "children").read_text().split()]
    except OSError:  # the thread has ended
        return []


def pin(pid: int, to: frozenset[int]) -> None:
    """Keep every thread of a process tree, and those it starts later, on some cores.

    Raises:
        OSError: the process has ended.
    """
    for member in tree(pid):
        for thread in Path(f"/proc/{member}/task").iterdir():
            os.sched_setaffinity(int(thread.name), to)


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process tree has taken so far, to the nanosecond.

    Children that have ended are not in it.

    Raises:
        OSError: this system does not tell (it is not Linux), or the process has ended.
    """
    return sum(map(_own_cpu_seconds, _whole_tree(pid)))


def memory(pid: int) -> Memory:
    """The memory of a process tree.

    Raises:
        OSError: this system does not tell (it is not Linux), or the process has ended.
    """
    told = [_rollup(member) for member in _whole_tree(pid)]
    return Memory(sum(each["Rss"] for each in told), sum(each["Pss"] for each in told))


def _whole_tree(pid: int) -> list[int]:
    members = list(tree(pid))
    if not members:
        raise ProcessLookupError(f"no process {pid}, or this system does not tell")
    return members


def _own_cpu_seconds(pid: int) -> float:
    # What clock_getcpuclockid(3) computes. Unlike the sum over /proc/PID/task, it keeps the time of threads
    # that have ended, and unlike /proc/PID/stat it counts in nanoseconds.
    return time.clock_gettime((~pid << 3) | 2)


def _rollup(pid: int) -> dict[str, int]:
    """Fields of smaps_rollup, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in fields}


def raise_file_limit() -> None:
    """Let this process, and those it starts, open as many files as it may: a stream takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
