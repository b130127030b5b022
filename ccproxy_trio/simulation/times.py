"""Spans of time as people type them: `30s`, `2m`, `1m30s`, `1h`, `250ms`, or plain seconds."""

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|min|s|m|h)")
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
LONGEST = 7 * 86_400.0  # seconds; beyond, somebody meant something else
HOW_TO_WRITE = "a time such as 30s, 2m, 1m30s or 1h"


class BadTime(ValueError):
    """It cannot be read as a time."""


def seconds_of(text: str) -> float:
    """The seconds that `text` names.

    Raises:
        BadTime: it names none, or more than a week.
    """
    word = text.strip().lower()
    if _PLAIN.fullmatch(word):
        seconds = float(word)
    else:
        pieces = _PIECE.findall(word)
        if not pieces or "".join(number + unit for number, unit in pieces) != word:
            raise BadTime(f"{text!r} is not {HOW_TO_WRITE}")
        seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in pieces)
    if seconds > LONGEST:
        raise BadTime(f"{text!r} is longer than a week")
    return seconds


def short(seconds: float) -> str:
    """A span as one would type it: `30s`, `1m30s`, `1.5s`, `1h`; `forever` for one without end."""
    if seconds == math.inf:
        return "forever"
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest:g}s" if rest else "")
    return "".join(parts)
