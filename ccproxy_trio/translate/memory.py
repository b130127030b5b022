"""Tools' schemas as they were rewritten before: a session sends the same ones with every request."""

from collections import OrderedDict

from msgspec import Raw

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.schema import Kind

MOST_BYTES = 4 * 2**20  # of schemas before and after, many times what a session's tools have
ENTRY_BYTES = 400  # what an entry takes beside them, so that tiny schemas cannot become many
ONE_SCHEMA = 1 / 16  # of that; what is larger would push out all that pays


class SchemaMemory:
    """Does what `schema.parameters` does, but once for a schema that keeps coming.

    What a schema becomes depends on its bytes and on the kind alone, and these are what it is found by: two
    clients can share an entry only by sending the same schema. The schema that was used longest ago goes
    first. For one thread.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[Kind, bytes], Raw] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """How much is remembered, never more than `most_bytes`."""
        return self._bytes

    def parameters(self, asked: Raw, kind: Kind, where: str) -> Raw:
        """See `schema.parameters`; what it refuses is not remembered, since the words say where it was."""
        key = (kind, bytes(asked))  # a copy: a Raw out of a request holds the whole of its body
        known = self._known.get(key)
        if known is None:
            known = schema.parameters(asked, kind, where)
            self._remember(key, known)
        else:
            self._known.move_to_end(key)
        return known

    def _remember(self, key: tuple[Kind, bytes], made: Raw) -> None:
        size = _size(key, made)
        if size > self._most_bytes * ONE_SCHEMA:
            return
        self._known[key] = made
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._bytes -= _size(*self._known.popitem(last=False))


def _size(key: tuple[Kind, bytes], made: Raw) -> int:
    return ENTRY_BYTES + len(key[1]) + len(memoryview(made))
