"""The timeline of a rehearsal: what changed and when, in virtual seconds; the same thing told once."""

from collections.abc import Hashable, Iterator, Sequence

from msgspec import Struct, field
from rich.text import Text

from ccproxy_trio.journal import (
    AttemptEnded,
    BreakerMoved,
    Cooling,
    Entry,
    ExchangeEnded,
    FellOver,
    Hedged,
    ModelExcluded,
    Note,
    Probed,
    RaceDecided,
)
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import BOLD, DIM, marked, render, span, tag
from ccproxy_trio.simulation.outage import Outage
from ccproxy_trio.simulation.rehearsal import Outcome

MOST_LINES = 150
_FINE_PROBES = frozenset({"ok", "unsupported"})


class Boundary(Struct, frozen=True):
    """An outage begins or ends."""

    outage: Outage
    begins: bool


class Moment(Struct):
    """One line: the first instant of something, and every entry that said the same until things changed."""

    at: float
    until: float
    first: Entry | Boundary
    numbers: list[int] = field(default_factory=list)
    count: int = 1


def moments(outcome: Outcome) -> list[Moment]:
    """What is worth a line, in order. What repeats is one moment, until a breaker moves or an outage does."""
    found: list[Moment] = []
    standing: dict[Hashable, Moment] = {}
    for at, what in happenings(outcome):
        if isinstance(what, Boundary | BreakerMoved):
            standing.clear()
        key = _key(what)
        number = _number(what, outcome)
        moment = standing.get(key)
        if moment is None:
            moment = Moment(at=at, until=at, first=what)
            standing[key] = moment
            found.append(moment)
        else:
            moment.until, moment.count = at, moment.count + 1
        if number is not None and number not in moment.numbers:
            moment.numbers.append(number)
    return found


def timeline(outcome: Outcome, palette: Palette) -> Iterator[Text]:
    """The lines."""
    found = moments(outcome)
    for moment in found[:MOST_LINES]:
        yield Text.assemble((f"{moment.at:>9.2f} s  ", DIM), _told(moment, palette))
    if len(found) > MOST_LINES:
        yield Text(f"{'':>13}... and {len(found) - MOST_LINES} more (--json has them all)", DIM)


def happenings(outcome: Outcome) -> Iterator[tuple[float, Entry | Boundary]]:
    """The journal's entries that tell of more than a plain answer, and the outages' ends, in order.

    An outage comes before what it causes.
    """
    boundaries = [
        (at, Boundary(outage, begins))
        for outage in outcome.scenario.outages
        for at, begins in ((outage.begins_at, True), (outage.ends_at, False))
        if at <= outcome.ended_at
    ]
    boundaries.sort(key=lambda each: each[0])
    for event in outcome.events:
        while boundaries and boundaries[0][0] <= event.at:
            yield boundaries.pop(0)
        if _matters(event.entry):
            yield event.at, event.entry
    yield from boundaries


def _matters(entry: Entry) -> bool:
    match entry:
        case AttemptEnded():
            return False  # the table has them
        case ExchangeEnded(how=how):
            return how != "complete"
        case Probed(result=result):
            return result not in _FINE_PROBES
        case Note(level=level, event=event):
            return level != "debug" or event == "breaker.forced"
        case _:
            return True


def _key(what: Entry | Boundary) -> Hashable:
    """Entries of one key say the same."""
    match what:
        case FellOver():
            return (
                "over",
                what.from_provider,
                what.from_model,
                what.to_provider,
                what.to_model,
                what.reason,
            )
        case Hedged():
            return ("hedged", what.provider, what.model, what.to_provider, what.to_model)
        case RaceDecided():
            return ("race", what.winner, what.winner_model, what.loser, what.loser_model)
        case ExchangeEnded(how=how, status=status, detail=detail):
            return ("ended", how, status, detail)
        case Probed(provider=provider, result=result):
            return ("probed", provider, result)
        case Cooling(provider=provider, model=model):
            return ("cooling", provider, model)
        case ModelExcluded(provider=provider, model=model):
            return ("excluded", provider, model)
        case Note(event=event, provider=provider, text=text):
            return ("note", event, provider, text)
        case _:
            return id(what)


def _number(what: Entry | Boundary, outcome: Outcome) -> int | None:
    match what:
        case FellOver() | Hedged() | RaceDecided() | ExchangeEnded():
            return outcome.numbers.get(what.request_id)
        case _:
            return None


def _told(moment: Moment, palette: Palette) -> Text:
    match moment.first:
        case Boundary(outage=outage, begins=begins):
            words = f" out of order from here on: {outage.trouble}" if begins else " in order again"
            return Text.assemble(("-- ", BOLD), tag(outage.provider, palette), (words, BOLD))
        case FellOver() as over:
            return _fell_over(over, moment, palette)
        case Hedged() as hedged:
            told = f"{ranges(moment.numbers)}: nothing from ", tag(hedged.provider, palette)
            asked = f" after {span(hedged.seconds)}, so ", tag(hedged.to_provider, palette), " is asked too"
            return marked("info", *told, *asked, _more(moment))
        case RaceDecided() as race:
            told = f"{ranges(moment.numbers)}: ", tag(race.winner, palette)
            return marked("info", *told, " was quicker than ", tag(race.loser, palette), _more(moment))
        case ExchangeEnded() as ended:
            return _ended(ended, moment)
        case entry:
            return Text.assemble(render(entry, palette).text, _more(moment))


def _fell_over(over: FellOver, moment: Moment, palette: Palette) -> Text:
    models = over.from_provider == over.to_provider
    source, target = (tag(name, palette) for name in (over.from_provider, over.to_provider))
    return marked(
        "warning",
        f"{ranges(moment.numbers)} {'falls' if len(moment.numbers) == 1 else 'fall'} over: ",
        Text.assemble(source, f" {over.from_model}" if models else ""),
        " → ",
        Text.assemble(target, f" {over.to_model}" if models else ""),
        f" · {over.reason}",
        _more(moment),
    )


def _ended(ended: ExchangeEnded, moment: Moment) -> Text:
    if ended.how == "midfail":
        return marked(
            "warning", f"{ranges(moment.numbers)}: {ended.detail} Claude Code asks again.", _more(moment)
        )
    if ended.how == "cancelled":
        return marked("info", f"{ranges(moment.numbers)}: the client hung up", _more(moment))
    kind = f" {ended.error_type}" if ended.error_type else ""
    return marked(
        "error", f"{ranges(moment.numbers)} told {ended.status}{kind}: {ended.detail}", _more(moment)
    )


def ranges(numbers: Sequence[int]) -> str:
    """`#4`, `#4-7`, `#4, #6-9`; the first three stretches of many."""
    stretches: list[list[int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    told = [f"#{first}" if first == last else f"#{first}-{last}" for first, last in stretches]
    return ", ".join(told) if len(told) <= 3 else f"{', '.join(told[:3])} and {len(told) - 3} more"


def _more(moment: Moment) -> Text:
    """How often, and until when."""
    if moment.count == 1:
        return Text("")
    return Text(f" ({moment.count} times until {moment.until:.2f} s)", DIM)
