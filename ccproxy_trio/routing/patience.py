"""How long a request may take to its first content."""

from ccproxy_trio.settings.model import Settings

FAIR_SHARE = 60.0  # seconds after which a provider that said nothing has had its chance
CONTENT_WITHIN = 600.0  # seconds when nobody says otherwise
CLIENT_MARGIN = 5.0  # seconds before the client's own time-out, so that it hears from us and not its timer


def content_within(settings: Settings) -> float:
    """Seconds until a request's first content must be there: the slowest provider gets its chance."""
    slowest = max(provider.content_within for provider in settings.enabled())
    return max(CONTENT_WITHIN, slowest + FAIR_SHARE)


def before_it_gives_up(within: float, client_timeout: float | None) -> float:
    """`within` seconds, or less for a client that gives up sooner (None: it does not say)."""
    return within if client_timeout is None else min(within, max(1.0, client_timeout - CLIENT_MARGIN))
