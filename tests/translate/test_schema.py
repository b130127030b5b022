import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy_trio.translate import schema
from ccproxy_trio.wire.faults import RequestRefused, Untranslatable


def cleaned(given: Any, kind: schema.Kind = "json") -> Any:
    return json.loads(bytes(schema.parameters(Raw(json.dumps(given).encode()), kind, "tools.T.input_schema")))


def prop(given: Any, kind: schema.Kind = "gemini", **defs: Any) -> Any:
    """What one property's schema becomes."""
    return cleaned({"type": "object", "properties": {"p": given}, **defs}, kind)["properties"]["p"]


def test_annotations_go_and_everything_else_keeps_its_bytes() -> None:
    properties = b'{"a": {"minimum": 1.50, "type":"number"}}'
    given = b'{"$schema":"x","type":"object","properties":%b,"$comment":"c"}' % properties
    made = schema.parameters(Raw(given), "json", "w")
    assert bytes(made) == b'{"type":"object","properties":%b}' % properties


def test_annotations_below_the_top_go_too_but_not_properties_of_that_name() -> None:
    given = {
        "type": "object",
        "properties": {
            "$id": {"type": "string", "$comment": "c"},
            "list": {"items": {"$id": "x", "type": "null"}},
        },
        "anyOf": [{"$schema": "x"}, True],
        "$defs": 5,
    }
    assert cleaned(given) == {
        "type": "object",
        "properties": {"$id": {"type": "string"}, "list": {"items": {"type": "null"}}},
        "anyOf": [{}, True],
        "$defs": 5,
    }


@pytest.mark.parametrize("given", [{}, {"type": "string"}, {"properties": {}}])
@pytest.mark.parametrize("kind", ["json", "openai", "gemini"])
def test_parameters_are_always_an_object_with_properties(given: dict[str, Any], kind: schema.Kind) -> None:
    assert cleaned(given, kind) == {"type": "object", "properties": {}}


def test_alternatives_at_the_top_become_one_object_for_openai() -> None:
    given = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "anyOf": [
            {"properties": {"b": {"type": "string"}, "a": {"type": "null"}}, "required": ["b", "c"]},
            {"$ref": "#/$defs/other"},
            5,
        ],
        "allOf": [{"properties": {"d": {}}, "required": ["d", "a", 7]}, {"properties": 5, "required": "x"}],
        "not": {},
        "enum": [1],
        "oneOf": "nonsense",
        "$defs": {"other": {"properties": {"c": {"type": "number"}}, "required": ["c"]}},
    }
    assert cleaned(given, "openai") == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "d": {}, "b": {"type": "string"}, "c": {"type": "number"}},
        "required": ["a", "d", "c"],
        "$defs": {"other": {"properties": {"c": {"type": "number"}}, "required": ["c"]}},
    }


def test_reference_at_the_top_is_followed() -> None:
    given = {"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"properties": {"a": {}}, "required": ["a"]}}}
    assert cleaned(given, "openai")["properties"] == {"a": {}}
    assert cleaned(given, "gemini") == {"type": "object", "properties": {"a": {}}, "required": ["a"]}
    assert cleaned({"$ref": "https://elsewhere"}, "openai") == {"type": "object", "properties": {}}
    assert cleaned({"$ref": "#/a/b", "a": 5}, "openai") == {"type": "object", "properties": {}, "a": 5}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"const": "x"}, {"type": "string", "enum": ["x"]}),
        ({"const": 5, "type": "integer"}, {"type": "integer"}),
        ({"const": 5}, {"type": "integer"}),
        ({"const": True}, {"type": "boolean"}),
        ({"enum": [1, 2.5]}, {"type": "number"}),
        ({"enum": ["", "a"]}, {"type": "string", "enum": ["a"]}),
        ({"enum": ["a", 1, None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"enum": [1, 2], "type": "integer"}, {"type": "integer"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "number"]}, {"anyOf": [{"type": "string"}, {"type": "number"}]}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "exclusiveMaximum": 9, "maximum": 5}, {"type": "integer", "maximum": 5}),
        ({"type": "integer", "exclusiveMinimum": 3, "minimum": 1}, {"type": "integer", "minimum": 4}),
        ({"type": "number", "exclusiveMaximum": 9}, {"type": "number", "maximum": 9}),
        ({"type": "integer", "exclusiveMinimum": 0.5}, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "exclusiveMinimum": -3, "minimum": 0}, {"type": "integer", "minimum": 0}),
        (
            {"type": ["integer", "null"], "exclusiveMinimum": 0},
            {"type": "integer", "nullable": True, "minimum": 1},
        ),
        (
            {
                "type": ["array", "string", "null"],
                "items": {"const": "x"},
                "minLength": 1,
                "description": "d",
            },
            {
                "description": "d",
                "nullable": True,
                "anyOf": [
                    {"type": "array", "items": {"type": "string", "enum": ["x"]}},
                    {"type": "string", "minLength": 1},
                ],
            },
        ),
        (
            {"type": ["array", "number"]},
            {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "number"}]},
        ),
        ({"type": "number", "exclusiveMinimum": True, "minimum": 1}, {"type": "number", "minimum": 1}),
        ({"type": "string", "format": "uri"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "integer", "format": "date-time"}, {"type": "integer"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"items": {"const": "x"}}, {"items": {"type": "string", "enum": ["x"]}}),
        ({"type": "array", "items": [{"type": "number"}]}, {"type": "array", "items": {"type": "number"}}),
        (
            {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}], "items": False},
            {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"anyOf": [{"type": "null"}, {"const": None}]}, {"nullable": True}),
        (
            {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "string"}], "description": "d"},
            {"description": "d", "anyOf": [{"type": "string"}, {"type": "number"}]},
        ),
        (True, {"type": "object"}),
        (
            {"properties": {"a": {}}, "required": ["a", "a", "gone", 5]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
        ({"type": "object", "properties": 5}, {"type": "object"}),
        (
            {"allOf": [{"properties": {"a": {}}, "required": ["a"], "title": "t"}, 7],
             "properties": {"b": {}}, "required": ["b"], "title": "own"},
            {"title": "own", "type": "object", "properties": {"a": {}, "b": {}}, "required": ["b", "a"]},
        ),
        (
            {"type": "string", "default": "x", "examples": [1], "not": {}, "if": {}, "then": {}, "else": {},
             "contains": {}, "uniqueItems": True, "dependentRequired": {}, "patternProperties": {},
             "additionalProperties": False, "propertyNames": {}, "readOnly": True, "$comment": "c"},
            {"type": "string"},
        ),
    ],
)  # fmt: skip
def test_schemas_for_gemini(given: Any, made: Any) -> None:
    assert prop(given) == made


