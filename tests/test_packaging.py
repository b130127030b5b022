"""What is imported is declared, and what is declared is locked."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
OURS = {"ccproxy_trio", "benchmarks", "tests"}


def _name(requirement: str) -> str:
    """`hypercorn[trio]>=0.18` as `hypercorn`, spelt as package indexes compare names."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found.group()).lower()


RUNTIME = {_name(requirement) for requirement in PROJECT["dependencies"]}
DEVELOPMENT = {_name(requirement) for requirement in PROJECT["optional-dependencies"]["dev"]}
BENCHMARKS = {_name(requirement) for requirement in PROJECT["optional-dependencies"]["bench"]}
EXTRAS = {
    _name(requirement)
    for extra, requirements in PROJECT["optional-dependencies"].items()
    for requirement in requirements
    if extra not in ("dev", "bench")
}


def _imported(room: str) -> set[str]:
    """The foreign top-level modules that a folder's modules import."""
    found: set[str] = set()
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - OURS - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("room", "declared"),
    [
        ("ccproxy_trio", RUNTIME | EXTRAS),
        ("benchmarks", RUNTIME | BENCHMARKS),
        ("tests", RUNTIME | DEVELOPMENT),
    ],
)
def test_what_is_imported_is_declared(room: str, declared: set[str]) -> None:
    providers = packages_distributions()
    undeclared = {
        module
        for module in _imported(room)
        if not declared & {_name(distribution) for distribution in providers.get(module, ())}
    }
    assert undeclared == set()


def test_what_is_declared_for_use_is_imported() -> None:
    providers = packages_distributions()
    used = {_name(each) for module in _imported("ccproxy_trio") for each in providers.get(module, ())}
    assert used >= RUNTIME


def test_whoever_develops_has_all_extras() -> None:
    assert DEVELOPMENT >= EXTRAS


def test_the_lock_has_all_that_is_declared_each_with_its_hashes() -> None:
    locked = re.findall(r"^([a-z0-9-]+)==([^\s;]+)[^\n]*\n    --hash=sha256:[0-9a-f]{64}", LOCK, re.MULTILINE)
    assert {name for name, _ in locked} >= RUNTIME | DEVELOPMENT
    assert len(locked) == len(re.findall(r"^[a-z]", LOCK, re.MULTILINE))


def test_the_lock_says_how_it_is_made_and_names_no_address() -> None:
    assert "uv pip compile" in LOCK.splitlines()[1]
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links)", LOCK, re.MULTILINE)
