"""OpenAI-compatible providers that fail on demand, and otherwise answer at once.

They run in the load generator's process. That has one request under way at a time, so they never compete.
"""

import enum
import socket
import struct

import h11
import msgspec
import trio

from benchmarks.asking import CHUNK_BYTES, WORD

WORDS = 20  # of an answer, one chunk each
BETWEEN_SENDS = 0.0005  # seconds, so that each send is a read of its own
LAST_BREATH = 0.002  # seconds between what a dying provider sends and its death
_RESET = struct.pack("ii", 1, 0)  # linger, for no time: closing sends a reset

STREAM_HEAD = h11.Response(status_code=200, headers=[("content-type", "text/event-stream")])


class Mood(enum.Enum):
    """How a provider meets a request: the status it answers, or how it lets go of the connection."""

    WELL = 200
    BROKEN = 500
    LIMITED = 429
    KEY_REFUSED = 401
    HANGING = 0  # no answer at all
    DYING_BEFORE = 1  # the head of a stream, and then a reset
    DYING_AFTER = 2  # the same behind the first word


class ScriptedProvider:
    """One provider on a loopback port of its own. `met` counts the requests it got, `died_at` is when its
    last connection was reset (Trio's clock).

    Its answers are `words` chunks of one word each; the first goes out alone, the others `at_once` to a send.
    """

    def __init__(
        self, name: str, *, mood: Mood = Mood.WELL, words: int = WORDS, at_once: int | None = None
    ) -> None:
        self.name = name
        self.mood = mood
        self.met = 0
        self.died_at = 0.0
        self._socket = bound_socket()
        self._sends = _answer(name, words, at_once or words)

    @property
    def port(self) -> int:
        """Where it is, or would be: before `listen`, connections are refused."""
        return int(self._socket.getsockname()[1])

    def entry(self, *tiers: str) -> dict[str, object]:
        """Its entry in the proxy's configuration, with one model in each of `tiers`."""
        return {
            "name": self.name,
            "api_key": "none",
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "models": {tier: [f"model-of-{self.name}"] for tier in tiers},
        }

    def listen(self) -> trio.SocketListener:
        """Open its port. The caller serves the listener with `serve`."""
        self._socket.listen()
        return trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))

    def close(self) -> None:
        """Give back the port of a provider that never listened."""
        self._socket.close()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the requests of one connection until it ends."""
        connection = h11.Connection(h11.SERVER)
        async with stream:
            while await request_was_read(connection, stream):
                self.met += 1
                await self._meet(connection, stream)
                if connection.our_state is not h11.DONE:
                    return  # there is nobody left to answer
                connection.start_next_cycle()

    async def _meet(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        match self.mood:
            case Mood.WELL:
                await self._complete(connection, stream)
            case Mood.HANGING:
                await stream.receive_some(1)  # until the proxy has had enough
            case Mood.DYING_BEFORE:
                await self._die(connection, stream, said=b"")
            case Mood.DYING_AFTER:
                await self._die(connection, stream, said=self._sends[0])
            case mood:
                await stream.send_all(_failure(connection, mood.value))

    async def _complete(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        await stream.send_all(joined(connection, STREAM_HEAD, h11.Data(data=self._sends[0])))
        for data in self._sends[1:-1]:
            await stream.send_all(joined(connection, h11.Data(data=data)))
            await trio.sleep(BETWEEN_SENDS)
        await stream.send_all(joined(connection, h11.Data(data=self._sends[-1]), h11.EndOfMessage()))

    async def _die(self, connection: h11.Connection, stream: trio.SocketStream, *, said: bytes) -> None:
        await stream.send_all(joined(connection, STREAM_HEAD, h11.Data(data=said)))
        # Whoever reads must have taken this for the beginning of an answer: that is the case at hand.
        await trio.sleep(LAST_BREATH)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.died_at = trio.current_time()
        await stream.aclose()


def bound_socket() -> socket.socket:
    """A free loopback port, taken but not listened on."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    return bound


async def request_was_read(connection: h11.Connection, stream: trio.SocketStream) -> bool:
    """Read one request to its end; False when there is none any more."""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(CHUNK_BYTES))
        elif isinstance(event, h11.ConnectionClosed):
            return False
    return True


def _answer(name: str, words: int, at_once: int) -> list[bytes]:
    """A streamed answer: the bytes up to the first word, and the rest, `at_once` words to a piece."""
    word = chunk({"content": (WORD + name.encode()).decode() + " "})
    end = chunk({}, finish_reason="stop") + _usage(words) + b"data: [DONE]\n\n"
    first = chunk({"role": "assistant", "content": ""}) + word
    *middle, last = [word * min(at_once, words - done) for done in range(1, words, at_once)]
    return [first, *middle, last + end]


def chunk(delta: dict[str, str], *, finish_reason: str | None = None) -> bytes:
    """One chunk of a streamed answer, as an SSE event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event_of({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


def event_of(data: dict[str, object]) -> bytes:
    """One SSE event with this JSON as its data."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _usage(words: int) -> bytes:
    return event_of({"choices": [], "usage": {"prompt_tokens": 19_000, "completion_tokens": words}})


def _failure(connection: h11.Connection, status: int) -> bytes:
    body = msgspec.json.encode({"error": {"message": "as the benchmark wants it", "type": "server_error"}})
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    head = h11.Response(status_code=status, headers=headers)
    return joined(connection, head, h11.Data(data=body), h11.EndOfMessage())


def joined(connection: h11.Connection, *events: h11.Event) -> bytes:
    """The bytes that say these events on `connection`."""
    return b"".join(connection.send(event) or b"" for event in events)
