"""What an exchange is given, and how it can end otherwise than with an answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import trio
from msgspec import Struct, field
from msgspec.structs import replace

from ccproxy_trio.actors.dispatcher import Dispatcher, Routes
from ccproxy_trio.attempt import Kept, Unit
from ccproxy_trio.bookkeeping import Ending, describe
from ccproxy_trio.counting.sizes import Counting, Sizing
from ccproxy_trio.documents.texts import Texts
from ccproxy_trio.drain import Drain
from ccproxy_trio.journal import Tally
from ccproxy_trio.routing.telling import Told, kind_of, quoted
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import Settings, Tier
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Sender
from ccproxy_trio.turns import Turns
from ccproxy_trio.upstream.search import Search
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import FaultKind, RequestRefused, UpstreamFault

T = TypeVar("T")
NO_LOGIN = (
    "This proxy passes your own login on to the provider, and this request came with none. Log in to Claude "
    "Code, or set its ANTHROPIC_AUTH_TOKEN or ANTHROPIC_API_KEY to a key of that provider's. A client key of "
    'this proxy is never passed on: send it beside your login, as ANTHROPIC_CUSTOM_HEADERS="x-api-key: ...".'
)
COME_BACK_AFTER = 5  # seconds in which a process manager has started the next proxy


class Services(Struct, frozen=True, kw_only=True):
    """What an exchange works with, whatever is reloaded meanwhile: one configuration's snapshot.

    `mint` gives 24 fresh hexadecimal digits.
    """

    settings: Settings
    routes: Routes
    dispatcher: Dispatcher
    units: Mapping[str, Unit]
    journal: Tally
    mint: Callable[[], str]
    counting: Counting
    documents: Texts
    content_within: float  # seconds until a request's first content must be there
    drain: Drain = field(default_factory=Drain)
    turns: Turns = field(default_factory=Turns)
    search: Search | None = None  # None: nobody can be asked what the web has to say

    @property
    def is_native(self) -> bool:
        """Whether anybody is spoken to on Anthropic's own wire."""
        dialects = (dialect for unit in self.units.values() for dialect in unit.dialects.values())
        return any(dialect.wire == "anthropic" for dialect in dialects)

    @property
    def passes_credentials(self) -> bool:
        """Whether anybody is asked with a client's own key."""
        return any(unit.settings.passes_credentials for unit in self.units.values())

    def dialect(self, candidate: Candidate) -> Dialect:
        """How the candidate is spoken to, but for what was learned."""
        return self.units[candidate.provider].dialects[candidate.model]

    def open_to(self, sender: Sender, tier: Tier) -> "Services":
        """As they are for one client: without those who would be asked with its own key, if it has none.

        Raises:
            RequestRefused: 401, nobody else serves the tier.
        """
        passing = {name for name, unit in self.units.items() if unit.settings.passes_credentials}
        if not passing or sender.credential is not None:
            return self
        others = {
            each: tuple(one for one in served if one.provider not in passing)
            for each, served in self.routes.candidates.items()
        }
        if self.routes.candidates[tier] and not others[tier]:
            raise RequestRefused(NO_LOGIN, status=401, kind="authentication_error")
        return replace(self, routes=replace(self.routes, candidates=others))

    def speaking_natively(self, tier: Tier) -> Routes | None:
        """The routes to those of the tier that take Anthropic's requests as they are; None: nobody does."""
        return self._only(tier, lambda dialect: dialect.wire == "anthropic")

    def searching(self, tier: Tier) -> Routes | None:
        """The routes to those of the tier that search the web themselves; None: nobody does."""
        return self._only(tier, lambda dialect: dialect.wire == "anthropic" and dialect.server_tools)

    def _only(self, tier: Tier, fits: Callable[[Dialect], bool]) -> Routes | None:
        chosen = tuple(one for one in self.routes.candidates[tier] if fits(self.dialect(one)))
        if not chosen:
            return None
        return replace(self.routes, candidates={**self.routes.candidates, tier: chosen})


class Ask(Struct, frozen=True, kw_only=True):
    """A client's request as the edge hands it over.

    `client_timeout` is how many seconds the client said it would wait; `patient` says that it may be sent
    heartbeats in a thinking block (it asked for thinking, or it is Claude Code). `routes` are fewer than the
    configuration's where not everybody can do what is asked for.
    """

    kept: Kept
    request_id: str
    size: Sizing
    session: str | None
    client_timeout: float | None
    patient: bool
    routes: Routes | None = None

    @property
    def request(self) -> MessagesRequest:
        """What is asked. Not to be had any more once content was shown."""
        return self.kept.request

    @property
    def conversation(self) -> str | None:
        """What a request and its repetition have in common: the session and where in it they are.

        The estimate of the prompt stands for its text: to digest megabytes of images would cost every request
        more than the mistake, which is another order of the providers for one.
        """
        if not self.session:
            return None
        return f"{self.session} {len(self.request.messages)} {self.size.prompt.tokens}"


class NothingLeft(Exception):
    """Every candidate has failed and nothing was shown. `told` is what the client gets to read."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.message)
        self.told = told


class CutShort(Exception):
    """An answer that the client had begun to read broke off. `kind` (an error type) and text are for it."""

    def __init__(self, text: str, *, kind: str) -> None:
        super().__init__(text)
        self.kind = kind

    @classmethod
    def by(cls, candidate: Candidate, fault: UpstreamFault) -> "CutShort":
        """An answer of this candidate's, for this reason."""
        return cls(_broken_off(candidate, fault), kind=kind_of(fault.kind))


def _broken_off(candidate: Candidate, fault: UpstreamFault) -> str:
    if fault.kind is FaultKind.INTERNAL:
        return "The answer broke off: a fault of this proxy, which its log tells more of."
    if fault.kind is FaultKind.SUSPENDED:
        return "The answer broke off: this proxy was suspended."
    said = quoted(fault.kind, fault.message, fault.status)
    return f"The answer broke off: {candidate.provider} failed ({describe(fault)}){said}."


class Stopped(NothingLeft):
    """The proxy is being stopped. Another one may be there in a moment, and asking again is all it takes."""

    def __init__(self) -> None:
        super().__init__(
            Told(
                status=529,
                kind="overloaded_error",
                message="The proxy is being stopped. Ask again in a moment.",
                retry_after=COME_BACK_AFTER,
                should_retry=None,
            )
        )


async def until_stopped(drain: Drain, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, as long as the proxy is not stopped.

    Raises:
        Stopped: it was, and the work's time was over.
    """
    with drain.bounding():
        return await work()
    raise Stopped


class ClientGone(Exception):
    """The client has stopped reading. There is nobody left to tell."""


def ending_of(error: BaseException | None) -> Ending:
    """What the way an exchange was left means, for the journal; None: with an answer."""
    match error:
        case None:
            return Ending(how="complete", status=200)
        case Stopped(told=told):
            return Ending(how="drained", status=told.status, error_type=told.kind, detail=told.message)
        case NothingLeft(told=told):
            return Ending(how="error", status=told.status, error_type=told.kind, detail=told.message)
        case RequestRefused():
            return Ending(how="refused", status=error.status, error_type=error.kind, detail=error.message)
        case CutShort():
            return Ending(how="midfail", status=200, error_type=error.kind, detail=str(error))
        case trio.Cancelled() | ClientGone():
            return Ending(how="cancelled", status=499)
        case BaseExceptionGroup() if error.split(trio.Cancelled)[1] is None:
            return Ending(how="cancelled", status=499)
        case _:
            return Ending(how="error", status=500, error_type="api_error")