def test_references_are_put_in_place_for_gemini() -> None:
    defs = {"$defs": {"n": {"type": "string", "description": "there"}}}
    assert prop({"$ref": "#/$defs/n", "description": "here"}, **defs) == {
        "type": "string",
        "description": "here",
    }
    assert prop({"allOf": [{"$ref": "#/$defs/n"}]}, **defs) == {"description": "there", "type": "string"}
    assert prop({"$ref": "#/$defs/gone"}, **defs) == {"type": "object"}


def test_schema_that_contains_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    made = prop({"$ref": "#/$defs/node"}, **{"$defs": {"node": node}})
    assert made == {"type": "object", "properties": {"next": {"type": "object"}}}


def test_references_that_multiply_are_refused() -> None:
    defs = {f"l{n}": {"properties": {k: {"$ref": f"#/$defs/l{n + 1}"} for k in "abcdefgh"}} for n in range(9)}
    with pytest.raises(Untranslatable, match=r"tools\.T\.input_schema: the schema is too large"):
        prop({"$ref": "#/$defs/l0"}, **{"$defs": {**defs, "l9": {"type": "string"}}})


FORBIDDEN = {
    *("additionalProperties", "propertyNames", "exclusiveMinimum", "exclusiveMaximum", "patternProperties"),
    *(
        "if",
        "then",
        "else",
        "not",
        "dependentRequired",
        "dependentSchemas",
        "contains",
        "uniqueItems",
        "default",
    ),
    *("examples", "const", "oneOf", "allOf", "$ref", "$defs", "$schema"),
}
KEYWORDS = [*FORBIDDEN, "type", "enum", "items", "properties", "anyOf", "required", "a"]


def keywords(made: Any) -> set[str]:
    """The keywords of a schema, names of properties not among them."""
    if not isinstance(made, dict):
        return set()
    inner = [*made.get("properties", {}).values(), *made.get("anyOf", []), made.get("items")]
    return set(made).union(*map(keywords, inner))


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["string", "null", "integer", "#/$defs/a", "x"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=15,
)


@given(
    st.dictionaries(
        st.sampled_from([*FORBIDDEN, "type", "properties", "anyOf", "items"]), anything, max_size=6
    )
)
@settings(max_examples=120, deadline=None)
def test_whatever_is_given_gemini_gets_no_forbidden_keyword(given: dict[str, Any]) -> None:
    assert keywords(cleaned(given, "gemini")) & FORBIDDEN == set()


@given(
    st.dictionaries(st.sampled_from([*FORBIDDEN, "type", "properties", "anyOf", "$id"]), anything, max_size=6)
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_given_openai_gets_an_object_without_alternatives_at_the_top(
    given: dict[str, Any],
) -> None:
    made = cleaned(given, "openai")
    assert made["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "not", "enum", "$ref"} & set(made)


CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


def closed(property_: Any) -> Any:
    return {**CLOSED, "properties": {"a": property_}, "required": ["a"]}


@pytest.mark.parametrize(
    ("given", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "object", "properties": {}, "required": "x", "additionalProperties": False}, False),
        ({"type": "string"}, False),
        ({"type": "array", "items": {"properties": {"a": {}}}}, False),
        ({**CLOSED, "anyOf": [CLOSED]}, False),
        (closed({"type": "string", "minLength": 1}), False),
        (closed({"type": "string", "format": "uri"}), False),
        (closed({"type": "string", "format": "date", "pattern": "2"}), True),
        (closed({"type": ["object", "null"]}), False),
        (closed({"type": ["string", "null"]}), True),
        (closed({"anyOf": [{"type": "string"}, CLOSED]}), True),
        (closed({"oneOf": [{"type": "string"}, CLOSED]}), False),
    ],
)
def test_strict_is_what_openai_enforces(given: Any, strict: bool) -> None:
    assert schema.is_strict(Raw(json.dumps(given).encode()), "w") is strict


def test_schema_nested_past_all_sense_is_refused() -> None:
    given: Any = {}
    for _ in range(150):
        given = {
            "type": "object",
            "properties": {"a": given},
            "required": ["a"],
            "additionalProperties": False,
        }
    with pytest.raises(RequestRefused, match="w: the schema is nested too deeply"):
        schema.is_strict(Raw(json.dumps(given).encode()), "w")


def test_number_that_cannot_be_held_is_refused_where_the_schema_must_be_rewritten() -> None:
    given = Raw(b'{"properties":{"a":{"minimum":1e400}}}')
    assert b"1e400" in bytes(schema.parameters(given, "json", "w"))
    with pytest.raises(RequestRefused, match="w: not usable JSON"):
        schema.parameters(given, "gemini", "w")


def test_schema_in_words_is_one_line() -> None:
    assert schema.in_words(Raw(b'{\n "type": "object" }'), "w").endswith('{"type":"object"}')
