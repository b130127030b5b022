"""The house's laws, held by program: sizes, nesting, and who may read, catch or name what.

import-linter holds the laws about imports, ruff those about style; these are the ones they cannot say.
"""

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ccproxy_trio"
CODE = (PACKAGE, ROOT / "benchmarks", ROOT / "tests" / "support")
ALL = (PACKAGE, ROOT / "benchmarks", ROOT / "tests")

LONGEST_FUNCTION = 60  # lines
USUAL_FUNCTION = 40  # lines; nine of ten are shorter
LONGEST_MODULE = 400  # lines
DEEPEST_NESTING = 3

# The supervisor; the edge's last resort; the exchange, so that a bug on one candidate's path does not keep
# a request from the others.
MAY_CATCH_EVERYTHING = ("actors/kit.py", "edge/", "exchange.py")
# The loader; the commands; and the composition root, which asks whether the terminal takes colour.
MAY_READ_ENVIRONMENT = ("settings/load.py", "cli/", "app.py")

# Where packages come from is the user's business, and where the work was done is nobody's. The names are
# written so that this file does not match itself; /tmp/x is anybody's.
FOREIGN = re.compile(
    r"py[p]i\.org|python[h]osted|npm[j]s\.(org|com)|(?<![\w.~-])/(work|root|opt)[/]\w|/tmp[/](?!x\b)\w",
    re.IGNORECASE,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(Struct, frozen=True, order=True):
    """A function and the number that a law is about."""

    number: int
    where: str


def _modules(*rooms: Path) -> Iterator[tuple[str, Path]]:
    for room in rooms:
        for path in sorted(room.rglob("*.py")):
            yield str(path.relative_to(ROOT)), path


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _nesting(node: ast.AST, depth: int = 0) -> int:
    """The deepest block below `node`; an `elif` is as deep as its `if`, an inner function starts afresh."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        deepest = max(deepest, _nesting(child, depth + _opens_block(child, node)))
    return deepest


def _opens_block(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(node, ast.If) and isinstance(parent, ast.If) and parent.orelse == [node]:
        return False
    blocks = (
        ast.If,
        ast.For,
        ast.AsyncFor,
        ast.While,
        ast.With,
        ast.AsyncWith,
        ast.Try,
        ast.TryStar,
        ast.Match,
    )
    return isinstance(node, blocks)


@functools.cache
def _tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def _measured(measure: object, *rooms: Path) -> list[Finding]:
    assert callable(measure)
    return [
        Finding(measure(function), f"{name}:{function.lineno} {function.name}")
        for name, path in _modules(*rooms)
        for function in _functions(_tree(path))
    ]


def _beyond(limit: int, findings: list[Finding]) -> str:
    """One line for each, since pytest shows all of a string and only the first of a list."""
    return "\n".join(f"{each.where}: {each.number}" for each in findings if each.number > limit)


def test_no_function_is_longer_than_a_page() -> None:
    assert _beyond(LONGEST_FUNCTION, _measured(_length, *ALL)) == ""


def test_nine_of_ten_functions_fit_half_a_page() -> None:
    found = _measured(_length, PACKAGE)
    short = [each for each in found if each.number < USUAL_FUNCTION]
    assert len(short) >= 0.9 * len(found) > 0


def test_blocks_are_nested_three_deep_at_most() -> None:
    assert _beyond(DEEPEST_NESTING, _measured(_nesting, *CODE)) == ""


def test_no_module_is_longer_than_it_can_be_read_at_once() -> None:
    lengths = [Finding(len(path.read_text().splitlines()), name) for name, path in _modules(*CODE)]
    assert _beyond(LONGEST_MODULE, lengths) == ""


def test_only_the_root_package_says_something_in_its_init() -> None:
    inits = [(name, path) for name, path in _modules(*ALL) if path.name == "__init__.py"]
    assert [name for name, path in inits if path.read_text()] == ["ccproxy_trio/__init__.py"]


def test_everything_is_caught_only_where_a_bug_may_be_survived() -> None:
    assert _places(_catches_everything, allowed=MAY_CATCH_EVERYTHING) == []


def test_the_environment_is_read_where_the_configuration_is() -> None:
    assert _places(_reads_environment, allowed=MAY_READ_ENVIRONMENT) == []


def _places(rule: object, *, allowed: tuple[str, ...]) -> list[str]:
    assert callable(rule)
    return [
        f"{name}:{node.lineno}"
        for name, path in _modules(PACKAGE)
        if not str(path.relative_to(PACKAGE)).startswith(allowed)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.expr | ast.stmt | ast.excepthandler) and rule(node)
    ]


def _catches_everything(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):  # suppress(Exception)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name == "suppress" and any(map(_is_everything, node.args))
    if not isinstance(node, ast.ExceptHandler) or _passes_on(node):
        return False
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(each is None or _is_everything(each) for each in caught)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """Whoever ends with a bare `raise` has looked, not caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _is_everything(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("Exception", "BaseException")


def _reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(alias.name in ("environ", "environb", "getenv") for alias in names)
        case _:
            return False


def test_no_file_names_a_registry_or_a_folder_of_the_machine_it_was_made_on() -> None:
    found = []
    for path in _published():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert found == []


def _published() -> Iterator[Path]:
    """What is, or by default would be, committed."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        told = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    for name in told.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            yield ROOT / name


# -- the measures themselves: a law that nothing can break holds nothing ---------------------------------


def _function(text: str) -> Function:
    (function,) = _functions(ast.parse(text))
    return function


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("def f():\n    pass", 0),
        ("def f():\n    for a in b:\n        if a:\n            with c:\n                pass", 3),
        ("def f():\n    if a:\n        pass\n    elif b:\n        pass\n    elif c:\n        pass", 1),
        ("def f():\n    try:\n        pass\n    except E:\n        while a:\n            pass", 2),
        ("async def f():\n    async with a:\n        match b:\n            case 1:\n                c()", 2),
    ],
)
def test_nesting_is_counted_as_one_reads_it(text: str, depth: int) -> None:
    assert _nesting(_function(text)) == depth


def test_a_functions_length_includes_its_head_and_its_docstring() -> None:
    assert _length(_function('def f():\n    """Say."""\n\n    return 1\n')) == 4


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("try:\n    pass\nexcept Exception:\n    pass", True),
        ("try:\n    pass\nexcept (OSError, BaseException):\n    pass", True),
        ("try:\n    pass\nexcept:\n    pass", True),
        ("with contextlib.suppress(Exception):\n    pass", True),
        ("try:\n    pass\nexcept Exception as e:\n    raise Other from e", True),
        ("try:\n    pass\nexcept BaseException:\n    note()\n    raise", False),
        ("try:\n    pass\nexcept ExceptionGroup:\n    pass", False),
        ("with suppress(OSError):\n    pass", False),
    ],
)
def test_catching_everything_is_recognised(text: str, *, caught: bool) -> None:
    assert any(map(_catches_everything, ast.walk(ast.parse(text)))) is caught


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("import os\nos.environ['HOME']", True),
        ("import os\nos.getenv('HOME')", True),
        ("from os import environ", True),
        ("def f(environ): return environ['HOME']", False),
    ],
)
def test_reading_the_environment_is_recognised(text: str, *, reads: bool) -> None:
    assert any(map(_reads_environment, ast.walk(ast.parse(text)))) is reads


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("https://py" + "pi.org/simple", True),
        ("https://files.python" + "hosted.org/x", True),
        ("registry.npm" + "js.org", True),
        ("see /wo" + "rk/shared", True),
        ("/tm" + "p/scratch.py", True),
        ("src/work/tree", False),
        ("a /work of art", False),
    ],
)
def test_foreign_names_are_recognised(text: str, *, foreign: bool) -> None:
    assert bool(FOREIGN.search(text)) is foreign
