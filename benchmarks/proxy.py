"""The real proxy as a process of its own, under Hypercorn, as a user would start it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec
import trio
from msgspec import Struct

from benchmarks.asking import Client, Spoiled
from benchmarks.processes import cpu_seconds
from benchmarks.scripted import bound_socket

ALIVE_WITHIN = 30.0  # seconds; a second is usual
LOOK_EVERY = 0.005
ANSWER_WITHIN = 1.0
# What `ccproxy-trio serve` uses, too. By itself Hypercorn closes a connection that is idle for 5 s, and one
# whose request waits as long in a queue is idle to it.
CONFIG = Path(__file__).parents[1] / "config" / "hypercorn.toml"
PROXY = "ccproxy_trio:create_app()"
NOTHING: Mapping[str, str] = MappingProxyType({})


@asynccontextmanager
async def running_proxy(
    config: Mapping[str, object],
    *,
    under: Sequence[str] = (),
    workers: int = 1,
    env: Mapping[str, str] = NOTHING,
    alive_within: float = ALIVE_WITHIN,
    app: str = PROXY,
) -> AsyncIterator["RunningProxy"]:
    """Start the proxy over `config`. It is stopped on leaving.

    `under`: a command that runs it, such as a profiler with its arguments. Without `workers` (0) Hypercorn
    serves in the very process that is started, not in one beside it. `alive_within`: seconds. `app`: another
    that answers `/health/live`, to compare with.

    Raises:
        Spoiled: it did not come alive; the text holds what it printed.
    """
    with tempfile.TemporaryDirectory() as folder, bound_socket() as listener:
        port: int = listener.getsockname()[1]
        home = Path(folder)
        configuration = _configuration(home)
        configuration.parent.mkdir()
        configuration.write_bytes(msgspec.json.encode(config))
        with (home / "proxy.log").open("wb") as log:
            async with trio.open_nursery() as nursery:
                start = partial(
                    trio.run_process,
                    [*under, *_command(listener.fileno(), workers, app)],
                    check=False,
                    env=_environment(home) | dict(env),
                    pass_fds=(listener.fileno(),),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                started_at = trio.current_time()
                process: trio.Process = await nursery.start(start)
                await _wait_until_alive(port, process, Path(log.name), within=alive_within)
                alive_after = trio.current_time() - started_at
                yield RunningProxy(port=port, pid=process.pid, started_at=started_at, alive_after=alive_after)
                nursery.cancel_scope.cancel()


class RunningProxy(Struct, frozen=True, kw_only=True):
    """Where the proxy listens, and its process.

    `started_at`: on Trio's clock, before the process was there; `alive_after`: seconds from then until
    `/health/live` was answered, give or take `LOOK_EVERY`.
    """

    port: int
    pid: int
    started_at: float
    alive_after: float

    def cpu_seconds(self) -> float:
        """The CPU time that it has taken so far, with the worker that Hypercorn runs beside it.

        Raises:
            OSError: this system does not tell (it is not Linux), or the process has ended.
        """
        return cpu_seconds(self.pid)


def _command(descriptor: int, workers: int, app: str) -> list[str]:
    hypercorn = [sys.executable, "-m", "hypercorn", "-c", str(CONFIG), "-k", "trio", "-w", str(workers)]
    return [*hypercorn, "-b", f"fd://{descriptor}", app]


def _environment(home: Path) -> dict[str, str]:
    """Nothing of whoever measures: no keys, no HTTP proxy."""
    paths = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    return paths | {"HOME": str(home), "CCPROXY_CONFIG": str(_configuration(home))}


def _configuration(home: Path) -> Path:
    """Where the configuration is: not beside the log, since the proxy looks up when its folder changes."""
    return home / "config" / "providers.json"


async def _wait_until_alive(port: int, process: trio.Process, log: Path, *, within: float) -> None:
    with trio.move_on_after(within):
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
