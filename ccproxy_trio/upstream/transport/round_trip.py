"""One request and its answer on one link: h11 judges, Trio carries.

h11 is a state machine without I/O. It is told what was sent and what came, and says what it means; whether
the link can be used again is its judgement too. Each round trip has its own: they are cheap, and nothing
of one can leak into the next.
"""

import re

import h11
import httpx
import trio

from ccproxy_trio.upstream.transport.chunks import PlainChunks
from ccproxy_trio.upstream.transport.connecting import Link
from ccproxy_trio.upstream.transport.limits import Limits, within

READ_BYTES = 64 * 1024  # the most of one read; a burst in one read is passed on in one piece
HEAD_BYTES = 64 * 1024  # all heads of one answer together
HEAD_LINES = 256  # of one head
MOST_HEADS = 16  # of one answer: the informational ones, and the final one
CHUNK_LINE_BYTES = 16 * 1024  # a chunk's size with its extensions; all trailers together
# What is sent whether or not the peer reads: on Linux 64 KiB wait at the receiver, and the rest at the
# sender. A longer request may get stuck before a server that has answered and reads no more.
SURELY_TAKEN = 96 * 1024

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BEGINNING = b"HTTP/"  # what begins otherwise is no answer, and may never have a blank line
_LOST = (trio.BrokenResourceError, trio.ClosedResourceError)


class Vanished(httpx.ReadError):
    """Nobody is there any more at the other end of a kept link, though nobody has closed it."""


