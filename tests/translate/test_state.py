import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy_trio.translate.state import (
    PREFIX,
    SEAL_LIMIT_BYTES,
    ReplayState,
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


def test_what_does_not_fit_is_left_out_whole() -> None:
    large, small = Raw(b'"' + b"x" * SEAL_LIMIT_BYTES + b'"'), Raw(b'"x"')
    without_details = unseal(seal(ReplayState("a", "b", [small, large], {"toolu_1": small})))
    assert without_details == ReplayState("a", "b", None, {"toolu_1": small})
    without_anything = unseal(seal(ReplayState("a", "b", [small], {"toolu_1": large})))
    assert without_anything == ReplayState("a", "b")
    nearly = ReplayState("a", "b", [Raw(b'"' + b"x" * (SEAL_LIMIT_BYTES * 3 // 4 - 100) + b'"')])
    assert len(seal(nearly)) <= SEAL_LIMIT_BYTES
    assert unseal(seal(nearly)) == nearly


def test_hidden_reasoning_is_read_out_of_the_details() -> None:
    state = ReplayState("a", "b", [text_detail("Let me\n"), Raw(b'{"type":"x"}'), text_detail("see \u65e5.")])
    assert hidden_reasoning(state) == "Let me\nsee \u65e5."
    assert hidden_reasoning(ReplayState("a", "b")) == ""
    assert hidden_reasoning(ReplayState("a", "b", [Raw(b'{"type":"reasoning.text","text":null}')])) == ""
    assert hidden_reasoning(ReplayState("a", "b", [Raw(b"5")])) == ""
