"""`ccproxy-trio simulate`: what the user's own configuration would do in an outage, before there is one."""

import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct

from ccproxy_trio.cli.telling import Refused
from ccproxy_trio.logs.banner import say
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.console import Painter
from ccproxy_trio.routing.tiers import candidates
from ccproxy_trio.settings.fault import ConfigError, listed
from ccproxy_trio.settings.load import Loaded, environment
from ccproxy_trio.settings.model import TIERS, Settings, Tier
from ccproxy_trio.settings.standins import resolve_unsent
from ccproxy_trio.simulation import report, strip
from ccproxy_trio.simulation.outage import (
    KINDS,
    BadOutage,
    Outage,
    parse_outage,
    split_name,
    usual_outage,
)
from ccproxy_trio.simulation.provider import Pace
from ccproxy_trio.simulation.rehearsal import Outcome, Scenario, rehearse
from ccproxy_trio.simulation.summary import all_answered
from ccproxy_trio.simulation.times import HOW_TO_WRITE, BadTime, seconds_of, short

UNANSWERED = 1
USUAL_LENGTH = 120.0  # seconds
AFTERMATH = 30.0  # seconds that are played behind the last outage, and its longest breaker's wait
MOST_REQUESTS = 20_000
SHORTEST = 0.01  # seconds between requests, and of sending them
WIDEST_STRIP = 100  # cells
STRIP_MARGIN = 30  # columns left for names
HOW_TO_PACE = "NAME=FIRST/WHOLE, for example {name}=2s/30s"


class Wishes(Struct, frozen=True, kw_only=True):
    """The options as they were typed."""

    outages: tuple[str, ...]
    every: str
    lasts: str | None
    tier: Tier
    sessions: int
    seed: int
    streams: bool
    paces: tuple[str, ...]


def _kinds() -> str:
    width = max(map(len, KINDS))
    return "\n".join(f"  {kind:<{width}}  {words}" for kind, words in KINDS.items())


