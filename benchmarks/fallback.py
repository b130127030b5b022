"""What failing over costs: requests whose first provider fails, beside undisturbed ones, in random order.

One proxy serves all cases, so they share its warm code and whatever else the machine does meanwhile. The
tiers keep them apart: on each, another first provider stands before the same second one.

    big     moody (as the case wants it), steady
    middle  absent (refuses connections), steady
    small   shut (its circuit is opened before the first measurement), steady
"""

import platform
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import click
import trio
from msgspec import Struct

from benchmarks.asking import Client, Spoiled, Timing
from benchmarks.front import json_option, measured, tell
from benchmarks.prompt import completion_request, messages_request
from benchmarks.proxy import running_proxy
from benchmarks.report import Measure, Report, Sample, draw, encode, report
from benchmarks.scripted import Mood, ScriptedProvider
from ccproxy_trio.version import __version__

DEADLINE = 0.4  # seconds that a hanging provider is given
ALL_WITHIN = 60.0  # seconds; what was measured by then is reported
WARM_UPS = 3
MESSAGES, COMPLETIONS = "/v1/messages?beta=true", "/v1/chat/completions"
NEVER = 86_400.0  # seconds; longer than any measurement

Run = Callable[[], Awaitable[list[Sample]]]


class Case(Struct, frozen=True, kw_only=True):
    """One kind of request, measured in each `every`-th round.

    `model` chooses the tier and with it the first provider; the moody one is in `mood`. `meets`: whether
    the first provider gets the request to see.
    """

    name: str
    model: str
    answered_by: str
    mood: Mood = Mood.WELL
    meets: bool
    every: int = 1


ALONE = "(no proxy)"
HEALTHY = Case(name="healthy", model="claude-opus-4-8", answered_by="moody", meets=True)
OPEN = Case(name="circuit open", model="claude-haiku-4-5", answered_by="steady", meets=False)
CASES = (
    HEALTHY,
    OPEN,
    Case(name="refuses", model="claude-sonnet-5", answered_by="steady", meets=False),
    Case(name="answers 500", model="claude-opus-4-8", answered_by="steady", mood=Mood.BROKEN, meets=True),
    Case(name="answers 429", model="claude-opus-4-8", answered_by="steady", mood=Mood.LIMITED, meets=True),
    Case(
        name=f"hangs ({DEADLINE * 1000:.0f} ms)",
        model="claude-opus-4-8",
        answered_by="steady",
        mood=Mood.HANGING,
        meets=True,
        every=5,
    ),
)


class Cast:
    """The four providers."""

    def __init__(self) -> None:
        self.moody = ScriptedProvider("moody")
        self.absent = ScriptedProvider("absent")
        self.shut = ScriptedProvider("shut", mood=Mood.KEY_REFUSED)
        self.steady = ScriptedProvider("steady")

    @property
    def met(self) -> int:
        """How many requests the first providers got, all told."""
        return self.moody.met + self.shut.met

    def config(self) -> Mapping[str, object]:
        """The proxy's configuration: nothing but `shut` ever opens a circuit or has to rest."""
        first, second = {"priority": 1}, {"priority": 2}
        return {
            "providers": [
                # The time goes for every request to it; an answer in its right mind takes a few ms.
                self.moody.entry("big") | first | {"timeout": DEADLINE},
                self.absent.entry("middle") | first,
                self.shut.entry("small") | first,
                self.steady.entry("big", "middle", "small") | second,
            ],
            "health_check_interval": 0,
            "circuit_breaker": {
                "failure_threshold": 10_000,
                "minimum_requests": 0,
                "recovery_timeout": NEVER,
                "max_recovery_timeout": NEVER,
                "cooldown_default": 0.001,
                "cooldown_max": 0.001,
            },
            "retry_budget": {"ratio": 10, "min_per_s": 1000},
        }


@asynccontextmanager
async def open_cast() -> AsyncIterator[Cast]:
    """Serve the providers while the block runs; `absent` only holds its port."""
    cast = Cast()
    try:
        async with trio.open_nursery() as nursery:
            for provider in (cast.moody, cast.shut, cast.steady):
                await nursery.start(trio.serve_listeners, provider.serve, [provider.listen()])
            yield cast
            nursery.cancel_scope.cancel()
    finally:
        cast.absent.close()


async def measure(rounds: int) -> Report:
    """Measure every case about `rounds` times, streaming and not, for about `ALL_WITHIN` seconds at most.

    Raises:
        Spoiled: a request did not meet the providers that its case demands. (In an ExceptionGroup.)
    """
    async with (
        open_cast() as cast,
        running_proxy(cast.config()) as proxy,
        Client(proxy.port) as proxied,
        Client(cast.steady.port) as straight,
    ):
        samples = await _measured(Bench(cast, proxied, straight), rounds)
    facts = {
        "ccproxy_trio": __version__,
        "Python": platform.python_version(),
        "bytes a request": str(len(messages_request(HEALTHY.model, stream=True))),
        "timeout in ms": f"{DEADLINE * 1000:.0f}",
    }
    names = (ALONE, *(case.name for case in CASES))
    return report(samples, cases=names, baseline=HEALTHY.name, facts=facts)


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
    """The requests of every case, over two clients: of the proxy, and straight of the second provider."""

    def __init__(self, cast: Cast, proxied: Client, straight: Client) -> None:
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
        await self._proxied.post(MESSAGES, body, answered_by=OPEN.answered_by)

    async def _alone(self) -> list[Sample]:
        timing = await self._straight.post(COMPLETIONS, self._completion, answered_by="steady")
        return [
            Sample(ALONE, Measure.FIRST, timing.to_first_content),
            Sample(ALONE, Measure.END, timing.to_end),
        ]

    async def _streaming(self, case: Case) -> list[Sample]:
        timing = await self._ask(case, stream=True)
        return [
            Sample(case.name, Measure.FIRST, timing.to_first_content),
            Sample(case.name, Measure.END, timing.to_end),
        ]

    async def _whole(self, case: Case) -> list[Sample]:
        timing = await self._ask(case, stream=False)
        return [Sample(case.name, Measure.WHOLE, timing.to_end)]

    async def _ask(self, case: Case, *, stream: bool) -> Timing:
        self._cast.moody.mood = case.mood
        met_before = self._cast.met
        body = self._bodies[case.model, stream]
        timing = await self._proxied.post(MESSAGES, body, answered_by=case.answered_by)
        met = self._cast.met - met_before
        if met != case.meets:
            raise Spoiled(f"{case.name}: the first provider got {met} requests")
        return timing


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
