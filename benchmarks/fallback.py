"""What failing over costs: requests whose first provider fails, beside undisturbed ones, in random order.

All cases of one configuration are served by one proxy, so they share its warm code and whatever else the
machine does meanwhile. The cases are in `fallback_cases`.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import click
import msgspec
import trio

from benchmarks.asking import BROKEN_OFF, WORD, Client, Heard, Spoiled
from benchmarks.fallback_cases import (
    ALONE,
    BIG,
    CASES,
    DEADLINE,
    HEALTHY,
    OPEN,
    REOPENS_AFTER,
    Case,
    Cast,
    Outcome,
    Setup,
    open_cast,
)
from benchmarks.front import json_option, measured, tell
from benchmarks.machine import versions
from benchmarks.prompt import completion_request, messages_request
from benchmarks.proxy import running_proxy
from benchmarks.report import Measure, Report, Sample, draw, encode, report
from benchmarks.scripted import LAST_BREATH, Mood
from benchmarks.subjects import COMPLETIONS, MESSAGES
from ccproxy_trio.edge.health import Health

ALL_WITHIN = 120.0  # seconds; what was measured by then is reported
WARM_UPS = 3
ASK_AGAIN = 64  # times, until chance chooses the provider that fails

Run = Callable[[], Awaitable[list[Sample]]]


async def measure(rounds: int) -> Report:
    """Measure every case about `rounds` times, streaming and not, for about `ALL_WITHIN` seconds at most.

    Raises:
        Spoiled: a request did not meet the providers that its case demands. (In an ExceptionGroup.)
    """
    async with open_cast() as cast, _clients(cast) as proxied, Client(cast.steady.port) as straight:
        samples = await _measured(Bench(cast, proxied, straight), rounds)
    facts = versions() | {
        "bytes a request": str(len(messages_request(BIG, stream=True))),
        "timeout in ms": f"{DEADLINE * 1000:.0f}",
        "ms from a dying provider's last byte to its reset": f"{LAST_BREATH * 1000:.0f}",
    }
    names = (ALONE, *(case.name for case in CASES))
    against = {case.name: case.against for case in CASES}
    return report(samples, cases=names, baseline=HEALTHY.name, against=against, facts=facts)


@asynccontextmanager
async def _clients(cast: Cast) -> AsyncIterator[Mapping[Setup, Client]]:
    """A client of a proxy for each configuration."""
    async with AsyncExitStack() as stack:
        clients: dict[Setup, Client] = {}
        for setup in Setup:
            proxy = await stack.enter_async_context(running_proxy(cast.config(setup)))
            clients[setup] = await stack.enter_async_context(Client(proxy.port))
        yield clients


async def _measured(bench: "Bench", rounds: int) -> list[Sample]:
    await bench.open_circuit()
    for _ in range(WARM_UPS):
        for run in bench.runs(0):
            await run()
    order = random.Random(0)  # the same order in every measurement
    samples: list[Sample] = []
    give_up_at = trio.current_time() + ALL_WITHIN
    for number in range(rounds):
        runs = list(bench.runs(number))
        order.shuffle(runs)
        for run in runs:
            samples += await run()
        if trio.current_time() > give_up_at:
            break
    return samples


class Bench:
    """The requests of every case, over a client of each proxy, and straight of the second provider."""

    def __init__(self, cast: Cast, proxied: Mapping[Setup, Client], straight: Client) -> None:
        self._cast = cast
        self._proxied = proxied
        self._straight = straight
        self._bodies = {
            (case.model, stream): messages_request(case.model, stream=stream)
            for case in CASES
            for stream in (True, False)
        }
        self._completion = completion_request()

    def runs(self, round_number: int) -> Iterator[Run]:
        """The requests of one round, each still to be awaited."""
        yield self._alone
        for case in CASES:
            if round_number % case.every == 0:
                yield partial(self._streaming, case)
                yield partial(self._whole, case)

    async def open_circuit(self) -> None:
        """Let `shut` reject its key, once: that opens a circuit whatever the threshold."""
        body = self._bodies[OPEN.model, False]
        await self._proxied[OPEN.setup].post(MESSAGES, body, answered_by="steady")

    async def _alone(self) -> list[Sample]:
        timing = await self._straight.post(COMPLETIONS, self._completion, answered_by="steady")
        return [
            Sample(ALONE, Measure.FIRST, timing.to_first_content),
            Sample(ALONE, Measure.END, timing.to_end),
        ]

    async def _streaming(self, case: Case) -> list[Sample]:
        heard = await self._ask(case, stream=True)
        first = Sample(case.name, Measure.FIRST, heard.seen_at[WORD] - heard.began_at)
        if case.outcome is Outcome.BROKEN_OFF:
            return [
                first,
                Sample(case.name, Measure.ERROR, heard.seen_at[BROKEN_OFF] - self._cast.moody.died_at),
            ]
        return [first, Sample(case.name, Measure.END, heard.ended_at - heard.began_at)]

    async def _whole(self, case: Case) -> list[Sample]:
        heard = await self._ask(case, stream=False)
        return [Sample(case.name, Measure.WHOLE, heard.ended_at - heard.began_at)]

    async def _ask(self, case: Case, *, stream: bool) -> Heard:
        """The case's answer, after as many requests as it takes to get to the provider that is to fail."""
        await self._prepare(case)
        self._cast.moody.mood = case.mood
        for _ in range(ASK_AGAIN):
            met_before = self._cast.met
            heard = await self._heard(case, stream=stream)
            met = self._cast.met - met_before
            if case.meets is not None and met != case.meets:
                raise Spoiled(f"{case.name}: the first provider got {met} requests")
            if met or case.mood is Mood.WELL or case.meets == 0:
                return heard
        raise Spoiled(f"{case.name}: of {ASK_AGAIN} requests the first provider got none")

    async def _heard(self, case: Case, *, stream: bool) -> Heard:
        body = self._bodies[case.model, stream]
        heard = await self._proxied[case.setup].hear(MESSAGES, body, marks=(WORD, BROKEN_OFF))
        breaks_off = stream and case.outcome is Outcome.BROKEN_OFF
        if breaks_off:
            is_right = WORD in heard.seen_at and BROKEN_OFF in heard.seen_at
        elif case.answered_by is None:
            is_right = heard.is_by("moody") or heard.is_by("steady")
        else:
            is_right = heard.is_by(case.answered_by)
        if heard.status != 200 or not is_right:
            raise Spoiled(f"{case.name}: HTTP {heard.status} with the wrong answer: {heard.tail}")
        return heard

    async def _prepare(self, case: Case) -> None:
        """Bring the moody provider's circuit into the state that the case wants, where any may open."""
        if case.setup is not Setup.TRIALS:
            return
        await self._fail_or_pass(Mood.BROKEN)  # open now, whatever it was
        await trio.sleep(REOPENS_AFTER * 1.5)
        if not case.half_open:
            await self._fail_or_pass(Mood.WELL)
        # An open one is half open as soon as somebody asks for the trial that it is due.
        await self._insist("open" if case.half_open else "closed")

    async def _fail_or_pass(self, mood: Mood) -> None:
        self._cast.moody.mood = mood
        await self._proxied[Setup.TRIALS].hear(MESSAGES, self._bodies[BIG, False], marks=())

    async def _insist(self, state: str) -> None:
        told = msgspec.json.decode(await self._proxied[Setup.TRIALS].body_of("/health"), type=Health)
        if (found := told.providers["moody"].state) != state:
            raise Spoiled(f"the circuit is {found} where the case wants it {state}")


@click.command("fallback")
@click.option(
    "--requests",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How often each case is measured, streaming and not; a hang, which takes long, a fifth as often.",
)
@json_option
def command(requests: int, json_path: Path | None) -> None:
    """The time that failing over adds to a request whose first provider fails."""
    report = measured(partial(measure, requests))
    tell(draw(report), encode(report), json_path)
