"""Whom a request asks beside the one that keeps it waiting: the rule of hedging."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ccproxy_trio.health.snapshot import Snapshot, State
from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import VISION, Attempt, Query, Rules, Use
from ccproxy_trio.routing.strategy import choose
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import FaultKind


def hedge(
    query: Query,
    under_way: Candidate,
    *,
    candidates: Sequence[Candidate],
    view: Mapping[str, Snapshot],
    rules: Rules,
    budget: Budget,
    now: float,
) -> Use | None:
    """Whom to ask beside `under_way`, or None. Takes a token from `budget` where there is somebody.

    It is what `choose` would say had the attempt under way just run out of time: the best candidate of
    another provider, as long as the round has an attempt left and the budget a token. Only those are seen
    that work: no open breaker is forced for a hedge, and a trial is for a request that has nobody else. Nor
    is an answer hurried that would be worse: not by a model that cannot see the request's images, nor by the
    provider that broke off this very conversation a moment ago.
    """
    slow = Attempt(
        candidate=under_way,
        kind=FaultKind.CONTENT_TIMEOUT,
        next=Next.TRY_ANOTHER,
        ended_at=now,
        round=query.round,
    )
    blind = rules.blind if VISION in query.needs else frozenset()
    step = choose(
        replace(query, attempts=(*query.attempts, slow)),
        candidates=[c for c in candidates if c not in blind and c.provider not in query.avoid],
        view={name: snapshot for name, snapshot in view.items() if snapshot.state is State.CLOSED},
        rules=rules,
        budget=budget,
        now=now,
    )
    return step if isinstance(step, Use) else None
