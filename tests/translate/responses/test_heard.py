"""Which item an event belongs to, whatever of place, id and kind it tells."""

from ccproxy_trio.translate.responses.heard import Items
from ccproxy_trio.wire.response_events import OutputItem


def test_pieces_belong_to_the_item_of_their_place() -> None:
    items = Items()
    first, second = items.begun("message", 0, "a"), items.begun("message", 1, "b")
    assert items.more_of("message", 0, "a") is first
    assert items.more_of("message", 1, None) is second
    assert (first.number, second.number) == (0, 1)


def test_an_id_that_changes_does_not_matter_where_the_place_fits() -> None:
    items = Items()
    first = items.begun("message", 0, "a")
    assert items.more_of("message", 0, "another") is first


def test_the_id_tells_items_of_one_place_apart() -> None:
    items = Items()
    first, second = items.begun("function_call", 0, "a"), items.begun("function_call", 0, "b")
    assert first is not second
    assert items.more_of("function_call", 0, "a") is first
    assert items.more_of("function_call", 0, "b") is second
    assert items.more_of("function_call", None, "a") is first


def test_items_of_another_kind_are_others() -> None:
    items = Items()
    reasoning = items.begun("reasoning", 0, None)
    message = items.more_of("message", 0, None)
    assert message is not reasoning
    assert items.more_of("message", 0, None) is message


def test_an_item_that_begins_twice_is_one_unless_it_was_done() -> None:
    items = Items()
    first = items.begun("message", 0, "a")
    assert items.begun("message", 0, "a") is first
    first.done = True
    assert items.begun("message", 0, "a") is not first


def test_an_item_that_is_done_gets_more_only_by_its_id() -> None:
    items = Items()
    first = items.begun("message", 0, "a")
    first.done = True
    assert items.more_of("message", 0, "a") is first
    assert items.more_of("message", 0, None) is not first


def test_a_part_that_is_told_whole_may_come_behind_its_item() -> None:
    items = Items()
    first = items.begun("message", 0, None)
    first.done = True
    assert items.end_of("message", 0, None) is first
    assert items.end_of("message", 5, None) is not first


def test_at_the_end_ids_decide_then_the_order_of_a_kind() -> None:
    items = Items()
    first, second = items.begun("function_call", 0, "a"), items.begun("function_call", 1, "b")
    whole = [OutputItem(type="function_call", id=name) for name in ("b", "changed", "unheard")]
    whole.insert(0, OutputItem(type="message", id="a"))
    message, one, other, unheard = (heard for heard, _ in items.paired(whole))
    assert (one, other) == (second, first)
    assert {message, unheard}.isdisjoint({first, second})
