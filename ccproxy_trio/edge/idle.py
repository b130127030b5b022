"""What Hypercorn's connections are made to do: close when their clients have, and show themselves.

Hypercorn 0.18 notices the end of an idle connection, and then holds its socket until the keep-alive time is
over all the same: its connection task waits for the idle timer. With a keep-alive of two minutes, a client
that opens nine connections a second takes every file descriptor there is.
"""

from hypercorn.trio.tcp_server import TCPServer

from ccproxy_trio.edge.stopping import MEETING, Stopping

_read_data = TCPServer._read_data


async def _read_data_and_stop_waiting(self: TCPServer) -> None:
    stopping: Stopping | None = self.state.get(MEETING)
    if stopping is None:  # a server without our app
        await _read_data(self)
    else:
        stopping.meet(self)
        try:
            await _read_data(self)
        finally:
            stopping.leave(self)
    await self.idle_task.stop()


def mend_connections() -> None:
    """Mend Hypercorn in this process. May be called again."""
    TCPServer._read_data = _read_data_and_stop_waiting  # type: ignore[method-assign]
