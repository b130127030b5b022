"""What an exchange is given, and how it can end otherwise than with an answer."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from ccproxy_trio.actors.dispatcher import Dispatcher
from ccproxy_trio.attempt import Kept, Unit
from ccproxy_trio.counting.sizes import Counting, Sizing
from ccproxy_trio.documents.texts import Texts
from ccproxy_trio.journal import Tally
from ccproxy_trio.routing.telling import Told
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.upstream.search import Search
from ccproxy_trio.wire.anthropic import MessagesRequest


class Services(Struct, frozen=True, kw_only=True):
    """What an exchange works with. `mint` gives 24 fresh hexadecimal digits."""

    settings: Settings
    dispatcher: Dispatcher
    units: Mapping[str, Unit]
    journal: Tally
    mint: Callable[[], str]
    counting: Counting
    documents: Texts
    content_within: float  # seconds until a request's first content must be there
    search: Search | None = None  # None: nobody can be asked what the web has to say


class Ask(Struct, frozen=True, kw_only=True):
    """A client's request as the edge hands it over.

    `client_timeout` is how many seconds the client said it would wait; `patient` says that it may be sent
    heartbeats in a thinking block (it asked for thinking, or it is Claude Code).
    """

    kept: Kept
    request_id: str
    size: Sizing
    session: str | None
    client_timeout: float | None
    patient: bool

    @property
    def request(self) -> MessagesRequest:
        """What is asked. Not to be had any more once content was shown."""
        return self.kept.request


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


class ClientGone(Exception):
    """The client has stopped reading. There is nobody left to tell."""
