"""The cases of the `fallback` benchmark: who fails, how, under which configuration, and what must come of it.

Three first providers stand before the same second one, `steady`, each on a tier of its own:

    big     moody (as the case wants it)
    middle  absent (refuses connections)
    small   shut (its circuit is opened before the first measurement)
"""

import enum
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
from msgspec import Struct

from benchmarks.scripted import Mood, ScriptedProvider
from benchmarks.subjects import MODELS

DEADLINE = 0.4  # seconds that a hanging provider is given
REOPENS_AFTER = 0.02  # seconds an open circuit waits for its trial, where cases want trials
NEVER = 86_400.0  # seconds; longer than any measurement

BIG, MIDDLE, SMALL = MODELS["big"], MODELS["middle"], MODELS["small"]


class Setup(enum.StrEnum):
    """A configuration. Each is served by a proxy of its own."""

    PRIORITY = "priority"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    TRIALS = "trials"  # by priority; one failure opens a circuit, which soon asks for its trial


class Outcome(enum.Enum):
    """What the client must get of a streamed answer. One that is not streamed is always whole."""

    WHOLE = enum.auto()
    BROKEN_OFF = enum.auto()  # the beginning, and an error event


class Case(Struct, frozen=True, kw_only=True):
    """One kind of request, measured in each `every`-th round and compared with the case `against`.

    `model` chooses the tier and with it the first provider; the moody one is in `mood`, and its circuit is
    half open when the request comes, where that is wanted. `answered_by` gives the whole answer; None: any.
    `meets`: how many of the request's attempts the first provider gets to see; None where a ring or chance
    decides. Of a case in which it fails, only requests that it saw are samples.
    """

    name: str
    against: str
    setup: Setup = Setup.PRIORITY
    model: str = BIG
    answered_by: str | None = "steady"
    mood: Mood = Mood.WELL
    meets: int | None = 1
    half_open: bool = False
    outcome: Outcome = Outcome.WHOLE
    every: int = 1


ALONE = "(no proxy)"
HEALTHY = Case(name="healthy", against="healthy", answered_by="moody")
OPEN = Case(name="circuit open", against="healthy", model=SMALL, meets=0)
HANGS = Case(name=f"hangs ({DEADLINE * 1000:.0f} ms)", against="healthy", mood=Mood.HANGING, every=5)
DIES_BEFORE = Case(name="dies before content", against="healthy", mood=Mood.DYING_BEFORE)
DIES_AFTER = Case(
    name="dies after content", against="healthy", mood=Mood.DYING_AFTER, outcome=Outcome.BROKEN_OFF
)


def _ring(setup: Setup) -> tuple[Case, Case]:
    """The cases of a strategy under which either provider may be the first."""
    healthy = f"{setup}: healthy"
    return (
        Case(name=healthy, against=healthy, setup=setup, answered_by=None, meets=None),
        Case(name=f"{setup}: answers 500", against=healthy, setup=setup, mood=Mood.BROKEN, meets=None),
    )


_CLOSED = "trials: circuit closed"
CASES = (
    HEALTHY,
    Case(name="refuses", against="healthy", model=MIDDLE, meets=0),
    Case(name="answers 500", against="healthy", mood=Mood.BROKEN),
    Case(name="answers 429", against="healthy", mood=Mood.LIMITED),
    HANGS,
    DIES_BEFORE,
    DIES_AFTER,
    OPEN,
    *_ring(Setup.ROUND_ROBIN),
    *_ring(Setup.RANDOM),
    Case(name=_CLOSED, against=_CLOSED, setup=Setup.TRIALS, answered_by="moody"),
    Case(
        name="trials: half open, passes",
        against=_CLOSED,
        setup=Setup.TRIALS,
        answered_by="moody",
        half_open=True,
    ),
    Case(
        name="trials: half open, fails",
        against=_CLOSED,
        setup=Setup.TRIALS,
        mood=Mood.BROKEN,
        half_open=True,
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

    def config(self, setup: Setup) -> Mapping[str, object]:
        """The proxy's configuration. Only under TRIALS may a circuit open, but for that of `shut`."""
        first, second = {"priority": 1}, {"priority": 2}
        strategy = Setup.PRIORITY if setup is Setup.TRIALS else setup
        return {
            "providers": [
                # The time goes for every request to it; an answer in its right mind takes a few ms.
                self.moody.entry("big") | first | {"timeout": DEADLINE},
                self.absent.entry("middle") | first,
                self.shut.entry("small") | first,
                self.steady.entry("big", "middle", "small") | second,
            ],
            "fallback_strategy": strategy,
            "health_check_interval": 0,
            "circuit_breaker": _breaker(setup),
            "retry_budget": {"ratio": 10, "min_per_s": 1000},
        }


def _breaker(setup: Setup) -> Mapping[str, object]:
    trials = setup is Setup.TRIALS
    wait = REOPENS_AFTER if trials else NEVER
    return {
        "failure_threshold": 1 if trials else 10_000,
        "minimum_requests": 0,
        "recovery_timeout": wait,
        "max_recovery_timeout": wait,
        "recovery_jitter": 0,
        "cooldown_default": 0.001,
        "cooldown_max": 0.001,
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
