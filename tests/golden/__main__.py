"""`python -m tests.golden [CASE…]`: write what the goldens expect anew, and show how it differs from before.

A CASE is a folder's name or `requests/NAME`; without one, all are written. What differs is a change of
behaviour: read it before you keep it. `--check` only shows, and ends with status 1 where something differs.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support import error_goldens, goldens
from tests.support.goldens import Rewritten
from tests.translate import goldens as request_goldens

ROOT = Path(__file__).parent
ROOMS: dict[str, Callable[[Path], Iterator[Rewritten]]] = {
    "requests": request_goldens.rewritten,
    "refused": request_goldens.rewritten,
    "streams": goldens.rewritten,
    "passed": goldens.rewritten,
    "errors": error_goldens.rewritten,
}


def cases(named: list[str]) -> list[Path]:
    """The folders named, or all of them.

    Raises:
        SystemExit: a name that is no case's.
    """
    found = [folder for room in ROOMS for folder in sorted((ROOT / room).glob("*"))]
    names = {
        name: folder for folder in found for name in (folder.name, f"{folder.parent.name}/{folder.name}")
    }
    strangers = [name for name in named if name not in names]
    if strangers:
        raise SystemExit(f"no such golden: {', '.join(strangers)}")
    return [names[name] for name in named] or found


def difference(file: Rewritten) -> str:
    """How the file changes, as a unified diff; "" where it does not."""
    name = str(file.path.relative_to(ROOT.parents[1]))
    before, after = (text.splitlines(keepends=True) for text in (file.old or "", file.new or ""))
    return "".join(difflib.unified_diff(list(before), list(after), name, name))


def write(file: Rewritten) -> None:
    """Make the file what it should be."""
    if file.new is None:
        file.path.unlink(missing_ok=True)
    else:
        file.path.write_bytes(file.new.encode())


def main(arguments: list[str]) -> int:
    """Show the differences, and write them unless only checking; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("case", nargs="*", help="a case's name; none: all of them")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if something differs")
    asked = parser.parse_args(arguments)
    changed = [
        file
        for folder in cases(asked.case)
        for file in ROOMS[folder.parent.name](folder)
        if file.old != file.new
    ]
    for file in changed:
        sys.stdout.write(difference(file))
        if not asked.check:
            write(file)
    return 1 if asked.check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
