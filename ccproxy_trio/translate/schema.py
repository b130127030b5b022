"""JSON schemas in the form that an upstream accepts.

Only as much is touched as must be: for most servers three annotations are taken off the top and every byte
below stays the client's. What validates a tool's input is the client anyway; a schema only guides the model.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw

from ccproxy_trio.translate import raw as rawjson
from ccproxy_trio.translate.gemini_schema import for_gemini, local_reference
from ccproxy_trio.wire.faults import RequestRefused

Kind = Literal["json", "gemini", "openai"]
Rewrite = Callable[[Raw, Kind, str], Raw]  # `parameters`, or a memory's

EMPTY = Raw(b'{"type":"object","properties":{}}')

_ANNOTATIONS = ("$schema", "$id", "$comment")
_ANNOTATION_BELOW = re.compile(rb'"\$(schema|id|comment)"')
_ONE_SCHEMA = (
    "items",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_NOT_AT_THE_TOP = ("anyOf", "oneOf", "allOf", "enum", "not", "$ref")
_DEEPEST = 100
# What OpenAI's strict mode knows. Source: its guide to structured outputs, "Supported schemas".
_STRICT = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const"),
        *("$ref", "$defs", "definitions", "title", "description", "pattern", "format", "multipleOf"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
    }
)
_STRICT_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)


def parameters(schema: Raw, kind: Kind, where: str) -> Raw:
    """A tool's input schema for the upstream: always an object with `properties`.

    Raises:
        RequestRefused: it is not an object, or too deep or too large to be rewritten.
    """
    if not bytes(schema):
        return EMPTY
    top = _annotations_removed(rawjson.members(schema, where), where)
    if kind == "gemini":
        return _encode(for_gemini(_as_object(rawjson.plain(_encode(top), where)), where))
    if kind == "openai" and any(name in top for name in _NOT_AT_THE_TOP):
        return _encode(_merged(rawjson.plain(_encode(top), where)))
    if bytes(top.get("type", b"")) != b'"object"':
        top["type"] = Raw(b'"object"')
    top.setdefault("properties", Raw(b"{}"))
    return _encode(top)


def answer(schema: Raw, kind: Kind, where: str) -> Raw:
    """The schema of an answer for the upstream; its own root stays what it is.

    Raises:
        RequestRefused: as `parameters`.
    """
    top = _annotations_removed(rawjson.members(schema, where), where)
    return (
        _encode(for_gemini(rawjson.plain(_encode(top), where), where)) if kind == "gemini" else _encode(top)
    )


def in_words(schema: Raw, where: str) -> str:
    """The schema as a line of instructions, for a provider that does not enforce it.

    Raises:
        RequestRefused: nested past the interpreter's limit.
    """
    written = rawjson.compact(schema, where)
    return f"Answer with one JSON object, and nothing else, that fits this JSON schema: {written}"


def is_strict(schema: Raw, where: str) -> bool:
    """Whether OpenAI's strict mode takes it as it is.

    Its root is an object without alternatives; every object is closed and requires all of its properties.
    """
    root = rawjson.plain(schema, where)
    plain_object = root.get("type") == "object" and "anyOf" not in root
    return plain_object and all(_strict_node(node) for node in _nodes(root, where))


def _encode(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def _annotations_removed(top: dict[str, Raw], where: str) -> dict[str, Raw]:
    kept = {name: value for name, value in top.items() if name not in _ANNOTATIONS}
    if not any(_ANNOTATION_BELOW.search(value) for value in kept.values()):
        return kept
    # One of the names occurs below the top: rewrite for real, and only where schemas stand, since a
    # property may well be called `$id`.
    whole = rawjson.plain(_encode(kept), where)
    for node in _nodes(whole, where):
        for name in _ANNOTATIONS:
            node.pop(name, None)
    return {name: _encode(value) for name, value in whole.items()}


def _nodes(schema: Any, where: str) -> Iterator[dict[str, Any]]:
    """Every object schema in `schema`, itself first."""
    level = [schema]
    for _ in range(_DEEPEST):
        nodes = [node for node in level if isinstance(node, dict)]
        yield from nodes
        level = [child for node in nodes for child in _children(node)]
        if not level:
            return
    raise RequestRefused(f"{where}: the schema is nested too deeply")


def _children(node: dict[str, Any]) -> Iterator[Any]:
    yield from (node[name] for name in _ONE_SCHEMA if name in node)
    for name in _SCHEMAS_BY_NAME:
        if isinstance(node.get(name), dict):
            yield from node[name].values()
    for name in _SCHEMA_LISTS:
        if isinstance(node.get(name), list):
            yield from node[name]


def _strict_node(node: dict[str, Any]) -> bool:
    if not node.keys() <= _STRICT or str(node.get("format", "date")) not in _STRICT_FORMATS:
        return False
    properties = node.get("properties")
    kinds = node.get("type")
    if properties is None and "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        return True
    required = node.get("required", [])
    return (
        node.get("additionalProperties") is False
        and isinstance(required, list)
        and isinstance(properties, dict)
        and set(properties) == {name for name in required if isinstance(name, str)}
    )


def _as_object(schema: dict[str, Any]) -> dict[str, Any]:
    if any(name in schema for name in _NOT_AT_THE_TOP):
        return _merged(schema)
    return {**schema, "type": "object", "properties": _dictionary(schema.get("properties"))}


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """Alternatives at the top made one object: all their properties, required what all of them require."""
    one_of = [*_branches(schema, "anyOf"), *_branches(schema, "oneOf")]
    every = [schema, _behind(schema, schema), *_branches(schema, "allOf")]
    properties: dict[str, Any] = {}
    for branch in (*every, *one_of):
        for name, value in _dictionary(branch.get("properties")).items():
            properties.setdefault(name, value)
    required = [name for branch in every for name in _names(branch)]
    if one_of:
        required += [name for name in _names(one_of[0]) if all(name in _names(other) for other in one_of)]
    kept = {name: value for name, value in schema.items() if name not in _NOT_AT_THE_TOP}
    merged = {**kept, "type": "object", "properties": properties}
    return {**merged, "required": list(dict.fromkeys(required))} if required else merged


def _branches(root: dict[str, Any], keyword: str) -> list[dict[str, Any]]:
    listed = root.get(keyword)
    if not isinstance(listed, list):
        return []
    return [_behind(root, branch) for branch in listed if isinstance(branch, dict)]


def _behind(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What the schema's `$ref` points at, or itself where it has none that can be followed."""
    target = local_reference(root, schema.get("$ref"))
    return target if isinstance(target, dict) else schema


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(branch: dict[str, Any]) -> list[str]:
    required = branch.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
