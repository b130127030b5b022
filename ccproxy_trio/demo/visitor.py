"""A small Messages API client for the tour: HTTP by h11 over a Trio stream, one connection a request."""

from collections.abc import Callable

import h11
import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.wire.sse import Decoder

CHUNK_BYTES = 65536


class ToolUse(Struct, frozen=True):
    """A tool call as the client got it; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Heard(Struct, frozen=True):
    """One answer: its text, its tool call if any, why it stopped, and the error if it broke."""

    status: int
    text: str = ""
    tool: ToolUse | None = None
    stop_reason: str | None = None
    error: str | None = None


class _Delta(Struct, frozen=True):
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Block(Struct, frozen=True):
    type: str
    id: str = ""
    name: str = ""


class _Error(Struct, frozen=True):
    type: str
    message: str


class _Event(Struct, frozen=True):
    """Any event of the stream, and the body of an error: what they have in common."""

    type: str
    content_block: _Block | None = None
    delta: _Delta | None = None
    error: _Error | None = None


class Visitor:
    """A client of the proxy at `host`:`port`. `on_text` is called with each piece of text as it comes."""

    def __init__(self, host: str, port: int, *, key: str = "any") -> None:
        self._address = (host, port)
        self._key = key

    async def ask(self, body: bytes, on_text: Callable[[str], None]) -> Heard:
        """Send one streaming Messages request and listen to the end.

        Raises:
            OSError: nobody listens there.
            h11.RemoteProtocolError: the answer broke off, or is no HTTP.
        """
        listener = _Listener(on_text)
        decoder = Decoder()

        def take(data: bytes) -> None:
            for event in decoder.feed(data):
                listener.hear(event.data)

        status, rest = await self._exchange("POST", "/v1/messages?beta=true", body=body, take=take)
        if status != 200:
            listener.hear(rest)
        return listener.heard(status)

    async def get(self, path: str) -> bytes:
        """The body of a GET."""
        _, body = await self._exchange("GET", path, body=b"", take=lambda _: None)
        return body

    async def _exchange(
        self, method: str, target: str, *, body: bytes, take: Callable[[bytes], None]
    ) -> tuple[int, bytes]:
        """One request; returns status and body. The body of a 200 is also handed to `take` as it comes."""
        connection = h11.Connection(h11.CLIENT)
        async with await trio.open_tcp_stream(*self._address) as stream:
            await stream.send_all(self._request(connection, method, target, body))
            status, whole = 0, bytearray()
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(CHUNK_BYTES))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    whole += event.data
                    take(bytes(event.data) if status == 200 else b"")
            return status, bytes(whole)

    def _request(self, connection: h11.Connection, method: str, target: str, body: bytes) -> bytes:
        host, port = self._address
        headers = [
            ("host", f"{host}:{port}"),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("anthropic-version", "2023-06-01"),
            ("x-api-key", self._key),
            ("user-agent", "ccproxy-trio-demo"),
            ("connection", "close"),
        ]
        pieces = (
            h11.Request(method=method, target=target, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        return b"".join(connection.send(piece) or b"" for piece in pieces)


class _Listener:
    """Folds a stream of Messages events into what was heard."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._text = ""
        self._block: _Block | None = None
        self._tool: _Block | None = None
        self._arguments = ""
        self._stop_reason: str | None = None
        self._error: str | None = None

    def hear(self, data: bytes) -> None:
        event = msgspec.json.decode(data, type=_Event)
        if event.error:
            self._error = event.error.message
        if event.content_block and event.content_block.type == "tool_use":
            self._tool = event.content_block
        if event.delta is None:
            return
        self._arguments += event.delta.partial_json
        self._stop_reason = event.delta.stop_reason or self._stop_reason
        if event.delta.text:
            self._text += event.delta.text
            self._on_text(event.delta.text)

    def heard(self, status: int) -> Heard:
        tool = None
        if self._tool:
            tool = ToolUse(id=self._tool.id, name=self._tool.name, arguments=self._arguments)
        return Heard(status, self._text, tool, self._stop_reason, self._error)
