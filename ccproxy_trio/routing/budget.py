"""The retry budget: how many extra attempts the whole process may make, so that an outage is not a storm.

Every request deposits a fraction of a token, and a floor trickles in by the second; what is not spent
within `ttl` is lost. So extra attempts stay below `ratio` of the traffic plus `min_per_s`, whatever fails.
"""

from collections import deque

from ccproxy_trio.settings.model import RetryBudget

_SLICES = 10  # of one `ttl`; what expires does so in steps of a slice


class Budget:
    """A token bucket whose tokens expire. Pure: `now` is monotonic seconds and never runs backwards."""

    def __init__(self, settings: RetryBudget) -> None:
        self._entries: deque[tuple[int, float]] = deque()  # (slice, deposits less withdrawals), oldest first
        self._slice = 0.0
        self.reconfigure(settings)

    def reconfigure(self, settings: RetryBudget) -> None:
        """Go by these numbers from now on. Another `ttl` begins with nothing but its floor."""
        self._ratio = settings.ratio
        self._floor = settings.min_per_s * settings.ttl
        if self._slice != settings.ttl / _SLICES:
            self._slice = settings.ttl / _SLICES
            self._entries.clear()

    def deposit(self, now: float) -> None:
        """A request has begun."""
        self._add(self._ratio, now)

    def take(self, now: float) -> bool:
        """Pay for one extra attempt; False, and nothing is taken, if the budget does not have it."""
        if self.left(now) < 1.0:
            return False
        self._add(-1.0, now)
        return True

    def give_back(self, now: float) -> None:
        """What was paid for was not had."""
        self._add(1.0, now)

    def left(self, now: float) -> float:
        """Tokens there are now. Read-only but for what has expired."""
        self._expire(self._index(now))
        return self._floor + sum(amount for _, amount in self._entries)

    def _add(self, amount: float, now: float) -> None:
        index = self._index(now)
        # Here too: without a failure nobody asks what is left, and every slice would stay.
        self._expire(index)
        if self._entries and self._entries[-1][0] == index:
            amount += self._entries.pop()[1]
        self._entries.append((index, amount))

    def _expire(self, index: int) -> None:
        while self._entries and self._entries[0][0] <= index - _SLICES:
            self._entries.popleft()

    def _index(self, now: float) -> int:
        return int(now // self._slice)
