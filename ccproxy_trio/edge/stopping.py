"""How the end of the server becomes the end of its requests, whoever runs the server.

Hypercorn tells its connections of the end by an event of its own, and they are all that sees it. So each of
them shows itself here (`idle.py` sees to that); the first one brings the event. A server that never had a
connection has nothing to drain.
"""

import os
import signal

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from ccproxy_trio.drain import LAST_WORDS
from ccproxy_trio.house import House

MEETING = "ccproxy_trio.stopping"  # where a connection finds its `Stopping`, in the lifespan's state
SAME_SIGNAL = 1.0  # seconds in which the signal that a server and its worker both get may arrive twice


class Stopping:
    """Watches for the server's end, and sees the house through it."""

    def __init__(self, house: House, nursery: trio.Nursery) -> None:
        self._house = house
        self._nursery = nursery
        self._connections: set[TCPServer] = set()
        self._server: tuple[WorkerContext, Config] | None = None
        self._began_at: float | None = None

    def meet(self, connection: TCPServer) -> None:
        """A connection has begun. It is to `leave` when it ends."""
        self._connections.add(connection)
        if self._server is None:
            self._server = connection.context, connection.config
            self._nursery.start_soon(self._follow, *self._server)

    def leave(self, connection: TCPServer) -> None:
        """A connection has ended."""
        self._connections.discard(connection)

    @property
    def drain_timeout(self) -> float:
        """Seconds that requests under way are to have, as it is configured now."""
        return self._house.services.settings.drain_timeout

    def hurry(self) -> None:
        """What is under way ends now, with a word to its client."""
        self._house.drain.cut()

    async def _follow(self, context: WorkerContext, config: Config) -> None:
        await context.terminated.wait()
        self._began_at = trio.current_time()
        self._house.stop_probing()
        self._house.drain.begin(self._time_left(config.graceful_timeout))
        # A client that does not read holds up Hypercorn's send, which no cancelling can end.
        while (ends_at := self._house.drain.ends_at + LAST_WORDS) > trio.current_time():
            with trio.move_on_at(ends_at):
                await self._house.drain.changed.wait()
        for connection in tuple(self._connections):
            await connection.stream.aclose()

    def _time_left(self, given: float) -> float:
        """What requests may have of the time that the server gives them: the rest is for its end."""
        return min(self.drain_timeout, max(given - LAST_WORDS - 1.0, given / 2))

    async def obey(self) -> None:
        """Take SIGTERM and SIGINT as the server's end, and a second one as a reason to hurry.

        For a worker of Hypercorn's: its parent obeys signals, but a process manager or a terminal sends them
        to both, and a worker that knew nothing of them would die of the first with all its streams.
        """
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self._began_at is not None and trio.current_time() > self._began_at + SAME_SIGNAL:
                    self.hurry()
                elif self._server is not None:
                    await self._server[0].terminate.set()
                elif number == signal.SIGTERM:  # nobody has ever connected: nothing can be lost
                    signal.signal(number, signal.SIG_DFL)
                    os.kill(os.getpid(), number)
