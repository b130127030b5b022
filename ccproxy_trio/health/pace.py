"""How long a provider takes to its first content, as far as its last attempts tell."""

from bisect import bisect_left, insort
from collections import deque

KEPT = 100  # attempts
ENOUGH = 20  # attempts before they tell anything: of fewer, the 95th of a hundred is the slowest


class Pace:
    """The last times to the first content, in seconds. Pure.

    An attempt that a rival outran is kept with the time that it had had by then. It is less than the attempt
    would have taken, but to leave it out would be worse: races cut off just the slow ones, and a figure made
    of the others would sink with every race and start the next one sooner.
    """

    def __init__(self) -> None:
        self._last: deque[float] = deque()
        self._sorted: list[float] = []

    def note(self, seconds: float) -> None:
        """An attempt took so long, or had no content after so long."""
        if len(self._last) == KEPT:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
        self._last.append(seconds)
        insort(self._sorted, seconds)

    @property
    def p95(self) -> float | None:
        """What 95 of 100 attempts did not exceed; None while there are too few."""
        count = len(self._sorted)
        return self._sorted[-(-count * 95 // 100) - 1] if count >= ENOUGH else None
