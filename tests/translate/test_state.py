import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy_trio.translate.state import (
    PREFIX,
    SEAL_LIMIT_BYTES,
    Joiner,
    ReplayState,
    carriers,
    hidden_reasoning,
    seal,
    text_detail,
    unseal,
)

raws = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
).map(lambda value: Raw(json.dumps(value).encode()))


@given(
    st.text(),
    st.text(),
    st.lists(raws, min_size=1) | st.none(),
    st.dictionaries(st.text(), raws, min_size=1) | st.none(),
)
def test_what_was_sealed_comes_back_byte_for_byte(
    provider: str, model: str, details: list[Raw] | None, signatures: dict[str, Raw] | None
) -> None:
    state = ReplayState(provider, model, details, signatures)
    assert unseal(seal(state)) == state


def test_the_carrier_is_the_documented_one() -> None:
    sealed = seal(ReplayState("acme", "up", [Raw(b'{"a": 1}')], {"toolu_1": Raw(b'"x"')}))
    body = json.loads(base64.urlsafe_b64decode(sealed.removeprefix("ccpx1.")))
    assert list(body) == ["p", "m", "rd", "sig", "h"]
    assert (body["p"], body["m"], body["rd"], body["sig"]) == ("acme", "up", [{"a": 1}], {"toolu_1": "x"})
    assert seal(ReplayState("acme", "up")).isascii()


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "ErUBCkYIBxgCKkD-anthropic-signature==",
        PREFIX,
        PREFIX + "!!!",
        PREFIX + "e30",
        PREFIX + base64.urlsafe_b64encode(b"{}").decode(),
        PREFIX + base64.urlsafe_b64encode(b'{"p":"a","m":"b"}').decode(),
        PREFIX + base64.urlsafe_b64encode(b'{"p":"a","m":"b","h":5}').decode(),
        PREFIX + base64.urlsafe_b64encode(b'{"p":"a","m":"b","x":' + b"[" * 100_000).decode(),
        PREFIX + "\u65e5\u672c",
    ],
)
def test_what_is_not_ours_is_none(foreign: str) -> None:
    assert unseal(foreign) is None


def test_a_carrier_that_was_cut_or_edited_is_none() -> None:
    sealed = seal(ReplayState("acme", "up", [Raw(b'{"text":"reasoning"}')]))
    body = base64.urlsafe_b64decode(sealed.removeprefix(PREFIX))
    edited = PREFIX + base64.urlsafe_b64encode(body.replace(b"acme", b"evil")).decode()
    assert unseal(edited) is None
    for length in range(len(PREFIX), len(sealed) - 2):
        assert unseal(sealed[:length]) is None


def carried(state: ReplayState) -> tuple[list[Raw], dict[str, Raw]]:
    """What comes out of the carriers of `state`, which are all short enough for the client."""
    joiner, details, signatures = Joiner(), [], {}
    for sealed in carriers(state):
        assert len(sealed) <= SEAL_LIMIT_BYTES
        back = unseal(sealed)
        assert back is not None
        assert (back.provider, back.model) == (state.provider, state.model)
        details += joiner.details(back)
        signatures |= back.signatures or {}
    return details, signatures


SMALL, MIDDLE = Raw(b'"x"'), Raw(b'"' + b"x" * 20_000 + b'"')
LARGE = Raw(json.dumps({"type": "reasoning.text", "text": '\\"' * 40_000}).encode())
FOREIGN = Raw(json.dumps("日本😀" * 30_000, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("details", "signatures"),
    [
        ([SMALL, LARGE, SMALL], {"toolu_1": SMALL}),
        ([MIDDLE] * 5, {}),
        ([FOREIGN, LARGE], {}),
        ([], {f"toolu_{number}": MIDDLE for number in range(4)}),
    ],
)
def test_what_does_not_fit_into_one_carrier_goes_into_several(
    details: list[Raw], signatures: dict[str, Raw]
) -> None:
    state = ReplayState("a", "b", details, signatures)
    assert len(carriers(state)) > 1
    assert carried(state) == (details, signatures)


def test_what_fits_goes_into_one() -> None:
    state = ReplayState("a", "b", [MIDDLE], {"toolu_1": SMALL})
    assert carriers(state) == [seal(state)]


def test_an_item_that_lost_a_piece_is_left_out_and_the_next_is_not() -> None:
    first, *others = [unseal(sealed) for sealed in carriers(ReplayState("a", "b", [LARGE, SMALL]))]
    assert first is not None
    assert first.more
    joiner = Joiner()
    assert [detail for part in others if part is not None for detail in joiner.details(part)] == [SMALL]


def test_hidden_reasoning_is_read_out_of_the_details() -> None:
    state = ReplayState("a", "b", [text_detail("Let me\n"), Raw(b'{"type":"x"}'), text_detail("see \u65e5.")])
    assert hidden_reasoning(state.details or ()) == "Let me\nsee \u65e5."
    assert hidden_reasoning(()) == ""
    assert hidden_reasoning([Raw(b'{"type":"reasoning.text","text":null}')]) == ""
    assert hidden_reasoning([Raw(b"5")]) == ""
