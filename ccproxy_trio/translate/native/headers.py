"""Which headers pass between a client and a provider of Anthropic's wire. All others stay with us.

What passes is named; so nothing can pass that speaks of a connection, of a cookie, or of who asks a proxy.
"""

from collections.abc import Iterable, Mapping

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Headers

VERSION = "2023-06-01"  # what is asked for where the client names none
_BETA = "anthropic-beta"

ASKED = frozenset(
    {
        *("anthropic-version", _BETA, "anthropic-dangerous-direct-browser-access"),
        *("content-type", "accept", "user-agent", "x-app", "x-claude-code-session-id"),
    }
)
ASKED_PREFIXES = ("x-stainless-",)
ANSWERED = frozenset(
    {
        *("request-id", "retry-after", "retry-after-ms", "x-should-retry"),
        *("anthropic-organization-id", "content-type"),
    }
)
ANSWERED_PREFIXES = ("anthropic-ratelimit-",)


def sent_on(headers: Iterable[tuple[str, str]], dialect: Dialect) -> Headers:
    """The client's headers (names in lower case) that the provider gets.

    Of `anthropic-beta` those values that it takes, in one header; with none left there is none.
    """
    found = [(name, value) for name, value in headers if _may_pass(name, ASKED, ASKED_PREFIXES)]
    kept = [(name, value) for name, value in found if name != _BETA]
    if all(name != "anthropic-version" for name, _ in kept):
        kept.insert(0, ("anthropic-version", VERSION))
    betas = [value for value in betas_in(found) if _is_taken(value, dialect)]
    if betas:
        kept.append((_BETA, ",".join(betas)))
    return tuple((name, _json(value) if name == "content-type" else value) for name, value in kept)


def passed_back(headers: Mapping[str, str]) -> Headers:
    """The provider's headers (names in lower case) that the client gets."""
    return tuple(
        (name, value) for name, value in headers.items() if _may_pass(name, ANSWERED, ANSWERED_PREFIXES)
    )


def betas_in(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The values of `anthropic-beta`, each once, in however many headers they came."""
    values = [part.strip() for name, value in headers if name == _BETA for part in value.split(",")]
    return tuple(dict.fromkeys(value for value in values if value))


def _may_pass(name: str, names: frozenset[str], prefixes: tuple[str, ...]) -> bool:
    return name in names or name.startswith(prefixes)


def _is_taken(beta: str, dialect: Dialect) -> bool:
    return dialect.betas == "all" and beta not in dialect.refused_betas


def _json(content_type: str) -> str:
    """What the body is, whatever the client called it: we have read it."""
    return content_type if content_type.startswith("application/json") else "application/json"
