"""What programs are compared by: the loads, one program and one round at a time.

Each measurement is a coroutine over a program that is up, and gives figures by the name of their measure.
Times are milliseconds; those that are "added" still hold what the upstream alone takes, which is measured
in the same round and taken off by `compare_report.py`.
"""

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Protocol, TypeVar

import trio
from msgspec import Struct

from benchmarks.asking import Spoiled
from benchmarks.figures import Bound
from benchmarks.load import Ask, LoadReport, load
from benchmarks.peers_launch import BIG, MIDDLE, SMALL, Route
from benchmarks.processes import cpu_seconds, memory
from benchmarks.scripted import Mood, ScriptedProvider
from benchmarks.subjects import Mode, completion_ask

BURST, PACED, FEW = "burst-100", "paced-200-at-100", "paced-5-at-100"
CHUNKS = 200  # of a paced stream
STREAMS = 64
AT_ONCE = 16  # connections
LEAST_TURNS = 3  # requests of each of these connections, however slow the program
ALONE_WITHIN = 10.0  # seconds that an answer may take which has the program to itself
CROWDED_WITHIN = 120.0  # seconds that it may take among others
READINGS = 20  # of a process tree, at most
SETTLED_AFTER = 0.5  # seconds between the first answer and the look at the memory

_Read = TypeVar("_Read")

LOAD_ROUTES: Mapping[str, Route] = {
    BIG: Route(model=BURST),
    MIDDLE: Route(model=PACED),
    SMALL: Route(model=FEW),
}


class Measure(Struct, frozen=True, kw_only=True):
    """One line of the tables. `key` is that of its goal, where it has one.

    `beyond`: what is taken off, in the same round: "alone", what the upstream alone takes; or another
    measure of the same program.
    """

    key: str
    what: str
    unit: str
    better: Bound = Bound.AT_MOST
    beyond: str | None = None


ALONE = "alone"
HEALTHY = "fallback-healthy"
MEASURES = (
    Measure(key="added-p50", what="added, whole answer", unit="ms", beyond=ALONE),
    Measure(key="first-content", what="added, first content", unit="ms", beyond=ALONE),
    Measure(key="burst-p50", what="added, burst", unit="ms", beyond=ALONE),
    Measure(key="requests-a-second", what="answers, c=16", unit="/s", better=Bound.AT_LEAST),
    Measure(key="bursts-a-second", what="bursts, c=16", unit="/s", better=Bound.AT_LEAST),
    Measure(key="cpu-a-chunk", what="CPU a paced chunk", unit="µs"),
    Measure(key="fallback-500", what="added by a 500", unit="ms", beyond=HEALTHY),
    Measure(key="fallback-429", what="added by a 429", unit="ms", beyond=HEALTHY),
    Measure(key="fallback-refused", what="added by a refusal", unit="ms", beyond=HEALTHY),
    Measure(key="start", what="start to answer", unit="s"),
    Measure(key="memory-idle", what="idle memory", unit="MB"),
)


class Asked(Protocol):
    """Who can be put under load: a program that is up, or the upstream alone."""

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""

    @property
    def pid(self) -> int:
        """The root of its process tree."""

    def ask(self, model: str, mode: Mode) -> Ask:
        """What it is sent to get the answer of `model`, a key of `LOAD_ROUTES`."""


class Straight(Struct, frozen=True, kw_only=True):
    """The upstream, asked without a program in between."""

    port: int
    pid: int

    def ask(self, model: str, mode: Mode) -> Ask:
        """The same in OpenAI's format."""
        return completion_ask(LOAD_ROUTES[model].model, mode)


Figures = Mapping[str, float]
Measurement = Callable[[Asked, float], Awaitable[Figures]]


async def answers(asked: Asked, seconds: float) -> Figures:
    """Answers without stream: one at a time for `seconds`, then about as many from 16 connections at once."""
    return await _one_then_many(asked, Mode.WHOLE, seconds, one="added-p50", many="requests-a-second")


async def bursts(asked: Asked, seconds: float) -> Figures:
    """The same with streams of 100 chunks that the upstream sends at once."""
    return await _one_then_many(asked, Mode.STREAM, seconds, one="burst-p50", many="bursts-a-second")


async def _one_then_many(asked: Asked, mode: Mode, seconds: float, *, one: str, many: str) -> Figures:
    wanted = asked.ask(BIG, mode)
    single = await _load(asked, wanted, connections=1, seconds=seconds)
    p50 = statistics.median(single.to_end)
    requests = max(AT_ONCE * LEAST_TURNS, round(seconds / p50))
    together = await _load(asked, wanted, connections=AT_ONCE, requests=requests)
    return {one: p50 * 1000, many: together.per_second}


async def first_content(asked: Asked, seconds: float) -> Figures:
    """The first content of a stream that goes on, one at a time."""
    report = await _load(asked, asked.ask(SMALL, Mode.STREAM), connections=1, seconds=seconds)
    return {"first-content": statistics.median(report.to_first_content) * 1000}


