"""What Hypercorn's connections are made to do: close when their clients have, and show themselves.

Hypercorn 0.18 notices the end of an idle connection, and then holds its socket until the keep-alive time is
over all the same: its connection task waits for the idle timer. With a keep-alive of two minutes, a client
that opens nine connections a second takes every file descriptor there is.
"""

from hypercorn.events import Closed
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import TrioSingleTask

from ccproxy_trio.edge.stopping import MEETING, Stopping

_read_data = TCPServer._read_data
_idle_timeout = TCPServer._idle_timeout


async def _read_data_and_stop_waiting(self: TCPServer) -> None:
    stopping: Stopping | None = self.state.get(MEETING)
    if stopping is None:  # a server without our app
        await _read_data(self)
    else:
        stopping.meet(self)
        try:
            await _read_data(self)
        except MemoryError:  # let through, it would end the server and with it every other connection
            await self.protocol.handle(Closed())
        finally:
            stopping.leave(self)
    timer, self.idle_task = self.idle_task, _Over()
    await timer.stop()


class _Over(TrioSingleTask):
    """The idle timer of a connection whose client has gone."""


async def _idle_timeout_of_who_is_there(self: TCPServer) -> None:
    # An answer that ends as its client leaves starts the timer once more, and nobody is left to stop it.
    if not isinstance(self.idle_task, _Over):
        await _idle_timeout(self)


def mend_connections() -> None:
    """Mend Hypercorn in this process. May be called again."""
    TCPServer._read_data = _read_data_and_stop_waiting  # type: ignore[method-assign]
    TCPServer._idle_timeout = _idle_timeout_of_who_is_there  # type: ignore[method-assign]
