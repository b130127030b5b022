"""Golden errors: how an upstream failed, and what becomes of it on the way to the client, as data.

`tests/golden/errors/<case>/` holds

    case.json       what it shows, the upstream's status and headers, the profile, whether the client streams
    upstream.body   the upstream's body
    client.json     what the client gets, and what the failure means for routing and health

and nothing else. The client's side is that of the whole proxy, driven in virtual time without patience: each
request is one round of attempts.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio
import trio.testing
from msgspec import UNSET, Struct

from ccproxy_trio.health.verdict import judge
from ccproxy_trio.journal import AttemptEnded
from ccproxy_trio.settings.model import DialectOptions, Settings, Wire
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import ERROR_BODY_BYTES
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, settings_for, virtual_house
from tests.support.goldens import Rewritten, cases_in, files_of, spelt_out, text_of
from tests.support.grammar import read_frames

ROOT = Path(__file__).parent.parent / "golden" / "errors"
WALL_NOW = 1_760_000_000.0  # Thu, 09 Oct 2025 08:53:20 GMT
_ALLOWED = {"case.json", "upstream.body", "client.json"}
_ID = re.compile(r"\b(req|msg|toolu)_[0-9a-f]{24}\b")
_HEADERS = ("content-type", "retry-after", "x-should-retry")


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """`case.json`. `context_window` in tokens; `wire` is configured where it is given.

    `login` is what the client sends as `authorization`: its own key, where `key` is to have it passed on.
    """

    shows: str
    status: int = 200
    headers: dict[str, str] = {}
    profile: str = "generic"
    provider: str = "acme"
    key: str = "k"
    streams: bool = False
    request: dict[str, Any] = {}
    context_window: int | None = None
    wire: Wire | None = None
    login: str | None = None


class Golden(Struct, frozen=True):
    """One case, read whole. `client` is None where it is still to be written."""

    name: str
    case: Case
    body: bytes
    client: str | None


class FailingUpstream(FakeUpstream):
    """Gives one answer to every request, as `upstream.client.Upstream` would read it. Keeps its faults."""

    def __init__(self, golden: Golden) -> None:
        super().__init__(self._say)
        self._golden = golden
        self.faults: list[UpstreamFault] = []

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        case = self._golden.case
        headers = {name.lower(): value for name, value in case.headers.items()}
        if case.status != 200:
            self.opened += 1
            shown = self._golden.body[:ERROR_BODY_BYTES]
            fault = classify(case.status, headers, shown, profile=dialect.profile, wall_now=WALL_NOW)
            self.faults.append(fault)
            raise fault
        async with super().open(asked, model=model, dialect=dialect) as answer:
            kind = headers.get("content-type", "text/event-stream")
            answer.is_event_stream = kind.startswith("text/event-stream")
            yield answer

    async def _say(self, answer: FakeAnswer) -> None:
        # An event a read: what came before a failure has been shown by then.
        for event in re.split(rb"(?<=\n\n)", self._golden.body):
            await answer.send.send(event)


def load(folder: Path, *, complete: bool = True) -> Golden:
    """The case in `folder`; `complete`: what the client gets must be there.

    Raises:
        ValueError: a file that does not belong there, or one that is missing.
    """
    files = files_of(folder, _ALLOWED)
    missing = _ALLOWED - files - (set() if complete else {"client.json"})
    if missing:
        raise ValueError(f"{folder.name}: missing: {', '.join(sorted(missing))}")
    return Golden(
        name=folder.name,
        case=msgspec.json.decode((folder / "case.json").read_bytes(), type=Case),
        body=(folder / "upstream.body").read_bytes(),
        client=text_of(folder / "client.json"),
    )


def load_all() -> Iterator[Golden]:
    """Every case.

    Raises:
        ValueError: a file beside the cases, or a case that is not as it should be.
    """
    return map(load, cases_in(ROOT))


def rewritten(folder: Path) -> Iterator[Rewritten]:
    """The files that are generated for the case in `folder`: what they are and what they should be."""
    golden = load(folder, complete=False)
    yield Rewritten(folder / "client.json", golden.client, as_json(outcome(golden)))


def outcome(golden: Golden) -> dict[str, Any]:
    """What becomes of the failure. Runs the proxy in a loop and a clock of its own."""
    return trio.run(_outcome, golden, clock=trio.testing.MockClock(autojump_threshold=0))


def as_json(told: dict[str, Any]) -> str:
    """`told` as `client.json` has it."""
    return _ID.sub(r"\1_...", spelt_out(json.dumps(told, indent=2, ensure_ascii=False))) + "\n"


async def _outcome(golden: Golden) -> dict[str, Any]:
    case, upstream = golden.case, FailingUpstream(golden)
    upstreams: dict[str, Any] = {case.provider: upstream}
    async with virtual_house(_settings(case), **upstreams) as house:
        client = Client(house.connect())
        login = {} if case.login is None else {"authorization": case.login}
        await client.post({"stream": case.streams, **case.request}, **login)
        status = await client.head()
        body = await client.body()
        snapshot = await house.snapshot(case.provider)
    headers = {name: client.headers[name] for name in _HEADERS if name in client.headers}
    streamed = headers["content-type"].startswith("text/event-stream")
    attempts = [entry for entry in house.journal if isinstance(entry, AttemptEnded)]
    return {
        "status": status,
        "headers": headers,
        **({"events": read_frames(body)} if streamed else {"body": json.loads(body)}),
        "asked": upstream.opened,
        "attempt": None if not attempts else _meaning(attempts[0], upstream.faults),
        "provider": {
            "failures": snapshot.failure_count,
            "flag": snapshot.flag,
            "rests": bool(snapshot.cooling),
            "model left out": bool(snapshot.excluded),
        },
    }


def _settings(case: Case) -> Settings:
    settings = settings_for(case.provider, key=case.key, patience=0.0)
    provider = msgspec.structs.replace(
        settings.providers[0],
        profile=case.profile,
        context_window=case.context_window,
        options=DialectOptions(wire=UNSET if case.wire is None else case.wire),
    )
    return msgspec.structs.replace(settings, providers=(provider,))


def _meaning(attempt: AttemptEnded, faults: list[UpstreamFault]) -> dict[str, Any]:
    """The first attempt's fault, as far as it is known here, and the ruling on it."""
    if attempt.outcome == "ok":
        return {"outcome": "ok"}
    fault = faults[0] if faults else UpstreamFault(FaultKind(attempt.outcome), status=attempt.status)
    ruling = judge(fault, shown=attempt.first_content_seconds is not None)
    numbers = None if fault.overflow is None else msgspec.structs.asdict(fault.overflow)
    return {
        "outcome": attempt.outcome,
        "says": attempt.detail,
        "asks to wait": fault.retry_after,
        "numbers": numbers,
        "of the whole provider": fault.whole_provider,
        "verdict": ruling.verdict,
        "next": ruling.next,
    }
