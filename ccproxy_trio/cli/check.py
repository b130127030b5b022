"""`ccproxy-trio check`: every fault of the configuration at once, or what it comes to."""

import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import click
import trio

from ccproxy_trio.cli.bind import guard_bind
from ccproxy_trio.cli.telling import Refused, defaults, load
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.logs.banner import Finding, banner, provenance, say
from ccproxy_trio.logs.lines import marked, span
from ccproxy_trio.settings.load import environment
from ccproxy_trio.settings.model import ProviderSettings, Settings
from ccproxy_trio.translate.dialect import reason
from ccproxy_trio.upstream.client import Upstream

PROBE_FAILED = 1
PROBE_WITHIN = 10.0  # seconds
FAILED = (ProbeVerdict.FAIL, ProbeVerdict.AUTH)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The configuration file. Left out: $CCPROXY_CONFIG, then your configuration folder.",
)
@click.option(
    "--probe", is_flag=True, help="Ask each provider whether it is there and takes the key (costs no tokens)."
)
def check(config: Path | None, probe: bool) -> None:
    """Show the provider table, or everything that is wrong with the configuration.

    Exit status: 0 when all is well, 2 when the configuration has faults, 1 when a probe failed.
    """
    loaded = load(config)
    settings = loaded.settings
    results = trio.run(probe_all, settings) if probe else {}
    findings = {each.name: finding(each, results.get(each.name)) for each in settings.enabled()}
    banner(settings, stream=sys.stdout, environ=environment(), findings=findings)
    say(provenance(loaded), stream=sys.stdout, environ=environment())
    _warn_of_open_bind(settings)
    if any(result.verdict in FAILED for result in results.values()):
        sys.exit(PROBE_FAILED)


def finding(provider: ProviderSettings, result: ProbeResult | None) -> Finding:
    """What the table says of a provider: how its probe ended, and which dialects were chosen for it."""
    mark, status = ("info", "not asked (--probe does)") if result is None else told(result)
    return Finding(mark, status, tuple(dialects(provider)))


def told(result: ProbeResult) -> tuple[str, str]:
    """A probe's result as a mark and words."""
    facts = f"{result.detail}, {span(result.seconds)}" if result.detail else span(result.seconds)
    match result.verdict:
        case ProbeVerdict.OK:
            return "ok", f"healthy ({facts})"
        case ProbeVerdict.UNSUPPORTED:
            return "info", f"it is there, but has no list of models to try the key on ({facts})"
        case ProbeVerdict.LIMITED:
            return "warning", f"it is there, but limits our rate ({facts})"
        case ProbeVerdict.QUOTA:
            return "error", f"its account is empty ({facts})"
        case ProbeVerdict.AUTH:
            return "error", f"it refuses the key ({facts})"
        case ProbeVerdict.FAIL:
            reached = result.detail.startswith("HTTP")
            return "error", f"it {'is there, but broken' if reached else 'cannot be reached'} ({facts})"


def dialects(provider: ProviderSettings) -> Iterator[str]:
    """Which profile each model is spoken to with, and why: one line where all models agree."""
    models = provider.all_models()
    reasons = {model: reason(provider, model) for model in models}
    if len(set(reasons.values())) == 1:
        yield next(iter(reasons.values()))
        return
    for model, why in reasons.items():
        yield f"{model}: {why}"


async def probe_all(settings: Settings) -> Mapping[str, ProbeResult]:
    """Ask every enabled provider at once; within `PROBE_WITHIN` seconds each has a result."""
    results: dict[str, ProbeResult] = {}
    tls = ssl.create_default_context()
    async with trio.open_nursery() as nursery:
        for provider in settings.enabled():
            nursery.start_soon(partial(_probe, provider, tls, results=results))
    return results


async def _probe(provider: ProviderSettings, tls: ssl.SSLContext, *, results: dict[str, ProbeResult]) -> None:
    late = ProbeResult(verdict=ProbeVerdict.FAIL, detail="no answer in time", seconds=PROBE_WITHIN)
    results[provider.name] = late
    async with Upstream(provider, tls=tls, connections=1, wall=time.time) as upstream:
        with trio.move_on_after(PROBE_WITHIN):
            results[provider.name] = await upstream.probe()


def _warn_of_open_bind(settings: Settings) -> None:
    host = defaults().host
    try:
        guard_bind(host, settings)
    except Refused:
        text = (
            f"HOST={host} needs a client key (ANTHROPIC_API_KEY or client_api_keys) before serve will start."
        )
        say([marked("warning", text)], stream=sys.stdout, environ=environment())
