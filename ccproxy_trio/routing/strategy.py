"""What a request tries next: a function of its history, the providers' health, the rules and the time.

A request is served in *rounds*. Within one, a provider that failed stays out and at most `max_attempts` are
made, so every round ends. When a round has nothing left, three things may still help, in this order:

1. a candidate that was not tried becomes ready within `queue_wait`: wait for it;
2. a provider whose breaker plain failures have opened can be forced, once a second: try it;
3. anything (a rest, a breaker's wait, the next forced attempt, a second's pause after a failure) is over
   before the request's patience is: wait, and begin a new round.

Otherwise the client is told. What no waiting mends (keys, accounts, configuration, missing models) is never
waited for, and a provider that let this request hang is not given it again. The view may be one message old:
then a provider refuses the lease, the refusal comes back as an attempt without a kind, and the candidate
stays out of the round.
"""

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.health.snapshot import Snapshot, State
from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.chance import fraction
from ccproxy_trio.routing.order import fits, in_order
from ccproxy_trio.routing.question import Attempt, GiveUp, Query, Rules, Use, Wait
from ccproxy_trio.routing.readiness import forcible_at, mendable, ready_at
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import FaultKind

# Who calls `choose` finds its words here too.
__all__ = ["Attempt", "GiveUp", "Query", "Rules", "Use", "Wait", "choose"]

PAUSE = 1.0  # seconds a request leaves a provider alone before it asks the same again in a later round
LONGEST_BACKOFF = 8.0  # seconds
FIRST_BACKOFF = 0.5

# Failures that tell nothing against asking again, so that the first repetition need not wait.
_HARMLESS = frozenset({FaultKind.CONNECT, FaultKind.STALE, FaultKind.SUSPENDED})
# Failures that a second attempt makes worse: what follows them, anywhere, is paid from the retry budget.
_STRAINED = frozenset(
    {
        FaultKind.OVERLOADED,
        FaultKind.HEADERS_TIMEOUT,
        FaultKind.CONTENT_TIMEOUT,
        FaultKind.IDLE_TIMEOUT,
        FaultKind.OVERTIME,
        FaultKind.REQUEST_TIMEOUT,
        FaultKind.GATEWAY_TIMEOUT,
    }
)
# Failures that speak of the request more than of the provider: one second opinion, no third.
_ONE_MORE_OPINION = frozenset({FaultKind.EMPTY, FaultKind.UNSUPPORTED_PARAMETER})
_HOPELESS_MODEL = frozenset({FaultKind.MODEL_ACCESS, FaultKind.MODEL_NOT_FOUND})
_HOPELESS_PROVIDER = _ONE_MORE_OPINION | {
    # Who let this request hang is not given it again: it would cost the same minute and a half.
    FaultKind.HEADERS_TIMEOUT,
    FaultKind.CONTENT_TIMEOUT,
    FaultKind.IDLE_TIMEOUT,
    FaultKind.OVERTIME,
    FaultKind.TLS,
    FaultKind.QUOTA,
    FaultKind.AUTH,
    FaultKind.LOGIN,
    FaultKind.MISCONFIGURED,
    FaultKind.CONFIG,
    FaultKind.INTERNAL,
    FaultKind.BAD_REQUEST,
}


class _Case(Struct, frozen=True, kw_only=True):
    """A question with all that bears on it. `pool`: the candidates that could serve it, best first."""

    query: Query
    pool: tuple[Candidate, ...]
    view: Mapping[str, Snapshot]
    rules: Rules
    budget: Budget
    now: float
    turn: int


def choose(
    query: Query,
    *,
    candidates: Sequence[Candidate],
    view: Mapping[str, Snapshot],
    rules: Rules,
    budget: Budget,
    now: float,
) -> Use | Wait | GiveUp:
    """The next step of a request. Takes a token from `budget` where the step costs one; changes nothing else.

    `candidates` are the tier's, in file order; `view` the last snapshot of each provider, by name.
    """
    turn = query.turn or 0
    if _is_over(query, rules, now):
        return GiveUp(turn=turn)
    ordered = in_order(query, candidates, view, rules)
    pool = tuple(c for c in ordered if fits(c, query, rules) and not _is_hopeless(query, c))
    case = _Case(query=query, pool=pool, view=view, rules=rules, budget=budget, now=now, turn=turn)
    step = _again(case) or _another(case) or _exhausted(case)
    if isinstance(step, Use) and _costs(case, step.candidate):
        budget.take(now)
        return replace(step, paid=True)
    return step


