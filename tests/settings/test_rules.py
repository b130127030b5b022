"""Rules between keys: addresses, Azure, headers, bounds, names, tiers."""

from typing import Any

import pytest

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.rules import on_this_machine
from tests.settings.making import CANARY, check, faults, notes, provider, settings

CREDENTIALS = "has a user name or password in it; put credentials into `custom_headers`."
NO_ADDRESS = "is not an address; look at its host and port."


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("https://x.example:99999/v1", NO_ADDRESS),
        ("https://x.example:0/v1", NO_ADDRESS),
        ("https://x.example:port/v1", NO_ADDRESS),
        ("https://[::1/v1", NO_ADDRESS),
        ("https://:443/v1", NO_ADDRESS),
        ("https://u:p@x.example/v1", CREDENTIALS),
        (
            "https://x.example/v1/messages/",
            'is an endpoint of Anthropic\'s own API: add "options": {"wire": "anthropic"} to this provider.',
        ),
        *(
            (
                f"https://x.example/v1{ending}",
                f"goes too far: end it before `{ending}`, as https://api.example.com/v1; the rest is added.",
            )
            for ending in ("/chat/completions", "/completions", "/responses", "/embeddings", "/models")
        ),
        (
            "https://x.openai.azure.com",
            "is Azure's and needs `api_version` beside it, such as 2024-10-21 (or an address in /openai/v1).",
        ),
        (
            "https://x.services.ai.azure.com/models/v9",
            "is Azure's and needs `api_version` beside it, such as 2024-10-21 (or an address in /openai/v1).",
        ),
    ],
)
def test_an_address_that_cannot_work(base_url: str, message: str) -> None:
    assert faults(settings(provider(base_url=base_url))) == [f"providers[0].base_url: {message}"]


def test_an_address_out_of_a_variable_is_not_shown() -> None:
    for url in (
        f"https://x.example/{CANARY}/chat/completions",
        f"https://{CANARY}@x.example",
        f"https://{CANARY}:x",
    ):
        (fault,) = faults(settings(provider(base_url="${URL}")), {"URL": url})
        assert CANARY not in fault


@pytest.mark.parametrize("profile", ["azure", "auto"])
def test_azure_with_a_version_or_in_its_compatible_form_is_fine(profile: str) -> None:
    url = "https://x.openai.azure.com"
    assert notes(settings(provider(base_url=url, api_version="2024-10-21", profile=profile))) == []
    assert notes(settings(provider(base_url=f"{url}/openai/v1/", profile=profile))) == []


def test_the_azure_profile_makes_any_address_azures() -> None:
    assert notes(settings(provider(api_version="2024-10-21", profile="azure"))) == []
    assert "needs `api_version`" in faults(settings(provider(profile="azure")))[0]


def test_a_version_without_azure_is_warned_of() -> None:
    assert notes(settings(provider(api_version="2024-10-21"))) == [
        "providers[0].api_version: makes this an Azure provider, but `base_url` does not look like Azure's. "
        'Remove it, or set `profile` to "azure" if this is Azure behind a name of your own.'
    ]


@pytest.mark.parametrize(
    "host",
    [
        "localhost:1",
        "127.0.0.1",
        "[::1]:80",
        "ollama:11434",
        "192.168.1.5",
        "10.0.0.1",
        "nas.local",
        "a.localhost",
        "host.docker.internal",
    ],
)
def test_plain_http_is_fine_nearby(host: str) -> None:
    assert notes(settings(provider(base_url=f"http://{host}/v1"))) == []


@pytest.mark.parametrize("host", ["api.example.com", "8.8.8.8", "[2606:4700::1111]"])
def test_plain_http_into_the_world_is_warned_of(host: str) -> None:
    assert notes(settings(provider(base_url=f"http://{host}/v1"))) == [
        "providers[0].base_url: "
        "is http, not https: the API key and all prompts travel readable for everybody on the way."
    ]


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "CONTENT-LENGTH",
        "content-type",
        "Transfer-Encoding",
        "connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Proxy-Authorization",
        "Accept-Encoding",
        "Expect",
    ],
)
def test_headers_of_the_connection_are_refused(name: str) -> None:
    (fault,) = faults(settings(provider(custom_headers={name: "x"})))
    assert fault.endswith(": is a header that the connection itself sets; remove it.")


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\r\nY", "Ü", "(x)"])
def test_what_is_no_header_name_is_refused(name: str) -> None:
    (fault,) = faults(settings(provider(custom_headers={name: "x"})))
    assert fault.endswith(": is not a header's name; those are letters, digits and dashes.")


def test_a_header_twice_in_two_spellings_is_refused() -> None:
    found = faults(settings(provider(custom_headers={"X-A": "1", "x-a": "2"})))
    assert found == [
        'providers[0].custom_headers["x-a"]: is there twice; upper and lower case are the same in headers.'
    ]


