"""One line a provider: its state over the time of a rehearsal, in blocks of colour or in signs."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from msgspec import Struct
from rich.style import Style
from rich.text import Text

from ccproxy_trio.journal import BreakerMoved, Cooling, ModelExcluded
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import DIM
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.simulation.rehearsal import Outcome
from ccproxy_trio.simulation.rows import HARMLESS
from ccproxy_trio.simulation.times import short

USUAL_WIDTH = 60  # cells


class State(enum.Enum):
    """What a provider did in a stretch of time: the sign for it, and its words in the legend.

    Where several hold in one stretch, the first of them is shown.
    """

    TRIAL = ("?", "trial")
    OPEN = ("#", "circuit open")
    RESTING = ("~", "resting")
    FAILING = ("!", "failing")
    ANSWERING = ("=", "answering")
    READY = (".", "ready")


COLOURS: Mapping[State, Style] = MappingProxyType(
    {
        State.TRIAL: Style.parse("bright_yellow"),
        State.OPEN: Style.parse("red"),
        State.RESTING: Style.parse("blue"),
        State.FAILING: Style.parse("magenta"),
        State.ANSWERING: Style.parse("green"),
        State.READY: Style.parse("bright_black"),
    }
)
OUT_OF_ORDER = ("x", "out of order")
_OUTAGE = Style.parse("bold red")


class Span(Struct, frozen=True):
    """A state that held from one instant to another."""

    begins_at: float
    ends_at: float
    state: State


def strips(
    outcome: Outcome, settings: Settings, palette: Palette, *, width: int, sign_of: Mapping[State, str]
) -> Iterator[Text]:
    """The lines: for each provider its states and, below, its outages; then the time and the legend."""
    names = [provider.name for provider in settings.enabled()]
    margin = max(len(name) for name in [*names, OUT_OF_ORDER[1]]) + 2
    edges = [outcome.ended_at * cell / width for cell in range(width + 1)]
    for name in names:
        states = cells(spans(outcome, name), edges)
        told = ((sign_of[state], COLOURS[state]) for state in states)
        yield Text.assemble((f"{name:<{margin}}", palette.of(name)), *told)
        outages = [
            (each.begins_at, each.ends_at) for each in outcome.scenario.outages if each.provider == name
        ]
        if outages:
            marks = "".join(OUT_OF_ORDER[0] if _any(outages, a, b) else " " for a, b in pairwise(edges))
            yield Text.assemble((f"{OUT_OF_ORDER[1]:<{margin}}", DIM), (marks.rstrip(), _OUTAGE))
    yield Text(" " * margin + _scale(outcome.ended_at, width), DIM)
    legend = Text.assemble(" " * margin, *_legend(sign_of))
    legend.rstrip()
    yield legend


def signs() -> dict[State, str]:
    """A sign a state, for where there is no colour."""
    return {state: state.value[0] for state in State}


def blocks() -> dict[State, str]:
    """The same block for all."""
    return dict.fromkeys(State, "█")


def spans(outcome: Outcome, provider: str) -> list[Span]:
    """Every state of one provider, as the journal told."""
    found = list(_circuit(outcome, provider))
    for event in outcome.events:
        match event.entry:
            case (Cooling() | ModelExcluded()) as entry if entry.provider == provider:
                found.append(Span(event.at, event.at + entry.seconds, State.RESTING))
    for visit in outcome.visits:
        for attempt in visit.tries:
            if attempt.provider == provider:
                state = State.ANSWERING if attempt.outcome in HARMLESS else State.FAILING
                found.append(Span(attempt.began_at, attempt.ended_at, state))
    return found


def _circuit(outcome: Outcome, provider: str) -> Iterator[Span]:
    state, since = "closed", 0.0
    names = {"open": State.OPEN, "half_open": State.TRIAL}
    for event in outcome.events:
        entry = event.entry
        if isinstance(entry, BreakerMoved) and entry.provider == provider:
            if state in names:
                yield Span(since, event.at, names[state])
            state, since = entry.after, event.at
    if state in names:
        yield Span(since, outcome.ended_at, names[state])


def cells(found: Sequence[Span], edges: Sequence[float]) -> list[State]:
    """The state to show in each stretch between two edges."""
    order = {state: place for place, state in enumerate(State)}
    shown = []
    for begins_at, ends_at in pairwise(edges):
        held = (span.state for span in found if _overlaps(span.begins_at, span.ends_at, begins_at, ends_at))
        shown.append(min(held, key=order.__getitem__, default=State.READY))
    return shown


def _any(stretches: Sequence[tuple[float, float]], begins_at: float, ends_at: float) -> bool:
    return any(_overlaps(first, last, begins_at, ends_at) for first, last in stretches)


def _overlaps(first: float, last: float, begins_at: float, ends_at: float) -> bool:
    """A state of no length, such as a trial that failed at once, counts as well."""
    return first < ends_at and (last > begins_at or first == last == begins_at)


def _scale(seconds: float, width: int) -> str:
    last = short(round(seconds, 1))
    middle = short(round(seconds / 2, 1))
    line = "0" + " " * (width // 2 - 1) + middle
    return line.ljust(width - len(last)) + last


def _legend(sign_of: Mapping[State, str]) -> Iterator[tuple[str, Style]]:
    for state in reversed(State):
        yield sign_of[state], COLOURS[state]
        yield f" {state.value[1]}  ", DIM
