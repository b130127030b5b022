"""What a rehearsal comes to, in plain words."""

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import COLOURS, marked, span, tag
from ccproxy_trio.routing.tiers import candidates
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.simulation.outage import Outage
from ccproxy_trio.simulation.record import Try
from ccproxy_trio.simulation.rehearsal import Outcome
from ccproxy_trio.simulation.rows import HARMLESS
from ccproxy_trio.simulation.strip import State, spans
from ccproxy_trio.simulation.timeline import ranges
from ccproxy_trio.simulation.times import short

MOST_SENTENCES = 5
SOON = 10.0  # seconds; a provider that is asked again sooner is not worth a word


def all_answered(outcome: Outcome) -> bool:
    """Whether nobody was left without an answer."""
    return all(visit.answered for visit in outcome.visits)


def summary(outcome: Outcome, settings: Settings, palette: Palette) -> Iterator[Text]:
    """The lines."""
    yield _served(outcome)
    yield from _unseen(outcome)
    yield from _worst(outcome)
    yield from _shares(outcome, palette)
    yield from _told(outcome)
    yield from _returns(outcome, palette)
    yield from _advice(outcome, settings)


def _served(outcome: Outcome) -> Text:
    count = len(outcome.visits)
    failed = sum(not visit.answered for visit in outcome.visits)
    whole = f"{_many(count)} in {short(outcome.scenario.lasts)} of virtual time"
    if not failed:
        return marked("ok", f"{whole}: {'it was' if count == 1 else 'all of them were'} answered.")
    return marked("error", f"{whole}: {count - failed} answered, {failed} not.")


def _unseen(outcome: Outcome) -> Iterator[Text]:
    detours = [
        visit
        for visit in outcome.visits
        if visit.answered
        and len(visit.answers) == 1
        and any(each.outcome not in HARMLESS for each in visit.tries)
    ]
    if detours:
        met = (
            "1 of them met a failure, and its user"
            if len(detours) == 1
            else (f"{len(detours)} of them met failures, and their users")
        )
        yield marked("info", f"{met} saw nothing of it but the wait.")
    again = [visit for visit in outcome.visits if visit.answered and len(visit.answers) > 1]
    if again:
        yield marked("info", f"{len(again)} more were answered when Claude Code had asked again by itself.")


def _worst(outcome: Outcome) -> Iterator[Text]:
    waits = [visit for visit in outcome.visits if visit.first_content_seconds is not None]
    if waits:
        worst = max(waits, key=lambda visit: visit.first_content_seconds or 0.0)
        least = min(visit.first_content_seconds or 0.0 for visit in waits)
        told = f"The longest wait for content was {span(worst.first_content_seconds or 0.0)} "
        told += f"(#{worst.prompt.number}, sent at {worst.sent_at:g} s); the shortest was {span(least)}."
        yield marked("info", told)


def _shares(outcome: Outcome, palette: Palette) -> Iterator[Text]:
    shares = Counter(visit.provider for visit in outcome.visits if visit.provider is not None)
    total = shares.total()
    parts: list[Text] = []
    for name, count in shares.most_common():
        parts.append(Text.assemble(tag(name, palette), f" {count} ({count / total:.0%})"))
    if parts:
        yield marked("info", "Answered by ", Text(", ").join(parts), ".")


def _told(outcome: Outcome) -> Iterator[Text]:
    """Each sentence that users would have read, with the requests that got it."""
    told: dict[tuple[int, str], list[int]] = {}
    for visit in outcome.visits:
        if not visit.answered:
            told.setdefault((visit.answers[-1].status, visit.told), []).append(visit.prompt.number)
    for (status, sentence), numbers in list(told.items())[:MOST_SENTENCES]:
        yield marked(
            "error", f"{ranges(numbers)} would have read: ", (f"{status} {sentence}", COLOURS["error"])
        )
    if len(told) > MOST_SENTENCES:
        yield marked("error", f"... and {len(told) - MOST_SENTENCES} more sentences (--json has them all)")


def _returns(outcome: Outcome, palette: Palette) -> Iterator[Text]:
    """How long each provider that was in order again had to wait for its next request."""
    for outage in outcome.scenario.outages:
        if outage.ends_at > outcome.scenario.lasts or not _was_left_out(outcome, outage):
            continue
        told = f" was in order again at {outage.ends_at:g} s and "
        back = min(
            (each.began_at for each in _tries(outcome, outage.provider) if each.began_at >= outage.ends_at),
            default=None,
        )
        if back is None:
            told += "not asked again by the end; a longer --for shows when it is."
        elif back - outage.ends_at <= SOON:
            continue
        else:
            told += f"asked again at {back:.6g} s, {span(back - outage.ends_at)} later."
        yield marked("info", tag(outage.provider, palette), told)


def _was_left_out(outcome: Outcome, outage: Outage) -> bool:
    """Whether its circuit was open, or it rested, when the outage was over."""
    states = (each for each in spans(outcome, outage.provider) if each.state in (State.OPEN, State.RESTING))
    return any(each.begins_at <= outage.ends_at < each.ends_at for each in states)


def _tries(outcome: Outcome, provider: str) -> Iterator[Try]:
    return (each for visit in outcome.visits for each in visit.tries if each.provider == provider)


def _advice(outcome: Outcome, settings: Settings) -> Iterator[Text]:
    tier = outcome.scenario.tier
    providers = {candidate.provider for candidate in candidates(settings, tier)}
    if len(providers) == 1 and any(outage.provider in providers for outage in outcome.scenario.outages):
        (only,) = providers
        yield marked("info", f"{only} is the only provider of the tier {tier}: nobody can stand in for it.")
    for outage in outcome.scenario.outages:
        if outage.provider not in providers:
            yield marked(
                "info",
                f"{outage.provider} has no model of the tier {tier}, so its outage touched no request.",
            )


def _many(count: int) -> str:
    return "1 request" if count == 1 else f"{count:,} requests"
