"""An outgoing HTTP proxy on loopback, as companies have them: CONNECT, absolute addresses, a password."""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import trio


class OutgoingProxy:
    """Counts what it is asked for. `status` other than 200 refuses every CONNECT; `is_mute` answers none."""

    def __init__(self, *, login: str | None = None) -> None:
        self.port = 0
        self.asked: list[str] = []  # "CONNECT host:port", "POST http://..."
        self.seen = b""  # all that it could read of its clients' requests
        self.status = 200
        self.is_mute = False
        self._login = login

    async def handle(self, client: trio.abc.Stream) -> None:
        """Serve one connection: one tunnel, or one request."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            await self._serve(client)

    async def _serve(self, client: trio.abc.Stream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = await client.receive_some()
            if not more:
                return None
            data += bytes(more)
        self.seen += data
        head, _, body = data.partition(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        if self.is_mute:
            await trio.sleep_forever()
        if not self._is_welcome(head):
            return await client.send_all(b"HTTP/1.1 407 Who Are You\r\ncontent-length: 0\r\n\r\n")
        if self.status != 200:
            return await client.send_all(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % self.status)
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            async with await trio.open_tcp_stream(host, int(port)) as there:
                await client.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _joined(client, there)
            return None
        url = urlsplit(target)
        async with await trio.open_tcp_stream(url.hostname or "", url.port or 80) as there:
            await there.send_all(head + b"\r\n\r\n" + body)
            await _joined(client, there)
        return None

    def _is_welcome(self, head: bytes) -> bool:
        if self._login is None:
            return True
        token = b64encode(self._login.encode())
        return b"proxy-authorization: basic " + token.lower() in head.lower() and token in head


async def _joined(client: trio.abc.Stream, there: trio.abc.Stream) -> None:
    async def carry(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some():
                await sink.send_all(data)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(carry, client, there)
        nursery.start_soon(carry, there, client)


@asynccontextmanager
async def outgoing_proxy(
    *, login: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[OutgoingProxy]:
    """A proxy that listens on loopback; with `tls`, behind TLS itself. `login` is "user:password"."""
    proxy = OutgoingProxy(login=login)

    async def handle(raw: trio.SocketStream) -> None:
        stream: trio.abc.Stream = raw
        if tls is not None:
            stream = trio.SSLStream(raw, tls, server_side=True, https_compatible=True)
        await proxy.handle(stream)
        with suppress(trio.BrokenResourceError):
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        proxy.port = listeners[0].socket.getsockname()[1]
        yield proxy
        nursery.cancel_scope.cancel()