def _is_over(query: Query, rules: Rules, now: float) -> bool:
    """Whether the history leaves nothing to decide."""
    if now >= query.deadline:
        return True
    if not query.attempts:
        return False
    last = query.attempts[-1]
    if last.next is Next.STOP:
        return not (rules.failover_on_400 and last.kind is FaultKind.BAD_REQUEST)
    opinions = sum(attempt.kind is last.kind for attempt in query.attempts)
    return last.kind in _ONE_MORE_OPINION and opinions > 1


def _again(case: _Case) -> Use | None:
    """The same candidate once more, where its failure allows that."""
    this_round = _this_round(case)
    last = case.query.attempts[-1] if case.query.attempts else None
    if last not in this_round or last.next not in (Next.RETRY_SAME, Next.RETRY_IF_ALONE):
        return None
    candidate = last.candidate
    tries = sum(attempt.candidate == candidate for attempt in this_round)
    most = case.rules.max_retries.get(candidate.provider, 0)
    if any(other.provider != candidate.provider for other in _open_to(case)):
        most = min(most, 1 if last.next is Next.RETRY_SAME else 0)
    # Those that were not asked yet come first: repetitions must not use up the attempts of a round.
    waiting = {other.provider for other in _open_to(case)} - {candidate.provider}
    if tries > most or _made(case) + len(waiting) >= case.rules.max_attempts:
        return None
    if ready_at(case.view.get(candidate.provider), candidate.model, case.now) > case.now:
        return None
    after = _backoff(last, tries, case.turn)
    if case.now + after >= case.query.deadline or not _can_pay(case, candidate):
        return None
    return Use(candidate=candidate, turn=case.turn, after=after)


def _backoff(last: Attempt, tries: int, turn: int) -> float:
    """Full jitter, so that requests that failed together do not come back together."""
    if last.kind in _HARMLESS and tries == 1:
        return 0.0
    ceiling = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(tries - 1, 10))
    return ceiling * fraction(turn, tries, last.ended_at)


def _another(case: _Case) -> Use | None:
    """The best candidate that is ready and not out."""
    if _made(case) >= case.rules.max_attempts:
        return None
    ready = [candidate for candidate in _open_to(case) if _can_pay(case, candidate)]
    made = (a for a in case.query.attempts if a.round < case.query.round and a.kind is not None)
    asked = {attempt.candidate.provider for attempt in made}
    # In a later round, first those that no earlier round came to.
    candidate = next((c for c in ready if c.provider not in asked), ready[0] if ready else None)
    return None if candidate is None else Use(candidate=candidate, turn=case.turn)


def _exhausted(case: _Case) -> Use | Wait | GiveUp:
    """This round has nothing left: wait for what is near, force what is shut, wait for what comes, or end."""
    earliest = case.now
    if _made(case) < case.rules.max_attempts:
        near = min((_back_at(case, candidate) for candidate in _untried(case)), default=math.inf)
        if near <= case.now + case.rules.queue_wait and _is_worth(case, near):
            return _wait(case, near, next_round=case.query.round)
        if (forced := _forced(case)) is not None:
            return forced
    else:  # cut short: somebody may be ready, but this request has had its share of this second
        earliest = _this_round(case)[-1].ended_at + PAUSE
    fresh = replace(case, query=replace(case.query, round=case.query.round + 1))
    useful = min((_useful_at(fresh, candidate) for candidate in fresh.pool), default=math.inf)
    until = max(earliest, useful)
    return (
        _wait(case, until, next_round=fresh.query.round) if _is_worth(case, until) else GiveUp(turn=case.turn)
    )


def _forced(case: _Case) -> Use | None:
    """A forced attempt at the least bad provider: the one that opened least often, then opens soonest."""
    shut = [
        candidate
        for candidate in _untried(case)
        if _forcible_at(case, candidate) <= case.now and _can_pay(case, candidate)
    ]
    if not shut:
        return None
    view = case.view
    least = min(shut, key=lambda c: (view[c.provider].opens, view[c.provider].reopens_at or 0.0))
    return Use(candidate=least, turn=case.turn, forced=True)


def _wait(case: _Case, until: float, *, next_round: int) -> Wait:
    return Wait(until=until, turn=case.turn, round=next_round, patient_until=_patient_until(case))


def _patient_until(case: _Case) -> float:
    known = case.query.patient_until
    return case.now + case.rules.patience if known is None else known


def _is_worth(case: _Case, until: float) -> bool:
    """Whether the request can wait that long. Without patience it never waits."""
    return case.rules.patience > 0 and until <= _patient_until(case) and until < case.query.deadline


