"""The proxy's process as the soak starts it: its own code, and a private line that tells of its inside.

The proxy has no door for this. A launcher calls the soak back on a Unix socket in a folder of the soak's own,
and starts Hypercorn; the answers come from a system task of Trio's, which the proxy knows nothing of.

    python -m benchmarks.soak_inside PATH python -m hypercorn ...
"""

import os
import runpy
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.upstream.transport.own import TrioTransport

KEEP_ALIVE = "SOAK_KEEP_ALIVE"  # seconds that the proxy keeps idle connections, where a test cannot wait
ANSWER_WITHIN = 10.0


class Inside(Struct, frozen=True):
    """Live tasks by the name of their function, Trio's own among them."""

    tasks: Mapping[str, int]


class Line:
    """The soak's end. `ask` needs somebody at the other one, who is there once the proxy is."""

    def __init__(self, listener: socket.socket, path: Path) -> None:
        self._listener = trio.socket.from_stdlib_socket(listener)
        self._stream: trio.SocketStream | None = None
        self.command = (sys.executable, "-m", "benchmarks.soak_inside", str(path))

    async def ask(self) -> Inside:
        """What lives in there now.

        Raises:
            trio.TooSlowError: no answer.
        """
        with trio.fail_after(ANSWER_WITHIN):
            if self._stream is None:
                accepted, _ = await self._listener.accept()
                self._stream = trio.SocketStream(accepted)
            await self._stream.send_all(b"?")
            told = b""
            while not told.endswith(b"\n"):
                told += await self._stream.receive_some()
        return msgspec.json.decode(told, type=Inside)

    def close(self) -> None:
        """Nobody will ask any more."""
        if self._stream is not None:
            self._stream.socket.close()


@asynccontextmanager
async def open_line() -> AsyncIterator[Line]:
    """A line that `running_proxy(under=line.command)` connects."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "line"  # the folder is for this user alone
        listener.bind(str(path))
        listener.listen(1)
        line = Line(listener, path)
        yield line
        line.close()


def main() -> None:
    """Become the process that the rest of the command line names, with the line connected."""
    _, path, _python, _m, module, *rest = sys.argv
    if seconds := os.environ.get(KEEP_ALIVE):
        defaults = TrioTransport.__init__.__kwdefaults__ or {}
        TrioTransport.__init__.__kwdefaults__ = defaults | {"keep_alive": float(seconds)}
    run = trio.run

    def with_answers(serving: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        async def told_of() -> Any:
            trio.lowlevel.spawn_system_task(_answer, path)
            return await serving(*arguments)

        return run(told_of, **options)

    trio.run = with_answers  # type: ignore[assignment]
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__")


async def _answer(path: str) -> None:
    with suppress(trio.BrokenResourceError, OSError):
        stream = await trio.open_unix_socket(path)
        while await stream.receive_some(1):
            await stream.send_all(msgspec.json.encode(Inside(_tasks())) + b"\n")


def _tasks() -> Mapping[str, int]:
    root = trio.lowlevel.current_root_task()
    return {} if root is None else dict(Counter(task.name for task in _below(root)))


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _below(child)


if __name__ == "__main__":
    main()
