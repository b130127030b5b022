"""A canned OpenAI-compatible upstream: a process of its own with a bare loop over sockets.

    async with canned_upstream() as upstream:
        config = {"providers": [{"name": "canned", "api_key": "none", "base_url": upstream.base_url, ...

It answers any POST to a path that ends in `/chat/completions` with what the model's name asks for (see
`answers.py`), and GET `/v1/models`. One process serves every case at once. It reads only as much HTTP as its
clients speak: keep-alive, no pipelining, bodies by content-length or chunked.

By hand: `python -m benchmarks.upstream --port 9000`, until its standard input ends.
"""

import argparse
import contextlib
import heapq
import itertools
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn

import msgspec
import trio
from msgspec import Struct

from benchmarks.answers import (
    Shape,
    Stream,
    burst,
    json_answer,
    models_answer,
    shape_of,
    stream,
    unknown_model,
    whole,
)
from benchmarks.asking import Client
from benchmarks.processes import cores, pin, raise_file_limit
from benchmarks.scripted import bound_socket

READ_BYTES = 1 << 20
NEAR_BYTES = 2048  # where in a body its own fields are looked for first: at its beginning, then at its end
BACKLOG = 4096
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_MODEL = (b'"model"', re.compile(rb'"model" ?: ?"([^"]*)"'))
_STREAM = (b'"stream"', re.compile(rb'"stream" ?: ?true'))
_USAGE = (b'"include_usage"', re.compile(rb'"include_usage" ?: ?true'))


class Counts(Struct, frozen=True):
    """What the upstream has met: completions asked for, and streams that it holds now."""

    completions: int
    held: int


class CannedUpstream:
    """The upstream's process, while it runs."""

    def __init__(self, port: int, process: trio.Process) -> None:
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        """For its CPU time."""
        return self._process.pid

    @property
    def base_url(self) -> str:
        """What a client is configured with."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def release(self) -> None:
        """Let every stream that is held now go on to its end."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"release\n")

    async def counts(self) -> Counts:
        """What it has met so far."""
        async with Client(self.port) as client:
            return msgspec.json.decode(await client.body_of("/counts"), type=Counts)


@asynccontextmanager
async def canned_upstream() -> AsyncIterator[CannedUpstream]:
    """Run an upstream, on the engine's cores. It is stopped on leaving; it ends with this process, too."""
    with bound_socket() as listener:
        listener.listen(BACKLOG)
        command = [sys.executable, "-m", "benchmarks.upstream", "--fd", str(listener.fileno())]
        start = partial(
            trio.run_process, command, check=False, pass_fds=(listener.fileno(),), stdin=subprocess.PIPE
        )
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(start)
            pin(process.pid, cores().engine)
            yield CannedUpstream(listener.getsockname()[1], process)
            nursery.cancel_scope.cancel()


