"""The journal on a console: entries become structlog events, structlog events become coloured lines.

The way of an entry: scrubbed field by field -> structlog (level filter) -> a renderer -> the outlet.
Another output (JSON) is another renderer in the same place.
"""

import logging
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TextIO, cast

import msgspec
import structlog
from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

from ccproxy_trio.journal import AttemptEnded, Entry, Journal
from ccproxy_trio.logs.colour import Palette, depth
from ccproxy_trio.logs.lines import DIM, Line, render
from ccproxy_trio.logs.outlet import Outlet
from ccproxy_trio.settings.scrub import Scrub, scrubber

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


class _Events(Protocol):
    """What we use of a structlog logger."""

    def log(self, level: int, event: str, **fields: object) -> None: ...


class Painter:
    """Turns a `rich` text into what may be written to one stream: with its escapes, or without any."""

    def __init__(self, *, stream: TextIO, environ: Mapping[str, str]) -> None:
        self.depth = depth(stream, environ)
        self._console = Console(color_system=None, _environ={})  # resolves styles; prints nothing itself

    def paint(self, text: Text) -> str:
        """The text as one string without a line end."""
        if self.depth is None:
            return text.plain
        system = _SYSTEMS[self.depth]
        # Console.print measures and wraps too, which costs five times as much and is not wanted here.
        segments = Text.assemble(text).render(self._console)  # assembled, since render forgets a lone style
        return "".join(
            style.render(part, color_system=system) if style else part for part, style, _ in segments
        )


def open_journal(
    *,
    level: str,
    stream: TextIO,
    environ: Mapping[str, str],
    names: Sequence[str],
    secrets: Sequence[str] = (),
) -> Journal:
    """A journal that prints to `stream`.

    `level` is a logging level's name in any case (an unknown one counts as info). `names` are the
    providers in file order; their places choose their colours. No value in `secrets` is ever printed.
    The journal never raises for the state of the stream.
    """
    painter = Painter(stream=stream, environ=environ)
    palette = Palette(names, painter.depth)
    scrub = scrubber(secrets, names)
    threshold = LEVELS.get(level.strip().lower(), logging.INFO)
    outlet = Outlet(stream)
    events = _events(outlet, painter=painter, threshold=threshold)

    def journal(entry: Entry) -> None:
        if threshold > logging.DEBUG and isinstance(entry, AttemptEnded):
            return  # at debug only, and too frequent to be rendered for nothing
        line = render(scrubbed(entry, scrub), palette)
        events.log(LEVELS[line.level], line.event, line=line)

    return journal


def scrubbed(entry: Entry, scrub: Scrub) -> Entry:
    """The same entry with every text in it scrubbed."""
    fields = msgspec.structs.asdict(entry)
    texts = {name: scrub(value) for name, value in fields.items() if isinstance(value, str)}
    return msgspec.structs.replace(entry, **texts)


def _events(outlet: Outlet, *, painter: Painter, threshold: int) -> _Events:
    class ToOutlet:
        def msg(self, line: str) -> None:
            outlet.write(line)

        debug = info = warning = error = critical = log = msg

    def paint(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        line, now = cast("Line", event["line"]), time.strftime("%H:%M:%S ")
        if painter.depth is None:
            return now + line.text.plain
        return painter.paint(Text.assemble((now, DIM), line.text))

    return cast(
        "_Events",
        structlog.wrap_logger(
            ToOutlet(),
            processors=[paint],
            wrapper_class=structlog.make_filtering_bound_logger(threshold),
        ).bind(),  # unbound, it would be put together anew for every line
    )
