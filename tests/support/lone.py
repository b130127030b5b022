"""A provider that is a process of its own, so that it can be stopped and killed as processes are.

    with LoneProvider("alpha", every=0.02, count=100) as provider:
        ...
        provider.send_signal(signal.SIGKILL)

It counts: each answer is the words "0 1 2 ...", one in every `every` seconds. It speaks as `ScriptedProvider`
does, being one.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from tests.support.chunks import DONE, says
from tests.support.ports import OpenPort, ReservedPort
from tests.support.scripted import BODY_END, Pause, ScriptedProvider, Step, body, head, stream_of

_ROOT = Path(__file__).parents[2]


def words(count: int) -> str:
    """The whole text of an answer."""
    return "".join(map(_word, range(count)))


def _word(number: int) -> str:
    return f"{number} "


class LoneProvider:
    """The tests' end. Connections are taken from the beginning on, and answered once the process is ready."""

    def __init__(self, name: str, *, every: float, count: int) -> None:
        self.name = name
        self._arguments = [name, str(every), str(count)]
        self._port = ReservedPort()
        self._process: subprocess.Popen[bytes] | None = None

    def entry(self, **more: Any) -> dict[str, Any]:
        """Its entry for `providers.json`; `more` adds or replaces keys."""
        models = {tier: [f"{self.name}-model"] for tier in ("big", "middle", "small")}
        address = f"http://127.0.0.1:{self._port.number}/v1"
        key = f"canary-{self.name}-0123456789abcdef"
        return {"name": self.name, "api_key": key, "base_url": address, "models": models} | more

    def start(self) -> None:
        """Start the process; again, after it was killed."""
        with self._port.listen() as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.lone", str(listener.fileno()), *self._arguments],
                stdin=subprocess.DEVNULL,
                cwd=_ROOT,
                env={"PATH": os.environ["PATH"]},
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

    def send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal; one that kills it is waited for."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.send_signal(signal.SIGKILL)
        self._port.close()


def _counting(every: float, count: int) -> tuple[Step, ...]:
    *content, finish, usage = says(*map(_word, range(count))).chunks()
    told = [step for chunk in content for step in (*stream_of([chunk]), Pause(every))]
    return (head(), *told, *stream_of([finish, usage]), body(DONE), BODY_END)


async def _serve(descriptor: int, name: str, every: float, count: int) -> None:
    async with trio.open_nursery() as nursery:
        provider = ScriptedProvider(name, nursery, port=OpenPort(socket.socket(fileno=descriptor)))
        provider.plays(_counting(every, count))
        provider.open()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_serve, int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
