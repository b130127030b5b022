"""A provider that takes no more work, and those who wait until it has none."""

from ccproxy_trio.actors.kit import ReplySlot


class Draining:
    """Whether the provider drains, and who waits for it. Outlives incarnations: a crash must not undo it."""

    def __init__(self) -> None:
        self.is_on = False
        self._waiting: list[ReplySlot[None]] = []

    def begin(self, slot: ReplySlot[None]) -> None:
        """From now on no lease is granted; `slot` is filled once none is in flight."""
        self.is_on = True
        self._waiting.append(slot)

    def tell(self) -> None:
        """None is in flight."""
        waiting, self._waiting = self._waiting, []
        for slot in waiting:
            slot.fill(None)
