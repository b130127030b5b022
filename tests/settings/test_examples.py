"""The guide's configurations, word for word, and the files in `config/`: they load as they stand."""

import json
from pathlib import Path
from typing import Any

import pytest

from ccproxy_trio.settings.load import load
from ccproxy_trio.settings.model import Secret
from ccproxy_trio.settings.source import read
from ccproxy_trio.translate.dialect import resolve
from tests.settings.making import check, provider

HERE = Path(__file__).parent
CONFIG = HERE.parent.parent / "config"
GUIDE = HERE / "guide"
ENVIRON = {
    "ENV_VAR_NAME": "key",
    "OPENAI_API_KEY": "openai-key",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "AZURE_API_KEY": "azure-key",
    "AZURE_BASE_URL": "https://mine.openai.azure.com",
    "CHEAP_API_KEY": "cheap-key",
    "PREMIUM_API_KEY": "premium-key",
    "US_EAST_API_KEY": "us-key",
    "EU_WEST_API_KEY": "eu-key",
    "ASIA_API_KEY": "asia-key",
    "DEEPSEEK_API_KEY": "deepseek-key",
    "CUSTOM_TOKEN": "token",
    "API_KEY": "key",
}
WHOLE = sorted(path for path in GUIDE.glob("*.json") if not path.name.endswith(".fragment.json"))
SHIPPED = sorted(path for path in CONFIG.glob("*.json") if path.name != "providers.schema.json")


def fragment(name: str) -> Any:
    return read((GUIDE / f"{name}.fragment.json").read_bytes(), file=name).data


@pytest.mark.parametrize("path", [*WHOLE, *SHIPPED], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_it_loads_without_faults_and_without_warnings(path: Path) -> None:
    loaded = load(path, ENVIRON)
    assert [note for note in loaded.notes if "can be written by others" not in note] == []
    assert all(loaded.settings.providers[0].models_of(tier) for tier in ("big", "middle", "small"))


def test_there_are_examples() -> None:
    assert len(WHOLE) == 5
    assert {path.name for path in SHIPPED} == {
        "providers.json",
        "high-availability.json",
        "cost.json",
        "geographic.json",
        "local.json",
        "subscription.json",
    }


@pytest.mark.parametrize(
    ("example", "name"),
    [
        ("high-availability", "high-availability"),
        ("cost-optimization", "cost"),
        ("geographic-distribution", "geographic"),
    ],
)
def test_the_shipped_examples_say_what_the_guide_says(example: str, name: str) -> None:
    guide = load(GUIDE / f"{example}.json", ENVIRON).settings
    ours = load(CONFIG / f"{name}.json", ENVIRON).settings
    assert [entry.name for entry in ours.providers] == [entry.name for entry in guide.providers]
    for mine, theirs in zip(ours.providers, guide.providers, strict=True):
        assert (mine.priority, mine.api_key, mine.base_url) == (
            theirs.priority,
            theirs.api_key,
            theirs.base_url,
        )
        assert (mine.models, mine.api_version) == (theirs.models, theirs.api_version)
    assert (ours.fallback_strategy, ours.circuit_breaker) == (guide.fallback_strategy, guide.circuit_breaker)


def test_the_example_of_a_subscription_has_a_provider_on_each_of_the_newer_wires() -> None:
    settings = load(CONFIG / "subscription.json", ENVIRON).settings
    wires = {
        provider.name: {resolve(provider, model).wire for model in provider.models_of("big")}
        for provider in settings.providers
    }
    assert wires == {"subscription": {"anthropic"}, "openai": {"responses"}, "deepseek": {"anthropic"}}
    assert [provider.passes_credentials for provider in settings.providers] == [True, False, False]


def test_the_basic_example_means_what_it_says() -> None:
    settings = load(GUIDE / "basic.json", ENVIRON).settings
    (one,) = settings.providers
    assert (one.name, one.enabled, one.priority, one.api_key) == ("provider-name", True, 1, Secret("key"))
    assert (one.api_version, one.timeout, one.max_retries, one.custom_headers) == (None, 90, 3, {})
    assert one.models_of("middle") == ("model3", "model4")
    assert (settings.health_check_interval, settings.circuit_breaker.recovery_timeout) == (300, 60)


@pytest.mark.parametrize("strategy", ["priority", "round-robin", "random"])
def test_the_guides_strategies(strategy: str) -> None:
    keys = fragment(f"strategy-{strategy}")
    text = json.dumps({"providers": [provider()], **keys})
    assert check(text).settings.fallback_strategy == strategy.replace("-", "_")


def test_the_guides_fragments_with_comments() -> None:
    keys = {**fragment("circuit-breaker"), **fragment("health-check")}
    settings = check(json.dumps({"providers": [provider()], **keys})).settings
    assert (settings.circuit_breaker.failure_threshold, settings.circuit_breaker.recovery_timeout) == (5, 60)
    assert settings.health_check_interval == 300


def test_the_guides_substitution() -> None:
    entry = {**provider(), **fragment("substitution")}
    (one,) = check(json.dumps({"providers": [entry]}), ENVIRON).settings.providers
    assert (one.api_key, one.base_url) == (Secret("openai-key"), "https://api.openai.com/v1")
    assert one.custom_headers == {"Authorization": Secret("Bearer token"), "X-API-Key": Secret("key")}
