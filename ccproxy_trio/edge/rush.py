"""Gives memory back when a rush is over.

What is freed stays with the process, for whoever comes next: the C library's heap shrinks at its end only,
and one object that lives on there holds it all (`python -m benchmarks memory` shows how much). So when far
fewer are under way than there were, what lies in cycles is collected and the heap is trimmed.
"""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress

import trio

LOOK_EVERY = 5.0  # seconds
A_RUSH = 50  # exchanges at once; fewer leave too little behind


class UnderWay:
    """How many exchanges are under way (`with` it for each), and the most since memory was given back."""

    def __init__(self) -> None:
        self.count = 0
        self._most = 0

    def __enter__(self) -> None:
        self.count += 1
        self._most = max(self._most, self.count)

    def __exit__(self, *exception: object) -> None:
        self.count -= 1

    def rush_is_over(self) -> bool:
        """There was a rush, and three quarters of it have gone."""
        return self._most >= A_RUSH and self.count * 4 <= self._most

    def forget(self) -> None:
        """Count from here on."""
        self._most = self.count


async def tidy_up(under_way: UnderWay, give_back: Callable[[], None]) -> None:
    """Give memory back after each rush, for ever."""
    while True:
        await trio.sleep(LOOK_EVERY)
        if under_way.rush_is_over():
            under_way.forget()
            give_back()


def give_back_memory() -> None:
    """Collect cycles and trim the heap, where the C library can. Nothing else goes on meanwhile."""
    gc.collect()
    with suppress(TypeError, AttributeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