def test_a_header_of_the_users_own_may_replace_the_authorization() -> None:
    assert notes(settings(provider(custom_headers={"Authorization": "Bearer x", "X-API-Key": ""}))) == []


def test_the_fault_of_a_header_points_at_its_name() -> None:
    text = '{"providers": [{"name": "a", "api_key": "k", "base_url": "https://x", "models": {"big": ["m"]},\n'
    with pytest.raises(ConfigError) as caught:
        check(text + '  "custom_headers": {"Host": "x"}}]}')
    assert str(caught.value) == (
        "providers.json:2:22: providers[0].custom_headers.Host: "
        "is a header that the connection itself sets; remove it."
    )


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        (
            {"circuit_breaker": {"max_recovery_timeout": 59}},
            "circuit_breaker.max_recovery_timeout: is less than `recovery_timeout`, which is 60 seconds.",
        ),
        (
            {"circuit_breaker": {"recovery_timeout": 9, "max_recovery_timeout": 8}},
            "circuit_breaker.max_recovery_timeout: is less than `recovery_timeout`, which is 9 seconds.",
        ),
        (
            {"circuit_breaker": {"cooldown_max": 1}},
            "circuit_breaker.cooldown_max: is less than `cooldown_default`, which is 5 seconds.",
        ),
        (
            {"providers": [provider(total_timeout=30)]},
            "providers[0].total_timeout: is less than `timeout`, which is 90 seconds.",
        ),
        (
            {"providers": [provider(total_timeout=30, first_content_timeout=30.5)]},
            "providers[0].total_timeout: is less than `first_content_timeout`, which is 30.5 seconds.",
        ),
        ({"providers": [provider(enabled=False)]}, "providers: are all disabled; enable at least one."),
    ],
)
def test_keys_that_contradict_each_other(keys: dict[str, Any], fault: str) -> None:
    assert faults(settings(**keys)) == [fault]


def test_bounds_that_meet_are_fine() -> None:
    breaker = {"recovery_timeout": 10, "max_recovery_timeout": 10}
    assert notes(settings(provider(timeout=5, total_timeout=5), circuit_breaker=breaker)) == []


@pytest.mark.parametrize("second", ["One", "ONE", "one"])
def test_providers_have_names_of_their_own(second: str) -> None:
    found = faults(settings(provider(), provider(name="two"), provider(name=second, enabled=False)))
    assert found == [
        "providers[2].name: is the name of providers[0] too; each needs its own (case does not count)."
    ]


def test_white_space_does_not_make_another_name() -> None:
    assert "providers[0] too" in faults(settings(provider(name="a b"), provider(name="A  b")))[0]


def test_a_tier_that_nobody_serves_is_warned_of() -> None:
    off = provider(name="off", enabled=False)
    assert notes(settings(provider(models={"big": ["b"]}), off)) == [
        "providers: serve no middle or small models: requests for them will be refused."
    ]
    rest = provider(name="two", models={"middle": ["m"], "small": ["s"]})
    assert notes(settings(provider(models={"big": ["b"]}), rest)) == []


def test_a_context_window_for_a_model_that_is_not_there_is_warned_of() -> None:
    assert notes(settings(provider(context_window={"b": 1, "x": 2}))) == [
        "providers[0].context_window.x: is none of this provider's models, so it has no effect."
    ]


@pytest.mark.parametrize(
    ("strategy", "warned"), [(None, True), ("priority", True), ("round_robin", False), ("random", False)]
)
def test_affinity_that_the_strategy_has_no_use_for_is_warned_of(strategy: str | None, warned: bool) -> None:
    named = {} if strategy is None else {"fallback_strategy": strategy}
    found = notes(settings(provider(), session_affinity=True, **named))
    assert found == [
        "session_affinity: has no effect under the strategy priority, which gives every session the same "
        "first provider; it is for round_robin and random."
    ] * int(warned)
    assert notes(settings(provider(), session_affinity=False, **named)) == []


def test_rules_speak_only_of_what_is_there() -> None:
    broken = provider(base_url=5, models=None, name=None, context_window={"x": 1}, custom_headers=7)
    assert len(faults(settings(broken, provider(name="two")))) == 4


def test_a_slash_behind_the_address_goes() -> None:
    assert check(settings(provider(base_url="https://x.example/v1//"))).settings.providers[0].base_url == (
        "https://x.example/v1"
    )


def test_what_is_on_this_machine() -> None:
    here = (
        "http://localhost:1/v1",
        "http://LOCALHOST.",
        "http://a.localhost",
        "http://127.8.0.1",
        "http://[::1]/",
    )
    assert all(map(on_this_machine, here))
    assert not any(map(on_this_machine, ("http://localhost.evil.com", "http://192.168.0.1", "https://x", "")))
