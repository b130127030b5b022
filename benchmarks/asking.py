"""The load generator: one HTTP/1.1 connection that asks and times the answers. h11 over a Trio stream."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import h11
import trio
from msgspec import Struct

WORD = b"answered-by-"  # followed by the provider's name, it is each word of an answer
BROKEN_OFF = b"event: error"  # how a stream ends whose provider died in the middle of it
ANSWER_WITHIN = 10.0  # seconds; only a fault of ours takes longer
CHUNK_BYTES = 65536


class Spoiled(Exception):
    """A request did not go as its case demands, so its time means nothing. The text says what happened."""


class Timing(Struct, frozen=True):
    """Seconds from the first byte sent to the first content, and to the end, of an answer."""

    to_first_content: float
    to_end: float


class Heard(Struct, frozen=True, kw_only=True):
    """A whole answer. Instants on Trio's clock; `seen_at` has those marks that came."""

    status: int
    answer: bytes
    began_at: float
    seen_at: Mapping[bytes, float]
    ended_at: float

    def is_by(self, provider: str) -> bool:
        """Whether every word of it is this provider's, and it reached its end."""
        words = self.answer.count(WORD)
        return 0 < words == self.answer.count(WORD + provider.encode()) and BROKEN_OFF not in self.answer

    @property
    def tail(self) -> str:
        """Its end, for people."""
        return self.answer[-300:].decode(errors="replace")


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
            Spoiled: the status is not 200, or another provider has answered, if only in part.
            trio.TooSlowError: no whole answer in `ANSWER_WITHIN` seconds.
            OSError: nobody listens there.
        """
        heard = await self.hear(path, body, marks=(WORD,))
        first_content_at = heard.seen_at.get(WORD)
        if heard.status != 200 or first_content_at is None or not heard.is_by(answered_by):
            raise Spoiled(f"HTTP {heard.status} where {answered_by} should have answered: {heard.tail}")
        return Timing(first_content_at - heard.began_at, heard.ended_at - heard.began_at)

    async def hear(self, path: str, body: bytes, *, marks: Sequence[bytes]) -> Heard:
        """Ask once, and note when each of `marks` was first seen in the answer.

        Raises:
            Spoiled: the connection ended without an answer.
            trio.TooSlowError: no whole answer in `ANSWER_WITHIN` seconds.
            OSError: nobody listens there.
        """
        stream = await self._connected()
        seen_at: dict[bytes, float] = {}
        answer = bytearray()
        with trio.fail_after(ANSWER_WITHIN):
            began_at = trio.current_time()
            await stream.send_all(request_bytes(self._connection, "POST", path, body, port=self._port))
            status = await self._status(stream)
            while isinstance(event := await self._next_event(stream), h11.Data):
                answer += event.data
                new = [mark for mark in marks if mark not in seen_at and mark in answer]
                seen_at |= dict.fromkeys(new, trio.current_time())
            ended_at = trio.current_time()
            await self._make_ready(stream)
        return Heard(
            status=status, answer=bytes(answer), began_at=began_at, seen_at=seen_at, ended_at=ended_at
        )

    async def status_of(self, path: str) -> int:
        """The status of a GET.

        Raises:
            Spoiled: the connection ended without an answer.
            OSError: nobody listens there.
        """
        status, _ = await self._get(path)
        return status

    async def body_of(self, path: str) -> bytes:
        """What a GET brings, whatever its status.

        Raises:
            Spoiled: the connection ended without an answer.
            OSError: nobody listens there.
        """
        _, body = await self._get(path)
        return body

    async def _get(self, path: str) -> tuple[int, bytes]:
        stream = await self._connected()
        await stream.send_all(request_bytes(self._connection, "GET", path, b"", port=self._port))
        status = await self._status(stream)
        body = bytearray()
        while isinstance(event := await self._next_event(stream), h11.Data):
            body += event.data
        await self._make_ready(stream)
        return status, bytes(body)

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


def request_bytes(connection: h11.Connection, method: str, path: str, body: bytes, *, port: int) -> bytes:
    """A whole request to `port` on 127.0.0.1, with the headers that Anthropic's clients send."""
    headers = [
        ("host", f"127.0.0.1:{port}"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("anthropic-version", "2023-06-01"),
        ("x-api-key", "any"),
    ]
    head = h11.Request(method=method, target=path, headers=headers)
    return b"".join(connection.send(e) or b"" for e in (head, h11.Data(data=body), h11.EndOfMessage()))
