"""What an attempt is made through: a provider, as far as a request has to know it."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ccproxy_trio.health.probing import ProbeResult
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing


class Answered(Protocol):
    """A provider's 200, its body unread. `is_over`: all of the body has been received."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of its head, names in lower case."""

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is to be read as server-sent events."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of the body is left."""

    async def receive_some(self) -> bytes:
        """The next bytes; b"" at the end.

        Raises:
            UpstreamFault: the connection or the framing failed.
        """

    async def receive_all(self) -> bytes:
        """The rest of the body."""


class Endpoint(Protocol):
    """A provider that can be asked. `Upstream` is the one that speaks HTTP."""

    def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AbstractAsyncContextManager[Answered]:
        """Ask for one answer, on the dialect's wire; entered once a 200's head has arrived.

        Raises:
            UpstreamFault: no usable answer. Raised on entering.
        """

    async def probe(self) -> ProbeResult:
        """Ask whether it is there. Never raises but for cancellation."""