@click.command(epilog=f"\b\nKINDS of outage:\n{_kinds()}")
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    metavar="PATH",
    help="The configuration file. Left out: $CCPROXY_CONFIG, then your configuration folder.",
)
@click.option(
    "--outage",
    "outages",
    multiple=True,
    metavar="NAME=DURATION@START[:KIND]",
    help="Put a provider out of order, as in openai=30s@10s or openai=2m@1m:429. Repeatable. DURATION may be "
    "forever. Left out: the provider asked first is away for 30s from 10s on.",
)
@click.option("--every", default="2s", show_default=True, metavar="TIME", help="Time between two requests.")
@click.option(
    "--for", "lasts", metavar="TIME", help="How long requests are sent. Left out: until all is well."
)
@click.option(
    "--tier", type=click.Choice(TIERS), default="big", show_default=True, help="The tier that is asked for."
)
@click.option(
    "--sessions",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="How many clients send a request each time.",
)
@click.option(
    "--stream/--whole", "streams", default=True, show_default=True, help="How answers are asked for."
)
@click.option(
    "--pace",
    "paces",
    multiple=True,
    metavar="NAME=FIRST/WHOLE",
    help="How fast a provider answers: time to its first content, and to the end. Repeatable. "
    "Left out: 1s/4s.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Same seed, same run."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def simulate(
    config: Path | None,
    *,
    outages: tuple[str, ...],
    every: str,
    lasts: str | None,
    tier: Tier,
    sessions: int,
    streams: bool,
    paces: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Rehearse an outage: your configuration over simulated providers, in virtual time.

    Nothing is sent and no key is needed. The same dispatcher, breakers, budgets and deadlines are at work as
    in the server; minutes pass in an instant, and the same options always print the same.

    \b
    ccproxy-trio simulate --outage openai=30s@10s
    ccproxy-trio simulate --outage openai=2m@10s:429=30s --outage azure=20s@40s:hang --every 5s

    Exit status: 0 when every request was answered, 1 when some were not, 2 when an option or the
    configuration makes no sense.
    """
    loaded = _load(config)
    wishes = Wishes(
        outages=outages,
        every=every,
        lasts=lasts,
        tier=tier,
        sessions=sessions,
        seed=seed,
        streams=streams,
        paces=paces,
    )
    scenario = _scenario(wishes, loaded.settings)
    outcome = rehearse(loaded.settings, scenario)
    if as_json:
        click.echo(report.as_json(outcome))
    else:
        _show(outcome, loaded)
    if not all_answered(outcome):
        sys.exit(UNANSWERED)


def _show(outcome: Outcome, loaded: Loaded) -> None:
    painter = Painter(stream=sys.stdout, environ=environment())
    palette = Palette([provider.name for provider in loaded.settings.providers], painter.depth)
    sign_of = strip.signs() if painter.depth is None else strip.blocks()
    told = report.lines(outcome, loaded, palette, sign_of=sign_of, width=_strip_width())
    say(told, stream=sys.stdout, environ=environment())


def _strip_width() -> int:
    """As wide as a terminal allows; elsewhere always the same."""
    if not sys.stdout.isatty():
        return strip.USUAL_WIDTH
    return max(strip.USUAL_WIDTH, min(WIDEST_STRIP, shutil.get_terminal_size().columns - STRIP_MARGIN))


def _load(config: Path | None) -> Loaded:
    try:
        return resolve_unsent(config, environment())
    except ConfigError as error:
        raise Refused(str(error)) from error


def _scenario(wishes: Wishes, settings: Settings) -> Scenario:
    """What the options mean for this configuration.

    Raises:
        Refused: one of them makes no sense.
    """
    first = _asked_first(settings, wishes.tier)
    try:
        outages = tuple(parse_outage(text, settings) for text in wishes.outages) or (usual_outage(first),)
        paces = dict(_pace(text, settings) for text in wishes.paces)
    except BadOutage as error:
        raise Refused(str(error)) from None
    every = _time("--every", wishes.every)
    lasts = _length(outages, settings) if wishes.lasts is None else _time("--for", wishes.lasts)
    if every / wishes.sessions * MOST_REQUESTS < lasts:
        raise Refused(
            f"--every {wishes.every} for {short(lasts)} are more than {MOST_REQUESTS:,} requests. Give a "
            "larger --every, or a shorter --for."
        )
    for outage in outages:
        if outage.begins_at >= lasts:
            raise Refused(
                f"--outage {outage}{'' if wishes.outages else ', which is rehearsed where none is given,'} "
                f"begins when the last request has been sent, at {short(lasts)}. Give a longer --for, or let "
                "it begin earlier (the time behind the @)."
            )
    return Scenario(
        outages=outages,
        every=every,
        lasts=lasts,
        tier=wishes.tier,
        sessions=wishes.sessions,
        streams=wishes.streams,
        seed=wishes.seed,
        paces=paces,
    )


def _asked_first(settings: Settings, tier: Tier) -> str:
    """The provider to take away where nobody said which."""
    served = candidates(settings, tier)
    if not served:
        tiers = [each for each in TIERS if candidates(settings, each)]
        raise Refused(f"--tier {tier}: no provider that takes part has a model of it. Try {listed(tiers)}.")
    priorities = {provider.name: provider.priority for provider in settings.enabled()}
    return min((candidate.provider for candidate in served), key=priorities.__getitem__)


def _length(outages: Sequence[Outage], settings: Settings) -> float:
    """Until the last outage is over and the breaker that it may have opened has had its next trial."""
    wait = settings.circuit_breaker.recovery_timeout * (1 + settings.circuit_breaker.recovery_jitter)
    ends = [outage.ends_at if outage.ends_at < math.inf else outage.begins_at + wait for outage in outages]
    return max(USUAL_LENGTH, float(round(max(ends) + wait + AFTERMATH)))


def _time(option: str, text: str) -> float:
    try:
        seconds = seconds_of(text)
    except BadTime as error:
        raise Refused(f"{option}: {error}.") from None
    if seconds < SHORTEST:
        raise Refused(f"{option} {text} is too short: at least {short(SHORTEST)}. Give {HOW_TO_WRITE}.")
    return seconds


def _pace(text: str, settings: Settings) -> tuple[str, Pace]:
    name, rest = split_name(text, settings, option="--pace", form=HOW_TO_PACE)
    first, slash, whole = rest.partition("/")
    form = HOW_TO_PACE.format(name=name)
    if not slash:
        raise BadOutage(f"--pace {text}: there is no `/` in it. Write {form}.")
    try:
        pace = Pace(seconds_of(first), seconds_of(whole))
    except BadTime as error:
        raise BadOutage(f"--pace {text}: {error}. Write {form}.") from None
    if not 0 < pace.first <= pace.whole:
        raise BadOutage(f"--pace {text}: the first content comes before the end. Write {form}.")
    return name, pace
