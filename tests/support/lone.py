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

from tests.support.chunks import says
from tests.support.ports import OpenPort, ReservedPort
from tests.support.scripted import BODY_END, Pause, ScriptedProvider, Step, body, head, stream_frames
from tests.support.told import WIRES, Wire, told

_ROOT = Path(__file__).parents[2]


def words(count: int) -> str:
    """The whole text of an answer."""
    return "".join(map(_word, range(count)))


def _word(number: int) -> str:
    return f"{number} "


class LoneProvider:
    """The tests' end. Connections are taken from the beginning on, and answered once the process is ready."""

    def __init__(self, name: str, *, every: float, count: int, wire: Wire = "chat") -> None:
        self.name = name
        self._wire = wire
        self._arguments = [name, str(every), str(count), wire]
        self._port = ReservedPort()
        self._process: subprocess.Popen[bytes] | None = None

    def entry(self, **more: Any) -> dict[str, Any]:
        """Its entry for `providers.json`; `more` adds or replaces keys."""
        models = {tier: [f"{self.name}-model"] for tier in ("big", "middle", "small")}
        address = f"http://127.0.0.1:{self._port.number}/v1"
        key = f"canary-{self.name}-0123456789abcdef"
        dialect = {"profile": "anthropic" if self._wire == "anthropic" else "openai"}
        entry = {"name": self.name, "api_key": key, "base_url": address, "models": models} | dialect
        return entry | {"options": {"wire": self._wire}} | more

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


def _counting(every: float, count: int, wire: Wire) -> tuple[Step, ...]:
    stream = told(says(*map(_word, range(count))), wire)
    pieces = [step for frame in stream.begun for step in (body(frame), Pause(every))]
    return (head(), *pieces, *stream_frames((*stream.finish, stream.mark)), BODY_END)


async def _serve(descriptor: int, name: str, every: float, count: int, wire: Wire) -> None:
    async with trio.open_nursery() as nursery:
        port = OpenPort(socket.socket(fileno=descriptor))
        provider = ScriptedProvider(name, nursery, port=port, wire=wire)
        provider.plays(_counting(every, count, wire))
        provider.open()
        await trio.sleep_forever()


if __name__ == "__main__":
    spoken = next(each for each in WIRES if each == sys.argv[5])
    trio.run(_serve, int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), spoken)
