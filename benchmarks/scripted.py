"""OpenAI-compatible providers that fail on demand, and otherwise answer at once.

They run in the load generator's process. That has one request under way at a time, so they never compete.
"""

import enum
import socket

import h11
import msgspec
import trio

from benchmarks.asking import CHUNK_BYTES, WORD

WORDS = 20  # of an answer, one chunk each
BETWEEN_SENDS = 0.0005  # seconds, so that each send is a read of its own


class Mood(enum.Enum):
    """How a provider meets a request."""

    WELL = 200
    BROKEN = 500
    LIMITED = 429
    KEY_REFUSED = 401
    HANGING = 0  # no answer at all


class ScriptedProvider:
    """One provider on a loopback port of its own. `met` counts the requests it got.

    Its answers are `words` chunks of one word each; the first goes out alone, the others `at_once` to a send.
    """

    def __init__(
        self, name: str, *, mood: Mood = Mood.WELL, words: int = WORDS, at_once: int | None = None
    ) -> None:
        self.name = name
        self.mood = mood
        self.met = 0
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
            while await _receive_request(connection, stream):
                self.met += 1
                match self.mood:
                    case Mood.HANGING:
                        await stream.receive_some(1)  # until the proxy has had enough
                        return
                    case Mood.WELL:
                        await self._complete(connection, stream)
                    case mood:
                        await stream.send_all(_failure(connection, mood.value))
                connection.start_next_cycle()

    async def _complete(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        head = h11.Response(status_code=200, headers=[("content-type", "text/event-stream")])
        await stream.send_all(_bytes(connection, head, h11.Data(data=self._sends[0])))
        for data in self._sends[1:-1]:
            await stream.send_all(_bytes(connection, h11.Data(data=data)))
            await trio.sleep(BETWEEN_SENDS)
        await stream.send_all(_bytes(connection, h11.Data(data=self._sends[-1]), h11.EndOfMessage()))


def bound_socket() -> socket.socket:
    """A free loopback port, taken but not listened on."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    return bound


async def _receive_request(connection: h11.Connection, stream: trio.SocketStream) -> bool:
    """Read one request to its end; False when there is none any more."""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(CHUNK_BYTES))
        elif isinstance(event, h11.ConnectionClosed):
            return False
    return True


def _answer(name: str, words: int, at_once: int) -> list[bytes]:
    """A streamed answer: the bytes up to the first word, and the rest, `at_once` words to a piece."""
    chunk = _chunk({"content": (WORD + name.encode()).decode() + " "})
    end = _chunk({}, finish_reason="stop") + _usage(words) + b"data: [DONE]\n\n"
    first = _chunk({"role": "assistant", "content": ""}) + chunk
    *middle, last = [chunk * min(at_once, words - done) for done in range(1, words, at_once)]
    return [first, *middle, last + end]


def _chunk(delta: dict[str, str], *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _usage(words: int) -> bytes:
    return _event({"choices": [], "usage": {"prompt_tokens": 19_000, "completion_tokens": words}})


def _failure(connection: h11.Connection, status: int) -> bytes:
    body = msgspec.json.encode({"error": {"message": "as the benchmark wants it", "type": "server_error"}})
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    head = h11.Response(status_code=status, headers=headers)
    return _bytes(connection, head, h11.Data(data=body), h11.EndOfMessage())


def _bytes(connection: h11.Connection, *events: h11.Event) -> bytes:
    return b"".join(connection.send(event) or b"" for event in events)
