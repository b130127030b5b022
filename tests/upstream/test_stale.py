"""A kept link that dies under a request: asked again at once, but not when the request may be at work."""

import ssl

import httpx
import pytest
import trio
from trio.testing import MockClock

from ccproxy_trio.upstream.transport.connecting import Link, Origin
from ccproxy_trio.upstream.transport.own import STALE_WITHIN, TrioTransport
from tests.support.links import Script

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Leaving(Script):
    """Answers one request, and hangs up `after` seconds of the second."""

    def __init__(self, *, after: float) -> None:
        super().__init__([ANSWER])
        self._after = after

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._pieces:
            await trio.sleep(self._after)
        return await super().receive_some(max_bytes)


async def _asked_twice(*peers: Script) -> httpx.Response:
    links = [peer.link() for peer in reversed(peers)]

    async def connect(_origin: Origin, _tls: ssl.SSLContext) -> Link:
        return links.pop()

    transport = TrioTransport(tls=ssl.create_default_context(), connections=1, connect=connect)
    async with httpx.AsyncClient(transport=transport) as client:
        await client.post("http://there/", content=b"{}")
        return await client.post("http://there/", content=b"{}")


async def test_a_link_that_had_been_left_is_replaced(autojump_clock: MockClock) -> None:
    answer = await _asked_twice(Leaving(after=STALE_WITHIN / 2), Script([ANSWER]))
    assert answer.text == "ok"


async def test_a_request_that_may_be_at_work_is_not_sent_again(autojump_clock: MockClock) -> None:
    """It would be paid for twice, and a provider that hangs up on long answers would go unnoticed."""
    second = Script([ANSWER])
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        await _asked_twice(Leaving(after=STALE_WITHIN * 2), second)
    assert second.told == b""
