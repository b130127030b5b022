import msgspec
import pytest

from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings
from tests.settings.making import CANARY


def one(**keys: object) -> ProviderSettings:
    usual = {
        "name": "one",
        "api_key": CANARY,
        "base_url": "https://x.example/v1",
        "models": {"big": ["a", "b"]},
    }
    return msgspec.convert({**usual, **keys}, ProviderSettings, dec_hook=lambda kind, value: kind(value))


def test_a_secret_shows_itself_only_where_it_is_asked_to() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    for text in (repr(secret), str(secret), f"{secret}", repr([secret]), repr(one())):
        assert CANARY not in text
        assert "***" in text


def test_a_secret_cannot_be_encoded_by_accident() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(one())


def test_secrets_are_equal_by_value_and_to_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_tier_that_was_left_out_has_no_models() -> None:
    assert one().models_of("big") == ("a", "b")
    assert one().models_of("small") == ()
    assert Models() == Models(big=msgspec.UNSET)


def test_the_time_to_the_first_content_is_the_timeout_unless_given() -> None:
    assert one(timeout=7).content_within == 7
    assert one(timeout=7, first_content_timeout=3).content_within == 3


def test_a_context_window_is_for_all_models_or_for_each() -> None:
    assert one().window("a") is None
    assert one(context_window=1000).window("a") == 1000
    assert one(context_window={"a": 5}).window("a") == 5
    assert one(context_window={"a": 5}).window("b") is None


def test_enabled_are_those_that_take_part() -> None:
    settings = Settings(providers=(one(), one(name="two", enabled=False)))
    assert [provider.name for provider in settings.enabled()] == ["one"]


def test_the_guides_defaults() -> None:
    provider, settings = one(), Settings(providers=(one(),))
    assert (provider.enabled, provider.priority, provider.api_version) == (True, 1, None)
    assert (provider.timeout, provider.max_retries, provider.custom_headers) == (90, 3, {})
    assert (settings.fallback_strategy, settings.health_check_interval) == ("priority", 300)
    breaker = settings.circuit_breaker
    assert (breaker.failure_threshold, breaker.recovery_timeout) == (5, 60)


def test_a_providers_transport_goes_before_the_files() -> None:
    ours, its_own = one(), one(transport="httpx-http2")
    settings = Settings(providers=(ours, its_own))
    assert [settings.transport_of(each) for each in settings.providers] == ["trio", "httpx-http2"]
    settings = Settings(providers=(ours, its_own), transport="httpx")
    assert [settings.transport_of(each) for each in settings.providers] == ["httpx", "httpx-http2"]


def test_a_providers_word_on_hedging_goes_before_the_files_and_zero_means_never() -> None:
    settings = Settings(providers=(one(), one(hedge_after="p95"), one(hedge_after=0.0)), hedge_after=2.0)
    assert [settings.hedge_after_of(each) for each in settings.providers] == [2.0, "p95", None]
