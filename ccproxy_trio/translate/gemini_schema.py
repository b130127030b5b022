"""JSON schemas for Gemini, which takes an OpenAPI subset and answers 400 to every key outside it.

The result is built from the keys Gemini knows, never by removing those it does not: the list of what it
refuses grows with what people write. References are put in place, since there are none in the subset.

Source: the `Schema` object of Google's Generative Language API reference.
"""

from collections.abc import Callable
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
            return _several_types(schema, built)
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


def _several_types(schema: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
    """`type: [a, b]` as alternatives. The constraints stay on the parent: each concerns one kind of value."""
    real = _real_types(schema)
    return {**built, "anyOf": [{"type": kind} for kind in real]} if len(real) > 1 else built


def _enum(schema: dict[str, Any]) -> dict[str, Any]:
    """Gemini's enums are strings; a `const` is an enum of one."""
    values = [schema["const"]] if "const" in schema else _list(schema.get("enum"))
    strings = [value for value in values if isinstance(value, str)]
    return {"type": "string", "enum": strings} if strings else {}


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """`exclusiveMinimum: 0` is `minimum: 1` for integers; for other numbers the nearest that can be said."""
    step = 1 if schema.get("type") == "integer" else 0
    built = _bound(schema, "exclusiveMinimum", "minimum", lambda bound, own: max(bound + step, own))
    return built | _bound(schema, "exclusiveMaximum", "maximum", lambda bound, own: min(bound - step, own))


def _bound(
    schema: dict[str, Any], exclusive: str, inclusive: str, tighter: Callable[[float, float], float]
) -> dict[str, Any]:
    bound = schema.get(exclusive)
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return {}  # absent, or the boolean of an old draft
    own = schema.get(inclusive)
    widest = tighter(bound, bound)
    return {inclusive: tighter(bound, own) if isinstance(own, int | float) else widest}
