import pytest
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
        (r'"\u0041\u0022\u000a\n"', r'"\u0041\u0022\u000a\n"'),
    ],
)
def test_escaped_characters_become_themselves_and_other_escapes_stay(given: str, made: str) -> None:
    assert compact(Raw(given.encode()), "here") == made
