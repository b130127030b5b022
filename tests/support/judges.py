"""What a scripted provider holds against a request: its body, its headers, its one credential."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, assert_never

from tests.support import validation, validation_anthropic, validation_responses
from tests.support.told import Wire

ANTHROPIC_VERSION = "2023-06-01"
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization")
_OF_THE_CLIENTS_PATH = ("forwarded", "x-forwarded-", "x-real-ip", "cf-", "x-ccproxy-")
_NEVER_SENT_ON = ("cookie", "expect", "upgrade", *_OF_THE_CLIENTS_PATH)


def body_violations(
    body: dict[str, Any], wire: Wire, *, name: str, betas: Sequence[str], also_allowed: frozenset[str]
) -> list[str]:
    """What is wrong with a body that came to the provider `name` on this wire."""
    match wire:
        case "chat":
            return validation.violations(body, also_allowed=also_allowed)
        case "responses":
            return validation_responses.violations(body, name=name, also_allowed=also_allowed)
        case "anthropic":
            return validation_anthropic.violations(body, betas=betas, also_allowed=also_allowed)
        case _:
            assert_never(wire)


def header_violations(headers: Mapping[str, str], wire: Wire) -> Iterator[str]:
    """Headers that no provider is to see, or not this one; names in lower case."""
    for name in headers:
        if name.startswith(_NEVER_SENT_ON):
            yield f"header {name} was sent on"
        elif name.startswith("anthropic-") and wire != "anthropic":
            yield f"header {name} is for Anthropic alone"
    if wire == "anthropic" and headers.get("anthropic-version") != ANTHROPIC_VERSION:
        yield f"header anthropic-version is {headers.get('anthropic-version')}"


def credential_violations(headers: Mapping[str, str], right: tuple[str, str]) -> Iterator[str]:
    """There is exactly one credential, this header with this value."""
    expected, value = right
    if headers.get(expected) != value:
        yield f"header {expected} is wrong"
    for name in _CREDENTIALS:
        if name != expected and name in headers:
            yield f"header {name} is one credential too many"
