"""Configurations to rehearse with, and the ways to do it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ccproxy_trio.cli.main import main
from ccproxy_trio.journal import BreakerMoved
from ccproxy_trio.settings.model import BreakerSettings, Models, ProviderSettings, Secret, Settings
from ccproxy_trio.simulation.outage import parse_outage
from ccproxy_trio.simulation.provider import Pace
from ccproxy_trio.simulation.record import Visit
from ccproxy_trio.simulation.rehearsal import Outcome, Scenario, rehearse

ROOT = Path(__file__).parents[2]
BREAKER = BreakerSettings(failure_threshold=3, recovery_timeout=20.0, recovery_jitter=0.0)
QUICK = Pace(0.5, 1.0)


def settings_of(*names: str, breaker: BreakerSettings = BREAKER, **more: Any) -> Settings:
    """Providers of these names, asked in this order. `more` are settings of the file."""
    providers = tuple(
        ProviderSettings(
            name=name,
            priority=priority,
            api_key=Secret("unused"),
            base_url=f"https://{name}.example/v1",
            models=Models(big=("m",)),
            timeout=30.0,
        )
        for priority, name in enumerate(names)
    )
    return Settings(providers=providers, circuit_breaker=breaker, **({"health_check_interval": 0.0} | more))


def rehearsed(settings: Settings, *outages: str, **scenario: Any) -> Outcome:
    """A rehearsal with outages as they are typed; everybody answers quickly, unless told otherwise."""
    parsed = tuple(parse_outage(text, settings) for text in outages)
    paces = dict.fromkeys((provider.name for provider in settings.enabled()), QUICK)
    return rehearse(settings, Scenario(outages=parsed, **({"paces": paces} | scenario)))


def met(visit: Visit) -> list[tuple[str, str]]:
    """The providers that a request was put to, and how each attempt ended."""
    return [(attempt.provider, attempt.outcome) for attempt in visit.tries]


def moves(outcome: Outcome, provider: str) -> list[tuple[float, str]]:
    """When the provider's breaker changed, and to what."""
    return [
        (round(event.at, 6), event.entry.after)
        for event in outcome.events
        if isinstance(event.entry, BreakerMoved) and event.entry.provider == provider
    ]


def simulate(*arguments: str, **environ: str | None) -> Result:
    """The command, in this process."""
    quiet = {"NO_COLOR": "1", "FORCE_COLOR": None, "CCPROXY_CONFIG": None, "COLUMNS": None}
    return CliRunner().invoke(main, ["simulate", *arguments], env=quiet | environ)


def written(folder: Path, *names: str, **more: Any) -> str:
    """A configuration file with providers of these names, whose keys are variables that nobody has set."""
    providers = [
        {
            "name": name,
            "priority": priority,
            "api_key": f"${{UNSET_KEY_OF_{name.upper()}}}",
            "base_url": f"https://{name}.example/v1",
            "models": {"big": ["m"]},
        }
        for priority, name in enumerate(names)
    ]
    file = folder / "providers.json"
    file.write_text(json.dumps({"providers": providers} | more))
    return str(file)


def told(outcome: Outcome) -> Sequence[str]:
    """The sentences for those who got no answer."""
    return [visit.told for visit in outcome.visits if not visit.answered]
