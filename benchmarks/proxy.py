"""The real proxy as a process of its own, under Hypercorn, as a user would start it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from benchmarks.asking import Client, Spoiled
from benchmarks.scripted import bound_socket

ALIVE_WITHIN = 30.0  # seconds; a second is usual
LOOK_EVERY = 0.02
ANSWER_WITHIN = 1.0


@asynccontextmanager
async def running_proxy(config: Mapping[str, object]) -> AsyncIterator["RunningProxy"]:
    """Start the proxy over `config`. It is stopped on leaving.

    Raises:
        Spoiled: it did not come alive; the text holds what it printed.
    """
    with tempfile.TemporaryDirectory() as folder, bound_socket() as listener:
        port: int = listener.getsockname()[1]
        home = Path(folder)
        (home / "providers.json").write_bytes(msgspec.json.encode(config))
        with (home / "proxy.log").open("wb") as log:
            async with trio.open_nursery() as nursery:
                start = partial(
                    trio.run_process,
                    _command(listener.fileno()),
                    check=False,
                    env=_environment(home),
                    pass_fds=(listener.fileno(),),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                process: trio.Process = await nursery.start(start)
                await _wait_until_alive(port, process, Path(log.name))
                yield RunningProxy(port=port, pid=process.pid)
                nursery.cancel_scope.cancel()


class RunningProxy(Struct, frozen=True):
    """Where the proxy listens, and its process."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """The CPU time that it has taken so far, with the worker that Hypercorn runs beside it.

        Raises:
            OSError: this system does not tell (it is not Linux), or the process has ended.
        """
        return _cpu_seconds(self.pid)


def _cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its descendants."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    own = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return own + sum(map(_cpu_seconds, children))


def _command(descriptor: int) -> list[str]:
    app = "ccproxy_trio:create_app()"
    return [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", f"fd://{descriptor}", app]


def _environment(home: Path) -> dict[str, str]:
    """Nothing of whoever measures: no keys, no HTTP proxy."""
    paths = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    return paths | {"HOME": str(home), "CCPROXY_CONFIG": str(home / "providers.json")}


async def _wait_until_alive(port: int, process: trio.Process, log: Path) -> None:
    with trio.move_on_after(ALIVE_WITHIN):
        while process.poll() is None:
            if await _is_alive(port):
                return
            await trio.sleep(LOOK_EVERY)
    printed = await trio.Path(log).read_text()
    raise Spoiled(f"the proxy did not start (exit status {process.returncode})\n{printed[-2000:]}")


async def _is_alive(port: int) -> bool:
    # The socket is ours too, so a connection is accepted by the kernel though nobody serves it yet.
    with trio.move_on_after(ANSWER_WITHIN):
        try:
            async with Client(port) as client:
                return await client.status_of("/health/live") == 200
        except (OSError, Spoiled):
            return False
    return False
