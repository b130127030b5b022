"""Who takes part in the soak: two providers that can be killed, and the proxy before them."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from benchmarks.asking import Client, Spoiled
from benchmarks.processes import Memory, memory
from benchmarks.proxy import NOTHING, RunningProxy, running_proxy
from benchmarks.scripted import bound_socket
from benchmarks.soak_inside import KEEP_ALIVE, Line, open_line
from benchmarks.upstream import Counts

BURST, HELD = "burst-20", "held-20"
SHAPES = {"big": BURST, "middle": HELD}
REOPENS_AFTER = 0.5  # seconds after which a provider that failed is tried again
STARTS_WITHIN = 20.0
LOOK_EVERY = 0.05


class Provider:
    """A canned upstream (`benchmarks.upstream`) on a port of its own, in one process after another."""

    def __init__(self, name: str, nursery: trio.Nursery) -> None:
        self.name = name
        with bound_socket() as free:
            self.port: int = free.getsockname()[1]
        self._nursery = nursery
        self._process: trio.Process | None = None

    def entry(self, *, priority: int) -> Mapping[str, object]:
        """Its entry in the proxy's configuration."""
        return {
            "name": self.name,
            "api_key": "none",
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "models": {tier: [shape] for tier, shape in SHAPES.items()},
            "priority": priority,
        }

    async def start(self) -> None:
        """Start a process, and return once it answers.

        Raises:
            Spoiled: it does not.
        """
        command = [sys.executable, "-m", "benchmarks.upstream", "--port", str(self.port)]
        start = partial(trio.run_process, command, check=False, stdin=subprocess.PIPE)
        self._process = await self._nursery.start(start)
        with trio.move_on_after(STARTS_WITHIN):
            while self._process.poll() is None:
                try:
                    await self.counts()
                except OSError:
                    await trio.sleep(LOOK_EVERY)
                else:
                    return
        raise Spoiled(f"the provider {self.name} did not start")

    def kill(self) -> None:
        """SIGKILL. Its connections are reset by the system."""
        os.kill(self._running.pid, signal.SIGKILL)

    async def release(self) -> None:
        """Let every stream that it holds go on to its end."""
        assert self._running.stdin is not None
        await self._running.stdin.send_all(b"release\n")

    async def counts(self) -> Counts:
        """What this process has met so far."""
        async with Client(self.port) as client:
            return msgspec.json.decode(await client.body_of("/counts"), type=Counts)

    def sockets(self) -> int:
        """How many sockets it has open, its listener among them."""
        return sockets(self._running.pid)

    @property
    def _running(self) -> trio.Process:
        if self._process is None:
            raise Spoiled(f"the provider {self.name} was not started")
        return self._process


class Stage(Struct, frozen=True, kw_only=True):
    """All that take part."""

    first: Provider
    second: Provider
    proxy: RunningProxy
    line: Line

    async def tasks(self) -> int:
        """Live tasks of the proxy's process."""
        return sum((await self.line.ask()).tasks.values())

    def descriptors(self) -> int:
        """Open file descriptors of the proxy's process."""
        return len(os.listdir(f"/proc/{self.proxy.pid}/fd"))

    def memory(self) -> Memory:
        """Of the proxy's process."""
        return memory(self.proxy.pid)


@asynccontextmanager
async def open_stage(*, keep_alive: float | None) -> AsyncIterator[Stage]:
    """Start everything; everything is stopped on leaving.

    `keep_alive`: seconds that the proxy keeps idle connections to providers; None: as it does by itself.

    Raises:
        Spoiled: something does not start.
    """
    async with trio.open_nursery() as nursery, open_line() as line:
        first, second = Provider("first", nursery), Provider("second", nursery)
        await first.start()
        await second.start()
        config = {
            "providers": [first.entry(priority=1), second.entry(priority=2)],
            "health_check_interval": 0,
            "max_exchanges": 10_000,
            "circuit_breaker": {"recovery_timeout": REOPENS_AFTER, "recovery_jitter": 0},
        }
        env = NOTHING if keep_alive is None else {KEEP_ALIVE: str(keep_alive)}
        async with running_proxy(config, under=line.command, workers=0, env=env) as proxy:
            yield Stage(first=first, second=second, proxy=proxy, line=line)
        nursery.cancel_scope.cancel()


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    links = (os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return sum(link.startswith("socket:") for link in links)
