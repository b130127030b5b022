"""The demo's one screen: what the tour says, answers word by word, and the proxy's own log between them."""

from collections.abc import Mapping
from typing import TextIO

from rich.style import Style
from rich.text import Text

from ccproxy_trio.journal import AttemptEnded, Entry, Journal, Probed
from ccproxy_trio.logs.console import Painter

TITLE = Style.parse("bold magenta")
VISITOR = Style.parse("bold cyan")
ANSWER = Style.parse("italic")


class Screen:
    """Prints lines and streamed text to one stream, so that neither breaks into the other."""

    def __init__(self, *, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._painter = Painter(stream=stream, environ=environ)
        self._in_mid_line = False

    def line(self, *parts: str | Text | tuple[str, Style]) -> None:
        """Print one line."""
        self.end_line()
        self._write(self._painter.paint(Text.assemble(*parts)) + "\n")

    def piece(self, text: str) -> None:
        """Print a piece of an answer right behind the last one."""
        self._in_mid_line = True
        self._write(self._painter.paint(Text(text, ANSWER)))

    def end_line(self) -> None:
        """Make sure that the next thing begins a line."""
        if self._in_mid_line:
            self._in_mid_line = False
            self._write("\n")

    def beside(self, journal: Journal) -> Journal:
        """The same journal, for a stream shared with this screen."""

        def entry(entry: Entry) -> None:
            if not isinstance(entry, AttemptEnded | Probed):  # these print nothing as a rule
                self.end_line()
            journal(entry)

        return entry

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
