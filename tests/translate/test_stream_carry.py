import json

from msgspec import Raw

from ccproxy_trio.translate.carry import Carry, detail_text
from ccproxy_trio.translate.state import hidden_reasoning, unseal


def kept(*details: object) -> list[object]:
    """What a stream with these `reasoning_details` items carries."""
    carry = Carry("acme", "up")
    for detail in details:
        carry.add_detail(Raw(json.dumps(detail).encode()))
    assert carry.is_waiting
    (sealed,) = carry.take()
    state = unseal(sealed)
    assert not carry.is_waiting
    assert state is not None
    return [json.loads(bytes(detail)) for detail in state.details or ()]


def text(words: str | None, **more: object) -> dict[str, object]:
    return {"type": "reasoning.text", "text": words, **more}


def test_pieces_of_one_item_are_joined() -> None:
    assert kept(
        text("a", index=0, signature=None), text("b", index=0, format="x"), text(None, index=0, signature="s")
    ) == [text("ab", index=0, signature="s", format="x")]
    assert kept(text("a"), text("b")) == [text("ab")]
    signed = [text("a", signature="s"), text(None, signature=None, format="x")]
    assert kept(*signed) == [text("a", signature="s", format="x")]
    summaries = [{"type": "reasoning.summary", "summary": word, "index": 0} for word in "ab"]
    assert kept(*summaries) == [{"type": "reasoning.summary", "summary": "ab", "index": 0}]


def test_items_that_differ_stay_apart() -> None:
    for first, second in [
        (text("a", index=0), text("b", index=1)),
        (text("a", index=0), {"type": "reasoning.summary", "summary": "b", "index": 0}),
        (text("a", index=0, signature="s"), text("b", index=0)),
        ({"type": "reasoning.encrypted", "data": "a"}, {"type": "reasoning.encrypted", "data": "b"}),
        (text("a"), {"type": 5}),
        ({"type": 5}, 7),
    ]:
        assert kept(first, second) == [first, second]


def test_an_item_that_came_whole_is_kept_byte_for_byte() -> None:
    carry = Carry("acme", "up")
    odd = [Raw(b'{ "text":"a","type" : "reasoning.text"}'), Raw(b'{"type":"reasoning.text","text":"b"}')]
    for detail in odd:
        carry.add_whole_detail(detail)
    state = unseal(carry.take()[0])
    assert state is not None
    assert state.details == odd


def test_hidden_text_and_signatures_travel_once() -> None:
    carry = Carry("acme", "up")
    carry.add_hidden("Let me")
    carry.add_hidden(" see.")
    carry.add_signatures({"toolu_1": Raw(b'{"x":1}')})
    state = unseal(carry.take()[0])
    assert state is not None
    assert hidden_reasoning(state.details or ()) == "Let me see."
    assert state.signatures == {"toolu_1": Raw(b'{"x":1}')}
    assert carry.take() == [carry.sign()]


def test_what_a_detail_shows() -> None:
    assert detail_text(Raw(b'{"type":"reasoning.text","text":"a"}')) == "a"
    assert detail_text(Raw(b'{"type":"reasoning.summary","summary":"a"}')) == "a"
    assert detail_text(Raw(b'{"type":"reasoning.encrypted","data":"a"}')) == ""
    assert detail_text(Raw(b'"a"')) == ""
