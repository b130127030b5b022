"""Golden requests and refusals, as data.

`tests/golden/requests/<case>/` holds

    request.json            the client's body
    settings.json           where it goes: `profile`, `model`, and where they matter `base_url`, `options`,
                            `session`, `headers` (the client's); and what is expected beside the body:
                            `names`, `stop_sequences`, `show_thinking`, `notes`, `sent_headers`
    upstream_request.json   what the upstream reads; on Anthropic's own wire to the byte

`tests/golden/refused/<case>/` holds `request.json`, `settings.json`, and `refusal.json`: what the client is
told. `python -m tests.golden` writes what is expected anew and shows the difference.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ccproxy_trio.settings.model import Wire
from ccproxy_trio.translate.chat import ChatQuestion
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.question import Asked, Question, Sender
from ccproxy_trio.translate.request import Target, Translated
from ccproxy_trio.translate.responses.question import ResponsesQuestion
from ccproxy_trio.translate.wires import put
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.faults import RequestRefused, Untranslatable
from tests.support.goldens import Rewritten
from tests.translate.asking import provider

GOLDEN = Path(__file__).parent.parent / "golden"
REQUESTS = GOLDEN / "requests"
REFUSED = GOLDEN / "refused"
ROWS = GOLDEN / "rows"
_ASKED = {"request.json", "settings.json"}


class GoldenSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the request goes, and what is expected beside the body."""

    profile: str
    model: str
    base_url: str = "https://llm.example/v1"
    options: dict[str, Any] = {}
    session: str | None = None
    headers: dict[str, str] = {}
    names: dict[str, str] = {}
    stop_sequences: tuple[str, ...] = ()
    show_thinking: bool = True
    notes: tuple[str, ...] = ()
    sent_headers: dict[str, str] = {}


class Refusal(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the client is told. `elsewhere`: another provider may take the request."""

    status: int
    type: str
    message: str
    elsewhere: bool = False


class Golden(Struct, frozen=True):
    """One case. `asked` is the client's body; `written` is None where it is still to be written."""

    name: str
    asked: bytes
    settings: GoldenSettings
    written: bytes | None

    @property
    def expected(self) -> Any:
        """What is expected, as plain JSON."""
        return None if self.written is None else json.loads(self.written)

    @property
    def wire(self) -> Wire:
        """The wire that the request goes out on."""
        return self._target().dialect.wire

    def _target(self) -> Target:
        where = self.settings
        dialect = resolve(provider(where.profile, base_url=where.base_url, **where.options), where.model)
        return Target(provider="alpha", model=where.model, dialect=dialect, session=where.session)

    def question(self) -> Question:
        """What the request becomes.

        Raises:
            RequestRefused: it cannot be served.
            Untranslatable: it cannot be served by this provider.
        """
        sender = Sender(headers=tuple(self.settings.headers.items()))
        asked = Asked(request=decode_request(self.asked), body=self.asked, sender=sender)
        return put(asked, self._target())

    def translated(self) -> Translated:
        """What the request becomes on the Chat Completions wire."""
        question = self.question()
        assert isinstance(question, ChatQuestion), "on another wire"
        return question.translated

    def sent(self) -> bytes:
        """The body that the upstream reads, as the golden has it."""
        body = self.question().outgoing().body
        return body if self.wire == "anthropic" else _pretty(json.loads(body)).encode()

    def refusal(self) -> Refusal:
        """Why the request is refused."""
        try:
            self.question()
        except RequestRefused as refused:
            return Refusal(refused.status, refused.kind, refused.message)
        except Untranslatable as refused:
            return Refusal(400, "invalid_request_error", str(refused), elsewhere=True)
        raise ValueError(f"{self.name}: the request is not refused")


def load(folder: Path, *, complete: bool = True) -> Golden:
    """The case in `folder`; `complete`: what is expected must be there.

    Raises:
        ValueError: a file missing or left over, so that no case is half a case.
    """
    expected = _expectation(folder)
    found = {path.name for path in folder.iterdir()}
    wanted = _ASKED | {expected}
    if found != wanted and (complete or found != _ASKED):
        raise ValueError(f"{folder.name}: files {sorted(found ^ wanted)} are missing or unknown")
    return Golden(
        folder.name,
        (folder / "request.json").read_bytes(),
        msgspec.json.decode((folder / "settings.json").read_bytes(), type=GoldenSettings),
        (folder / expected).read_bytes() if expected in found else None,
    )


def load_all(root: Path = REQUESTS) -> list[Golden]:
    """Every case below `root`, by name."""
    return [load(folder) for folder in sorted(root.iterdir())]


def rewritten(folder: Path) -> Iterator[Rewritten]:
    """The files that are generated for the case in `folder`: what they are and what they should be."""
    golden = load(folder, complete=False)
    path = folder / _expectation(folder)
    old = path.read_text() if path.exists() else None
    if folder.parent.name == REFUSED.name:
        yield Rewritten(path, old, _pretty(msgspec.to_builtins(golden.refusal())))
        return
    yield Rewritten(path, old, golden.sent().decode())
    path = folder / "settings.json"
    yield Rewritten(path, path.read_text(), _pretty(msgspec.to_builtins(_beside(golden))))


def _beside(golden: Golden) -> GoldenSettings:
    """The settings with what is expected beside the body."""
    question = golden.question()
    settings = msgspec.structs.replace(
        golden.settings, notes=question.notes, sent_headers=dict(question.outgoing().headers)
    )
    match question:
        case ChatQuestion(translated=read) | (ResponsesQuestion() as read):
            return msgspec.structs.replace(
                settings,
                names=read.names,
                stop_sequences=read.stop_sequences,
                show_thinking=read.show_thinking,
            )
        case _:
            return settings


def rows(name: str) -> dict[str, list[str]]:
    """A register: each row of the translation in our words, and the goldens that show it."""
    return msgspec.json.decode((ROWS / f"{name}.json").read_bytes(), type=dict[str, list[str]])


def _expectation(folder: Path) -> str:
    return "refusal.json" if folder.parent.name == REFUSED.name else "upstream_request.json"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
