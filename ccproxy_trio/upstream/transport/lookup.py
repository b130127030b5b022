"""Names become addresses in threads, since the system's resolver waits. What hangs there is bounded here.

A thread cannot be cancelled: when a request's time to connect is up, its lookup is left behind, and ends when
the resolver gives up. So whoever asks for a name that is being looked up waits for that lookup instead of
starting one, and of one name there are never more than `THREADS_A_NAME`. A name server that hangs for one
provider takes no thread from the others.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any

import trio

THREADS_A_NAME = 4
Key = tuple[Any, ...]  # what `socket.getaddrinfo` is given
Found = Sequence[Any]  # what it gives: five-tuples of family, type, protocol, name, address


class _Lookup:
    """One under way. `found` is set before `ended`, or stays None when whoever looked was cancelled."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.found: Found | OSError | None = None


class Lookups(trio.abc.HostnameResolver):
    """Trio's resolver for one run. `ask` is what waits in a thread."""

    def __init__(self, ask: Callable[..., Found] = socket.getaddrinfo) -> None:
        self._ask = ask
        self._under_way: dict[Key, _Lookup] = {}
        self._threads: dict[object, trio.CapacityLimiter] = {}

    async def getaddrinfo(self, host: Any, port: Any, *how: Any) -> Any:
        """The addresses of a host. Cancelling leaves at most a thread behind, until the resolver gives up.

        Raises:
            OSError: there is none, as the system says it.
        """
        key: Key = (host, port, *how)
        while (under_way := self._under_way.get(key)) is not None:
            await under_way.ended.wait()
            if under_way.found is not None:
                return _given(under_way.found)
        return _given(await self._look_up(key))

    async def _look_up(self, key: Key) -> Found | OSError:
        lookup = self._under_way[key] = _Lookup()
        try:
            found = await trio.to_thread.run_sync(
                self._answered, *key, abandon_on_cancel=True, limiter=self._limiter(key[0])
            )
            lookup.found = found
        finally:
            del self._under_way[key]
            lookup.ended.set()
        return found

    def _answered(self, *key: Any) -> Found | OSError:
        try:
            return self._ask(*key)
        except OSError as error:
            return error

    def _limiter(self, host: object) -> trio.CapacityLimiter:
        """There are as many as there are hosts in the configuration."""
        if host not in self._threads:
            self._threads[host] = trio.CapacityLimiter(THREADS_A_NAME)
        return self._threads[host]

    async def getnameinfo(self, address: Any, flags: int) -> Any:
        """Nobody asks."""
        raise NotImplementedError


def _given(found: Found | OSError) -> Found:
    """The addresses. Whoever waited gets an error of their own: one for all would gather all their traces."""
    if isinstance(found, OSError):
        raise type(found)(*found.args)
    return found


def bound_lookups() -> None:
    """Have the lookups of this Trio run bounded, if nobody has chosen a resolver for it."""
    chosen = trio.socket.set_custom_hostname_resolver(Lookups())
    if chosen is not None:
        trio.socket.set_custom_hostname_resolver(chosen)
