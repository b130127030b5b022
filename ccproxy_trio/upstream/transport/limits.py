"""What httpx's timeouts mean, as Trio's cancel scopes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import httpx
import trio
from msgspec import Struct

KEEP_ALIVE = 30.0  # seconds that a connection is kept for the next request
_UNLIMITED = nullcontext()


class Limits(Struct, frozen=True):
    """Seconds to get a connection, to connect, for one read, for one write. None: no limit."""

    pool: float | None = None
    connect: float | None = None
    read: float | None = None
    write: float | None = None


def limits_of(request: httpx.Request) -> Limits:
    """The timeouts that a request bears, as httpx's client or whoever made it put them there."""
    timeout = request.extensions.get("timeout")
    if not timeout:
        return Limits()
    return Limits(timeout.get("pool"), timeout.get("connect"), timeout.get("read"), timeout.get("write"))


def within(seconds: float | None, late: type[httpx.TimeoutException]) -> AbstractContextManager[None]:
    """Bound a block. Without a limit no scope is entered.

    Raises:
        late: the time is up.
    """
    return _UNLIMITED if seconds is None else _bounded(seconds, late)


@contextmanager
def _bounded(seconds: float, late: type[httpx.TimeoutException]) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise late(f"not within {seconds:g} s") from error
