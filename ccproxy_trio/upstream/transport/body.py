"""The body of an answer, whoever carries it."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx


class Body(httpx.AsyncByteStream):
    """What is left to read of an answer. Enter it (`async with`): leaving it gives the connection back.

    It is a class, not a generator: a generator that is left half-way lives on until somebody closes it, with
    all the cancel scopes that it happens to be in.
    """

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Its end is known to have come, and nothing of it is left to read."""

    @abstractmethod
    async def receive(self) -> bytes:
        """The next bytes as they come, b"" at the end, as often as asked. Cancelling loses the connection.

        Raises:
            httpx.TransportError: the connection was lost or the framing is broken.
        """

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Be done with it, read to its end or not. It takes no time, and heeds no cancellation."""

    # -- the same, as httpx's client wants it --

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if data := await self.receive():
            return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """The same as leaving it."""
        await self.__aexit__(None, None, None)


def body_of(response: httpx.Response) -> Body:
    """The body of a response that came from one of our transports, not through httpx's client."""
    if not isinstance(response.stream, Body):
        raise TypeError("this response was not given by a transport of ours")
    return response.stream
