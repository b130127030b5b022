"""What is wanted at a place of the configuration: what msgspec knows of a type, asked for and put into words.

A type comes bare or wrapped in `inspect.Metadata`, which carries the `extra` of the constraint (see
`model.py`). No sentence repeats a value.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, inspect

from ccproxy_trio.settings.fault import did_you_mean, listed
from ccproxy_trio.settings.model import (
    BreakerSettings,
    DialectOptions,
    Models,
    ProviderSettings,
    RetryBudget,
    Settings,
    WebSearch,
)
from ccproxy_trio.settings.source import Json

Number = inspect.IntType | inspect.FloatType

TAKES: Mapping[type[inspect.Type], str] = {
    inspect.StructType: "object",
    inspect.DictType: "object",
    inspect.VarTupleType: "list",
    inspect.StrType: "string",
    inspect.LiteralType: "string",
    inspect.CustomType: "string",
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
}
"""The kind of JSON value (see `json_kind`) that each type is written as."""

_WANTED = {
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.StrType: "a string",
    inspect.CustomType: "a string",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
}
_GIVEN = {
    "null": "null",
    "boolean": "true or false",
    "number": "a number",
    "string": "a string",
    "list": "a list",
    "object": "an object",
}
_ALIASES = {  # what other proxies call our keys
    "api_base": "base_url",
    "api_base_url": "base_url",
    "endpoint": "base_url",
    "url": "base_url",
    "key": "api_key",
    "token": "api_key",
    "headers": "custom_headers",
    "extra_headers": "custom_headers",
    "model": "models",
    "retries": "max_retries",
    "strategy": "fallback_strategy",
    "opus": "big",
    "large": "big",
    "sonnet": "middle",
    "medium": "middle",
    "haiku": "small",
}
_HOMES: tuple[tuple[type[Struct], str], ...] = (
    (Settings, "at the top level"),
    (ProviderSettings, "in a provider"),
    (BreakerSettings, "in `circuit_breaker`"),
    (DialectOptions, "in a provider's `options`"),
    (RetryBudget, "in `retry_budget`"),
    (WebSearch, "in `web_search`"),
    (Models, "in a provider's `models`"),
)
_LITERAL = re.compile(r"true|false|-?[0-9]+(?:\.[0-9]+)?")


def json_kind(given: Json) -> str:
    """The kind of a JSON value. A switch is no number, whatever Python thinks."""
    match given:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "object"


def bare(wanted: inspect.Type) -> inspect.Type:
    """The type itself, without the wrapping."""
    return wanted.type if isinstance(wanted, inspect.Metadata) else wanted


def extra(wanted: inspect.Type) -> Mapping[str, str]:
    """What `model.py` says about the constraint: `unit`, `says`."""
    return (wanted.extra or {}) if isinstance(wanted, inspect.Metadata) else {}


def alternative(wanted: inspect.Type, given: Json) -> inspect.Type:
    """Of a union, the member that takes what was given, or the first."""
    if not isinstance(wanted, inspect.UnionType):
        return wanted
    kind = json_kind(given)
    return next((member for member in wanted.types if TAKES[type(bare(member))] == kind), wanted.types[0])


def within(kind: Number, given: float) -> bool:
    """Whether the number keeps to its bounds."""
    return all(holds(given, limit) for _, holds, limit in _limits(kind))


def bounds(kind: Number) -> str:
    """`more than 0 and at most 86400`."""
    return listed([f"{word} {limit}" for word, _, limit in _limits(kind)], "and")


def text_problem(text: str, kind: inspect.StrType, wanted: inspect.Type) -> str | None:
    """How the string breaks its length or pattern, as the end of a sentence; None if it keeps them."""
    says = extra(wanted).get("says")
    if len(text) < (kind.min_length or 0):
        return says or "is empty."
    if len(text) > (kind.max_length or len(text)):
        return says or f"is longer than {kind.max_length} characters."
    # fullmatch: `$` alone would let a line break at the end through.
    return None if kind.pattern is None or re.fullmatch(kind.pattern, text) else says


def described(wanted: inspect.Type) -> str:
    """What is right, for a sentence that begins "should be"."""
    match bare(wanted):
        case inspect.UnionType(types=members):
            return listed(
                [described(member) for member in members if not isinstance(member, inspect.NoneType)]
            )
        case inspect.LiteralType(values=words):
            return ("one of " if len(words) > 1 else "") + listed([f'"{word}"' for word in words])
        case inspect.VarTupleType(item_type=item):
            return "a list of objects" if isinstance(bare(item), inspect.StructType) else "a list of strings"
        case kind:
            unit = extra(wanted).get("unit")
            return _WANTED[type(kind)] + (f" of {unit}" if unit else "")


def shown(given: Json) -> str:
    """What was given, without its value."""
    return "a fraction" if isinstance(given, float) else _GIVEN[json_kind(given)]


def type_hint(wanted: inspect.Type, given: Json) -> str:
    """How somebody who wrote the wrong type may have meant it: a further sentence, or nothing."""
    if given is None:
        return " Leave the key out if you mean the default."
    takes = TAKES[type(bare(alternative(wanted, given)))]
    if not isinstance(given, str) or takes == "object":
        return ""
    if takes == "list":
        return " Put it in brackets: [...]."
    if "${" in given:
        return " Variables are text; numbers and switches are written as they are."
    return " Write it without quotes." if _LITERAL.fullmatch(given.strip()) else ""


def unknown_key(key: str, known: Mapping[str, object]) -> str:
    """What to say of a key that is not known here: where it belongs, or which one it was meant to be."""
    alias = _ALIASES.get(key.casefold())
    if alias in known:
        return f'There is no such key. Did you mean "{alias}"?'
    home = next((where for owner, where in _HOMES if key in owner.__struct_fields__), None)
    if home:
        return f"There is no such key here; it belongs {home}."
    if key.startswith(("_", "#", "//")):
        return "There is no such key; comments are written with //."
    return f"There is no such key.{did_you_mean(key, known)}"


def _limits(kind: Number) -> list[tuple[str, Callable[[Any, Any], bool], float]]:
    every = (
        ("more than", operator.gt, kind.gt),
        ("at least", operator.ge, kind.ge),
        ("less than", operator.lt, kind.lt),
        ("at most", operator.le, kind.le),
    )
    return [(word, holds, limit) for word, holds, limit in every if limit is not None]
