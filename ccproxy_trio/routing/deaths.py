"""Which provider broke off which conversation: asked last when that conversation is repeated.

Claude Code repeats a request at once, without `stream`, when its stream died after content. By priority the
repetition would go straight back to the provider that has just died.
"""

from collections import OrderedDict

from ccproxy_trio.routing.chance import digest

REMEMBERED_FOR = 120.0  # seconds
MOST = 1024  # conversations


class Deaths:
    """A short memory. Pure: `now` is monotonic seconds. `conversation` is what tells it from others."""

    def __init__(self) -> None:
        self._died: OrderedDict[bytes, tuple[float, frozenset[str]]] = OrderedDict()

    def remember(self, conversation: str, provider: str, now: float) -> None:
        """`provider` has just broken off this conversation."""
        key = _key(conversation)
        self._died[key] = (now + REMEMBERED_FOR, self.of(conversation, now) | {provider})
        self._died.move_to_end(key)
        while len(self._died) > MOST:
            self._died.popitem(last=False)

    def of(self, conversation: str | None, now: float) -> frozenset[str]:
        """The providers that lately broke it off."""
        if conversation is None or not self._died:
            return frozenset()
        until, providers = self._died.get(_key(conversation), (now, frozenset()))
        return providers if now < until else frozenset()


def _key(conversation: str) -> bytes:
    # It holds what a client calls its session, which may be as long as a header.
    return digest(conversation, size=16)
