"""Short words for the situations that routing is asked about."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ccproxy_trio.health.snapshot import Snapshot, State
from ccproxy_trio.health.verdict import Next, judge
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import Attempt, Query, Rules
from ccproxy_trio.routing.strategy import GiveUp, Use, Wait, choose
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import RetryBudget
from ccproxy_trio.wire.faults import FaultKind, Overflow, UpstreamFault

A, B, C = Candidate("a", "m"), Candidate("b", "m"), Candidate("c", "m")
A2, B2 = Candidate("a", "n"), Candidate("b", "n")


def health(provider: str, state: State = State.CLOSED, **fields: Any) -> Snapshot:
    """A healthy, idle provider but for what is said."""
    known: dict[str, Any] = {
        "provider": provider,
        "epoch": 0,
        "state": state,
        "reopens_at": None,
        "trial_taken": False,
        "flag": None,
        "opens": 0,
        "failure_count": 0,
        "cooling": {},
        "excluded": {},
        "in_flight": 0,
        "last_success": None,
        "last_failure": None,
        "last_error": None,
        "panic_at": 0.0,
        "learned": {},
    }
    return Snapshot(**(known | fields))


def shut(provider: str, until: float, **fields: Any) -> Snapshot:
    """A provider whose breaker is open until then."""
    return health(provider, State.OPEN, **({"reopens_at": until, "opens": 1} | fields))


def view_of(*snapshots: Snapshot) -> dict[str, Snapshot]:
    """Providers a, b and c, healthy unless given."""
    return {name: health(name) for name in "abc"} | {snapshot.provider: snapshot for snapshot in snapshots}


def rules(**fields: Any) -> Rules:
    """a before b before c, three retries each."""
    known: dict[str, Any] = {
        "priorities": {"a": 1, "b": 2, "c": 3},
        "max_retries": {"a": 3, "b": 3, "c": 3},
    }
    return Rules(**(known | fields))


def failed(candidate: Candidate, kind: FaultKind | None, at: float = 100.0, **fields: Any) -> Attempt:
    """An attempt that failed before content, ruled on as the table does."""
    ruled = Next.TRY_ANOTHER if kind is None else judge(UpstreamFault(kind), shown=False).next
    return Attempt(**({"candidate": candidate, "kind": kind, "next": ruled, "ended_at": at} | fields))


def query(*attempts: Attempt, **fields: Any) -> Query:
    """A request for the big tier, with what it has tried."""
    known: dict[str, Any] = {"tier": "big", "model": "claude-opus", "turn": 0, "attempts": attempts}
    return Query(**(known | fields))


def ask(
    question: Query,
    *,
    candidates: Sequence[Candidate] = (A, B, C),
    view: Mapping[str, Snapshot] | None = None,
    rules_: Rules | None = None,
    budget: Budget | None = None,
    now: float = 100.0,
) -> Use | Wait | GiveUp:
    """`choose`, with nothing wrong but for what is said."""
    return choose(
        question,
        candidates=candidates,
        view=view_of() if view is None else view,
        rules=rules() if rules_ is None else rules_,
        budget=Budget(RetryBudget()) if budget is None else budget,
        now=now,
    )


def used(step: Use | Wait | GiveUp) -> Candidate:
    """The candidate of a step that must be a `Use`."""
    assert isinstance(step, Use), step
    return step.candidate


def waited(step: Use | Wait | GiveUp) -> float:
    """The instant of a step that must be a `Wait`."""
    assert isinstance(step, Wait), step
    return step.until


FOREVER = math.inf
NO_NUMBERS = Overflow()
