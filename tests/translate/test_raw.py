import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy_trio.translate.raw import compact, members, plain
from ccproxy_trio.wire.faults import RequestRefused

DEEP = Raw(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("read", [compact, plain, members])
def test_nesting_past_the_interpreters_limit_is_a_refusal(read: object) -> None:
    assert callable(read)
    with pytest.raises(RequestRefused, match=r"^here: "):
        read(DEEP, "here")


def test_compact_json_keeps_the_spelling_of_numbers_and_the_order_of_keys() -> None:
    given = '{ "b" : 1.50, "a": [ 1e5 , "\\u00e9 é" ] }'
    assert compact(Raw(given.encode()), "here") == '{"b":1.50,"a":[1e5,"é é"]}'


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (r'"\u00e9"', '"é"'),
        (r'"\ud83d\ude00!"', '"😀!"'),
        (r'"\\u00e9"', r'"\\u00e9"'),
        (r'"\\\u00e9"', r'"\\é"'),
        (r'"\\\\u00e9\n\u00e9\u00E8\t\u65e5"', r'"\\\\u00e9\néè\t日"'),
        (r'"\\u\u00e9\\\u0041\ud83d\ude00\u00e9"', r'"\\ué\\\u0041😀é"'),
        (r'"\u0041\u0022\u000a\n"', r'"\u0041\u0022\u000a\n"'),
    ],
)
def test_escaped_characters_become_themselves_and_other_escapes_stay(given: str, made: str) -> None:
    assert compact(Raw(given.encode()), "here") == made


tokens = st.sampled_from(
    [
        *(r"\\", r"\n", r"\"", r"\/", r"\u0041", r"\u001f"),
        *(r"\u00e9", r"\u00E9", r"\u65e5", r"\ud83d\ude00"),
        *("u00e9", "ud83d", "é", "0", " ", "\u2028"),
    ]
)


@given(st.lists(tokens))
def test_compacting_changes_the_spelling_and_nothing_else(spelled: list[str]) -> None:
    given_text = f'"{"".join(spelled)}"'
    made = compact(Raw(given_text.encode()), "here")
    assert json.loads(made) == json.loads(given_text)
    beyond = [token for token in spelled if token.startswith((r"\u00e", r"\u00E", r"\ud", r"\u65"))]
    assert len(made) == len(given_text) - sum(len(token) - 1 for token in beyond)
