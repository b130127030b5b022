"""The registers under `tests/golden/rows/`: which goldens show which row of the translation.

A register maps a row, in our own words, to the goldens that show it. So a behaviour without a golden is seen,
and so is a golden of which nobody knows any more what it is for.
"""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent / "golden"
REGISTERS = sorted((ROOT / "rows").iterdir())
ROOMS = {folder.name for folder in ROOT.iterdir() if folder.is_dir()} - {"rows", "__pycache__"}


def rows_of(register: Path) -> list[tuple[str, list[str]]]:
    """The rows of a register, a row that occurs twice twice."""
    read: list[tuple[str, list[str]]] = json.loads(register.read_bytes(), object_pairs_hook=list)
    return read


def named() -> set[str]:
    return {name for register in REGISTERS for _, goldens in rows_of(register) for name in goldens}


@pytest.mark.parametrize("register", REGISTERS, ids=lambda path: path.name)
def test_every_row_has_goldens_that_exist(register: Path) -> None:
    rows = rows_of(register)
    assert len({row for row, _ in rows}) == len(rows), "a row occurs twice"
    for row, goldens in rows:
        assert goldens, f"nothing shows {row!r}"
        assert len(set(goldens)) == len(goldens), f"{row!r} names a golden twice"
        for golden in goldens:
            assert (ROOT / golden / "case.json").exists() or (ROOT / golden / "settings.json").exists(), (
                golden
            )


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_golden_belongs_to_a_row(room: str) -> None:
    assert {f"{room}/{folder.name}" for folder in (ROOT / room).iterdir()} <= named()
