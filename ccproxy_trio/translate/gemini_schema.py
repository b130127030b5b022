"""JSON schemas for Gemini, which takes an OpenAPI subset and answers 400 to every key outside it.

The result is built from the keys Gemini knows, never by removing those it does not: the list of what it
refuses grows with what people write. References are put in place, since there are none in the subset.

Source: the `Schema` object of Google's Generative Language API reference.
"""

import math
from typing import Any

from ccproxy_trio.wire.faults import Untranslatable

_AS_IT_IS = (
    "title",
    "description",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
)
_FORMATS = ("enum", "date-time")
# The keywords that concern one kind of value only.
_CONCERNS: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format", "enum", "const"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "object": ("properties", "required", "minProperties", "maxProperties"),
}
_IMPLIED = (({str}, "string"), ({bool}, "boolean"), ({int}, "integer"), ({int, float}, "number"))
_DEEPEST = 60
_NODES_AT_MOST = 5_000  # references multiply: a few lines can unfold into gigabytes


def for_gemini(schema: dict[str, Any], where: str) -> dict[str, Any]:
    """The same schema in Gemini's subset, as far as it can be said there.

    Raises:
        Untranslatable: it unfolds into more nodes than any honest schema has.
    """
    return _Rewriter(schema, where).node(schema, ())


def local_reference(root: dict[str, Any], reference: Any) -> Any:
    """What `#/a/b` points at inside `root`; None for anything else."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    value: Any = root
    for step in reference.split("/")[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(step.replace("~1", "/").replace("~0", "~"))
    return value


class _Rewriter:
    def __init__(self, root: dict[str, Any], where: str) -> None:
        self._root = root
        self._where = where
        self._nodes = 0

    def node(self, schema: Any, trail: tuple[str, ...]) -> dict[str, Any]:
        """One schema rewritten. `trail` holds the references that led here, and a mark per level."""
        self._nodes += 1
        if self._nodes > _NODES_AT_MOST or len(trail) > _DEEPEST:
            raise Untranslatable(f"{self._where}: the schema is too large for this provider")
        if not isinstance(schema, dict):
            return {"type": "object"}  # `true`: anything goes
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referenced(schema, reference, trail)
        whole = self._with_all_of(schema)
        if len(_real_types(whole)) > 1 and not whole.keys() & {"anyOf", "oneOf"}:
            whole = _of_each_type(whole)
        below = (*trail, "")
        built = {name: whole[name] for name in _AS_IT_IS if name in whole}
        built |= _type(whole) | _enum(whole) | _bounds(whole)
        if whole.get("format") in _FORMATS and built.get("type") == "string":
            built["format"] = whole["format"]
        built |= self._object(whole, below) | self._array(whole, built.get("type"), below)
        return self._alternatives(whole, built, below)

    def _referenced(self, schema: dict[str, Any], reference: str, trail: tuple[str, ...]) -> dict[str, Any]:
        target = local_reference(self._root, reference)
        if reference in trail or not isinstance(target, dict):
            return {"type": "object"}  # a schema that contains itself cannot be written out
        siblings = {name: value for name, value in schema.items() if name != "$ref"}
        return self.node({**target, **siblings}, (*trail, reference))

    def _with_all_of(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`allOf` laid into the schema itself; its own keys win."""
        whole = dict(schema)
        for branch in _list(schema.get("allOf")):
            target = local_reference(self._root, branch.get("$ref")) if isinstance(branch, dict) else None
            source = target if isinstance(target, dict) else branch
            for name, value in source.items() if isinstance(source, dict) else ():
                match whole.get(name), value:
                    case dict() as own, dict() as more if name == "properties":
                        whole[name] = {**more, **own}
                    case list() as own, list() as more if name == "required":
                        whole[name] = [*own, *more]
                    case None, _:
                        whole[name] = value
        return whole

    def _object(self, schema: dict[str, Any], trail: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        built: dict[str, Any] = {
            "type": "object",
            "properties": {name: self.node(value, trail) for name, value in properties.items()},
        }
        required = [
            name for name in _list(schema.get("required")) if isinstance(name, str) and name in properties
        ]
        if required:
            built["required"] = list(dict.fromkeys(required))
        return built

    def _array(self, schema: dict[str, Any], kind: Any, trail: tuple[str, ...]) -> dict[str, Any]:
        items = schema.get("items")
        places = [*_list(schema.get("prefixItems")), *_list(items)]
        if isinstance(items, dict):
            return {"items": self.node(items, trail)}
        if places:
            return {"items": self._alternatives({"anyOf": places}, {}, trail)}
        return {"items": {"type": "string"}} if kind == "array" else {}  # an array must say of what

    def _alternatives(
        self, schema: dict[str, Any], built: dict[str, Any], trail: tuple[str, ...]
    ) -> dict[str, Any]:
        branches = [*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))]
        if not branches:
            return built
        real = [branch for branch in branches if not _is_null(branch)]
        rewritten = _distinct([self.node(branch, trail) for branch in real])
        if len(real) < len(branches):
            built["nullable"] = True
        if len(rewritten) == 1:
            return {**rewritten[0], **built}
        return {**built, "anyOf": rewritten} if rewritten else built


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _distinct(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [schema for place, schema in enumerate(schemas) if schema not in schemas[:place]]


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("type") == "null" or schema.get("const", "") is None)


