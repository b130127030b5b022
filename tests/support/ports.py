"""Loopback ports that stay ours while nobody listens there."""

import socket
from types import TracebackType


class ReservedPort:
    """A port bound but not listened on: connecting is refused, and nobody else can be given it.

    Linux lets several sockets with SO_REUSEADDR bind one port as long as none but the last listens, so a
    server (ours or another process) can open the port, close it and open it again.
    """

    def __init__(self) -> None:
        self._holder = _bound(0)
        self.number: int = self._holder.getsockname()[1]

    def listen(self) -> socket.socket:
        """A socket that listens on the port; the caller owns it."""
        listener = _bound(self.number)
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
