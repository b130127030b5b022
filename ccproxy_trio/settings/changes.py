"""What differs between two configurations, in words for the operator. Never a value: it may be a key."""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from ccproxy_trio.settings.model import ProviderSettings, Settings

_TOLD_APART = ("enabled", "api_key", "custom_headers", "name")  # what has words of its own


def changes(before: Settings, after: Settings) -> list[str]:
    """A few words for each difference: `added b`, `re-keyed c`, `changed d (models, timeout)`."""
    old = {provider.name: provider for provider in before.providers}
    new = {provider.name: provider for provider in after.providers}
    told = [f"added {name}" for name in new if name not in old]
    told += (f"removed {name}" for name in old if name not in new)
    for name in new:
        if name in old:
            told += _of_one(old[name], new[name])
    order_before = [name for name in old if name in new]
    if order_before != [name for name in new if name in old]:
        told.append("changed the order of the providers")
    others = [name for name in _differing(before, after) if name != "providers"]
    if others:
        told.append(f"changed {', '.join(others)}")
    return told


def fixed_until_restart(before: Settings, after: Settings) -> list[str]:
    """The settings that differ and go on as they were until the next start, each with why.

    Address and port are not among them: they are no part of the file.
    """
    if after.stall_limit > before.stall_limit:
        return ["stall_limit (the listening socket keeps the shorter one that it was opened with)"]
    return []


def _of_one(before: ProviderSettings, after: ProviderSettings) -> Iterator[str]:
    if before.enabled != after.enabled:
        yield f"{'enabled' if after.enabled else 'disabled'} {after.name}"
    if (before.api_key, before.custom_headers) != (after.api_key, after.custom_headers):
        yield f"re-keyed {after.name}"
    others = [name for name in _differing(before, after) if name not in _TOLD_APART]
    if others:
        yield f"changed {after.name} ({', '.join(others)})"


def _differing(before: Struct, after: Struct) -> Iterator[str]:
    """The names of the keys whose values differ, as they are written in the file."""
    for field in msgspec.structs.fields(type(after)):
        if getattr(before, field.name) != getattr(after, field.name):
            yield field.encode_name
