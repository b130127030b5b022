"""The soak's clients: each asks for one stream and says what became of it, to the last character."""

import enum
import socket
import struct
from collections.abc import Iterator

import h11
import msgspec
import trio

from benchmarks.answers import shape_of, whole
from benchmarks.asking import CHUNK_BYTES, request_bytes
from benchmarks.prompt import messages_request
from benchmarks.subjects import MESSAGES, MODELS

TOOLS = 1  # of a request, which makes it 19 kB
_RESET = struct.pack("ii", 1, 0)  # linger, for no time: closing sends a reset


class Ending(enum.Enum):
    """What became of a stream."""

    WHOLE = "whole"  # every character, and the proper end
    TOLD = "told"  # broken off: a beginning of it, an error event, and nothing behind that
    WRONG = "wrong"  # anything else
    LEFT = "left"  # by this client


class Reply:
    """What one stream brings. `shown` is set with its first text; `wrong` says what is wrong with it."""

    def __init__(self, shape: str) -> None:
        self._expected = expected_text(shape)
        self._text = ""
        self._events: list[str] = []
        self._rest = b""
        self.shown = trio.Event()
        self.wrong = ""

    def add(self, data: bytes) -> None:
        """Take in what came."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for name, body in map(_parsed, events):
            self._events.append(name)
            if name == "content_block_delta":
                self._text += str(body.get("delta", {}).get("text", ""))
        if self._text and not self.shown.is_set():
            self.shown.set()

    def ending(self, status: int) -> Ending:
        """What became of it, now that it is over."""
        last = self._events[-1] if self._events else ""
        if status == 200 and not self._rest:
            if self._text == self._expected and last == "message_stop" and "error" not in self._events:
                return Ending.WHOLE
            is_beginning = self._expected.startswith(self._text) and self._text != self._expected
            if last == "error" and is_beginning and "message_stop" not in self._events:
                return Ending.TOLD
        self.wrong = f"HTTP {status}, {len(self._text)} of {len(self._expected)} characters, then {last!r}"
        return Ending.WRONG


class Asker:
    """Asks one proxy for streams of one tier, whose answers have `shape`."""

    def __init__(self, port: int, tier: str, shape: str) -> None:
        self._port = port
        self._shape = shape
        self._body = messages_request(MODELS[tier], stream=True, tools=TOOLS)
        self.wrong: list[str] = []  # what was wrong with streams, for people

    def reply(self) -> Reply:
        """For one stream."""
        return Reply(self._shape)

    async def follow(self, reply: Reply) -> Ending:
        """Ask for one stream and follow it to its end."""
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
                status = await self._heard(stream, reply)
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            self.wrong.append(type(error).__name__)
            return Ending.WRONG
        ending = reply.ending(status)
        self.wrong += [reply.wrong] if reply.wrong else []
        return ending

    async def leave(self, reply: Reply, *, shown: trio.Event, rudely: bool) -> Ending:
        """Ask for one stream, and go once `shown` is set: with a reset, or properly."""
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def going() -> None:
                await shown.wait()
                nursery.cancel_scope.cancel()

            await self._heard(stream, reply)
            self.wrong.append("a stream that was held has ended")
            nursery.cancel_scope.cancel()
        if rudely:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        stream.socket.close()
        return Ending.LEFT

    async def _heard(self, stream: trio.SocketStream, reply: Reply) -> int:
        connection, status = h11.Connection(h11.CLIENT), 0
        await stream.send_all(request_bytes(connection, "POST", MESSAGES, self._body, port=self._port))
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(CHUNK_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                reply.add(bytes(event.data))
            elif isinstance(event, h11.ConnectionClosed):
                break
        return status


def expected_text(shape: str) -> str:
    """All characters of an answer of this shape."""
    known = shape_of(shape)
    if known is None:
        raise ValueError(f"no shape has the name {shape!r}")
    body = whole(shape, known).partition(b"\r\n\r\n")[2]
    return str(msgspec.json.decode(body)["choices"][0]["message"]["content"])


def _parsed(event: bytes) -> tuple[str, dict[str, dict[str, object]]]:
    fields = dict(_fields(event))
    return fields.get("event", ""), msgspec.json.decode(fields.get("data", "{}"))


def _fields(event: bytes) -> Iterator[tuple[str, str]]:
    for line in event.decode().splitlines():
        name, _, value = line.partition(": ")
        yield name, value
