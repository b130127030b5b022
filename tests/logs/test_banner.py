import io

import msgspec

from ccproxy_trio.journal import Note
from ccproxy_trio.logs.banner import Finding, banner, open_console
from ccproxy_trio.settings.load import Loaded
from ccproxy_trio.settings.model import (
    BreakerSettings,
    Models,
    ProviderSettings,
    Secret,
    Settings,
    WebSearch,
)


def provider(name, priority, **models):
    return ProviderSettings(
        name=name,
        priority=priority,
        api_key=Secret("key-0123456789"),
        base_url="https://x/v1",
        models=Models(**models),
    )


OPENAI = provider(
    "openai",
    1,
    big=("gpt-4o", "gpt-4-turbo"),
    middle=("gpt-4o", "gpt-4-turbo"),
    small=("gpt-4o-mini", "gpt-3.5-turbo"),
)
AZURE = provider(
    "azure", 2, big=("gpt-4o", "gpt-4"), middle=("gpt-4o", "gpt-4"), small=("gpt-4o-mini", "gpt-35-turbo")
)

GUIDE = """\
🚀 Claude Code Proxy - Provider Configuration
[openai] Priority: 1
  [openai] BIG (OPUS): gpt-4o, gpt-4-turbo
  [openai] MIDDLE (SONNET): gpt-4o, gpt-4-turbo
  [openai] SMALL (HAIKU): gpt-4o-mini, gpt-3.5-turbo
✅ Status: healthy

[azure] Priority: 2
  [azure] BIG (OPUS): gpt-4o, gpt-4
  [azure] MIDDLE (SONNET): gpt-4o, gpt-4
  [azure] SMALL (HAIKU): gpt-4o-mini, gpt-35-turbo
✅ Status: healthy
"""


def printed(settings, **options):
    stream = io.StringIO()
    banner(settings, stream=stream, environ={}, **options)
    return stream.getvalue()


def test_the_banner_is_the_guides():
    assert printed(Settings(providers=(OPENAI, AZURE))).startswith(GUIDE)


def test_providers_come_by_priority_and_not_by_their_place_in_the_file():
    assert printed(Settings(providers=(AZURE, OPENAI))).startswith(GUIDE)


def test_a_tier_that_is_not_served_has_no_line():
    text = printed(Settings(providers=(provider("local", 1, small=("mini",)),)))
    assert "SMALL (HAIKU): mini" in text
    assert "BIG" not in text


def test_disabled_providers_are_listed_last_as_such():
    off = msgspec.structs.replace(OPENAI, name="old", enabled=False)
    text = printed(Settings(providers=(off, AZURE)))
    assert text.index("[azure] Priority") < text.index("[old] disabled\n")
    assert "[old] Priority" not in text


def test_the_rules_of_the_circuit_are_told():
    breaker = BreakerSettings(failure_threshold=3, recovery_timeout=120)
    text = printed(Settings(providers=(OPENAI,), fallback_strategy="random", circuit_breaker=breaker))
    assert text.endswith(
        "ℹ️  Strategy: random; a circuit opens after 3 failures and is tried again after 2 min\n"
    )


def test_a_search_backend_is_told_with_its_address():
    search = WebSearch(searxng="http://127.0.0.1:8888")
    text = printed(Settings(providers=(OPENAI,), web_search=search))
    assert text.endswith("ℹ️  Web search: SearXNG at http://127.0.0.1:8888\n")
    assert "Web search" not in printed(Settings(providers=(OPENAI,)))


def test_a_finding_takes_the_place_of_healthy():
    finding = Finding("error", "it refuses the key", ("profile openai: chosen by the host",))
    text = printed(Settings(providers=(OPENAI,)), findings={"openai": finding})
    assert "❌ Status: it refuses the key\n   profile openai: chosen by the host\n" in text
    assert "healthy" not in text


def test_a_model_name_cannot_play_with_the_terminal():
    text = printed(Settings(providers=(provider("local", 1, big=("evil\x1b[2J\nmodel",)),)))
    assert "BIG (OPUS): evil [2J model\n" in text


def test_the_console_tells_where_the_configuration_came_from_and_hides_its_keys():
    stream = io.StringIO()
    loaded = Loaded(
        settings=Settings(providers=(OPENAI,)), source="the test", path=None, notes=("Mind this.",)
    )
    journal = open_console(loaded, level="info", stream=stream, environ={})
    journal(Note(level="info", event="x", text="key-0123456789"))
    lines = stream.getvalue().splitlines()
    assert lines[-3:-1] == ["   Configuration: the test", "ℹ️  Mind this."]
    assert lines[-1].endswith("ℹ️  ***")
