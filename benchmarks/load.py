"""Ask N connections' worth of requests, and get every answer's times: the driver of `generator.py`.

The generator is a process of its own with a bare loop over sockets, so that neither it nor the driver takes
the time that is measured. It knows no proxy: whatever answers `POST`s with the words of `answers.py` can be
asked, in Anthropic's format or straight the upstream in OpenAI's.

    async with canned_upstream() as upstream:
        ask = Ask(path="/v1/chat/completions", body=..., words=20, ends_with=OPENAI_STREAM)
        report = await load(upstream.port, ask, connections=16, requests=500)
        print(report.per_second, statistics.median(report.to_end))
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import msgspec
import trio
from msgspec import Struct

from benchmarks.asking import CHUNK_BYTES, Spoiled
from benchmarks.generator import Broken, Event, Plan, Ready, Report, Showing
from benchmarks.processes import cores, cpu_seconds, pin
from benchmarks.received import Expected

MESSAGES_STREAM = b"message_stop"
MESSAGES_WHOLE = b'"end_turn"'
OPENAI_STREAM = b"[DONE]"
OPENAI_WHOLE = b'"stop"'
READY_WITHIN = 120.0  # seconds, warm-ups included
NOBODY: Mapping[str, int] = MappingProxyType({})

_Told = TypeVar("_Told", Ready, Showing, Report)


class Ask(Struct, frozen=True, kw_only=True):
    """One request, and how its answer is known to be whole: all `words`, the end of the answer, `ends_with`.

    `headers` come on top of host, content-type, content-length, anthropic-version, x-api-key and
    authorization.
    """

    path: str
    body: bytes
    words: int
    ends_with: bytes
    headers: Mapping[str, str] = {}


class LoadReport(Struct, frozen=True, kw_only=True):
    """What became of a load; every answer was whole and right.

    Times are in seconds, one of each kind a request, in no order: from before the request's first byte is
    sent to the head, to the first content, and to the end. `lateness`: for each word of a paced answer,
    from its sending by the upstream to its arrival. `seconds`: from the first request to the last answer.
    `cpu_seconds`: taken meanwhile by the process trees named in `cpu_of`, and by the generator itself
    (`generator`). `reconnects`: connections that the server ended between two requests.
    """

    requests: int
    seconds: float
    to_head: tuple[float, ...]
    to_first_content: tuple[float, ...]
    to_end: tuple[float, ...]
    lateness: tuple[float, ...]
    reconnects: int
    cpu_seconds: Mapping[str, float]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


async def load(
    port: int,
    ask: Ask,
    *,
    connections: int = 1,
    requests: int | None = None,
    seconds: float | None = None,
    warm_ups: int = 1,
    within: float = 30.0,
    cpu_of: Mapping[str, int] = NOBODY,
) -> LoadReport:
    """Ask `port` on 127.0.0.1 until `requests` are answered, or none is begun after `seconds`; one of them.

    Each of `connections` asks again as soon as it has its answer. Before anything is measured, each has
    asked `warm_ups` times. `within`: seconds that one answer may take. `cpu_of`: names and pids of process
    trees whose CPU time is measured.

    Raises:
        Spoiled: an answer is wrong, cut off, late, or nobody listens there. (In an ExceptionGroup.)
        ValueError: not just one of `requests` and `seconds` is given.
    """
    async with loading(
        port,
        ask,
        connections=connections,
        requests=requests,
        seconds=seconds,
        warm_ups=warm_ups,
        within=within,
        cpu_of=cpu_of,
    ) as running:
        return await running.report()


@asynccontextmanager
async def loading(
    port: int,
    ask: Ask,
    *,
    connections: int = 1,
    requests: int | None = None,
    seconds: float | None = None,
    warm_ups: int = 1,
    within: float = 30.0,
    cpu_of: Mapping[str, int] = NOBODY,
) -> AsyncIterator["Running"]:
    """The same as `load`, for who wants to look at something else while it runs.

    On entering, every connection is open and warm, and the load has begun. It is ended on leaving.

    Raises:
        Spoiled: as `load`.
        ValueError: not just one of `requests` and `seconds` is given.
    """
    if (requests is None) == (seconds is None):
        raise ValueError("a load ends after so many requests, or after so many seconds: give one of them")
    plan = Plan(
        port=port,
        request=_request(port, ask),
        expected=Expected(words=ask.words, ends_with=ask.ends_with, within=within),
        connections=connections,
        requests=requests,
        seconds=seconds,
        warm_ups=warm_ups,
    )
    command = [sys.executable, "-m", "benchmarks.generator"]
    start = partial(trio.run_process, command, check=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(start)
        pin(process.pid, cores().engine)
        running = Running(process, cpu_of)
        with trio.fail_after(READY_WITHIN):
            await running.begin(plan)
        yield running
        nursery.cancel_scope.cancel()


class Running:
    """A load under way."""

    def __init__(self, process: trio.Process, cpu_of: Mapping[str, int]) -> None:
        self._process = process
        self._cpu_of = cpu_of
        self._cpu_before: Mapping[str, float] = {}
        self._told = bytearray()

    async def begin(self, plan: Plan) -> None:
        """Send the plan, await its warm-ups, and let it begin."""
        await self._say(msgspec.json.encode(plan))
        await self._until(Ready)
        self._cpu_before = self._cpu()
        await self._say(b"go")

    async def showing(self) -> None:
        """Return once as many answers as there are connections have shown their first content.

        Raises:
            Spoiled: as `load`.
        """
        await self._until(Showing)

    async def report(self) -> LoadReport:
        """Await the end.

        Raises:
            Spoiled: as `load`.
        """
        told = await self._until(Report)
        cpu_after = self._cpu()
        taken = {name: cpu_after[name] - before for name, before in self._cpu_before.items()}
        return LoadReport(
            requests=told.requests,
            seconds=told.seconds,
            to_head=tuple(told.to_head),
            to_first_content=tuple(told.to_first_content),
            to_end=tuple(told.to_end),
            lateness=tuple(told.lateness),
            reconnects=told.reconnects,
            cpu_seconds=taken | {"generator": told.cpu_seconds},
        )

    async def _until(self, kind: type[_Told]) -> _Told:
        while True:
            event = msgspec.json.decode(await self._line(), type=Event)
            if isinstance(event, kind):
                return event
            if isinstance(event, Broken):
                raise Spoiled(event.why)

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._told:
            data = await self._process.stdout.receive_some(CHUNK_BYTES)
            if not data:
                raise Spoiled("the load generator ended without a word")
            self._told += data
        line, _, rest = bytes(self._told).partition(b"\n")
        self._told = bytearray(rest)
        return line

    async def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line + b"\n")

    def _cpu(self) -> Mapping[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._cpu_of.items()}


def _request(port: int, ask: Ask) -> bytes:
    headers = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/json",
        "content-length": str(len(ask.body)),
        "anthropic-version": "2023-06-01",
        "x-api-key": "any",
        "authorization": "Bearer any",
    } | dict(ask.headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {ask.path} HTTP/1.1\r\n{head}\r\n".encode() + ask.body
