"""Gives memory back when a rush is over.

What is freed stays with the process, for whoever comes next: the C library's heap shrinks at its end only,
and one object that lives on there holds it all. After a thousand streams that is hundreds of megabytes. So
when far fewer are under way than there were, what lies in cycles is collected and the heap is trimmed.
"""

import ctypes
import gc
from collections.abc import Callable

import trio

LOOK_EVERY = 5.0  # seconds
A_RUSH = 50  # exchanges at once; fewer leave too little behind


class Rush:
    """How many exchanges are under way (`with rush` is one), and the most since memory was given back."""

    def __init__(self) -> None:
        self.under_way = 0
        self._most = 0

    def __enter__(self) -> None:
        self.under_way += 1
        self._most = max(self._most, self.under_way)

    def __exit__(self, *exception: object) -> None:
        self.under_way -= 1

    def is_over(self) -> bool:
        """There was a rush, and three quarters of it have gone."""
        return self._most >= A_RUSH and self.under_way * 4 <= self._most

    def forget(self) -> None:
        """Count from here on."""
        self._most = self.under_way


async def tidy_up(rush: Rush, give_back: Callable[[], None]) -> None:
    """Give memory back after each rush, for ever."""
    while True:
        await trio.sleep(LOOK_EVERY)
        if rush.is_over():
            rush.forget()
            give_back()


def give_back_memory() -> None:
    """Collect cycles and trim the heap, which not all C libraries can; a tenth of a second or less."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