# -- who is out, who is ready --------------------------------------------------------------------------


def _this_round(case: _Case) -> list[Attempt]:
    """This round's attempts; refused leases sent nothing and do not count."""
    current = case.query.round
    return [a for a in case.query.attempts if a.round == current and a.kind is not None]


def _made(case: _Case) -> int:
    """How many of the round's attempts are used up."""
    return len(_this_round(case)) + case.query.outrun


def _untried(case: _Case) -> list[Candidate]:
    """The candidates that this round has not ruled out."""
    providers: set[str] = set()
    single: set[Candidate] = set()
    for attempt in case.query.attempts:
        if attempt.round != case.query.round:
            continue
        narrow = attempt.next in (Next.NEXT_MODEL, Next.TRY_LARGER) and not attempt.whole_provider
        if attempt.kind is None or narrow:
            single.add(attempt.candidate)
        else:
            providers.add(attempt.candidate.provider)
    return [c for c in case.pool if c.provider not in providers and c not in single]


def _open_to(case: _Case) -> list[Candidate]:
    """The candidates that could be asked right now."""
    return [candidate for candidate in _untried(case) if _ready_at(case, candidate) <= case.now]


def _ready_at(case: _Case, candidate: Candidate) -> float:
    own = ready_at(case.view.get(candidate.provider), candidate.model, case.now)
    return max(own, _pause_ends_at(case, candidate))


def _forcible_at(case: _Case, candidate: Candidate) -> float:
    if not case.rules.panics:
        return math.inf
    own = forcible_at(case.view.get(candidate.provider), candidate.model, case.now)
    return max(own, _pause_ends_at(case, candidate))


def _back_at(case: _Case, candidate: Candidate) -> float:
    """From when `candidate` can be asked by itself; `inf` if no waiting helps."""
    if not _is_mendable(case, candidate):
        return math.inf
    return _when_payable(case, candidate, _ready_at(case, candidate))


def _useful_at(case: _Case, candidate: Candidate) -> float:
    """From when `candidate` can be asked, by itself or forced; `inf` if no waiting helps."""
    if not _is_mendable(case, candidate):
        return math.inf
    forcible = _when_payable(case, candidate, _forcible_at(case, candidate))
    return min(_back_at(case, candidate), forcible)


def _pause_ends_at(case: _Case, candidate: Candidate) -> float:
    """What failed in an earlier round is left alone for a moment before it is asked again."""
    ended = (
        attempt.ended_at
        for attempt in case.query.attempts
        if attempt.round < case.query.round and attempt.candidate.provider == candidate.provider
    )
    return max(ended, default=-math.inf) + PAUSE


def _is_mendable(case: _Case, candidate: Candidate) -> bool:
    return mendable(case.view.get(candidate.provider), candidate.model, case.now)


def _is_hopeless(query: Query, candidate: Candidate) -> bool:
    """Whether this very request has met something there that will not pass, or not for it."""
    return any(
        (attempt.kind in _HOPELESS_PROVIDER and attempt.candidate.provider == candidate.provider)
        or (attempt.kind in _HOPELESS_MODEL and attempt.candidate == candidate)
        for attempt in query.attempts
    )


# -- the retry budget ----------------------------------------------------------------------------------


def _costs(case: _Case, candidate: Candidate) -> bool:
    """Whether trying `candidate` is paid for: repetitions are, and what follows an overload or a time-out.

    Going elsewhere after a refused connection or a plain failure is free: nobody is asked twice.
    """
    made = [attempt for attempt in case.query.attempts if attempt.kind is not None]
    repeated = any(a.candidate == candidate for a in made) and not _has_recovered(case, candidate)
    return repeated or (bool(made) and made[-1].kind in _STRAINED)


def _has_recovered(case: _Case, candidate: Candidate) -> bool:
    """Whether its provider has answered somebody since it failed here in an earlier round.

    Those who waited for it must not queue for tokens then: it is well, and they would be told it is not.
    """
    snapshot = case.view.get(candidate.provider)
    is_well = snapshot is not None and snapshot.state is State.CLOSED and snapshot.failure_count == 0
    return is_well and not any(attempt.candidate == candidate for attempt in _this_round(case))


def _can_pay(case: _Case, candidate: Candidate) -> bool:
    return not _costs(case, candidate) or case.budget.left(case.now) >= 1.0


def _when_payable(case: _Case, candidate: Candidate, at: float) -> float:
    """A token is the only thing lacking where somebody is ready and unused; some come in by the second."""
    return at if _can_pay(case, candidate) else max(at, case.now + PAUSE)
