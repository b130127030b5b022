"""How httpx's transport opens sockets: with the options that ours have, and counting what it reads."""

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore

from ccproxy_trio.upstream.transport.connecting import known_options

Counter = Callable[[int], None]  # is told of bytes that came; raises one of httpcore's errors if too many
_COUNTER: ContextVar[Counter | None] = ContextVar("_COUNTER", default=None)


@contextmanager
def counted_by(counter: Counter) -> Iterator[None]:
    """Have this task's reads counted within the block. httpx reads a request's head in the task that asks."""
    token = _COUNTER.set(counter)
    try:
        yield
    finally:
        _COUNTER.reset(token)


class CountingNetwork(httpcore.TrioBackend):
    """Connects as httpcore does."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect. `socket_options` are given up for those that every socket of ours has."""
        stream = await super().connect_tcp(host, port, timeout, local_address, list(known_options()))
        return _Counted(stream)


class _Counted(httpcore.AsyncNetworkStream):
    """A stream that says how much is read from it."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        """As the stream does."""
        data = await self._stream.read(max_bytes, timeout)
        counter = _COUNTER.get()
        if counter is not None:
            counter(len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """As the stream does."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the stream does."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore.AsyncNetworkStream:
        """As the stream does, but leaves nothing open when it is cancelled."""
        with ExitStack() as undo:
            undo.callback(self.get_extra_info("socket").close)
            secured = await self._stream.start_tls(ssl_context, server_hostname, timeout)
            undo.pop_all()
        return _Counted(secured)

    def get_extra_info(self, info: str) -> Any:
        """As the stream does."""
        return self._stream.get_extra_info(info)
