import hypothesis.strategies as st
import pytest
from hypothesis import given

from ccproxy_trio.translate.errors import sanitise

CANARY = "c4n4ry" + "A1b2C3d4" * 3


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: sk-proj-{CANARY}.",
        "Incorrect API key provided: sk-abc***c4n4ry.",
        f"header Authorization: Bearer {CANARY} refused",
        f"authorization: basic {CANARY}==",
        f"api-key={CANARY} is wrong",
        f'{{"api_key": "{CANARY}"}}',
        f"the token is {CANARY}",
        f"subscription key: '{CANARY}'",
        f"password={CANARY}",
        f"AIza{CANARY}",
        f"gsk_{CANARY}",
        f"hf_{CANARY}",
        f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.sig",
        f"https://user:{CANARY}@host.example/v1",
        f"https://host.example/v1?key={CANARY}&x=1",
        f"https://host.example/v1#{CANARY}",
        f"unlabelled {CANARY * 2}",
        f"<html><title>Refused</title>api key {CANARY}</html>",
        f"<html>api key {CANARY}</html>",
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str) -> None:
    assert "c4n4ry" not in sanitise(text)


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 10000 tokens",
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "Rate limit reached for gpt-4o-mini-2024-07-18 on tokens per min (TPM): Limit 30000, Used 29000",
        "See https://platform.openai.com/docs/guides/rate-limits for more.",
        "You didn't provide an API key.",
        "Invalid token in JSON at position 123456789",
        "Unexpected value(s) `thinking-token-count-2026-05-13`, `token-efficient-tools-2025-02-19` for the "
        "`anthropic-beta` header.",
        "größer als 3 < 5 und 7 > 2 — 中文 ✓",
    ],
)
def test_what_does_not_is_kept(text: str) -> None:
    assert sanitise(text) == text


def test_it_is_one_printable_line() -> None:
    assert sanitise("a\x00b\x1b[31mc\r\nd\te\u202ef\u2028g\ud800h\x7f") == "a b [31mc d e f g h"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<html><head><title>\n 502 Bad Gateway</title></head><body>long</body></html>", "502 Bad Gateway"),
        ("<!doctype html><p>Hello <b>there</b></p>", "Hello there"),
        ("<html><style>p{}</style><script>alert(1)</script>words</html>", "words"),
        ("<html><script>never closed", ""),
        ("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "AccessDenied"),
        ("Oops: <HTML><body>x</body></HTML>", "Oops: x"),
    ],
)
def test_of_a_page_the_title_or_the_words_are_left(page: str, text: str) -> None:
    assert sanitise(page) == text


def test_it_is_cut_to_two_kilobytes_between_characters() -> None:
    cut = sanitise("é" * 5000)
    assert len(cut.encode()) <= 2000
    assert cut == "é" * 998 + "…"
    assert sanitise("x" * 2000) == "x" * 2000
    assert sanitise("x" * 2001) == "x" * 1997 + "…"


@given(st.text(max_size=3000))
def test_whatever_comes_in_what_goes_out_is_short_and_printable(text: str) -> None:
    out = sanitise(text)
    assert len(out.encode()) <= 2000
    assert out == "" or out.isprintable()
    assert out == out.strip()


HOSTILE = ["<" * 100_000, "key " * 50_000, "http://" * 20_000, "a" * 200_000, "<script" * 9999]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_takes_no_time(text: str) -> None:
    sanitise(text)
