"""From the model name a client asks for to the candidates that may answer."""

from msgspec import Struct

from ccproxy_trio.settings.model import Settings, Tier

# Claude Code's aliases and dated names alike carry the family's name: `claude-haiku-4-5-20251001`.
_FAMILIES: tuple[tuple[str, Tier], ...] = (("haiku", "small"), ("sonnet", "middle"), ("opus", "big"))


class Candidate(Struct, frozen=True):
    """One model of one provider: the unit that a request is tried on."""

    provider: str
    model: str


def tier_of(model: str, default: Tier) -> Tier:
    """The tier a client means by `model`: by the family in its name, in any case, else `default`."""
    name = model.lower()
    return next((tier for family, tier in _FAMILIES if family in name), default)


def candidates(settings: Settings, tier: Tier) -> tuple[Candidate, ...]:
    """Every candidate of a tier: enabled providers in file order, each with its models in order."""
    return tuple(
        Candidate(provider.name, model)
        for provider in settings.enabled()
        for model in dict.fromkeys(provider.models_of(tier))
    )
