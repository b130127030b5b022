"""What every wire has in common: a client's request put to one candidate, and who understands the answer.

There is a module for each wire that makes a `Question` of a request (`wires.py` picks it). Whoever carries it
to the provider and back sees nothing but what is written here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from ccproxy_trio.settings.model import Secret
from ccproxy_trio.translate.adjust import Repair
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.sse import SseEvent

Headers = tuple[tuple[str, str], ...]  # names in lower case


class Credential(Struct, frozen=True):
    """A client's own key, as it came: the header's name in lower case, and its whole value."""

    header: str
    value: Secret


class Sender(Struct, frozen=True, kw_only=True):
    """What came beside a request's body: headers that may be sent on, the query, the client's own key.

    `credential` is none of this proxy's own client keys.
    """

    headers: Headers = ()
    query: str = ""
    credential: Credential | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """A client's request: as types, as the bytes that it came in, and who sent it.

    `body` is empty where no provider speaks Anthropic's own wire: nobody else has a use for it.
    """

    request: MessagesRequest
    body: bytes = b""
    sender: Sender = Sender()


class Outgoing(Struct, frozen=True, kw_only=True):
    """A request as it goes to a provider, but for what is the same in all requests to it.

    `headers` and `query` are the client's. `credential` takes the place of the provider's own key.
    """

    body: bytes
    headers: Headers = ()
    query: str = ""
    credential: Credential | None = None


class Decoding(Protocol):
    """Bytes of a stream in, events out. `wire.sse.Decoder` is one."""

    def feed(self, data: bytes) -> Sequence[SseEvent]:
        """The events that `data` completes.

        Raises:
            UpstreamFault: PROTOCOL.
        """

    def end(self) -> Sequence[SseEvent]:
        """The input is over.

        Raises:
            UpstreamFault: PROTOCOL.
        """


class Answering(Protocol):
    """Reads one attempt's answer. `translate.stream.Reader` is the one that says it all.

    `finish_seen`: it is known how the answer ended. `finished`: nothing more is worth waiting for. `progress`
    counts the pieces that came, shown or not. `decoder` takes the stream's bytes apart.
    """

    finished: bool

    @property
    def decoder(self) -> Decoding:
        """What takes this answer's bytes apart."""

    @property
    def finish_seen(self) -> bool:
        """Whether it is known how the answer ended."""

    @property
    def progress(self) -> int:
        """How many pieces of the answer came."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """The head of a 200 has come; names in lower case."""

    def feed(self, event: SseEvent) -> Sequence[Part]:
        """The parts that one event of the stream completes.

        Raises:
            UpstreamFault: what the event says is no answer.
        """

    def feed_completion(self, body: bytes) -> Sequence[Part]:
        """The parts of a whole body.

        Raises:
            UpstreamFault: it is no answer.
        """

    def end(self) -> Sequence[Part]:
        """The last parts, `Finished` behind them all.

        Raises:
            UpstreamFault: TRUNCATED, EMPTY.
        """

    def concede(self) -> Sequence[Part]:
        """The end of the answer, even of one that `end` found to be empty."""


class Question(Protocol):
    """A request in the words of one candidate."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or changed, a sentence each."""

    def outgoing(self) -> Outgoing:
        """What is sent."""

    def reader(self, mint: Callable[[], str]) -> Answering:
        """Who understands the answer. `mint` gives 24 fresh hexadecimal digits."""

    def repair(self, fault: UpstreamFault, dialect: Dialect) -> Repair | None:
        """How it may be put instead of this, which was refused with `fault`. None: not ours to change."""
