"""What a set of figures was measured on, with and by: kept beside the figures as `session.json`."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.machine import LIBRARIES, machine, versions
from benchmarks.report import encode

FILE = "session.json"


class Command(Struct, frozen=True, kw_only=True):
    """One benchmark as it was run. `took` in seconds; `load` is the machine's, of the minute before."""

    name: str
    line: str
    took: float
    load: float


class Session(Struct, frozen=True, kw_only=True):
    """Everything that the figures themselves do not say. `measured_on` is a date, in UTC."""

    measured_on: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    commands: tuple[Command, ...] = ()

    def with_command(self, command: Command) -> "Session":
        """The session with this command's last run only, the others where they were."""
        names = [known.name for known in self.commands]
        if command.name not in names:
            return replace(self, commands=(*self.commands, command))
        kept = tuple(command if known.name == command.name else known for known in self.commands)
        return replace(self, commands=kept)


def here() -> Session:
    """A session that begins now, on this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Session(
        measured_on=datetime.now(UTC).date().isoformat(),
        machine=machine() | {"memory": f"{memory:.1f} GB"},
        versions=versions(*LIBRARIES),
    )


def load(folder: Path) -> Session | None:
    """The session whose figures are in `folder`; None where none is.

    Raises:
        msgspec.ValidationError: the file is not one of ours.
    """
    path = folder / FILE
    return msgspec.json.decode(path.read_bytes(), type=Session) if path.exists() else None


def save(session: Session, folder: Path) -> None:
    """Keep it beside its figures."""
    (folder / FILE).write_bytes(encode(session))
