"""Which item of an answer an event belongs to, and what of that item has been heard.

Items are numbered in the order in which they were first heard of. An event names its item by a place in the
output (`output_index`) and by an id; imitators leave one of them out, restart the places, or change the ids.
So the kind of the item must fit, then the place, then, among several that are left, the id, then what is not
done yet.
"""

from collections.abc import Sequence

from ccproxy_trio.wire.chunks import Loose
from ccproxy_trio.wire.response_events import ItemKind, OutputItem

PartKey = tuple[str, int]  # "text", "refusal", "summary", "content" or "arguments", and which of them


class Heard:
    """An item so far. `parts`: those of which something was told. `done`: it has been told whole."""

    __slots__ = ("done", "id", "kept", "kind", "named", "number", "parts", "place")

    def __init__(self, kind: ItemKind, number: int, place: Loose, item_id: Loose) -> None:
        self.kind = kind
        self.number = number
        self.place = place
        self.id = item_id
        self.parts: set[PartKey] = set()
        self.named = False
        self.kept = False
        self.done = False


class Items:
    """The items of one answer."""

    def __init__(self) -> None:
        self._all: list[Heard] = []

    def paired(self, whole: Sequence[OutputItem]) -> list[tuple[Heard, OutputItem]]:
        """The items of a whole answer, each with what was heard of it. Places may differ here.

        Who bears the same id belongs together; where ids differ too, the others of that kind in order.
        """
        left = list(self._all)
        pairs: list[tuple[Heard | None, OutputItem]] = []
        for item in whole:
            mine = [heard for heard in left if heard.kind == item.type]
            found = self._named(mine, item.id)
            if found is not None:
                left.remove(found)
            pairs.append((found, item))
        return [(found or self._next_of(item.type, left), item) for found, item in pairs]

    def _next_of(self, kind: ItemKind, left: list[Heard]) -> Heard:
        """The next of what is left, taken from there."""
        found = next((heard for heard in left if heard.kind == kind), None)
        if found is None:
            return self.new(kind, None, None)
        left.remove(found)
        return found

    def begun(self, kind: ItemKind, place: Loose, item_id: Loose) -> Heard:
        """The item that begins; one of the same id and place has begun before."""
        found = self._named(self._candidates(kind, place), item_id)
        return self.new(kind, place, item_id) if found is None or found.done else found

    def more_of(self, kind: ItemKind, place: Loose, item_id: Loose) -> Heard:
        """The item that a piece, or the whole of it, belongs to. One that is done must be named by its id."""
        candidates = self._candidates(kind, place)
        found = self._named(candidates, item_id) or next(
            (item for item in reversed(candidates) if not item.done), None
        )
        return self.new(kind, place, item_id) if found is None else found

    def end_of(self, kind: ItemKind, place: Loose, item_id: Loose) -> Heard:
        """The item of which a part is told whole: also one that is done."""
        candidates = self._candidates(kind, place)
        found = self._named(candidates, item_id) or next(reversed(candidates), None)
        return self.new(kind, place, item_id) if found is None else found

    def _candidates(self, kind: ItemKind, place: Loose) -> list[Heard]:
        return [
            item
            for item in self._all
            if item.kind == kind and (place is None or item.place is None or item.place == place)
        ]

    def _named(self, candidates: list[Heard], item_id: Loose) -> Heard | None:
        if not item_id:
            return None
        return next((item for item in candidates if item.id == item_id), None)

    def new(self, kind: ItemKind, place: Loose, item_id: Loose) -> Heard:
        """One that nothing was heard of before."""
        item = Heard(kind, len(self._all), place, item_id)
        self._all.append(item)
        return item
