"""The banner: every provider with its priority, its models by tier and its status."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TextIO

from msgspec import Struct
from rich.text import Text

from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.console import ConsoleJournal, Painter, open_journal
from ccproxy_trio.logs.lines import BOLD, DIM, marked, span, tag
from ccproxy_trio.logs.outlet import Outlet
from ccproxy_trio.settings.load import Loaded
from ccproxy_trio.settings.model import ProviderSettings, Settings, Tier
from ccproxy_trio.settings.scrub import printable, secrets_of

TITLE = "🚀 Claude Code Proxy - Provider Configuration"
TIERS: tuple[tuple[Tier, str], ...] = (
    ("big", "BIG (OPUS)"),
    ("middle", "MIDDLE (SONNET)"),
    ("small", "SMALL (HAIKU)"),
)
UNHURRIED_MS = 2000  # nothing waits for these lines yet


class Finding(Struct, frozen=True):
    """What is known of a provider: a mark (ok, error, warning, info), what follows `Status:`, and remarks."""

    mark: str
    status: str
    remarks: tuple[str, ...] = ()


HEALTHY = Finding("ok", "healthy")
NOTHING_FOUND: Mapping[str, Finding] = MappingProxyType({})


def open_console(loaded: Loaded, *, level: str, stream: TextIO, environ: Mapping[str, str]) -> ConsoleJournal:
    """Print the banner and where the configuration came from; returns the journal that goes on from there."""
    settings = loaded.settings
    banner(settings, stream=stream, environ=environ)
    say(provenance(loaded), stream=stream, environ=environ)
    return open_journal(
        level=level,
        stream=stream,
        environ=environ,
        names=[provider.name for provider in settings.providers],
        secrets=secrets_of(settings),
    )


def banner(
    settings: Settings,
    *,
    stream: TextIO,
    environ: Mapping[str, str],
    findings: Mapping[str, Finding] = NOTHING_FOUND,
) -> None:
    """Print the provider table to `stream`. An enabled provider without a finding is healthy.

    Like the journal it never raises for the state of the stream.
    """
    painter = Painter(stream=stream, environ=environ)
    palette = Palette([provider.name for provider in settings.providers], painter.depth)
    say(table(settings, palette, findings=findings), stream=stream, environ=environ)


def provenance(loaded: Loaded) -> Iterator[Text]:
    """Where the configuration came from, and what its loader wants its owner to know."""
    yield Text(f"   Configuration: {printable(loaded.source)}", DIM)
    for note in loaded.notes:
        yield marked("info", printable(note))


def say(lines: Iterable[Text], *, stream: TextIO, environ: Mapping[str, str]) -> None:
    """Print lines that are no journal entries (no time, no level), in colour where the stream has it."""
    painter = Painter(stream=stream, environ=environ)
    outlet = Outlet(stream, patience_ms=UNHURRIED_MS)
    for line in lines:
        outlet.write(painter.paint(line))


def table(settings: Settings, palette: Palette, *, findings: Mapping[str, Finding]) -> Iterator[Text]:
    """The banner's lines: enabled providers by priority, then the disabled ones, then the rules."""
    yield Text(TITLE, BOLD)
    for provider in sorted(settings.enabled(), key=lambda each: each.priority):
        yield from _provider(provider, palette, findings.get(provider.name, HEALTHY))
        yield Text("")
    for provider in settings.providers:
        if not provider.enabled:
            yield Text.assemble(tag(provider.name, palette), (" disabled", DIM))
    yield _rules(settings)
    if settings.web_search is not None:
        yield marked("info", f"Web search: SearXNG at {printable(settings.web_search.searxng)}")


def _provider(provider: ProviderSettings, palette: Palette, finding: Finding) -> Iterator[Text]:
    who = tag(provider.name, palette)
    yield Text.assemble(who, f" Priority: {provider.priority}")
    for tier, label in TIERS:
        if models := provider.models_of(tier):
            yield Text.assemble("  ", who, f" {label}: {printable(', '.join(models))}")
    yield marked(finding.mark, f"Status: {finding.status}")
    for remark in finding.remarks:
        yield Text(f"   {printable(remark)}", DIM)


def _rules(settings: Settings) -> Text:
    breaker = settings.circuit_breaker
    failures = "failure" if breaker.failure_threshold == 1 else "failures"
    opens = f"a circuit opens after {breaker.failure_threshold} {failures}"
    again = f"is tried again after {span(breaker.recovery_timeout)}"
    return marked("info", f"Strategy: {settings.fallback_strategy}; {opens} and {again}")
