"""The soak's figures in `docs/faults.md`: a block between two marks, made of the stored figures alone."""

import re
from pathlib import Path

from rich.table import Table

from benchmarks.results import as_text

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "results" / "soak.json"
PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
_BLOCK = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)


def block(table: Table) -> str:
    """The figures with the command that measures them."""
    return f"{BEGIN}\n```console\n$ python -m benchmarks soak --keep\n{as_text(table)}\n```\n{END}"


def with_figures(page: str, table: Table) -> str:
    """The page with these figures in it.

    Raises:
        ValueError: the page has no place for them.
    """
    if len(_BLOCK.findall(page)) != 1:
        raise ValueError(f"{PAGE.name} needs {BEGIN} and {END} once")
    made = block(table)
    return _BLOCK.sub(lambda _: made, page)
