"""How long a request may take to its first content."""

from ccproxy_trio.settings.model import Settings

FAIR_SHARE = 60.0  # seconds after which a provider that said nothing has had its chance
CONTENT_WITHIN = 600.0  # seconds when nobody says otherwise


def content_within(settings: Settings) -> float:
    """Seconds until a request's first content must be there: the slowest provider gets its chance."""
    slowest = max(provider.content_within for provider in settings.enabled())
    return max(CONTENT_WITHIN, slowest + FAIR_SHARE)
