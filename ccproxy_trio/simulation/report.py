"""A rehearsal's outcome on a screen, or as JSON."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.text import Text

from ccproxy_trio.journal import Entry
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import BOLD, DIM, marked
from ccproxy_trio.settings.load import Loaded
from ccproxy_trio.settings.scrub import printable
from ccproxy_trio.simulation.outage import Outage
from ccproxy_trio.simulation.record import Visit
from ccproxy_trio.simulation.rehearsal import USUAL_PACE, Outcome, Scenario
from ccproxy_trio.simulation.rows import rows_of, table
from ccproxy_trio.simulation.strip import State, strips
from ccproxy_trio.simulation.summary import all_answered, summary
from ccproxy_trio.simulation.timeline import Boundary, happenings, timeline
from ccproxy_trio.simulation.times import short

DIGITS = 6  # of seconds in JSON: beyond, a float tells of its arithmetic


def lines(
    outcome: Outcome, loaded: Loaded, palette: Palette, *, sign_of: Mapping[State, str], width: int
) -> Iterator[Text]:
    """All of it, line by line. `sign_of` draws the states of providers, over `width` cells."""
    settings = loaded.settings
    yield from _opening(outcome.scenario, loaded)
    yield from _title("Requests")
    yield from table(rows_of(outcome.visits), palette)
    yield from _title("Timeline")
    yield from timeline(outcome, palette)
    yield from _title("Providers")
    yield from strips(outcome, settings, palette, width=width, sign_of=sign_of)
    yield from _title("Summary")
    yield from summary(outcome, settings, palette)


def _opening(scenario: Scenario, loaded: Loaded) -> Iterator[Text]:
    yield Text("🎭 Rehearsal: simulated providers, virtual time, nothing is sent", BOLD)
    yield Text(f"   Configuration: {printable(loaded.source)}", DIM)
    for note in loaded.notes:
        yield marked("info", printable(note))
    yield Text(f"   Traffic: {_traffic(scenario)}", DIM)
    yield Text(f"   Pace: {_paces(scenario, loaded)}", DIM)
    for outage in scenario.outages:
        yield Text(f"   --outage {outage}", DIM)


def _traffic(scenario: Scenario) -> str:
    who = "one session sends" if scenario.sessions == 1 else f"each of {scenario.sessions} sessions sends"
    how = "streamed" if scenario.streams else "whole"
    return (
        f"{who} a request every {short(scenario.every)} for {short(scenario.lasts)}, "
        f"tier {scenario.tier}, {how}, seed {scenario.seed}"
    )


def _paces(scenario: Scenario, loaded: Loaded) -> str:
    told = f"first content after {short(USUAL_PACE.first)}, the end after {short(USUAL_PACE.whole)}"
    others = (
        f"{name} {short(pace.first)} and {short(pace.whole)}"
        for provider in loaded.settings.enabled()
        if (pace := scenario.pace_of(name := provider.name)) != USUAL_PACE
    )
    return "; ".join([told, *others])


def _title(text: str) -> Iterator[Text]:
    yield Text("")
    yield Text(text, BOLD)


def as_json(outcome: Outcome) -> bytes:
    """The same for machines. Instants and spans are virtual seconds, instants from the beginning."""
    scenario = outcome.scenario
    told = {
        "seed": scenario.seed,
        "tier": scenario.tier,
        "stream": scenario.streams,
        "sessions": scenario.sessions,
        "every": scenario.every,
        "lasts": scenario.lasts,
        "ended_at": outcome.ended_at,
        "all_answered": all_answered(outcome),
        "outages": [_outage(outage) for outage in scenario.outages],
        "requests": [_visit(visit) for visit in outcome.visits],
        "events": list(_events(outcome)),
    }
    return msgspec.json.format(msgspec.json.encode(_rounded(told)), indent=1)


def _outage(outage: Outage) -> dict[str, Any]:
    lasts = None if outage.lasts == math.inf else outage.lasts
    return {
        "provider": outage.provider,
        "begins_at": outage.begins_at,
        "lasts": lasts,
        "kind": str(outage.trouble),
    }


def _visit(visit: Visit) -> dict[str, Any]:
    return {
        "number": visit.prompt.number,
        "session": visit.prompt.session,
        "sent_at": visit.sent_at,
        "answered": visit.answered,
        "provider": visit.provider,
        "status": visit.answers[-1].status,
        "told": visit.told,
        "seconds": visit.seconds,
        "first_content_seconds": visit.first_content_seconds,
        "asked": len(visit.answers),
        "tries": [msgspec.structs.asdict(attempt) for attempt in visit.tries],
    }


def _events(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """What happened beside plain answers; attempts are with their requests."""
    for at, what in happenings(outcome):
        if isinstance(what, Boundary):
            name = "OutageBegan" if what.begins else "OutageEnded"
            yield {"at": at, "event": name, "outage": str(what.outage)}
        else:
            yield {"at": at, **_entry(what)}


def _entry(entry: Entry) -> dict[str, Any]:
    return {"event": type(entry).__name__, **msgspec.structs.asdict(entry)}


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, DIGITS)
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
        case _:
            return value
