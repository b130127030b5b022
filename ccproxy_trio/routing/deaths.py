"""Which provider broke off which conversation: asked last when that conversation is repeated.

Claude Code repeats a request at once, without `stream`, when its stream died after content. By priority the
repetition would go straight back to the provider that has just died.
"""

from collections import OrderedDict

REMEMBERED_FOR = 120.0  # seconds
MOST = 1024  # conversations


class Deaths:
    """A short memory. Pure: `now` is monotonic seconds. `conversation` is what tells it from others."""

    def __init__(self) -> None:
        self._died: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    def remember(self, conversation: str, provider: str, now: float) -> None:
        """`provider` has just broken off this conversation."""
        self._died[conversation] = (now + REMEMBERED_FOR, self.of(conversation, now) | {provider})
        self._died.move_to_end(conversation)
        while len(self._died) > MOST:
            self._died.popitem(last=False)

    def of(self, conversation: str | None, now: float) -> frozenset[str]:
        """The providers that lately broke it off."""
        if conversation is None or conversation not in self._died:
            return frozenset()
        until, providers = self._died[conversation]
        return providers if now < until else frozenset()
