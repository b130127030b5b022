"""The end of the proxy, as exchanges meet it: until when they may go on."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

LAST_WORDS = 3.0  # seconds for what a stopped exchange still has to tell its client


class Drain:
    """Bounds every exchange by one instant: never, until the proxy is being stopped."""

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()
        self.changed = trio.Event()  # set, and replaced, whenever `ends_at` changes
        self.ends_at = math.inf  # on Trio's clock

    @property
    def has_begun(self) -> bool:
        """The proxy is being stopped: nothing new is taken on."""
        return self.ends_at < math.inf

    def begin(self, within: float) -> None:
        """What is under way has so many seconds. Called again, it can only become less."""
        self.ends_at = min(self.ends_at, trio.current_time() + within)
        for scope in self._scopes:
            scope.deadline = self.ends_at
        self.changed.set()
        self.changed = trio.Event()

    def cut(self) -> None:
        """What is under way ends now."""
        self.begin(0.0)

    @contextmanager
    def bounding(self) -> Iterator[None]:
        """Cancels the block when the time is over. Whoever leaves it without a result was too late."""
        with trio.CancelScope(deadline=self.ends_at) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
