"""Who listens to an answer: a client that reads along, or one that waits for the whole of it.

Both are told the same parts. They differ in one question, `shown`: has content reached the client? As long
as it has not, another provider may start over and nobody will ever know.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import trio
from msgspec import Struct

from ccproxy_trio.health.lateness import was_late
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.native.fold import fold_frames
from ccproxy_trio.translate.parts import Finished, Heading, Part, content_bearing
from ccproxy_trio.translate.question import Headers
from ccproxy_trio.wire.events import Event, Passage, encode_frames, encode_message
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault


class Audience(Protocol):
    """What an attempt talks to."""

    @property
    def shown(self) -> bool:
        """Content has reached the client: this answer can only go on, or end in an error."""

    @property
    def is_behind(self) -> bool:
        """It has not taken all that it was told: `catch_up` before it hears more."""

    def hear(self, parts: Sequence[Part]) -> None:
        """Take the next parts of the answer; the last of them is `Finished`."""

    async def catch_up(self) -> None:
        """Return once it has taken all that it was told."""

    def forget(self) -> None:
        """The attempt failed before anything was shown: the next one starts from nothing."""


class Whole(Struct, frozen=True):
    """An answer for a client that asked without `stream`. `headers`: the provider's, names in lower case."""

    body: bytes
    headers: Headers = ()


class WholeAnswer:
    """A client that asked without `stream`. It sees nothing until the end, so any failure can be covered."""

    shown = False
    is_behind = False

    _headers: Headers

    def __init__(self, new_emitter: Callable[[], Emitter]) -> None:
        self._new_emitter = new_emitter
        self.forget()

    def hear(self, parts: Sequence[Part]) -> None:
        """Keep the parts.

        Raises:
            GrammarBroken: a bug of ours; another attempt starts from nothing.
        """
        self._headers = _headers_in(parts) or self._headers
        events = self._emitter.take(parts)
        self._grammar.check(events)
        self._events += events

    async def catch_up(self) -> None:
        """See `Audience`: nobody reads along."""

    def forget(self) -> None:
        """Drop what a failed attempt left."""
        self._emitter = self._new_emitter()
        self._grammar = Grammar()
        self._events: list[Event] = []
        self._headers = ()

    def whole(self) -> Whole:
        """The answer, once an attempt has finished. Of one that passed as it came, every member is kept."""
        if any(isinstance(event, Passage) for event in self._events):
            return Whole(fold_frames(encode_frames(self._events)), self._headers)
        return Whole(encode_message(fold(self._events)), self._headers)


class Opened(Struct, frozen=True):
    """The handshake: a response can be started. The frames follow; the channel closes after the last.

    `ended()` tells a body that ended in `message_stop` or an error event from one whose writer died.
    `headers` are the provider's, names in lower case: none where the response starts before its answer.
    """

    frames: trio.MemoryReceiveChannel[bytes]
    ended: Callable[[], bool]
    headers: Headers = ()


class Rhythm(Struct, frozen=True, kw_only=True):
    """How a stream is kept alive, and when it is given up, in seconds.

    `open_after`: the head is sent alone when an attempt has gone so long without content, so that pings can
    follow it. Attempts that fail sooner hold it back: as long as it is, an error can be a proper HTTP error.
    `heartbeat_every`: an empty delta after so long without any event, since pings do not reset Claude
    Code's watchdog; None for clients that did not ask to see thinking. `stall_limit`: a client that has not
    read for so long has lost its answer.
    """

    open_after: float
    heartbeat_every: float | None
    stall_limit: float


