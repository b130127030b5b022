"""What simulated providers have in common, on whichever wire they answer: what is asked, what is said.

Pure. How it is said has a module for each wire: `chat`, `responses`, `native`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec
from msgspec import Struct

from ccproxy_trio.settings.model import Wire
from ccproxy_trio.simulation import chat, native, responses

COMMENT = b": still here\n\n"
WEB_PAGE = b"<!doctype html><html><title>Sign in to the network</title><body>Please sign in.</body></html>"


class Asked(Struct, frozen=True):
    """The part of a request that matters here."""

    model: str
    stream: bool = False


class Speech(Protocol):
    """One wire's way of answering. `prompt` is the prompt's size in tokens."""

    def opening(self, model: str) -> bytes:
        """How a stream begins, with nothing to show."""

    def words(self, model: str) -> tuple[bytes, ...]:
        """Its content, piece by piece."""

    def closing(self, model: str, *, prompt: int) -> bytes:
        """How it ends."""

    def hollow(self, model: str) -> bytes:
        """How it ends where there was no content."""

    def whole(self, model: str, *, prompt: int) -> bytes:
        """The same answer in one piece."""

    def nothing(self, model: str) -> bytes:
        """An answer in one piece without content."""

    def refusal(self, status: int) -> bytes:
        """The error that goes with a status."""

    def quota_refusal(self) -> tuple[int, bytes]:
        """The status and the error of an empty account."""


SPEECHES: Mapping[Wire, Speech] = MappingProxyType(
    {"chat": chat, "responses": responses, "anthropic": native}
)


def decode(body: bytes) -> Asked:
    """Read a request. What matters here has one name on all wires.

    Raises:
        msgspec.DecodeError: it is no such request; a bug of ours.
    """
    return msgspec.json.decode(body, type=Asked)
