"""`ccproxy-trio check`: every fault of the configuration at once, or what it comes to."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click
import trio

from ccproxy_trio.cli.bind import guard_bind
from ccproxy_trio.cli.telling import Refused, defaults, load
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.logs.banner import Finding, banner, provenance, say
from ccproxy_trio.logs.lines import marked, span
from ccproxy_trio.settings.load import environment
from ccproxy_trio.settings.model import PASSTHROUGH, ProviderSettings, Settings
from ccproxy_trio.settings.scrub import shown_proxy
from ccproxy_trio.translate.dialect import differences, reason, resolve
from ccproxy_trio.translate.windows import SILENT, window_of
from ccproxy_trio.upstream.client import NO_KEY_OF_OURS, Upstream
from ccproxy_trio.upstream.trust import Trust

PROBE_FAILED = 1
PROBE_WITHIN = 10.0  # seconds
Telling = Callable[[ProviderSettings], Iterator[str]]
FAILED = (ProbeVerdict.FAIL, ProbeVerdict.AUTH)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    metavar="PATH",
    help="The configuration file. Left out: $CCPROXY_CONFIG, then your configuration folder.",
)
@click.option(
    "--probe", is_flag=True, help="Ask each provider whether it is there and takes the key (costs no tokens)."
)
@click.option(
    "--switches",
    "shows_switches",
    is_flag=True,
    help="Show how each model is spoken to: what differs from an unknown server, as `options` would say it.",
)
def check(config: Path | None, probe: bool, shows_switches: bool) -> None:
    """Show the provider table, or everything that is wrong with the configuration.

    Exit status: 0 when all is well, 2 when the configuration has faults, 1 when a probe failed.
    """
    loaded = load(config)
    settings = loaded.settings
    results = trio.run(probe_all, settings) if probe else {}
    telling: list[Telling] = [dialects, credentials, windows, partial(transport, settings)]
    telling += [switches] if shows_switches else []
    findings = {each.name: finding(each, results.get(each.name), telling) for each in settings.enabled()}
    banner(settings, stream=sys.stdout, environ=environment(), findings=findings)
    say(provenance(loaded), stream=sys.stdout, environ=environment())
    _warn_of_open_bind(settings)
    if any(result.verdict in FAILED for result in results.values()):
        sys.exit(PROBE_FAILED)


def finding(provider: ProviderSettings, result: ProbeResult | None, telling: Sequence[Telling]) -> Finding:
    """What the table says of a provider: how its probe ended, and what each of `telling` has to add."""
    if provider.passes_credentials:
        mark, status = "info", f"not asked ({NO_KEY_OF_OURS})"
    else:
        mark, status = ("info", "not asked (--probe does)") if result is None else told(result)
    return Finding(mark, status, tuple(line for tell in telling for line in tell(provider)))


def told(result: ProbeResult) -> tuple[str, str]:
    """A probe's result as a mark and words."""
    facts = f"{result.detail}, {span(result.seconds)}" if result.detail else span(result.seconds)
    match result.verdict:
        case ProbeVerdict.OK:
            return "ok", f"healthy ({facts})"
        case ProbeVerdict.UNSUPPORTED:
            return "info", f"it is there, but the key is untried; if requests fail, mend base_url ({facts})"
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
    """Which profile each model is spoken to with, on which wire, and why: one line where all models agree."""
    return _by_model({model: reason(provider, model) for model in provider.all_models()})


def credentials(provider: ProviderSettings) -> Iterator[str]:
    """Whose key it is that goes there, where it is not ours."""
    if provider.passes_credentials:
        yield (
            f"key: {PASSTHROUGH}; Claude Code's own login is sent to {urlsplit(provider.base_url).hostname}. "
            "A request without one is served by the others"
        )


def windows(provider: ProviderSettings) -> Iterator[str]:
    """Each model's context window, and who says so: one line where all models agree."""
    return _by_model({model: _window(provider, model) for model in provider.all_models()})


def transport(settings: Settings, provider: ProviderSettings) -> Iterator[str]:
    """What carries the requests and which way, where it is not ours and the direct one; whom it believes."""
    name = settings.transport_of(provider)
    if name != "trio":
        yield f"transport: {name}"
    if provider.outgoing_proxy is not None:
        yield f"proxy: {shown_proxy(provider.outgoing_proxy)}"
    if provider.authorities is not None:
        yield f"ca_bundle: {provider.authorities}, beside the system's"


def switches(provider: ProviderSettings) -> Iterator[str]:
    """The switches that make a model's dialect: one line where all models agree."""
    return _by_model({model: _switches(provider, model) for model in provider.all_models()})


def _switches(provider: ProviderSettings, model: str) -> str:
    return f"switches: {', '.join(differences(resolve(provider, model))) or 'those of an unknown server'}"


def _window(provider: ProviderSettings, model: str) -> str:
    dialect = resolve(provider, model)
    window = window_of(provider, model, dialect)
    if window is not None:
        source = "built in" if window.source == "known" else window.source
        return f"context window: {window.tokens:,} tokens ({source})"
    if dialect.profile not in SILENT:
        return "context window: not known; the provider says when a prompt is too long"
    return (
        "context window: not known, and this provider cuts what is too long without a word; set "
        "context_window to what it was started with"
    )


def _by_model(told: Mapping[str, str]) -> Iterator[str]:
    if len(set(told.values())) == 1:
        yield next(iter(told.values()))
        return
    for model, text in told.items():
        yield f"{model}: {text}"


async def probe_all(settings: Settings) -> Mapping[str, ProbeResult]:
    """Ask every enabled provider that we have a key of; within `PROBE_WITHIN` seconds each has a result."""
    results: dict[str, ProbeResult] = {}
    trust = Trust()
    async with trio.open_nursery() as nursery:
        for provider in settings.enabled():
            if provider.passes_credentials:
                continue
            upstream = Upstream(
                provider,
                tls=trust.context(provider.authorities),
                connections=1,
                wall=time.time,
                transport=settings.transport_of(provider),
            )
            nursery.start_soon(partial(_probe, provider, upstream, results=results))
    return results


async def _probe(provider: ProviderSettings, upstream: Upstream, *, results: dict[str, ProbeResult]) -> None:
    late = ProbeResult(verdict=ProbeVerdict.FAIL, detail="no answer in time", seconds=PROBE_WITHIN)
    results[provider.name] = late
    async with upstream:
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
