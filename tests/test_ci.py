"""CI and the README say the same thing."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ci_runs_the_line_that_the_readme_gives() -> None:
    line = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert line.startswith("python3 -m venv")
    assert line in (ROOT / "README.md").read_text().splitlines()
