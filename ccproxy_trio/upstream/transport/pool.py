"""Which connection carries the next request: one that is kept, a new one, or none yet.

`_decided` is where that is decided. It does not wait, so nothing can change under it; all that waits is
around it. Whoever holds a `Connection` holds one of the pool's places, connected or not, until `release`.
"""

import math
from collections import deque

import trio

from ccproxy_trio.upstream.transport.connecting import Link, Origin


class Connection:
    """A place in the pool, and the link that lies there, if there is one."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.link: Link | None = None
        self.kept_at = -math.inf  # Trio's clock; of interest while it is kept

    def close(self) -> None:
        """Close the link at once. The place stays."""
        if self.link is not None:
            self.link.close()
            self.link = None


class _Waiter:
    """Somebody in the queue. `connection` is set before `served`, or stays None when the pool closes."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.served = trio.Event()
        self.connection: Connection | None = None


class Pool:
    """At most `places` connections, whether they carry a request, are kept for one, or are being made.

    The one used last is used next, so that those which are too many grow old; whoever waits is served in
    order. `keep_alive`: seconds after which an idle connection is no longer used.
    """

    def __init__(self, *, places: int, keep_alive: float) -> None:
        self._free = places
        self._keep_alive = keep_alive
        self._kept: dict[Origin, list[Connection]] = {}  # each list by age, the oldest first
        self._out: set[Connection] = set()
        self._queue: deque[_Waiter] = deque()
        self._is_closed = False
        self._grew = trio.Event()  # there is something to tidy

    def take(self, origin: Origin) -> Connection | None:
        """A connection, or a place to make one; None if there is none to be had at once.

        Raises:
            RuntimeError: the pool has been closed.
        """
        if self._is_closed:
            raise RuntimeError("a transport that has been closed carries no requests")
        return None if self._queue else self._decided(origin)

    async def wait(self, origin: Origin) -> Connection:
        """As `take`, once there is one to be had. Cancelling takes nothing.

        Raises:
            RuntimeError: the pool has been closed.
        """
        waiter = _Waiter(origin)
        self._queue.append(waiter)
        self._serve()
        try:
            await waiter.served.wait()
        except trio.Cancelled:
            self._withdraw(waiter)
            raise
        if waiter.connection is None:
            raise RuntimeError("the transport was closed while a request waited for a connection")
        return waiter.connection

    def _withdraw(self, waiter: _Waiter) -> None:
        # It may have been served and cancelled in the same instant: what it was given is somebody else's.
        if waiter.connection is not None:
            self.release(waiter.connection)
        elif waiter in self._queue:
            self._queue.remove(waiter)
            self._serve()

    def release(self, connection: Connection) -> None:
        """Give the place back. A link that still lies there is kept for the next request."""
        self._out.discard(connection)
        if connection.link is None or self._is_closed:
            connection.close()
            self._free += 1
        else:
            connection.kept_at = trio.current_time()
            self._kept.setdefault(connection.origin, []).append(connection)
            self._grew.set()
        self._serve()

    def close(self) -> None:
        """Close everything, what is in use too, and turn away whoever waits."""
        self._is_closed = True
        for connection in self._out:
            connection.close()
        self._let_go(now=math.inf)
        while self._queue:
            self._queue.popleft().served.set()

    async def tidy(self) -> None:
        """Close idle connections as they grow too old, for ever. Without it, the next request does."""
        while True:
            while not self._kept:
                self._grew = trio.Event()
                await self._grew.wait()
            oldest = min(kept[0].kept_at for kept in self._kept.values())
            await trio.sleep_until(oldest + self._keep_alive)
            self._let_go(now=trio.current_time())

    # -- what decides --

    def _decided(self, origin: Origin) -> Connection | None:
        self._let_go(now=trio.current_time())
        connection = self._usable(origin)
        if connection is None:
            if not self._free and self._kept:
                self._close_oldest(min(self._kept, key=lambda each: self._kept[each][0].kept_at))
            if not self._free:
                return None
            self._free -= 1
            connection = Connection(origin)
        self._out.add(connection)
        return connection

    def _usable(self, origin: Origin) -> Connection | None:
        """The connection used last of those that have nothing to say: unasked, it can only be a farewell."""
        kept = self._kept.get(origin, [])
        found = None
        while kept and found is None:
            connection = kept.pop()
            if connection.link is not None and not connection.link.has_unread():
                found = connection
            else:
                connection.close()
                self._free += 1
        if not kept:
            self._kept.pop(origin, None)
        return found

    def _serve(self) -> None:
        while self._queue:
            connection = self._decided(self._queue[0].origin)
            if connection is None:
                return
            waiter = self._queue.popleft()
            waiter.connection = connection
            waiter.served.set()

    def _let_go(self, *, now: float) -> None:
        # The same sum as in `tidy`: a difference may be rounded otherwise, and `tidy` would never wait again.
        for origin in list(self._kept):
            while origin in self._kept and self._kept[origin][0].kept_at + self._keep_alive <= now:
                self._close_oldest(origin)

    def _close_oldest(self, origin: Origin) -> None:
        kept = self._kept[origin]
        kept.pop(0).close()
        self._free += 1
        if not kept:
            del self._kept[origin]
