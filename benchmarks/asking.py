"""The load generator: one HTTP/1.1 connection that asks and times the answers. h11 over a Trio stream."""

from types import TracebackType
from typing import Self

import h11
import trio
from msgspec import Struct

WORD = b"answered-by-"  # followed by the provider's name, it is each word of an answer
ANSWER_WITHIN = 10.0  # seconds; only a fault of ours takes longer
CHUNK_BYTES = 65536


class Spoiled(Exception):
    """A request did not go as its case demands, so its time means nothing. The text says what happened."""


class Timing(Struct, frozen=True):
    """Seconds from the first byte sent to the first content, and to the end, of an answer."""

    to_first_content: float
    to_end: float


class Client:
    """A client of `port` on 127.0.0.1 that keeps its connection as long as the server does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = h11.Connection(h11.CLIENT)
        self._stream: trio.SocketStream | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    async def post(self, path: str, body: bytes, *, answered_by: str) -> Timing:
        """Ask once and time the answer. Where a new connection is needed, it is made before the clock starts.

        Raises:
            Spoiled: the status is not 200, or another provider has answered.
            trio.TooSlowError: no whole answer in `ANSWER_WITHIN` seconds.
            OSError: nobody listens there.
        """
        stream = await self._connected()
        first_content_at = None
        answer = bytearray()
        with trio.fail_after(ANSWER_WITHIN):
            began_at = trio.current_time()
            await stream.send_all(self._request("POST", path, body))
            status = await self._status(stream)
            while isinstance(event := await self._next_event(stream), h11.Data):
                answer += event.data
                if first_content_at is None and WORD in answer:
                    first_content_at = trio.current_time()
            ended_at = trio.current_time()
            await self._make_ready(stream)
        if status != 200 or first_content_at is None or WORD + answered_by.encode() not in answer:
            told = answer[-300:].decode(errors="replace")
            raise Spoiled(f"HTTP {status} where {answered_by} should have answered: {told}")
        return Timing(first_content_at - began_at, ended_at - began_at)

    async def status_of(self, path: str) -> int:
        """The status of a GET.

        Raises:
            Spoiled: the connection ended without an answer.
            OSError: nobody listens there.
        """
        stream = await self._connected()
        await stream.send_all(self._request("GET", path, b""))
        status = await self._status(stream)
        while isinstance(await self._next_event(stream), h11.Data):
            pass
        await self._make_ready(stream)
        return status

    async def _connected(self) -> trio.SocketStream:
        if self._stream is None:
            self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
            self._connection = h11.Connection(h11.CLIENT)
        return self._stream

    async def _make_ready(self, stream: trio.SocketStream) -> None:
        """Get ready for the next request. Hypercorn closes a connection after its thousandth."""
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
            return
        self._stream = None
        await stream.aclose()

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        headers = [
            ("host", f"127.0.0.1:{self._port}"),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("anthropic-version", "2023-06-01"),
            ("x-api-key", "any"),
        ]
        head = h11.Request(method=method, target=path, headers=headers)
        return b"".join(
            self._connection.send(e) or b"" for e in (head, h11.Data(data=body), h11.EndOfMessage())
        )

    async def _status(self, stream: trio.SocketStream) -> int:
        event = await self._next_event(stream)
        if not isinstance(event, h11.Response):
            raise Spoiled(f"the connection ended where an answer should begin ({type(event).__name__})")
        return event.status_code

    async def _next_event(self, stream: trio.SocketStream) -> h11.Event:
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Event):
                return event
            self._connection.receive_data(await stream.receive_some(CHUNK_BYTES))
