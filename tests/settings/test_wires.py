"""Rules about wires: addresses of Anthropic's own API, and clients' credentials that are passed on."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from ccproxy_trio.settings.model import PASSTHROUGH, ProviderSettings
from ccproxy_trio.settings.scrub import secrets_of_provider
from ccproxy_trio.settings.wires import is_native
from ccproxy_trio.translate.dialect import resolve
from tests.settings.making import check, faults, notes, provider, settings

NATIVE: dict[str, Any] = {"options": {"wire": "anthropic"}}
ADDED = 'add "options": {"wire": "anthropic"}'


def passing(**keys: Any) -> str:
    usual = {"api_key": PASSTHROUGH, "base_url": "https://api.anthropic.com"}
    return settings(provider(**usual | keys))


def first(text: str) -> ProviderSettings:
    return check(text).settings.providers[0]


@pytest.mark.parametrize(
    "keys",
    [
        {"base_url": "https://api.anthropic.com"},
        {"base_url": "https://api.anthropic.com/v1"},
        {"base_url": "https://anthropic.com./v1"},
        {"base_url": "https://notanthropic.com/v1"},
        {"base_url": "https://api.anthropic.com/v1", "options": {"wire": "chat"}},
        {"base_url": "https://api.anthropic.com/v1", "profile": "generic"},
        {"base_url": "https://api.example.com/v1", "profile": "anthropic"},
        {"base_url": "https://api.example.com/v1", "profile": "anthropic", "options": {"wire": "chat"}},
        {"base_url": "https://api.example.com", **NATIVE},
        {"base_url": "https://openrouter.ai/api", "profile": "openrouter", **NATIVE},
        {"base_url": "https://x.openai.azure.com", "api_version": "2024-10-21"},
        {"base_url": "https://x.services.ai.azure.com/anthropic", **NATIVE},
        {"base_url": "https://x.services.ai.azure.com/anthropic"},
        {"base_url": "https://api.deepseek.com/anthropic/v1/", "profile": "deepseek"},
        {"base_url": "https://gateway.example/apps/anthropic/v1/messages"},
        {"base_url": "https://gateway.example/anthropic", "options": {"wire": "chat"}},
        {"base_url": "https://gateway.example/philanthropic"},
        {"base_url": "https://api.kimi.com/coding/"},
        {"base_url": "https://api.kimi.com/coding/v1"},
        {"base_url": "https://notkimi.com/coding"},
    ],
    ids=str,
)
def test_what_the_rules_take_for_anthropics_wire_is_what_is_spoken(keys: dict[str, Any]) -> None:
    written = provider(**keys)
    loaded = first(settings(written))
    assert is_native(written, urlsplit(written["base_url"])) == (resolve(loaded, "m").wire == "anthropic")


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.example.com",
        "https://api.example.com/v1",
        "https://api.example.com/v1/messages",
        "https://api.example.com/v1/messages/",
        "https://api.example.com/api/anthropic",
        "https://x.services.ai.azure.com/anthropic",
    ],
)
def test_on_anthropics_wire_every_form_of_its_address_will_do(base_url: str) -> None:
    assert notes(settings(provider(base_url=base_url, **NATIVE))) == []


def test_an_endpoint_of_anthropics_api_without_its_wire_is_a_fault_that_says_what_to_add() -> None:
    found = faults(settings(provider(base_url="https://x.example/v1/messages")))
    assert found == [
        f"providers[0].base_url: is an endpoint of Anthropic's own API: {ADDED} to this provider."
    ]


@pytest.mark.parametrize("base_url", ["https://x.example/anthropic", "https://x.example/api/anthropic/"])
def test_an_address_that_ends_in_anthropic_on_another_wire_is_a_warning(base_url: str) -> None:
    assert notes(settings(provider(base_url=base_url))) == []
    (found,) = notes(settings(provider(base_url=base_url, options={"wire": "chat"})))
    assert found.startswith("providers[0].base_url: looks like an address of Anthropic's own API")
    assert ADDED in found


def test_the_address_for_counting_tokens_goes_too_far() -> None:
    (found,) = faults(settings(provider(base_url="https://x.example/v1/messages/count_tokens", **NATIVE)))
    assert found.endswith("end it before `/v1/messages/count_tokens`; the rest is added.")


@pytest.mark.parametrize(
    ("base_url", "right"),
    [
        ("https://api.deepseek.com", "https://api.deepseek.com/anthropic."),
        ("https://api.moonshot.ai/v1", "https://api.moonshot.ai/anthropic."),
        ("https://api.z.ai/api/paas/v4", "https://api.z.ai/api/anthropic."),
        ("https://x.services.ai.azure.com", "https://x.services.ai.azure.com/anthropic."),
    ],
)
def test_a_host_known_to_keep_that_api_elsewhere_is_told_of(base_url: str, right: str) -> None:
    (found,) = notes(settings(provider(base_url=base_url, **NATIVE)))
    assert found.endswith(right)


@pytest.mark.parametrize("base_url", ["https://api.deepseek.com/anthropic", "https://api.deepseek.com.evil"])
def test_and_not_of_other_hosts_or_where_it_is_right(base_url: str) -> None:
    assert notes(settings(provider(base_url=base_url, **NATIVE))) == []


def test_credentials_are_passed_on_to_anthropic_and_to_whoever_speaks_its_wire() -> None:
    for text in (passing(), passing(base_url="https://x.example/anthropic", **NATIVE)):
        assert notes(text) == []
        assert first(text).passes_credentials
    assert not first(settings()).passes_credentials


def test_no_credentials_are_passed_on_to_a_provider_on_another_wire() -> None:
    (found,) = faults(passing(base_url="https://api.openai.com/v1"))
    assert found.startswith('providers[0].api_key: is "passthrough": what Claude Code sends is a key for')
    assert "Give it a key of its own" in found
    assert ADDED in found


@pytest.mark.parametrize("slip", ["Passthrough", "pass-through", "PASS_THROUGH"])
def test_another_spelling_of_passthrough_is_no_key(slip: str) -> None:
    (found,) = faults(passing(api_key=slip))
    assert found.startswith('providers[0].api_key: is no key. Write "passthrough"')


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "API-Key"])
def test_a_header_of_ours_must_not_take_the_place_of_the_clients_credentials(name: str) -> None:
    (found,) = faults(passing(custom_headers={name: "value"}))
    assert found.startswith(f"providers[0].custom_headers{'' if name.isalpha() else '['}")
    assert "would replace what the client sends" in found


def test_other_headers_go_along_with_them() -> None:
    assert notes(passing(custom_headers={"x-team": "a"})) == []


@pytest.mark.parametrize(("probe", "warned"), [("models", True), ("completion", True), ("off", False)])
def test_a_probe_without_a_key_is_said_to_have_no_effect(probe: str, *, warned: bool) -> None:
    assert bool(notes(passing(probe=probe))) == warned


def test_the_word_itself_is_no_secret() -> None:
    checked = check(passing())
    assert checked.literals == ()
    assert secrets_of_provider(checked.settings.providers[0]) == ()
