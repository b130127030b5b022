"""The table of a rehearsal: what each request met, requests that met the same in one row."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct
from rich.text import Text

from ccproxy_trio.bookkeeping import describe
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import COLOURS, DIM, span
from ccproxy_trio.simulation.record import Try, Visit
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

MOST_ROWS = 40  # with more, rows that are not neighbours are put together as well
OK = "ok"
HARMLESS = frozenset({OK, "outrun", "cancelled"})  # outcomes of attempts that nobody failed in
AGAIN = "Claude Code asks again"
HEAD = ("request", "sent at", "tries", "first content", "took", "what it met")


class Step(Struct, frozen=True):
    """One thing that a request met: at a provider (None: at the client) and in words; "" is an answer."""

    provider: str | None
    words: str


class Row(Struct, frozen=True):
    """Requests that met the same steps in the same order."""

    visits: tuple[Visit, ...]
    steps: tuple[Step, ...]


def rows_of(visits: Sequence[Visit]) -> list[Row]:
    """Neighbours that met the same in one row; where that leaves too many rows, all that met the same."""
    steps = {visit.prompt.number: _steps(visit) for visit in visits}

    def key(visit: Visit) -> tuple[Step, ...]:
        return steps[visit.prompt.number]

    rows = [Row(tuple(group), met) for met, group in groupby(visits, key)]
    if len(rows) <= MOST_ROWS:
        return rows
    together: dict[tuple[Step, ...], list[Visit]] = {}
    for visit in visits:
        together.setdefault(key(visit), []).append(visit)
    return [Row(tuple(group), met) for met, group in together.items()]


def words_of(attempt: Try) -> str:
    """How an attempt ended, in a few words; nothing for an answer."""
    if attempt.outcome == OK:
        return ""
    try:
        kind = FaultKind(attempt.outcome)
    except ValueError:  # outrun: another was quicker; cancelled: nobody waited any more
        return attempt.outcome
    words = describe(UpstreamFault(kind, status=attempt.status))
    return words if attempt.first_content_seconds is None else f"broke off ({words})"


def table(rows: Iterable[Row], palette: Palette) -> Iterator[Text]:
    """The lines of the table, its head first."""
    cells = [(_cells(row), row) for row in rows]
    widths = [max(len(HEAD[column]), *(len(each[column]) for each, _ in cells)) for column in range(5)]
    yield Text(_line(HEAD[:5], widths) + HEAD[5], DIM)
    for texts, row in cells:
        yield Text.assemble(_line(texts, widths), _path(row, palette))


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{text:<{width}}  " for text, width in zip(texts, widths, strict=True))


def _steps(visit: Visit) -> tuple[Step, ...]:
    """What it met in order; the same several times in a row counts as one step."""
    met: list[Step] = []
    part = 0
    for attempt in visit.tries:
        if attempt.part != part:
            part = attempt.part
            met.append(Step(None, AGAIN))
        met.append(Step(attempt.provider, words_of(attempt)))
    if not visit.answered:
        met.append(Step(None, f"told {visit.answers[-1].status}"))
    return tuple(step for step, _ in groupby(met))


def _cells(row: Row) -> tuple[str, ...]:
    visits = row.visits
    firsts = [visit.first_content_seconds for visit in visits if visit.first_content_seconds is not None]
    return (
        _numbers(visits),
        _between([visit.sent_at for visit in visits], _instant),
        _between([len(visit.tries) for visit in visits], str),
        _between(firsts, span),
        _between([visit.seconds for visit in visits], span),
    )


def _numbers(visits: Sequence[Visit]) -> str:
    first, last = visits[0].prompt.number, visits[-1].prompt.number
    if last - first + 1 == len(visits):
        return f"#{first}" if len(visits) == 1 else f"#{first}-{last}"
    return f"{len(visits)} of #{first}-{last}"


def _between(values: Sequence[float], told: Callable[..., str]) -> str:
    """`1 s`, or `1 s to 4 s`."""
    if not values:
        return "-"
    least, most = told(min(values)), told(max(values))
    return least if least == most else f"{least} to {most}"


def _instant(seconds: float) -> str:
    return f"{seconds:.1f} s".replace(".0 s", " s")


def _path(row: Row, palette: Palette) -> Text:
    text = Text()
    for place, step in enumerate(row.steps):
        if place:
            text.append(" → ")
        if step.provider is None:
            text.append(step.words, COLOURS["warning" if step.words == AGAIN else "error"])
            continue
        text.append(step.provider, palette.of(step.provider))
        text.append(f" {step.words}" if step.words else " ✓", COLOURS["warning" if step.words else "ok"])
    return text
