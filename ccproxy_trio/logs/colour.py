"""When to colour, how deep, and which colour is whose."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Literal, TextIO

from rich.style import Style

Depth = Literal["standard", "256", "truecolor"]

# Mid-bright hues, told apart on a black and on a white background; neighbours in the list differ most.
WIDE = (39, 208, 141, 43, 205, 148, 75, 178, 169, 71, 110, 173, 99, 37, 203, 137)
# Sixteen-colour terminals: the six hues twice. Red comes last, since errors are red.
NARROW = (6, 5, 4, 2, 3, 14, 13, 12, 10, 11, 1, 9)
# Past the end of a palette the hues come again, told apart by these.
ACCENTS = ("", "underline", "italic", "underline italic")


def depth(stream: TextIO, environ: Mapping[str, str]) -> Depth | None:
    """How many colours may be written to `stream`; None: no escape sequence at all.

    Only a terminal gets colour. `FORCE_COLOR` (1 to 3 choose the depth, 0 is as if unset) goes before what
    the stream is, `NO_COLOR` goes before everything. Source: no-color.org, force-color.org.
    """
    if environ.get("NO_COLOR"):
        return None
    force = environ.get("FORCE_COLOR", "").lower()
    forced = force not in ("", "0", "false")
    term = environ.get("TERM", "").lower()
    if not forced and (not _is_terminal(stream) or term in ("", "dumb", "unknown")):
        return None
    if force in ("1", "2", "3"):
        return ("standard", "256", "truecolor")[int(force) - 1]
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if "256" in term or forced else "standard"


class Palette:
    """A colour for each provider, by its place in the file: the same at every start, no two alike.

    Distinct for the first 64 (48 with sixteen colours). A name that is not in `names` gets one by checksum,
    still the same at every start.
    """

    def __init__(self, names: Sequence[str], depth: Depth | None) -> None:
        hues = NARROW if depth == "standard" else WIDE
        self._styles = tuple(Style.parse(f"color({hue}) {accent}") for accent in ACCENTS for hue in hues)
        self._places = {name: place for place, name in enumerate(names)}

    def of(self, name: str) -> Style:
        """The style in which this provider's name is written."""
        place = self._places.get(name)
        if place is None:
            place = zlib.crc32(name.encode("utf-8", "replace"))
        return self._styles[place % len(self._styles)]


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # a closed stream
        return False
