import pytest

from ccproxy_trio.routing.tiers import Candidate, candidates, tier_of
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings, Tier


def provider(name: str, *, enabled: bool = True, **models: tuple[str, ...]) -> ProviderSettings:
    return ProviderSettings(
        name=name,
        api_key=Secret("k"),
        base_url="https://example.org/v1",
        models=Models(**models),
        enabled=enabled,
    )


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("claude-haiku-4-5-20251001", "small"),
        ("claude-3-5-haiku", "small"),
        ("claude-sonnet-5", "middle"),
        ("anthropic/claude-sonnet-4.5", "middle"),
        ("claude-opus-4-8", "big"),
        ("Claude-OPUS", "big"),
        ("claude-fable-5", "middle"),
        ("gpt-5", "middle"),
    ],
)
def test_the_family_in_the_name_chooses_the_tier_and_other_names_get_the_default(
    model: str, tier: Tier
) -> None:
    assert tier_of(model, "middle") == tier


def test_candidates_are_the_enabled_providers_in_file_order_each_with_its_models_in_order() -> None:
    settings = Settings(
        providers=(
            provider("late", big=("x", "y", "x"), small=("s",)),
            provider("off", enabled=False, big=("z",)),
            provider("none", small=("s",)),
            provider("early", big=("w",)),
        )
    )
    assert candidates(settings, "big") == (
        Candidate("late", "x"),
        Candidate("late", "y"),
        Candidate("early", "w"),
    )
    assert candidates(settings, "middle") == ()