class RoundTrip:
    """`ask` once, then `read` until it is `over`. Cancelling spoils the link; whoever owns it closes it.

    `doubt_after`: seconds without a word after which the peer must at least have acknowledged the request.
    `heard`: at least one byte of an answer came. `over`: its body came to its end, although some of it may
    still wait to be fetched by `read`.
    """

    def __init__(self, link: Link, limits: Limits, *, doubt_after: float | None = None) -> None:
        self._link = link
        self._limits = limits
        self._doubt_after = doubt_after
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=CHUNK_LINE_BYTES)
        self._plain: PlainChunks | None = None  # as long as h11 need not see the body
        self._ready = b""  # what of the body came with the head
        self._trouble: Exception | None = None  # found behind bytes that are good, and told after them
        self._all_sent = False
        self._is_ambiguous = False
        self.heard = False
        self.over = False

    @property
    def has_ready(self) -> bool:
        """Something that came can be read without waiting."""
        return bool(self._ready)

    @property
    def is_reusable(self) -> bool:
        """Whether the link may carry another round trip."""
        return (
            self._h11.our_state is h11.DONE
            and self._h11.their_state is h11.DONE
            and self._all_sent
            and not self._is_ambiguous
            and self._h11.trailing_data == (b"", False)
        )

    async def ask(self, request: h11.Request, body: bytes) -> h11.Response:
        """Send the request; the head of its final answer.

        A request that could not be sent to its end is no error yet: a server that refuses it answers before
        it has read it all, and hangs up.

        Raises:
            httpx.TransportError: the connection was lost, the peer speaks no HTTP, or a limit was passed.
        """
        try:
            head = self._h11.send(request)
            framed = self._h11.send(h11.Data(data=body)) if body else b""
            framed += self._h11.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        if len(framed) > SURELY_TAKEN:
            return await self._ask_at_length(head, framed)
        self._all_sent = await self._say(head + framed)
        return await self._hear()

    async def _say(self, data: bytes) -> bool:
        """False: the peer takes no more. Whoever listens will hear why."""
        try:
            with within(self._limits.write, httpx.WriteTimeout):
                await self._link.stream.send_all(data)
        except _LOST:
            return False
        mouth = self._link.mouth
        return mouth is None or not mouth.is_cut

    async def _ask_at_length(self, head: bytes, framed: bytes) -> h11.Response:
        """Listen while speaking. Nothing is raised inside the nursery: it would come out as a group."""
        answer: h11.Response | httpx.TransportError
        async with trio.open_nursery() as nursery:
            said = trio.Event()
            nursery.start_soon(self._speak, head, framed, said)
            try:
                answer = await self._hear()
                if answer.status_code < 300:
                    await said.wait()
            except httpx.TransportError as error:
                answer = error
            if not said.is_set():  # refused, or lost: nobody wants the rest
                self._fall_silent(nursery.cancel_scope)
        if isinstance(answer, httpx.TransportError):
            raise self._trouble or answer
        return answer

    def _fall_silent(self, speaking: trio.CancelScope) -> None:
        if self._link.mouth is None:
            speaking.cancel()
        else:
            self._link.mouth.cut()

    async def _speak(self, head: bytes, framed: bytes, said: trio.Event) -> None:
        try:
            self._all_sent = await self._say(head) and await self._say(framed)
        except httpx.WriteTimeout as late:
            self._trouble = late
            self._link.close()  # or the other task would go on listening
        said.set()

    async def _hear(self) -> h11.Response:
        """The head of the final answer. Those of informational ones before it are passed over."""
        came = bytearray()
        room = HEAD_BYTES
        for _ in range(MOST_HEADS):
            size = await self._whole_head(came, room)
            head = self._parsed(bytes(came[:size]))
            del came[:size]
            room -= size
            if isinstance(head, h11.Response):
                self._begin_body(head, bytes(came))
                return head
            if head.status_code == 101:
                raise httpx.RemoteProtocolError("it switches to a protocol nobody asked for")
        raise httpx.RemoteProtocolError("more informational responses than any answer needs")

    async def _whole_head(self, came: bytearray, room: int) -> int:
        """Wait until `came` begins with a whole head: its size. Nothing is parsed that is too large."""
        searched = 0
        while True:
            end = _BLANK_LINE.search(came, searched)
            size = len(came) if end is None else end.end()
            if size > room:
                raise httpx.RemoteProtocolError("its response head is larger than any should be")
            if end is not None and came.count(b"\n", 0, size) > HEAD_LINES:
                raise httpx.RemoteProtocolError("its response head has more lines than any should have")
            if came[: len(_BEGINNING)] != _BEGINNING[: len(came)]:
                raise httpx.RemoteProtocolError("what it sends is no response")
            if end is not None:
                return size
            searched = max(0, size - 2)
            data = await self._receive()
            if not data:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            came += data

    def _parsed(self, head: bytes) -> h11.Response | h11.InformationalResponse:
        self._h11.receive_data(head)
        event = self._next_event()
        if isinstance(event, h11.Response | h11.InformationalResponse):
            return event
        raise httpx.RemoteProtocolError("what it sends is no response")

    def _begin_body(self, head: h11.Response, came: bytes) -> None:
        framing = {name for name, _ in head.headers}
        is_chunked = b"transfer-encoding" in framing
        # Both at once is how one message is passed off as two. h11 goes by the chunks, as it has to; what
        # follows on this link is nobody's answer.
        self._is_ambiguous = is_chunked and b"content-length" in framing
        if is_chunked:
            self._judged(b"")  # some have no body whatever the head says, and are over by this
            self._plain = None if self.over else PlainChunks()
        self._ready = self._digested(came)

    # -- the body --

    async def read(self) -> bytes:
        """The next bytes, b"" at the body's end. All that one read of the link brought is one item.

        Raises:
            httpx.TransportError: the connection was lost, the framing is broken, or a limit was passed.
        """
        while True:
            if data := self._ready:
                self._ready = b""
                return data
            if self._trouble is not None:
                raise self._trouble
            if self.over:
                return b""
            data = await self._receive()
            self._ready = self._digested(data) if data else self._ended()

    async def _receive(self) -> bytes:
        try:
            with within(self._limits.read, httpx.ReadTimeout):
                doubt_after, self._doubt_after = self._doubt_after, None
                if doubt_after is None:
                    data = await self._link.stream.receive_some(READ_BYTES)
                else:
                    data = await self._doubting(doubt_after)
        except _LOST as error:
            raise httpx.ReadError(str(error)) from error
        if data:
            self.heard = True
        return bytes(data)

    async def _doubting(self, after: float) -> bytes | bytearray:
        """Wait for the first word, but not for ever for somebody who is not there."""
        with trio.move_on_after(after):
            return await self._link.stream.receive_some(READ_BYTES)
        if self._link.has_vanished(after):
            raise Vanished("what was sent to it is not acknowledged")
        return await self._link.stream.receive_some(READ_BYTES)

    def _digested(self, data: bytes) -> bytes:
        """What of the body is in these bytes."""
        if self._plain is None:
            return b"".join(self._judged(data))
        if not data:
            return b""
        taken = self._plain.feed(data)
        if taken.is_torn:
            self._trouble = httpx.RemoteProtocolError("malformed chunk footer")
        if taken.rest is not None:
            self._plain = None
            taken.pieces.extend(self._judged(taken.rest))
        return b"".join(taken.pieces)

    def _ended(self) -> bytes:
        """What the end of the stream means: the end of this body, or that it was cut short."""
        if self._plain is not None and self._plain.held:
            self._h11.receive_data(self._plain.held)
        self._h11.receive_data(b"")
        return b"".join(self._judged(b""))

    def _judged(self, data: bytes) -> list[bytes]:
        """What h11 makes of these bytes. Its verdict is kept until they have been read."""
        pieces: list[bytes] = []
        if data:
            self._h11.receive_data(data)
        while True:
            try:
                event = self._next_event()
            except httpx.RemoteProtocolError as error:
                self._trouble = error
                return pieces
            if isinstance(event, h11.Data):
                pieces.append(event.data)
                continue
            self.over = self.over or isinstance(event, h11.EndOfMessage)
            return pieces

    def _next_event(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
