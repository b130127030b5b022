"""Golden streams: what an upstream sent and what the client has to get, as data.

`tests/golden/streams/<case>/`, and `tests/golden/passed/<case>/` for answers that are passed on, holds

    case.json       what it shows, and options of the reader where they are not the usual ones
    upstream.sse    the provider's body as a stream, or upstream.json: the same as a whole completion
    client.sse      the frames that the client gets, signatures spelt out
    message.json    the same as one message; not where the answer fails

and nothing else. `python -m tests.golden` writes the last two anew and shows the difference.
"""

import base64
import json
import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.native.fold import fold_frames
from ccproxy_trio.translate.question import Answering
from ccproxy_trio.translate.state import unseal
from ccproxy_trio.wire.events import ErrorEvent, Event, Passage, encode_frames, encode_message
from tests.support.answers import emitter_of, reader_of, show, show_completion

ROOT = Path(__file__).parent.parent / "golden" / "streams"
PASSED = ROOT.parent / "passed"
_ALLOWED = {"case.json", "upstream.sse", "upstream.json", "client.sse", "message.json"}
_SEALED = re.compile(r"ccpx1\.[A-Za-z0-9_=-]+")


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """`case.json`."""

    shows: str
    dialect: dict[str, Any] = {}
    names: dict[str, str] = {}
    show_thinking: bool = True
    stop_sequences: list[str] = []


class Golden(Struct, frozen=True):
    """One case, read whole. `client` and `message` are None where they are still to be written."""

    name: str
    case: Case
    upstream: bytes
    streamed: bool
    client: str | None
    message: str | None

    def reader(self) -> Answering:
        """A fresh reader as the case wants it."""
        return reader_of(
            names=self.case.names,
            show_thinking=self.case.show_thinking,
            stop_sequences=self.case.stop_sequences,
            **self.case.dialect,
        )

    def events(self, reads: list[bytes]) -> list[Event]:
        """What the client gets when the upstream's body arrives in `reads`."""
        if self.streamed:
            return show(self.reader(), emitter_of(), reads)
        return show_completion(self.reader(), emitter_of(), b"".join(reads))


class Rewritten(Struct, frozen=True):
    """A generated file: its text (None: there is none) and what it should be (None: it should not be)."""

    path: Path
    old: str | None
    new: str | None


def files_of(folder: Path, allowed: Set[str]) -> set[str]:
    """The names of a case's files.

    Raises:
        ValueError: one of them does not belong there.
    """
    files = {path.name for path in folder.iterdir()}
    strangers = files - allowed
    if strangers:
        raise ValueError(f"{folder.name}: not part of a golden: {', '.join(sorted(strangers))}")
    return files


def cases_in(root: Path) -> Iterator[Path]:
    """The folders of all cases.

    Raises:
        ValueError: a file beside the cases.
    """
    for path in sorted(root.iterdir()):
        if not path.is_dir():
            raise ValueError(f"{path.name}: only cases belong here")
        yield path


def load(folder: Path, *, complete: bool = True) -> Golden:
    """The case in `folder`; `complete`: what the client gets must be there.

    Raises:
        ValueError: a file that does not belong there, or one that is missing.
    """
    files = files_of(folder, _ALLOWED)
    bodies = files & {"upstream.sse", "upstream.json"}
    if len(bodies) != 1:
        raise ValueError(f"{folder.name}: needs either upstream.sse or upstream.json")
    if complete and "client.sse" not in files:
        raise ValueError(f"{folder.name}: client.sse is missing")
    client = text_of(folder / "client.sse")
    fails = client is not None and "event: error\n" in client
    if complete and fails == ("message.json" in files):
        raise ValueError(
            f"{folder.name}: message.json belongs to answers that do not fail, and to all of them"
        )
    return Golden(
        name=folder.name,
        case=msgspec.json.decode((folder / "case.json").read_bytes(), type=Case),
        upstream=(folder / bodies.pop()).read_bytes(),
        streamed="upstream.sse" in files,
        client=client,
        message=text_of(folder / "message.json"),
    )


def text_of(path: Path) -> str | None:
    """What a file holds, with the line ends it has; None where there is none."""
    return path.read_bytes().decode() if path.exists() else None


def load_all(root: Path = ROOT) -> Iterator[Golden]:
    """Every case below `root`.

    Raises:
        ValueError: a file beside the cases, or a case that is not as it should be.
    """
    return map(load, cases_in(root))


def spelt_out(text: str) -> str:
    """`text` with every carrier of state replaced by what it carries."""
    return _SEALED.sub(_spell, text)


def _spell(found: re.Match[str]) -> str:
    state = unseal(found.group())
    assert state is not None, "a carrier of state that is not whole"
    body = json.loads(base64.urlsafe_b64decode(found.group().removeprefix("ccpx1.")))
    del body["h"]
    return "<state " + json.dumps(body, ensure_ascii=False).replace("\\", "\\\\").replace('"', "'") + ">"


def as_frames(events: list[Event]) -> str:
    """`events` as `client.sse` has them."""
    return spelt_out(encode_frames(events).decode())


def as_message(events: list[Event]) -> str:
    """`events` folded, as `message.json` has them."""
    passed = any(isinstance(event, Passage) for event in events)
    body = fold_frames(encode_frames(events)) if passed else encode_message(fold(events))
    return spelt_out(msgspec.json.format(body, indent=2).decode()) + "\n"


def rewritten(folder: Path) -> Iterator[Rewritten]:
    """The files that are generated for the case in `folder`: what they are and what they should be."""
    golden = load(folder, complete=False)
    events = golden.events([golden.upstream])
    failed = isinstance(events[-1], ErrorEvent)
    yield Rewritten(folder / "client.sse", golden.client, as_frames(events))
    yield Rewritten(folder / "message.json", golden.message, None if failed else as_message(events))