class Loop:
    """Sockets, timers, and the streams that are held. Single-threaded; nothing in it waits but `run`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._held: list[Callable[[], None]] = []
        self.buffer = bytearray(READ_BYTES)
        self.completions = 0

    @property
    def held(self) -> int:
        """How many streams wait for `release`."""
        return len(self._held)

    def run(self) -> NoReturn:
        """Serve for ever."""
        while True:
            for key, mask in self._selector.select(self._until_next_timer()):
                key.data(mask)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def watch(self, watched: socket.socket | int, events: int, callback: Callable[[int], None]) -> None:
        """Call back with the events that are there, for ever."""
        self._selector.register(watched, events, callback)

    def rewatch(self, watched: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        """Change the events."""
        self._selector.modify(watched, events, callback)

    def forget(self, watched: socket.socket) -> None:
        """End a watch."""
        self._selector.unregister(watched)

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Call back once, at an instant of `time.monotonic`."""
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def hold(self, callback: Callable[[], None]) -> None:
        """Call back once, on `release`."""
        self._held.append(callback)

    def release(self) -> None:
        """Call back everybody who is held."""
        held, self._held = self._held, []
        for callback in held:
            callback()

    def _until_next_timer(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None


class Connection:
    """One client: its requests are read whole, then answered, one after the other."""

    def __init__(self, loop: Loop, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._socket = accepted
        self._received = bytearray()
        self._needed = 0  # bytes of the request under way, once its head has said so
        self._unsent = bytearray()
        self._open = True
        loop.watch(accepted, selectors.EVENT_READ, self._on_event)

    def _on_event(self, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._flush()
            if mask & selectors.EVENT_READ:
                self._receive()
        except BlockingIOError:
            return  # another event will come
        except OSError:
            self._close()  # the client has gone, which is its right

    def _receive(self) -> None:
        count = self._socket.recv_into(self._loop.buffer)
        if count == 0:
            self._close()
            return
        self._received += memoryview(self._loop.buffer)[:count]
        if len(self._received) >= self._needed and (request := self._whole_request()):
            self._answer(*request)

    def _whole_request(self) -> tuple[bytes, bytes] | None:
        """The request line and the body, once all of them are there."""
        end_of_head = self._received.find(b"\r\n\r\n")
        if end_of_head < 0:
            return None
        head = bytes(self._received[:end_of_head])
        if _CHUNKED.search(head):
            # Bodies are JSON without line breaks, so this is the end of nothing else.
            if not self._received.endswith(b"\r\n0\r\n\r\n"):
                return None
        else:
            length = _LENGTH.search(head)
            self._needed = end_of_head + 4 + (int(length[1]) if length else 0)
            if len(self._received) < self._needed:
                return None
        body = bytes(memoryview(self._received)[end_of_head + 4 :])
        self._received.clear()
        self._needed = 0
        return head.split(b"\r\n", 1)[0], body

    def _answer(self, request_line: bytes, body: bytes) -> None:
        method, target, _ = request_line.split(b" ", 2)
        path = target.split(b"?", 1)[0]
        if method == b"POST" and path.endswith(b"/chat/completions"):
            self._complete(body)
        elif path.endswith(b"/models"):
            self._send(models_answer())
        elif path == b"/counts":
            counts = Counts(self._loop.completions, self._loop.held)
            self._send(json_answer(200, msgspec.to_builtins(counts)))
        else:
            self._send(json_answer(404, {"error": {"message": "nothing is here", "type": "not_found"}}))

    def _complete(self, body: bytes) -> None:
        self._loop.completions += 1
        found = _look_for(*_MODEL, body)
        model = found[1].decode() if found else ""
        shape = shape_of(model)
        if shape is None:
            self._send(unknown_model(model))
        elif not _look_for(*_STREAM, body):
            self._send(whole(model, shape))
        else:
            self._stream(model, shape, usage="told" if _look_for(*_USAGE, body) else "untold")

    def _stream(self, model: str, shape: Shape, *, usage: str) -> None:
        if shape.rate:
            Pacing(self._loop, self._send_later, stream(model, shape, usage=usage)).begin()
        elif shape.held:
            answer = stream(model, shape, usage=usage)
            words = [answer.numbered(number) for number in range(shape.words)]
            self._send(answer.opening + words[0])
            self._loop.hold(partial(self._send_later, b"".join(words[1:]) + answer.ending))
        else:
            self._send(burst(model, shape, usage=usage))

    def _send_later(self, data: bytes) -> None:
        """Send outside `_on_event`. A client that has gone gets nothing."""
        try:
            if self._open:
                self._send(data)
        except OSError:
            self._close()

    def _send(self, data: bytes) -> None:
        sent = 0
        if not self._unsent:
            with contextlib.suppress(BlockingIOError):
                sent = self._socket.send(data)
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            events = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._loop.rewatch(self._socket, events, self._on_event)

    def _flush(self) -> None:
        sent = self._socket.send(self._unsent)
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.rewatch(self._socket, selectors.EVENT_READ, self._on_event)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._socket)
            self._socket.close()


class Pacing:
    """One paced answer under way. Words that are late keep their number; none is joined with another."""

    def __init__(self, loop: Loop, send: Callable[[bytes], None], answer: Stream) -> None:
        self._loop = loop
        self._send = send
        self._answer = answer
        self._number = 0
        self._began_at = 0.0

    def begin(self) -> None:
        """Send the head and the first word."""
        self._began_at = time.monotonic()
        self._send(self._answer.opening)
        self._next()

    def _next(self) -> None:
        shape = self._answer.shape
        word = self._answer.numbered(self._number, time.monotonic_ns())
        self._number += 1
        if self._number == shape.words:
            self._send(word + self._answer.ending)
            return
        self._send(word)
        self._loop.call_at(self._began_at + self._number / shape.rate, self._next)


def _look_for(name: bytes, field: re.Pattern[bytes], body: bytes) -> re.Match[bytes] | None:
    """A field of the body. Inside a string its quotes would be escaped, so nothing else looks like it."""
    for begin, end in ((0, NEAR_BYTES), (max(0, len(body) - NEAR_BYTES), len(body)), (0, len(body))):
        # Looking for bytes is many times faster than looking for a pattern.
        if body.find(name, begin, end) >= 0 and (found := field.search(body, begin, end)):
            return found
    return None


def main() -> None:
    """Serve until the standard input ends; a line on it releases what is held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream", description=main.__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="a listening socket that was passed on")
    where.add_argument("--port", type=int, help="a port on 127.0.0.1")
    chosen = parser.parse_args()
    raise_file_limit()
    loop = Loop()
    listener = (
        socket.create_server(("127.0.0.1", chosen.port), backlog=BACKLOG)
        if chosen.fd is None
        else socket.socket(fileno=chosen.fd)
    )
    listener.setblocking(False)
    loop.watch(listener, selectors.EVENT_READ, partial(_accept, loop, listener))
    loop.watch(sys.stdin.fileno(), selectors.EVENT_READ, partial(_obey, loop))
    loop.run()


def _accept(loop: Loop, listener: socket.socket, _mask: int) -> None:
    try:
        while True:
            Connection(loop, listener.accept()[0])
    except BlockingIOError:
        return


def _obey(loop: Loop, _mask: int) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        sys.exit()
    loop.release()


if __name__ == "__main__":
    main()
