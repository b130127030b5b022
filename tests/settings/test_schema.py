import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ccproxy_trio.settings.model import Settings
from ccproxy_trio.settings.schema import DESCRIPTIONS, json_schema, shipped, text
from ccproxy_trio.settings.source import read

HERE = Path(__file__).parent
CONFIG = HERE.parent.parent / "config"
REWRITE = (
    "python -m ccproxy_trio.settings.schema > config/providers.schema.json && "
    "cp config/providers.schema.json ccproxy_trio/settings/"
)
EXAMPLES = [
    path
    for path in sorted([*CONFIG.glob("*.json"), *(HERE / "guide").glob("*.json")])
    if not path.name.endswith((".schema.json", ".fragment.json"))
]


def test_the_shipped_schema_is_the_one_the_structs_make() -> None:
    assert shipped() == text(), f"stale; rewrite it: {REWRITE}"


def test_the_module_prints_it() -> None:
    command = [sys.executable, "-m", "ccproxy_trio.settings.schema"]
    assert subprocess.run(command, capture_output=True, check=True).stdout.decode() == text()


def test_the_schema_beside_the_examples_is_the_shipped_one() -> None:
    assert (CONFIG / "providers.schema.json").read_text("utf-8") == text(), f"stale; rewrite it: {REWRITE}"


def test_every_key_has_a_description_and_every_description_a_key() -> None:
    made = msgspec.json.schema(Settings, schema_hook=lambda _: {"type": "string"})["$defs"]
    assert {name: set(definition["properties"]) for name, definition in made.items()} == {
        name: set(described) for name, described in DESCRIPTIONS.items()
    }


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_satisfies_the_schema(validator: Any, path: Path) -> None:
    data = read(path.read_bytes(), file=path.name).data
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"base_url": "${URL}/v1", "profile": "${PROFILE}", "api_version": "${V}"}, True),
        ({"name": "${NAME}", "models": {"big": ["${MODEL}"]}}, True),
        ({"timeout": "${TIMEOUT}"}, False),
        ({"enabled": "${ON}"}, False),
        ({"base_url": "x"}, False),
        ({"profile": "x"}, False),
        ({"api_key": ""}, False),
        ({"timeout": 0}, False),
        ({"models": {}}, False),
        ({"models": {"big": []}}, False),
        ({"models": {"huge": ["x"]}}, False),
        ({"extra": 1}, False),
        ({"options": {"efforts": ["low", "${E}"]}}, True),
        ({"options": {"efforts": ["x"]}}, False),
    ],
)
def test_the_schema_takes_what_loads(validator: Any, change: dict[str, Any], right: bool) -> None:
    entry = {"name": "a", "api_key": "k", "base_url": "https://x.example", "models": {"big": ["m"]}}
    assert validator.is_valid({"$schema": "s", "providers": [{**entry, **change}]}) == right


def test_numbers_and_switches_take_no_variables() -> None:
    properties = json_schema()["$defs"]["ProviderSettings"]["properties"]
    assert properties["timeout"]["type"] == "number"
    assert properties["enabled"]["type"] == "boolean"
    assert "pattern" not in json.dumps([properties["timeout"], properties["enabled"]])
    assert properties["profile"]["anyOf"][1] == {"type": "string", "pattern": r"\$\{"}
