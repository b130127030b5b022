"""One connection to a scripted provider: requests are read by h11, replies are written step by step."""

import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, assert_never
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import trio

from tests.support.conversation import messages_of, tool_names_of
from tests.support.steps import Cut, Hold, Linger, Pause, Repeat, Send, Step
from tests.support.told import Wire


class Request:
    """One request as it arrived. Instants are on Trio's clock."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> None:
        self.wire: Wire = "chat"  # by its path, which the provider knows
        self.method = method
        self.path = unquote(urlsplit(target).path)
        self.query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        self.headers = headers  # names in lower case
        self.content = content
        self.body: dict[str, Any] = json.loads(content) if content else {}
        self.at = trio.current_time()
        self.connection = 0  # which of the provider's connections, counted from 1
        self.gone = trio.Event()  # set when the client closes the connection before the reply is over
        self.gone_at: float | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, on each wire in the words of Chat Completions."""
        return messages_of(self.body, self.wire)

    @property
    def tool_names(self) -> list[str]:
        """The tools on offer."""
        return tool_names_of(self.body, self.wire)

    @property
    def betas(self) -> list[str]:
        """The values of `anthropic-beta`."""
        return [beta.strip() for beta in self.headers.get("anthropic-beta", "").split(",") if beta.strip()]

    def text_of(self, role: str) -> str:
        """All text of one role, joined: enough to look for a phrase."""
        found = [message.get("content") for message in self.messages if message["role"] == role]
        return "\n".join(json.dumps(content, ensure_ascii=False) for content in found)


class Connection:
    """One client connection: requests through h11, replies as raw steps."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._unread = b""  # what arrived ahead of its turn

    async def read_request(self) -> Request | None:
        """The next request, or None when the client is done."""
        parser = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        content = b""
        while True:
            match parser.next_event():
                case h11.NEED_DATA:
                    data = self._unread or await self._stream.receive_some()
                    self._unread = b""
                    parser.receive_data(data)
                case h11.Request() as head:
                    pass
                case h11.Data() as data_event:
                    content += data_event.data
                case h11.EndOfMessage():
                    self._unread = bytes(parser.trailing_data[0])
                    assert head is not None
                    headers = {name.decode().lower(): value.decode() for name, value in head.headers}
                    return Request(head.method.decode(), head.target.decode(), headers, content)
                case _:
                    return None

    async def perform(self, steps: tuple[Step, ...], request: Request) -> bool:
        """Take the steps. True: the connection lives on for another request."""
        alive = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, request, nursery.cancel_scope)
            # A client that leaves may be met here before the watch sees it; out of the nursery the error
            # would come as a group that nobody catches, and end the whole provider.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                alive = await self._take(steps)
            nursery.cancel_scope.cancel()
        return alive and not request.gone.is_set()

    async def _watch(self, request: Request, scope: trio.CancelScope) -> None:
        """Notice that the client leaves while it is being answered."""
        try:
            while data := await self._stream.receive_some():
                self._unread += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        request.gone_at = trio.current_time()
        request.gone.set()
        scope.cancel()

    async def _take(self, steps: tuple[Step, ...]) -> bool:
        for step in steps:
            match step:
                case Send(data):
                    await self._stream.send_all(data)
                case Repeat():
                    await self._repeat(step)
                case Pause(seconds):
                    await trio.sleep(seconds)
                case Hold(gate):
                    await gate.wait()
                case Linger():
                    await trio.sleep_forever()
                case Cut(how):
                    self._cut(how)
                    return False
                case _:
                    assert_never(step)
        return True

    async def _repeat(self, step: Repeat) -> None:
        while True:
            for piece in step.pieces:
                await self._stream.send_all(piece)
                await trio.sleep(step.every)

    def _cut(self, how: Literal["fin", "rst"]) -> None:
        if how == "rst":  # a linger time of zero turns close() into a reset
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.socket.close()