class LiveStream:
    """A client that reads along.

    `started` is called once, when there is something to answer 200 for: the first content or, for a model
    that thinks long, the head alone. Frames of one upstream read are joined into one item of a
    channel that holds one: a slow client slows the upstream down, and nothing piles up in between.
    """

    def __init__(self, emitter: Emitter, rhythm: Rhythm, *, started: Callable[[Opened], None]) -> None:
        self._emitter = emitter
        self._started = started
        self._rhythm = rhythm
        self._grammar = Grammar()
        self._frames, self._receive = trio.open_memory_channel[bytes](1)
        self._held: list[Part] = []
        self._headers: Headers = ()
        self._untaken = b""
        self._last_event_at = trio.current_time()
        self._quiet = trio.CancelScope(deadline=self._last_event_at + rhythm.open_after)
        self.head_sent = False
        self.shown = False

    @property
    def is_behind(self) -> bool:
        """The channel was full when the last frames came."""
        return bool(self._untaken)

    def hear(self, parts: Sequence[Part]) -> None:
        """Show the parts; hold them back until there is content among them.

        Raises:
            UpstreamFault: CLIENT_STALLED, the client has gone.
            GrammarBroken: a bug of ours; none of the parts was sent, and the stream can only `fail`.
        """
        if not self.shown:
            self._held += parts
            if not (content_bearing(parts) or self._is_complete()):
                return
            parts, self._held = self._held, []
            self._headers = _headers_in(parts)
            self.shown = True
        self._send(self._emitter.take(parts))

    def _is_complete(self) -> bool:
        # An answer may end without any content: a model that spent all its tokens on hidden thought.
        return bool(self._held) and isinstance(self._held[-1], Finished)

    def forget(self) -> None:
        """Drop what was held back."""
        self._held = []
        self._quiet.deadline = trio.current_time() + self._rhythm.open_after

    async def fail(self, kind: str, message: str) -> None:
        """End the stream with an error event. The open block stays open: Claude Code then asks again.

        Raises:
            UpstreamFault: CLIENT_STALLED.
        """
        if not self._grammar.is_over:
            await self.catch_up()
            self._send(self._emitter.fail(kind, message))
            await self.catch_up()

    def close(self) -> None:
        """No more frames. The body ends here, at once: Claude Code waits for that end."""
        self._frames.close()

    async def pulse(self) -> None:
        """Keep a waiting client waiting; run beside the attempts and cancel when they are done."""
        with self._quiet:
            await trio.sleep_forever()
        if not self.head_sent and self._has_room():
            self._post(self._emitter.open())
        every = self._rhythm.heartbeat_every
        if every is None:
            return
        while True:
            await trio.sleep_until(self._last_event_at + every)
            silent_for = trio.current_time() - self._last_event_at
            if silent_for >= every:
                self._beat()

    def _beat(self) -> None:
        if self._has_room():
            self._post(self._emitter.heartbeat())
        else:
            self._last_event_at = trio.current_time()  # there is something to read; look again later

    async def catch_up(self) -> None:
        """Wait for a client that reads more slowly than the provider writes.

        Raises:
            UpstreamFault: CLIENT_STALLED, the client has not read for `stall_limit` seconds, or has gone.
        """
        if not self._untaken:
            return
        while self._untaken:
            due_at = trio.current_time() + self._rhythm.stall_limit
            with trio.move_on_at(due_at):
                await self._offer()
            # While we were stopped, nobody passed on what it was ready to read: it gets its time again.
            if self._untaken and not was_late(due_at, trio.current_time()):
                raise UpstreamFault(FaultKind.CLIENT_STALLED, "the client stopped reading")
        self._close_behind_the_last()

    async def _offer(self) -> None:
        try:
            await self._frames.send(self._untaken)
        except trio.BrokenResourceError:
            raise _gone() from None
        self._untaken = b""

    def _send(self, events: list[Event]) -> None:
        data = self._encode(events)
        if not data:
            return
        self._open()
        try:
            self._frames.send_nowait(data)
        except trio.WouldBlock:
            self._untaken = data
        except trio.BrokenResourceError:
            raise _gone() from None
        else:
            self._close_behind_the_last()

    def _close_behind_the_last(self) -> None:
        if self._grammar.is_over:
            self.close()

    def _post(self, events: list[Event]) -> None:
        """Send without waiting; the caller has checked that there is room."""
        data = self._encode(events)
        self._open()
        self._frames.send_nowait(data)

    def _has_ended(self) -> bool:
        return self._grammar.is_over and not self._untaken

    def _has_room(self) -> bool:
        # With a full channel the client is behind: it has something to read and needs no heartbeat, and a
        # frame out of turn would overtake the one that waits.
        statistics = self._frames.statistics()
        is_empty = statistics.current_buffer_used == 0 and statistics.tasks_waiting_send == 0
        return is_empty and statistics.open_receive_channels > 0 and not self._grammar.is_over

    def _encode(self, events: list[Event]) -> bytes:
        self._grammar.check(events)
        if not events or any(not _is_aside(event) for event in events):
            self._last_event_at = trio.current_time()
        return encode_frames(events)

    def _open(self) -> None:
        if not self.head_sent:
            self.head_sent = True
            self._started(Opened(frames=self._receive, ended=self._has_ended, headers=self._headers))


def _headers_in(parts: Sequence[Part]) -> Headers:
    return next((part.headers for part in parts if isinstance(part, Heading)), ())


def _is_aside(event: Event) -> bool:
    """Whether it is a keep-alive of the provider's, which does not keep Claude Code from giving up."""
    return isinstance(event, Passage) and event.act == "aside"


def _gone() -> UpstreamFault:
    return UpstreamFault(FaultKind.CLIENT_STALLED, "the client has gone")
