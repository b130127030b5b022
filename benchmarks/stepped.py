"""Both ends of the proxy a step at a time, so that what it reads and sends does not depend on the clock.

The provider sends a piece only when it is told to; the client says how many words have arrived. As long as
one waits for the other, each piece is a read of its own for the proxy, however fast or slow everything is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import h11
import trio

from benchmarks.asking import CHUNK_BYTES, Spoiled, request_bytes
from benchmarks.prompt import messages_request
from benchmarks.scripted import bound_socket, chunk, event_of, joined, request_was_read
from benchmarks.subjects import MESSAGES, MODELS

WORD = "stepped "
SHORT, BURST = 1, 100  # words
MODEL = MODELS["big"]
_HEAD = [("content-type", "text/event-stream")]


class SteppedProvider:
    """A provider that has one answer at a time: what was put into `script`, a send for each item.

    An answer ends with the item that ends with `[DONE]`.
    """

    def __init__(self) -> None:
        self._socket = bound_socket()
        self.script, self._sends = trio.open_memory_channel[bytes](1000)

    @property
    def config(self) -> dict[str, object]:
        """A configuration for the proxy with nothing but this provider."""
        tiers = {tier: ["stepped-model"] for tier in ("big", "middle", "small")}
        base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        entry = {"name": "stepped", "api_key": "none", "base_url": base_url, "models": tiers}
        return {"providers": [entry], "health_check_interval": 0}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        self._socket.listen()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, [listener])
            yield
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        async with stream:
            while await request_was_read(connection, stream):
                await self._answer(connection, stream)
                connection.start_next_cycle()

    async def _answer(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        head: list[h11.Event] = [h11.Response(status_code=200, headers=_HEAD)]
        async for data in self._sends:
            over = data.endswith(_DONE)
            end = [h11.EndOfMessage()] if over else []
            await stream.send_all(joined(connection, *head, h11.Data(data=data), *end))
            if over:
                return
            head = []


class Listener:
    """A client of the proxy at `port` that keeps its connection and counts the words that it hears.

    A new connection is made where Hypercorn has closed the old one, as it does after a thousand requests.
    """

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self._stream = stream
        self._port = port
        self._connection = h11.Connection(h11.CLIENT)
        self._heard = 0
        self._changed = trio.Event()

    async def ask(self, body: bytes) -> int:
        """Ask, and listen to the end; returns how many words the answer had.

        Raises:
            Spoiled: the status is not 200.
        """
        await self._stream.send_all(request_bytes(self._connection, "POST", MESSAGES, body, port=self._port))
        head = await self._event()
        told = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            told += event.data
            self._hear(told.count(WORD.encode()))
        if not isinstance(head, h11.Response) or head.status_code != 200:
            raise Spoiled(f"the proxy did not answer: {told[-300:].decode(errors='replace')}")
        await self._make_ready()
        words, self._heard = self._heard, 0
        return words

    async def aclose(self) -> None:
        """Leave."""
        await self._stream.aclose()

    async def until(self, words: int) -> None:
        """Wait until so many words of the answer under way have come."""
        while self._heard < words:
            await self._changed.wait()

    def _hear(self, words: int) -> None:
        self._heard = words
        self._changed.set()
        self._changed = trio.Event()

    async def _make_ready(self) -> None:
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
            return
        await self._stream.aclose()
        self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        self._connection = h11.Connection(h11.CLIENT)

    async def _event(self) -> h11.Event:
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Event):
                return event
            self._connection.receive_data(await self._stream.receive_some(CHUNK_BYTES))


class Exchanges:
    """The requests that instructions are counted for and samples are taken of."""

    def __init__(self, provider: SteppedProvider, listener: Listener) -> None:
        self._say = provider.script.send
        self._listener = listener
        self._bodies = {stream: messages_request(MODEL, stream=stream) for stream in (True, False)}

    async def whole(self, times: int) -> None:
        """Answers without stream, short, so that it is the request that counts."""
        for _ in range(times):
            await self._say(_answer(SHORT))
            _expect(SHORT, await self._listener.ask(self._bodies[False]))

    async def bursts(self, times: int) -> None:
        """Streams whose chunks reach the proxy in one send."""
        for _ in range(times):
            await self._say(_answer(BURST))
            _expect(BURST, await self._listener.ask(self._bodies[True]))

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """A stream that is under way while the block runs. What is yielded lets so many words more come.

        Each word is sent once the one before it has arrived.
        """
        sent = 0

        async def come(words: int) -> None:
            nonlocal sent
            for _ in range(words):
                await self._say(_WORD)
                sent += 1
                await self._listener.until(sent)

        async def ask() -> None:
            heard = await self._listener.ask(self._bodies[True])
            _expect(sent, heard)

        async with trio.open_nursery() as nursery:
            await self._say(_BEGINNING)
            nursery.start_soon(ask)
            yield come
            await self._say(_END)


def _expect(sent: int, heard: int) -> None:
    if heard != sent:
        raise Spoiled(f"{heard} words arrived of {sent}")


@asynccontextmanager
async def listening_to(port: int) -> AsyncIterator[Listener]:
    """A client of the proxy at `port`, connected while the block runs.

    Raises:
        OSError: nobody listens there.
    """
    listener = Listener(await trio.open_tcp_stream("127.0.0.1", port), port)
    async with aclosing(listener):
        yield listener


_DONE = b"data: [DONE]\n\n"
_BEGINNING = chunk({"role": "assistant", "content": ""})
_WORD = chunk({"content": WORD})
_END = (
    chunk({}, finish_reason="stop")
    + event_of({"choices": [], "usage": {"prompt_tokens": 19_000, "completion_tokens": 100}})
    + _DONE
)


def _answer(words: int) -> bytes:
    """All of an answer, to be sent at once."""
    return _BEGINNING + _WORD * words + _END
