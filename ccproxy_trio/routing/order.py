"""Which candidates could serve a request, and in which order: the strategies."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from ccproxy_trio.health.snapshot import Snapshot, State
from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.affinity import by_affinity
from ccproxy_trio.routing.chance import shuffled
from ccproxy_trio.routing.question import VISION, Attempt, Query, Rules
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import Overflow

# An estimate by bytes may be too high by this factor. Prompts of Claude Code have 3.9 to 4.5 bytes a token
# and are taken to have 4.2; prose in a large vocabulary comes to 5. Where the provider says by itself that a
# prompt is too long, one sent in vain costs an upload, while one refused that would have fitted costs its
# user a conversation compacted for nothing. So the doubt is in favour of the prompt.
ERROR = 1.2


def fits(candidate: Candidate, query: Query, rules: Rules) -> bool:
    """Whether the prompt may fit into the candidate's context window, as far as that is known.

    A provider that cuts what is too long without a word is held to our best figure, whatever it is. For the
    others only what is certain counts. Once a provider has said that the prompt is too long, only a larger
    window will do, and it must be known to be larger.
    """
    window = rules.windows.get(candidate)
    told = [_overflowed(attempt, rules) for attempt in query.attempts if attempt.next is Next.TRY_LARGER]
    if window is None:
        return not told
    if told and window <= max(told):
        return False
    size = query.size
    if candidate in rules.silent:
        return size.at(candidate) <= window
    error = 1.0 if candidate in size.exact else ERROR
    return (size.at(candidate) - size.media) / error <= window


def _overflowed(attempt: Attempt, rules: Rules) -> int:
    """How many tokens are proven not to be enough."""
    overflow = attempt.overflow or Overflow()
    limit = overflow.limit or rules.windows.get(attempt.candidate, 0)
    return max(limit, overflow.prompt or 0)


def in_order(
    query: Query,
    candidates: Sequence[Candidate],
    view: Mapping[str, Snapshot],
    rules: Rules,
) -> list[Candidate]:
    """The candidates in the strategy's order, then the better suited first.

    Under `priority` a provider that is due for its trial keeps its place: the next request is the trial, and
    falls over unnoticed if it fails. A ring or a shuffle prefers those known to work, but for the one whose
    turn it is, or that a session belongs to: were it always passed over, it would never come back.
    """
    place = {name: index for index, name in enumerate(_providers_in_order(query, candidates, view, rules))}

    def key(candidate: Candidate) -> tuple[bool, bool, bool, int]:
        snapshot = view.get(candidate.provider)
        unproven = snapshot is None or snapshot.state is not State.CLOSED
        return (
            VISION in query.needs and candidate in rules.blind,
            candidate.provider in query.avoid,
            rules.strategy != "priority" and unproven and place[candidate.provider] > 0,
            place[candidate.provider],
        )

    return sorted(candidates, key=key)


def _providers_in_order(
    query: Query, candidates: Sequence[Candidate], view: Mapping[str, Snapshot], rules: Rules
) -> list[str]:
    """The tier's providers as the strategy would have them, whatever their health."""
    names = list(dict.fromkeys(candidate.provider for candidate in candidates))
    if rules.affinity and query.session is not None:
        own = by_affinity(query.session, names)
        # Only one that works holds a session: the trial of one that broke down is its own sessions' part.
        pin = view.get(query.pinned or "")
        holds = pin is not None and pin.state is State.CLOSED
        return sorted(own, key=lambda name: not (holds and name == query.pinned))
    turn = query.turn or 0
    match rules.strategy:
        case "priority":
            return sorted(names, key=lambda name: rules.priorities.get(name, 1))
        case "round_robin":
            start = turn % max(len(names), 1)
            return names[start:] + names[:start]
        case "random":
            return shuffled(names, turn)
        case _:
            assert_never(rules.strategy)
