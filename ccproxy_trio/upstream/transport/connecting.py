"""From an address to a byte stream that can carry HTTP: look up, connect, shake hands.

`trio.open_tcp_stream` tries a host's addresses one by one without waiting for the slow ones to fail (happy
eyeballs, RFC 8305). All of it is bounded by the caller's deadline, the TLS handshake included.
"""

import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial

import httpx
import trio
from msgspec import Struct

# A peer that vanished sends no FIN. Silence is questioned after 30 seconds; what was sent and is not
# acknowledged, a question included, is waited for 60 seconds. Platforms lack some of these.
_QUESTION_AFTER = 30  # seconds
_QUESTION_EVERY = 10  # seconds
_ACKNOWLEDGE_WITHIN = 60  # seconds
_OPTIONS = (
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", _QUESTION_AFTER),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", _QUESTION_EVERY),
    ("IPPROTO_TCP", "TCP_KEEPCNT", (_ACKNOWLEDGE_WITHIN - _QUESTION_AFTER) // _QUESTION_EVERY),
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", _ACKNOWLEDGE_WITHIN * 1000),  # milliseconds
    # Trio lets 16 KiB wait unsent in the kernel, so that later words can overtake. A request is sent whole;
    # it shall leave in one call. 0: the system's own default.
    ("IPPROTO_TCP", "TCP_NOTSENT_LOWAT", 0),
)


_UNACKNOWLEDGED_AT, _LAST_HEARD_AT = 24, 56  # of the 32-bit numbers in Linux's `struct tcp_info`


class Origin(Struct, frozen=True):
    """Who is connected to. `scheme` is http or https, `host` in ASCII, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int


def _not_known(_: float) -> bool:
    return False


class Link(Struct, frozen=True):
    """A byte stream to a peer, with abilities that no abstract stream has.

    `close` closes at once, without a farewell. `has_unread`: bytes or an end lie there that nobody has read.
    `has_vanished`: something was sent to the peer, and not even its system has said a word for so many
    seconds. `mouth`: through what it speaks, where a stream that is interrupted would not listen any more
    either.
    """

    stream: trio.abc.Stream
    close: Callable[[], None]
    has_unread: Callable[[], bool]
    mouth: "Mouth | None" = None
    has_vanished: Callable[[float], bool] = _not_known


class Mouth(trio.abc.Stream):
    """What an `SSLStream` speaks through. A send that fails or is cancelled would leave it deaf for ever.

    So it is told that all was sent, and can go on to hear why a server takes no more. `is_cut` says the
    truth.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._sending = trio.CancelScope()
        self.is_cut = False

    def cut(self) -> None:
        """Nothing more is sent. A send under way ends at once, wherever it is."""
        self.is_cut = True
        self._sending.cancel()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, as long as there is somebody to take it."""
        with trio.CancelScope() as self._sending:
            if self.is_cut:
                self._sending.cancel()
            try:
                await self._stream.send_all(data)
            except trio.BrokenResourceError:
                self.is_cut = True

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the stream does."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """As the stream does."""
        await self._stream.aclose()


async def connect(origin: Origin, tls: ssl.SSLContext) -> Link:
    """Connect. Cancelling leaves nothing open.

    Raises:
        httpx.ConnectError: not found, refused, or no TLS; an `ssl.SSLError` is among its causes then.
    """
    try:
        stream = await trio.open_tcp_stream(origin.host, origin.port)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(str(error)) from error
    for level, option, value in known_options():
        with suppress(OSError):
            stream.setsockopt(level, option, value)
    if origin.scheme == "http":
        return Link(
            stream,
            stream.socket.close,
            stream.socket.is_readable,
            has_vanished=partial(_has_vanished, stream),
        )
    return await _secured(stream, origin, tls)


def known_options() -> Iterator[tuple[int, int, int]]:
    """The options of every socket towards a provider: level, option, value."""
    for level, option, value in _OPTIONS:
        if hasattr(socket, option):
            yield getattr(socket, level), getattr(socket, option), value


async def _secured(stream: trio.SocketStream, origin: Origin, tls: ssl.SSLContext) -> Link:
    # Said for each connection, since httpx says otherwise on the same context when it may use HTTP/2. There
    # is no wait between this and the line that reads it.
    tls.set_alpn_protocols(["http/1.1"])
    mouth = Mouth(stream)
    with ExitStack() as undo:
        undo.callback(stream.socket.close)
        secured = trio.SSLStream(mouth, tls, server_hostname=origin.host, https_compatible=True)
        try:
            await secured.do_handshake()
        except (trio.BrokenResourceError, OSError) as error:
            raise httpx.ConnectError(str(error)) from error
        undo.pop_all()

    def has_unread() -> bool:
        # One read of the socket may bring more records than were asked for. They wait encrypted, where no
        # public name reaches; overlooked, they would be taken for the answer to the next request.
        return stream.socket.is_readable() or bool(secured.pending() or secured._incoming.pending)

    return Link(secured, stream.socket.close, has_unread, mouth, partial(_has_vanished, stream))


def _has_vanished(stream: trio.SocketStream, seconds: float) -> bool:
    """As Linux knows it (others do not tell): a slow server acknowledges, one that is gone does not."""
    if sys.platform != "linux":
        return False
    told = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_HEARD_AT + 4)
    (unacknowledged,) = struct.unpack_from("I", told, _UNACKNOWLEDGED_AT)
    (silent_for,) = struct.unpack_from("I", told, _LAST_HEARD_AT)  # milliseconds
    return bool(unacknowledged and silent_for >= seconds * 1000)
