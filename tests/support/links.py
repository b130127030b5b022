"""Links without sockets: what a peer says, cut as a test wants it."""

from collections.abc import Iterable, Sequence

import trio

from ccproxy_trio.upstream.transport.connecting import Link


class Script(trio.abc.Stream):
    """A peer that says these pieces, one a read, and hangs up then. What it was told is in `told`.

    `stays`: it does not hang up, but keeps silent.
    """

    def __init__(self, pieces: Iterable[bytes], *, stays: bool = False) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._stays = stays
        self.told = b""
        self.is_deaf = False  # it takes nothing, as one that has closed its end
        self.is_closed = False
        self.has_unread = False

    def link(self) -> Link:
        """A link to it."""
        return Link(self, self.close, lambda: self.has_unread)

    def close(self) -> None:
        """What the link's `close` does."""
        self.is_closed = True

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Note what is said."""
        await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise trio.ClosedResourceError
        if self.is_deaf:
            raise trio.BrokenResourceError
        self.told += bytes(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Part of the interface."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next piece."""
        await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise trio.ClosedResourceError
        if not self._pieces and self._stays:
            await trio.sleep_forever()
        piece = self._pieces.pop(0) if self._pieces else b""
        if max_bytes is not None and len(piece) > max_bytes:
            self._pieces.insert(0, piece[max_bytes:])
        return piece[:max_bytes]

    async def aclose(self) -> None:
        """Part of the interface."""
        self.close()
        await trio.lowlevel.checkpoint()


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in pieces that end at these places."""
    ends: Sequence[int] = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def one_by_one(data: bytes) -> list[bytes]:
    """`data` byte by byte."""
    return cut(data, range(len(data)))