def _real_types(schema: dict[str, Any]) -> list[str]:
    return [kind for kind in _list(schema.get("type")) if isinstance(kind, str) and kind != "null"]


def _type(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return {"type": kind}
    real = _real_types(schema)
    nullable = {"nullable": True} if "null" in _list(kind) else {}
    return {"type": real[0], **nullable} if len(real) == 1 else nullable


def _of_each_type(schema: dict[str, Any]) -> dict[str, Any]:
    """`type: [a, b]` as alternatives, each with what is said of its kind of value."""
    own = set().union(*_CONCERNS.values())
    shared = {name: value for name, value in schema.items() if name not in own and name != "type"}
    branches = [
        {"type": kind} | {name: schema[name] for name in _CONCERNS.get(kind, ()) if name in schema}
        for kind in _real_types(schema)
    ]
    return shared | {"anyOf": branches + [{"type": "null"}] * ("null" in schema["type"])}


def _enum(schema: dict[str, Any]) -> dict[str, Any]:
    """Gemini's enums are strings, none of them empty; a `const` is an enum of one."""
    values = [schema["const"]] if "const" in schema else _list(schema.get("enum"))
    strings = [value for value in values if isinstance(value, str) and value]
    built = {"type": "string", "enum": strings} if strings else _type_of(values, schema)
    return built | ({"nullable": True} if None in values else {})


def _type_of(values: list[Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The type that an enum of no strings implies where the schema leaves it out."""
    kinds = {type(value) for value in values if value is not None}
    known = next((name for kind, name in _IMPLIED if kinds and kinds <= kind), None)
    return {"type": known} if known and "type" not in schema else {}


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """`exclusiveMinimum: 0` is `minimum: 1` for integers; for other numbers the nearest that can be said."""
    integer = "integer" in (schema.get("type"), *_real_types(schema))
    above, below = _number(schema.get("exclusiveMinimum")), _number(schema.get("exclusiveMaximum"))
    built: dict[str, Any] = {}
    if above is not None:
        lowest = math.floor(above) + 1 if integer else above
        built["minimum"] = max(lowest, _number(schema.get("minimum"), lowest))
    if below is not None:
        highest = math.ceil(below) - 1 if integer else below
        built["maximum"] = min(highest, _number(schema.get("maximum"), highest))
    return built


def _number(value: Any, otherwise: Any = None) -> Any:
    """The value where it is a number; `otherwise` for the booleans of an old draft, and for nothing."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
