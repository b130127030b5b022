"""What is wrong with a configuration, and where: facts first, one block of text for a terminal last.

No fault ever holds a value: the value may be a key, and where it stands says enough.
"""

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from msgspec import Struct

Path = tuple[str | int, ...]  # the way to a value: ("providers", 0, "timeout")
_PLAIN = re.compile(r"[A-Za-z0-9_$]+")


class ConfigFault(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or worth a warning. `str()` gives `FILE:LINE:COLUMN: path: message`.

    `file` is the file as it was named, or "environment"; `path` is the dotted path of the key (or the
    variable's name); `line` and `column` count from 1 and are None where there is no text to point into.
    """

    file: str
    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


class Finding(Struct, frozen=True):
    """What a rule found. Not `fatal`: a warning. `at_key`: the key itself is wrong, rather than its value."""

    path: Path
    message: str
    fatal: bool = True
    at_key: bool = False


class ConfigError(Exception):
    """The configuration cannot be used. `str()` is for a terminal: one line a fault, in the file's order."""

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0)))
        super().__init__("\n".join(str(fault) for fault in self.faults))


def dotted(path: Path) -> str:
    """A path as people write it: `providers[0].custom_headers["X-Api-Key"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step[:60])}]"
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be; case, dashes and underscores do not count."""
    folded = {_folded(candidate): candidate for candidate in known}
    found = get_close_matches(_folded(word), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "…"?`, or nothing."""
    found = nearest(word, known)
    return f' Did you mean "{found}"?' if found else ""


def listed(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _folded(word: str) -> str:
    return re.sub(r"[-_\s]", "", word).casefold()
