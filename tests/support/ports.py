"""Loopback ports that stay ours while nobody listens there."""

import socket
from types import TracebackType
from typing import Protocol


class Port(Protocol):
    """Somewhere to listen."""

    @property
    def number(self) -> int:
        """Its number."""

    def listen(self) -> socket.socket:
        """A socket that listens there; the caller owns it."""

    def close(self) -> None:
        """Nobody will listen there any more."""


class OpenPort:
    """A port whose listening socket somebody else has made, in whatever place. It is listened on once."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._number: int = listener.getsockname()[1]

    @property
    def number(self) -> int:
        """Its number."""
        return self._number

    def listen(self) -> socket.socket:
        """The socket."""
        return self._listener

    def close(self) -> None:
        """Close the socket."""
        self._listener.close()


class ReservedPort:
    """A port bound but not listened on: connecting is refused, and nobody else can be given it.

    Linux lets several sockets with SO_REUSEADDR bind one port as long as none but the last listens, so a
    server (ours or another process) can open the port, close it and open it again.
    """

    def __init__(self) -> None:
        self._holder = _bound(0)
        self._number: int = self._holder.getsockname()[1]

    @property
    def number(self) -> int:
        """Its number."""
        return self._number

    def listen(self) -> socket.socket:
        """A socket that listens on the port; the caller owns it."""
        listener = _bound(self._number)
        listener.listen(512)
        return listener

    def close(self) -> None:
        """Give the port back."""
        self._holder.close()

    def __enter__(self) -> "ReservedPort":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
