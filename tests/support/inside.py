"""What a proxy process of the tests tells of its inside, to them alone.

The launcher (`warm`) gives each proxy one end of a socket. A system task answers there; the proxy's own code
knows nothing of it. Where a process was started otherwise, nobody answers, and there is only what the
operating system tells.
"""

import os
import socket
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpcore
import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.upstream.transport.pool import Pool

_ANSWER_WITHIN = 5.0  # seconds


class Inside(Struct, frozen=True, kw_only=True):
    """Counts of one instant. `tasks` by the name of their function, Trio's own too.

    Of the connections to providers: `lent` carry a request, `kept` wait for the next one.
    """

    tasks: dict[str, int]
    lent: int
    kept: int


class Line:
    """The tests' end."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._socket.settimeout(_ANSWER_WITHIN)

    def ask(self) -> Inside:
        """What the process looks like inside.

        Raises:
            OSError: it has ended, or it hangs.
        """
        self._socket.sendall(b"?")
        told = b""
        while not told.endswith(b"\n"):
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the process has ended")
            told += data
        return msgspec.json.decode(told, type=Inside)

    def close(self) -> None:
        """Nobody will ask any more."""
        self._socket.close()


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind: sockets and pipes without their numbers, files by their path."""
    found: Counter[str] = Counter()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found[str(descriptor.readlink()).partition(":[")[0]] += 1
    return found


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def answer_on(theirs: socket.socket) -> None:
    """In the process that tells: have every `trio.run` from now on answer there."""
    pools = _noted(Pool)
    stock_pools = _noted(httpcore.AsyncConnectionPool)
    run = trio.run

    def with_answers(main: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        async def told_of() -> Any:
            trio.lowlevel.spawn_system_task(_answer, theirs, pools, stock_pools)
            return await main(*arguments)

        return run(told_of, **options)

    trio.run = with_answers  # type: ignore[assignment]


def _noted(kind: type[Any]) -> "weakref.WeakSet[Any]":
    """All instances of a class that are made from now on, as long as they live."""
    made: weakref.WeakSet[Any] = weakref.WeakSet()
    begin = kind.__init__

    def begin_noted(self: Any, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        made.add(self)

    kind.__init__ = begin_noted
    return made


async def _answer(
    theirs: socket.socket,
    pools: "weakref.WeakSet[Pool]",
    stock_pools: "weakref.WeakSet[httpcore.AsyncConnectionPool]",
) -> None:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some(1):
            stock = [connection for pool in stock_pools for connection in pool.connections]
            kept = sum(connection.is_idle() for connection in stock)
            inside = Inside(
                tasks=_tasks(),
                lent=len(stock) - kept + sum(len(pool._out) for pool in pools),
                kept=kept + sum(len(links) for pool in pools for links in pool._kept.values()),
            )
            await stream.send_all(msgspec.json.encode(inside) + b"\n")


def _tasks() -> dict[str, int]:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return dict(Counter(task.name for task in _below(root)))


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _below(child)