async def paced(asked: Asked, _seconds: float) -> Figures:
    """CPU of the program for each chunk of 64 streams at 100 chunks a second, their requests included."""
    wanted = asked.ask(MIDDLE, Mode.STREAM)
    before = _patiently(partial(cpu_seconds, asked.pid))
    report = await _load(asked, wanted, connections=STREAMS, requests=STREAMS, warm_ups=0)
    taken = _patiently(partial(cpu_seconds, asked.pid)) - before
    return {"cpu-a-chunk": taken / (report.requests * CHUNKS) * 1e6}


class Load(Struct, frozen=True):
    """A measurement, and the measures that it gives figures of.

    `alone`: it is taken of the upstream alone, too. `warmed`: it has a round that is not counted.
    """

    measures: tuple[str, ...]
    measure: Measurement
    alone: bool = True
    warmed: bool = True


LOADS = (
    Load(("added-p50", "requests-a-second"), answers),
    Load(("first-content",), first_content),
    Load(("burst-p50", "bursts-a-second"), bursts),
    Load(("cpu-a-chunk",), paced, alone=False, warmed=False),
)


async def settled_memory(asked: Asked) -> float:
    """MB of a program's process tree, soon after its first answer: RSS, pages shared counted in each.

    Raises:
        OSError: this system does not tell.
    """
    await trio.sleep(SETTLED_AFTER)
    return _patiently(partial(memory, asked.pid)).rss / 1e6


def _patiently(read: Callable[[], _Read]) -> _Read:
    """What is read of a process tree. A thread that ends just then spoils a reading, not the next one.

    Raises:
        OSError: there is no such process, or this system does not tell.
    """
    for _ in range(READINGS - 1):
        with suppress(OSError):
            return read()
    return read()


class Failing:
    """The first providers of the `fallback-*` measures: one fails as it is told, one refuses connections."""

    def __init__(self) -> None:
        self._moody = ScriptedProvider("moody")
        self._refusing = ScriptedProvider("refusing")

    def routes(self) -> Mapping[str, Route]:
        """Three models: behind the moody one, behind the refusing one, and without a failure."""
        return {
            BIG: Route(model=BURST, first=_base_url(self._moody)),
            MIDDLE: Route(model=BURST, first=_base_url(self._refusing)),
            SMALL: Route(model=BURST),
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve while the block runs; the refusing one only holds its port."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._serve, [self._moody.listen()])
                yield
                nursery.cancel_scope.cancel()
        finally:
            self._refusing.close()

    async def _serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # programs are killed in the end, connections and all
            await self._moody.serve(stream)

    async def healthy(self, asked: Asked, seconds: float) -> Figures:
        """What a request takes whose first provider is well."""
        return {HEALTHY: await self._whole_answers(asked, SMALL, seconds)}

    async def answers_500(self, asked: Asked, seconds: float) -> Figures:
        """What it takes when the first provider answers 500."""
        return {"fallback-500": await self._behind_moody(asked, Mood.BROKEN, seconds)}

    async def answers_429(self, asked: Asked, seconds: float) -> Figures:
        """What it takes when the first provider answers 429."""
        return {"fallback-429": await self._behind_moody(asked, Mood.LIMITED, seconds)}

    async def refuses(self, asked: Asked, seconds: float) -> Figures:
        """What it takes when the first provider refuses connections."""
        return {"fallback-refused": await self._whole_answers(asked, MIDDLE, seconds)}

    def loads(self) -> tuple[Load, ...]:
        """Them all."""
        return (
            Load((HEALTHY,), self.healthy),
            Load(("fallback-500",), self.answers_500),
            Load(("fallback-429",), self.answers_429),
            Load(("fallback-refused",), self.refuses),
        )

    async def _behind_moody(self, asked: Asked, mood: Mood, seconds: float) -> float:
        self._moody.mood = mood
        met_before = self._moody.met
        wanted = asked.ask(BIG, Mode.WHOLE)
        report = await _load(asked, wanted, connections=1, seconds=seconds)
        met = self._moody.met - met_before
        if met < report.requests:
            raise Spoiled(f"the failing provider saw {met} of {report.requests} requests: it was left out")
        return statistics.median(report.to_end) * 1000

    async def _whole_answers(self, asked: Asked, model: str, seconds: float) -> float:
        report = await _load(asked, asked.ask(model, Mode.WHOLE), connections=1, seconds=seconds)
        return statistics.median(report.to_end) * 1000


async def _load(
    asked: Asked,
    wanted: Ask,
    *,
    connections: int,
    requests: int | None = None,
    seconds: float | None = None,
    warm_ups: int = 1,
) -> LoadReport:
    return await load(
        asked.port,
        wanted,
        connections=connections,
        requests=requests,
        seconds=seconds,
        warm_ups=warm_ups,
        within=ALONE_WITHIN if connections == 1 else CROWDED_WITHIN,
    )


def _base_url(provider: ScriptedProvider) -> str:
    return f"http://127.0.0.1:{provider.port}/v1"
