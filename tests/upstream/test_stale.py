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
    times = httpx.Timeout(None, connect=10)
    async with httpx.AsyncClient(transport=transport, timeout=times) as client:
        await client.post("http://there/", content=b"{}")
        return await client.post("http://there/", content=b"{}")


async def test_a_link_that_had_been_left_is_replaced(autojump_clock: MockClock) -> None:
    answer = await _asked_twice(Leaving(after=STALE_WITHIN / 2), Script([ANSWER]))
    assert answer.text == "ok"


class Silent(Script):
    """Answers one request, and the next after a minute. `vanished`: not even its system is there."""

    def __init__(self, *, vanished: bool) -> None:
        super().__init__([ANSWER, ANSWER])
        self._vanished = vanished

    def link(self) -> Link:
        return Link(self, self.close, lambda: False, has_vanished=lambda _: self._vanished)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if len(self._pieces) == 1:
            await trio.sleep_until(60)  # virtual time begins at 0
        return await super().receive_some(max_bytes)


async def test_a_link_at_whose_end_nobody_is_left_is_replaced_after_half_the_time_to_connect(
    autojump_clock: MockClock,
) -> None:
    second = Script([ANSWER])
    answer = await _asked_twice(Silent(vanished=True), second)
    assert (answer.text, trio.current_time()) == ("ok", 5.0)
    assert second.told != b""


async def test_a_server_that_acknowledges_and_is_slow_is_waited_for(autojump_clock: MockClock) -> None:
    second = Script([ANSWER])
    answer = await _asked_twice(Silent(vanished=False), second)
    assert (answer.text, trio.current_time()) == ("ok", 60.0)
    assert second.told == b""


async def test_a_request_that_may_be_at_work_is_not_sent_again(autojump_clock: MockClock) -> None:
    """It would be paid for twice, and a provider that hangs up on long answers would go unnoticed."""
    second = Script([ANSWER])
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        await _asked_twice(Leaving(after=STALE_WITHIN * 2), second)
    assert second.told == b""
