from typing import Any

import pytest

from ccproxy_trio.translate.search import QUERY_CHARACTERS, presentable, refusal
from ccproxy_trio.wire.search import Hit, SearchQuestion


def question(**fields: Any) -> SearchQuestion:
    return SearchQuestion(**{"call": "srvtoolu_x", "query": "trio", **fields})


def shown(*hits: Hit, at_most: int = 8, **fields: Any) -> tuple[Hit, ...]:
    return presentable(hits, question(**fields), at_most=at_most)


def hit(url: str = "https://a.example/", **fields: Any) -> Hit:
    return Hit(**{"url": url, "title": "T", **fields})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, None),
        ({"max_uses": 1}, None),
        ({"query": "x" * QUERY_CHARACTERS}, None),
        ({"max_uses": 0}, "max_uses_exceeded"),
        ({"max_uses": -1, "query": ""}, "max_uses_exceeded"),
        ({"query": ""}, "invalid_tool_input"),
        ({"query": "x" * (QUERY_CHARACTERS + 1)}, "query_too_long"),
    ],
)
def test_a_question_not_worth_asking_is_refused(fields: dict[str, Any], code: str | None) -> None:
    assert refusal(question(**fields)) == code


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://a.example/x",
        "//a.example/x",
        "https:///x",
        "https://[::1/x",
        "https://a.example/\nb",
        "https://a.example/\x1b[2J",
        "https://a.example/a b",
        "https://a.example/" + "x" * 2000,
        "",
    ],
)
def test_only_addresses_of_the_web_are_shown(url: str) -> None:
    assert shown(hit(url)) == ()


@pytest.mark.parametrize(
    ("domain", "url", "covered"),
    [
        ("a.example", "https://a.example/", True),
        ("a.example", "http://www.A.example:8080/x?y", True),
        ("a.example.", "https://a.example", True),
        ("A.Example", "https://a.example./", True),
        ("https://a.example/", "https://a.example/x", True),
        ("*.a.example", "https://b.a.example/", True),
        ("a.example", "https://nota.example/", False),
        ("a.example", "https://a.example.evil/", False),
        ("a.example", "https://a.example@evil.example/", False),
        ("a.example", "https://evil.example/a.example", False),
        ("www.a.example", "https://a.example/", False),
        ("a.example/blog", "https://a.example/blog", True),
        ("a.example/blog", "https://a.example/blog/post", True),
        ("a.example/blog/*", "https://a.example/blog/post", True),
        ("a.example/*", "https://a.example/", True),
        ("a.example/blog", "https://a.example/blogger", False),
        ("a.example/blog", "https://a.example/x/blog", False),
        ("a.example/*/blog", "https://a.example/x/blog/y", True),
        ("a.example/*/blog", "https://a.example/x/y", False),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("é" * 300, "https://a.example/", False),
        ("", "https://a.example/", False),
    ],
)
def test_domains_hold_whatever_the_engine_gives(domain: str, url: str, covered: bool) -> None:
    assert bool(shown(hit(url), allowed_domains=(domain,))) is covered
    assert bool(shown(hit(url), blocked_domains=(domain,))) is not covered
    assert shown(hit(url), allowed_domains=("z.example", domain), blocked_domains=(domain,)) == ()


def test_only_so_many_are_shown_and_each_once() -> None:
    hits = [hit(f"https://a.example/{number // 2}") for number in range(20)]
    assert [each.url[-1] for each in shown(*hits, at_most=3)] == ["0", "1", "2"]


def test_hits_that_may_not_be_shown_take_no_place() -> None:
    assert len(shown(hit("ftp://x/"), hit("https://b.example/"), hit(), at_most=2)) == 2


@pytest.mark.parametrize(
    ("told", "clean"),
    [
        ("a <b>bold</b> claim", "a bold claim"),
        ("<img src=x onerror='alert(1)'>Title", "Title"),
        ("&lt;script&gt;x&lt;/script&gt; &amp; y", "x & y"),
        ("<!-- hidden -->seen<?php ?>", "seen"),
        ("if a < b and c > d: x <- 3", "if a < b and c > d: x <- 3"),
        ("line\r\nbreak\ttab\x1b[31mred\x00\u202eltr\u200b", "line break tab [31mred ltr"),
        ("  much   space ", "much space"),
        ("<a<a<a<a" * 5000, "<a<a<a"),
    ],
)
def test_titles_and_snippets_are_one_clean_line(told: str, clean: str) -> None:
    (seen,) = shown(hit(title=told, snippet=told))
    assert seen.title.startswith(clean)
    assert seen.snippet.startswith(clean)
    assert len(seen.title) <= 200
    assert len(seen.snippet) <= 600


def test_long_titles_and_snippets_are_cut_visibly() -> None:
    (seen,) = shown(hit(title="t" * 300, snippet="s" * 900))
    assert seen.title == "t" * 199 + "…"
    assert seen.snippet == "s" * 599 + "…"


def test_a_hit_without_a_title_goes_by_its_address() -> None:
    assert shown(hit(title=" <b></b> "))[0].title == "https://a.example/"


@pytest.mark.parametrize(
    ("published", "age"),
    [
        ("2024-05-01T10:00:00", "2024-05-01"),
        ("2 weeks ago", "2 weeks ago"),
        ("<b></b>", None),
        (None, None),
        ("x" * 90, "x" * 39 + "…"),
    ],
)
def test_the_age_of_a_page_is_told_where_it_is_known(published: str | None, age: str | None) -> None:
    assert shown(hit(published=published))[0].published == age
