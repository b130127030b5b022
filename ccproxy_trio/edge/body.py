"""A streamed response body: frames as the exchange hands them over, pings while it is quiet."""

from contextlib import suppress
from typing import Self

import trio
from quart.wrappers.response import ResponseBody

from ccproxy_trio.audience import Opened
from ccproxy_trio.wire.events import ErrorBody, ErrorEvent, Ping, encode_frame

PING = encode_frame(Ping())
BROKEN_OFF = encode_frame(
    ErrorEvent(error=ErrorBody(type="api_error", message="The proxy could not finish this answer."))
)


class FrameBody(ResponseBody):
    """The frames of one exchange. Pings are for middle boxes that close what looks idle.

    A channel that closes without a last word means that its writer died; the client is told so, since a
    body that merely ends would be taken for a complete answer.
    """

    def __init__(self, opened: Opened, *, ping_after: float) -> None:
        self._opened = opened
        self._ping_after = ping_after
        self._done = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._opened.frames.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._done:
            raise StopAsyncIteration
        try:
            return await self._next()
        except trio.EndOfChannel:
            self._done = True
            if self._opened.ended():
                raise StopAsyncIteration from None
            return BROKEN_OFF

    async def _next(self) -> bytes:
        with suppress(trio.WouldBlock):
            return self._opened.frames.receive_nowait()  # a deadline costs more than the frame
        # Timing out a channel's receive() loses nothing; timing out an async generator would end it.
        with trio.move_on_after(self._ping_after):
            return await self._opened.frames.receive()
        return PING
