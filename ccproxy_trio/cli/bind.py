"""The address to listen on: whether we may, and the socket."""

import errno
import socket

from ccproxy_trio.cli.telling import Refused
from ccproxy_trio.settings.hosts import is_loopback
from ccproxy_trio.settings.model import Settings

BACKLOG = 1024  # as in config/hypercorn.toml
# After the stall rule has ended an exchange, the kernel still holds bytes for the stalled reader, and
# Hypercorn's write is shielded from cancellation: this lets the kernel free the socket.
STALL_MARGIN = 5.0  # seconds


def guard_bind(host: str, settings: Settings) -> None:
    """Whoever reaches the proxy spends its owner's keys: only this machine may, unless clients need a key.

    Raises:
        Refused: `host` is reachable from elsewhere and no client key is set.
    """
    if settings.client_api_keys or is_loopback(host):
        return
    raise Refused(
        f"Not listening on {host}: whoever reaches it could spend your providers' keys.\n"
        "   Set ANTHROPIC_API_KEY (or client_api_keys in the file) to a key that clients must then send,\n"
        "   or stay on this machine with --host 127.0.0.1."
    )


def open_listener(host: str, port: int, *, stall_limit: float) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. The caller owns it.

    `stall_limit` in seconds: a client that takes none of our bytes for longer loses its connection.

    Raises:
        Refused: the address cannot be had; the text says why and what to do.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Refused(_why_not(error, host, port)) from error
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        _prepare(listener, stall_limit)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Refused(_why_not(error, host, port)) from error
    return listener


def _prepare(listener: socket.socket, stall_limit: float) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit these two.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        limit_ms = round((stall_limit + STALL_MARGIN) * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)


def _why_not(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is taken: another program listens there. Choose one with --port."
        case errno.EACCES | errno.EPERM:
            return f"No permission to listen on port {port}: choose one above 1023 with --port."
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine. Choose one with --host."
        case _:
            return f"Cannot listen on {host}:{port}: {error.strerror or error}."
