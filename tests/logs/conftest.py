"""A journal over a stream in memory, and a terminal that is none."""

import io
from collections.abc import Callable, Mapping, Sequence

import pytest

from ccproxy_trio.journal import Entry
from ccproxy_trio.logs.console import open_journal


class Terminal(io.StringIO):
    """A stream in memory that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


Told = Callable[..., str]


@pytest.fixture
def told() -> Told:
    """What a journal with these options prints for these entries, without colour or time of day."""

    def tell(
        *entries: Entry, level: str = "debug", names: Sequence[str] = (), secrets: Sequence[str] = ()
    ) -> str:
        stream = io.StringIO()
        environ: Mapping[str, str] = {}
        journal = open_journal(level=level, stream=stream, environ=environ, names=names, secrets=secrets)
        for entry in entries:
            journal(entry)
        return "".join(line.split(" ", 1)[1] for line in stream.getvalue().splitlines(keepends=True))

    return tell
