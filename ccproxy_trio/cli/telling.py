"""How a command ends with a fault, and how it reads its configuration."""

import sys
from pathlib import Path
from typing import IO, Any

import click
from rich.text import Text

from ccproxy_trio.logs.banner import say
from ccproxy_trio.logs.lines import COLOURS
from ccproxy_trio.settings.load import ConfigError, Listening, Loaded, environment, listening, resolve

BAD_USAGE = 2


class Refused(click.ClickException):
    """The command cannot do what was asked, and the text says why. Exit status 2."""

    exit_code = BAD_USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the text on standard error: each line that begins a new fault behind a cross."""
        lines = [line if line.startswith(" ") else f"❌ {line}" for line in self.message.splitlines()]
        marked_lines = [Text.assemble((line[:2], COLOURS["error"]), line[2:]) for line in lines]
        say(marked_lines, stream=sys.stderr, environ=environment())


def load(config: Path | None) -> Loaded:
    """The configuration named by `--config`, the environment or the user's folder.

    Raises:
        Refused: there is none, or it has faults; the text names all of them.
    """
    try:
        return resolve(config, environment())
    except ConfigError as error:
        raise Refused(str(error)) from error


def defaults() -> Listening:
    """HOST, PORT and LOG_LEVEL of the environment, or what stands for them.

    Raises:
        Refused: one of them makes no sense.
    """
    try:
        return listening(environment())
    except ConfigError as error:
        raise Refused(str(error)) from error
