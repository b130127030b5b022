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

from ccproxy_trio.journal import AttemptEnded, Entry
from ccproxy_trio.logs.colour import Depth, Palette, depth
from ccproxy_trio.logs.lines import DIM, Line, render
from ccproxy_trio.logs.outlet import Outlet
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.settings.scrub import Scrub, scrubber, secrets_of

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
) -> "ConsoleJournal":
    """A journal that prints to `stream`.

    `level` is a logging level's name in any case (an unknown one counts as info). `names` are the
    providers in file order; their places choose their colours. No value in `secrets` is ever printed.
    The journal never raises for the state of the stream.
    """
    painter = Painter(stream=stream, environ=environ)
    threshold = LEVELS.get(level.strip().lower(), logging.INFO)
    events = _events(Outlet(stream), painter=painter, threshold=threshold)
    journal = ConsoleJournal(events, depth=painter.depth, threshold=threshold)
    journal.learn(names, secrets)
    return journal


class ConsoleJournal:
    """A journal that prints, and that can be told of further providers and secrets."""

    def __init__(self, events: _Events, *, depth: Depth | None, threshold: int) -> None:
        self._events = events
        self._depth = depth
        self._threshold = threshold
        self._names: tuple[str, ...] = ()
        self._secrets: tuple[str, ...] = ()

    def learn(self, names: Sequence[str], secrets: Sequence[str]) -> None:
        """Know these too. What was known stays so: a key that was replaced may still be in use.

        Providers keep their colours, so new ones come after those that were there before.
        """
        self._names = tuple(dict.fromkeys((*self._names, *names)))
        self._secrets = tuple(dict.fromkeys((*self._secrets, *secrets)))
        self._palette = Palette(self._names, self._depth)
        self._scrub = scrubber(self._secrets, self._names)

    def learn_settings(self, settings: Settings) -> None:
        """Know the providers and the secrets of this configuration too."""
        self.learn([provider.name for provider in settings.providers], secrets_of(settings))

    def __call__(self, entry: Entry) -> None:
        """Print it, where the level asks for that."""
        if self._threshold > logging.DEBUG and isinstance(entry, AttemptEnded):
            return  # at debug only, and too frequent to be rendered for nothing
        line = render(scrubbed(entry, self._scrub), self._palette)
        self._events.log(LEVELS[line.level], line.event, line=line)


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
