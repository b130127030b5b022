"""The documentation says what the code does: its tables are current, its marks are all used."""

import re
from pathlib import Path

import pytest

from tests.support.docs import GENERATORS, pages, renewed, table


@pytest.mark.parametrize("page", list(pages()), ids=lambda path: path.name)
def test_the_generated_parts_are_current(page: Path) -> None:
    text = page.read_text()
    assert renewed(text) == text, "run `python -m tests.support.docs`"


def test_every_table_is_shown_somewhere() -> None:
    text = "".join(page.read_text() for page in pages())
    assert set(re.findall(r"<!-- generated: (\w+) -->", text)) == set(GENERATORS)


def test_a_stale_part_is_renewed_and_nothing_else() -> None:
    stale = "before\n<!-- generated: stops -->\nold\n<!-- end -->\nafter\n"
    fresh = renewed(stale)
    assert fresh.startswith("before\n<!-- generated: stops -->\n\n| finish reason")
    assert fresh.endswith("\n<!-- end -->\nafter\n")
    assert "old" not in fresh


def test_a_bar_in_a_cell_is_no_border() -> None:
    assert table(("a",), [("x|y",)]) == "| a |\n| --- |\n| x\\|y |\n"
