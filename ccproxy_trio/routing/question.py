"""The words of routing: what is asked, under which rules, and what the answers are."""

import math
from collections.abc import Mapping
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.health.verdict import Next, judge
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import Settings, Strategy, Tier
from ccproxy_trio.wire.faults import FaultKind, Overflow, UpstreamFault

VISION = "vision"  # in `Query.needs`: the request holds images


# -- questions -----------------------------------------------------------------------------------------


class Attempt(Struct, frozen=True, kw_only=True):
    """One try that led nowhere. `kind` is None where the provider refused the lease, so nothing was sent.

    `ended_at` is on the clock of `now`; `retry_after` in seconds; `round` is the query's at the time.
    """

    candidate: Candidate
    kind: FaultKind | None
    next: Next
    ended_at: float
    message: str = ""
    status: int | None = None
    retry_after: float | None = None
    overflow: Overflow | None = None
    whole_provider: bool = False
    round: int = 0

    @classmethod
    def refused(cls, candidate: Candidate, why: str, *, at: float) -> Self:
        """One whose lease was refused."""
        return cls(candidate=candidate, kind=None, next=Next.TRY_ANOTHER, message=why, ended_at=at)

    @classmethod
    def failed(cls, candidate: Candidate, fault: UpstreamFault, *, at: float) -> Self:
        """One that ended in `fault` before anything of it was shown."""
        return cls(
            candidate=candidate,
            kind=fault.kind,
            next=judge(fault, shown=False).next,
            ended_at=at,
            message=fault.message,
            status=fault.status,
            retry_after=fault.retry_after,
            overflow=fault.overflow,
            whole_provider=fault.whole_provider,
        )


class Size(Struct, frozen=True, kw_only=True):
    """How long a prompt is, in tokens. `tokens` is an estimate by bytes, 0 if there is none.

    `exact` holds what the candidates themselves will count, where that was worth counting. `media` is how
    much of all these numbers is a guess at what images and documents weigh.
    """

    tokens: int = 0
    media: int = 0
    exact: Mapping[Candidate, int] = {}

    def at(self, candidate: Candidate) -> int:
        """The best figure there is for this candidate."""
        return self.exact.get(candidate, self.tokens)


class Query(Struct, frozen=True, kw_only=True):
    """A request's whole situation.

    `model` is the name the client asked for. `turn` is drawn once a request: the ring's cursor
    (`round_robin`) or a seed (`random`). `patient_until` is None until a `Wait` named it. `deadline` bounds
    everything. `conversation` tells it from others; `avoid`, filled in by the dispatcher, the providers that
    broke it off a moment ago: they are asked last. `session` is the client's; `pinned`, filled in too, the
    provider that it was moved to, if any. `outrun` counts the attempts of this round that another was
    quicker than: made, but neither failed nor heard out.
    """

    tier: Tier
    model: str
    turn: int | None = None
    attempts: tuple[Attempt, ...] = ()
    outrun: int = 0
    round: int = 0
    patient_until: float | None = None
    deadline: float = math.inf
    needs: frozenset[str] = frozenset()
    size: Size = Size()
    conversation: str | None = None
    avoid: frozenset[str] = frozenset()
    session: str | None = None
    pinned: str | None = None


class Rules(Struct, frozen=True, kw_only=True):
    """The settings that routing depends on. Times in seconds.

    `windows` holds the context windows that are known, in tokens; `silent` the candidates that cut a prompt
    that is too long instead of refusing it; `blind` those without vision.
    """

    priorities: Mapping[str, int]
    max_retries: Mapping[str, int]
    windows: Mapping[Candidate, int] = {}
    silent: frozenset[Candidate] = frozenset()
    blind: frozenset[Candidate] = frozenset()
    strategy: Strategy = "priority"
    max_attempts: int = 6
    queue_wait: float = 5.0
    patience: float = 20.0
    panics: bool = True
    tells: bool = True  # on exhaustion; else the client is asked to come again
    failover_on_400: bool = False
    affinity: bool = False  # sessions stay with a provider; never under `priority`

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        blind: frozenset[Candidate] = frozenset(),
        silent: frozenset[Candidate] = frozenset(),
        windows: Mapping[Candidate, int] | None = None,
    ) -> Self:
        """The rules of a configuration.

        `blind`, `silent` and `windows` come from what is known of models, which routing does not know.
        Without `windows`: those that the configuration itself names.
        """
        providers = settings.enabled()
        configured = {
            Candidate(provider.name, model): window
            for provider in providers
            for model in provider.all_models()
            if (window := provider.window(model)) is not None
        }
        return cls(
            priorities={provider.name: provider.priority for provider in providers},
            max_retries={provider.name: provider.max_retries for provider in providers},
            windows=configured if windows is None else windows,
            silent=silent,
            blind=blind,
            strategy=settings.fallback_strategy,
            max_attempts=settings.max_attempts,
            queue_wait=settings.queue_wait,
            patience=settings.patience,
            panics=settings.panic == "least_bad",
            tells=settings.on_exhaustion == "tell",
            failover_on_400=settings.failover_on_400,
            affinity=settings.session_affinity and settings.fallback_strategy != "priority",
        )


# -- answers -------------------------------------------------------------------------------------------


class Use(Struct, frozen=True, kw_only=True):
    """Sleep `after` seconds (mostly 0), then lease this candidate: `forced` past its open breaker or not.

    `paid`: it took a token of the retry budget, to be given back should the lease be refused.
    """

    candidate: Candidate
    turn: int
    forced: bool = False
    after: float = 0.0
    paid: bool = False


class Wait(Struct, frozen=True, kw_only=True):
    """Wait until the instant `until`, or until a provider's readiness changes; then ask `resumed(query)`.

    `seen`, filled in by the dispatcher, tells up to which change of readiness this answer knows of.
    """

    until: float
    turn: int
    round: int
    patient_until: float
    seen: int = 0

    def resumed(self, query: Query) -> Query:
        """The question to ask after the wait."""
        outrun = query.outrun if self.round == query.round else 0
        return replace(
            query, turn=self.turn, round=self.round, outrun=outrun, patient_until=self.patient_until
        )


class GiveUp(Struct, frozen=True, kw_only=True):
    """Nothing is left to try, or to wait for."""

    turn: int
