"""What httpx's timeouts mean, as Trio's cancel scopes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import httpx
import trio
from msgspec import Struct

from ccproxy_trio.health.lateness import was_late

KEEP_ALIVE = 30.0  # seconds that a connection is kept for the next request
_UNLIMITED = nullcontext()


class Limits(Struct, frozen=True):
    """Seconds to get a connection, to connect, for one read, for one write. None: no limit."""

    pool: float | None = None
    connect: float | None = None
    read: float | None = None
    write: float | None = None


class NotRunning(httpx.ConnectTimeout):
    """The time to connect passed while this process was stopped, or its machine asleep."""


def limits_of(request: httpx.Request) -> Limits:
    """The timeouts that a request bears, as httpx's client or whoever made it put them there."""
    timeout = request.extensions.get("timeout")
    if not timeout:
        return Limits()
    return Limits(timeout.get("pool"), timeout.get("connect"), timeout.get("read"), timeout.get("write"))


def within(seconds: float | None, late: type[httpx.TimeoutException]) -> AbstractContextManager[None]:
    """Bound a block. Without a limit no scope is entered.

    Raises:
        late: the time is up. Of a `ConnectTimeout`, `NotRunning` if that is noticed far too late.
    """
    return _UNLIMITED if seconds is None else _bounded(seconds, late)


@contextmanager
def _bounded(seconds: float, late: type[httpx.TimeoutException]) -> Iterator[None]:
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise missed(late, scope.deadline, within=seconds)


def missed(late: type[httpx.TimeoutException], due_at: float, *, within: float) -> httpx.TimeoutException:
    """What it means that a deadline (an instant on Trio's clock) has been found to be over."""
    if late is httpx.ConnectTimeout and was_late(due_at, trio.current_time()):
        late = NotRunning
    return late(f"not within {within:g} s")
