"""Long steps one after another, so that a rush leaves room for everybody else.

Whatever is ready runs in the same turn of the event loop. If a thousand requests arrive at once, their
translations would all run before anything else gets its turn again: a health check, an answer that is ready
to be shown. So each of them waits until it is the only one that begins something long in its turn.
"""

import trio


class Turns:
    """Gives one caller a turn of the event loop, in the order in which they came."""

    def __init__(self) -> None:
        self._one = trio.Semaphore(1)

    async def take(self) -> None:
        """Return at the beginning of a turn that is nobody else's; what follows should not wait.

        It need not be given back: a semaphore that is acquired wakes its next waiter for the next turn, and
        acquiring one always takes a turn.
        """
        await self._one.acquire()
        self._one.release()
        # A semaphore that is to be had is taken with cancelling put off. Who was outrun meanwhile must not
        # begin: its request may have been let go of.
        await trio.lowlevel.checkpoint_if_cancelled()
