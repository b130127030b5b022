"""A SearXNG instance as it is asked, and all it may answer. Real sockets on loopback."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import pytest
import trio

from ccproxy_trio.settings.model import TransportName, WebSearch
from ccproxy_trio.upstream import search as under_test
from ccproxy_trio.upstream.search import SearXng
from ccproxy_trio.wire.search import Hit, SearchFault, SearchQuestion
from tests.support.ports import ReservedPort
from tests.support.scripted import Linger, Repeat, Send, Step, head, json_reply, raw_reply
from tests.support.searxng import hit, page, searxng

QUERY = "canary-query-5f1e & more"
FOUND = page(hit("https://a.example/", "A", "text", publishedDate="2024-05-01T00:00:00"))


@cache
def trusting() -> ssl.SSLContext:
    """Made once: it takes longer than all the rest of a test."""
    return ssl.create_default_context()


@asynccontextmanager
async def backend(url: str, transport: TransportName, **options: Any) -> AsyncIterator[SearXng]:
    settings, tls = WebSearch(searxng=url, **options), trusting()
    async with SearXng(settings, tls=tls, connections=2, transport=transport) as engine:
        yield engine


def question(**fields: Any) -> SearchQuestion:
    return SearchQuestion(**{"call": "srvtoolu_x", "query": QUERY, **fields})


async def fault_of(transport: TransportName, *reply: Step) -> SearchFault:
    async with searxng(*reply) as instance, backend(instance.url, transport) as engine:
        with trio.fail_after(10), pytest.raises(SearchFault) as caught:
            await engine.search(question())
    assert "canary" not in str(caught.value)
    return caught.value


async def test_the_query_is_asked_for_as_json_and_the_hits_come_back(transport: TransportName) -> None:
    async with searxng(*FOUND) as instance, backend(instance.url, transport) as engine:
        hits = await engine.search(question())
    assert hits == (
        Hit(url="https://a.example/", title="A", snippet="text", published="2024-05-01T00:00:00"),
    )
    assert instance.paths == ["/search"]
    assert instance.asked == [{"q": QUERY, "format": "json"}]
    assert instance.headers[0]["accept-encoding"] == "identity"


async def test_options_of_the_configuration_go_along(transport: TransportName) -> None:
    options = {"categories": ("general", "it"), "language": "de-AT", "safesearch": 0}
    async with searxng(*FOUND) as instance, backend(instance.url + "/sub", transport, **options) as engine:
        await engine.search(question())
    assert instance.paths == ["/sub/search"]
    assert instance.asked[0] == {
        "q": QUERY,
        "format": "json",
        "categories": "general,it",
        "language": "de-AT",
        "safesearch": "0",
    }


async def test_one_allowed_domain_is_part_of_the_query_and_several_are_not(transport: TransportName) -> None:
    async with searxng(*FOUND) as instance, backend(instance.url, transport) as engine:
        await engine.search(question(allowed_domains=("a.example/*",)))
        await engine.search(question(allowed_domains=("a.example", "b.example")))
    assert [asked["q"] for asked in instance.asked] == [f"{QUERY} site:a.example", QUERY]


async def test_fields_that_are_missing_or_null_do_no_harm(transport: TransportName) -> None:
    results = [
        {"url": "https://a.example/", "title": None, "content": None, "publishedDate": None},
        {"url": "https://b.example/"},
    ]
    reply = json_reply(200, {"results": results})
    async with searxng(*reply) as instance, backend(instance.url, transport) as engine:
        hits = await engine.search(question())
    assert hits == (Hit(url="https://a.example/", title=""), Hit(url="https://b.example/", title=""))


@pytest.mark.parametrize(
    "broken",
    [
        {"url": None, "title": "B"},
        {"url": 5, "title": "B"},
        {"url": "https://b.example/", "title": 5},
        {"url": "https://b.example/", "content": ["text"]},
        "https://b.example/",
        None,
    ],
)
async def test_a_hit_that_cannot_be_used_costs_no_other(transport: TransportName, broken: Any) -> None:
    good = hit("https://a.example/", "A"), hit("https://c.example/", "C")
    reply = json_reply(200, {"results": [good[0], broken, good[1]]})
    async with searxng(*reply) as instance, backend(instance.url, transport) as engine:
        hits = await engine.search(question())
    assert [found.title for found in hits] == ["A", "C"]


async def test_a_hit_in_broken_utf_8_costs_no_other(transport: TransportName) -> None:
    results = b'{"results":[{"url":"https://a.example/\xff"},{"url":"https://b.example/","title":null}]}'
    async with searxng(*raw_reply(200, results)) as instance, backend(instance.url, transport) as engine:
        assert await engine.search(question()) == (Hit(url="https://b.example/", title=""),)


@pytest.mark.parametrize(
    ("reply", "code", "reason"),
    [
        (json_reply(429, {}), "too_many_requests", "HTTP 429"),
        (json_reply(414, {}), "query_too_long", "HTTP 414"),
        (json_reply(403, {}), "unavailable", "search.formats"),
        (json_reply(500, {}), "unavailable", "HTTP 500"),
        (raw_reply(302, b"", location="http://127.0.0.1:1/"), "unavailable", "HTTP 302"),
        (raw_reply(200, b"<html>results</html>"), "unavailable", "not a page of results"),
        (json_reply(200, {"results": "none"}), "unavailable", "not a page of results"),
        (json_reply(200, {"results": [{"url": 5}]}), "unavailable", "not a page of results"),
        (raw_reply(200, b"[" * 100_000), "unavailable", "not a page of results"),
        (
            raw_reply(200, b'{"results":[],"unresponsive_engines":["\xff"]}'),
            "unavailable",
            "not a page of results",
        ),
        (raw_reply(200, b"x", content_encoding="gzip"), "unavailable", "compressed"),
        ((Send(b"garbage\r\n\r\n"),), "unavailable", "does not answer in HTTP"),
        ((Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),), "unavailable", "lost"),
        ((), "unavailable", "lost"),
    ],
)
async def test_what_is_no_page_of_results_is_a_fault(
    transport: TransportName, reply: Any, code: str, reason: str
) -> None:
    fault = await fault_of(transport, *reply)
    assert fault.code == code
    assert reason in fault.reason


async def test_an_engine_that_failed_has_not_found_nothing(transport: TransportName) -> None:
    fault = await fault_of(transport, *page(unresponsive_engines=[["one", "CAPTCHA"], ["two", "timeout"]]))
    assert (fault.code, fault.reason) == ("unavailable", "2 of its engines did not answer")


async def test_nothing_found_by_engines_that_answered_is_nothing_found(transport: TransportName) -> None:
    async with searxng(*page()) as instance, backend(instance.url, transport) as engine:
        assert await engine.search(question()) == ()


async def test_hits_count_although_an_engine_failed(transport: TransportName) -> None:
    reply = page(hit("https://a.example/", "A"), unresponsive_engines=[["one", "CAPTCHA"]])
    async with searxng(*reply) as instance, backend(instance.url, transport) as engine:
        assert len(await engine.search(question())) == 1


async def test_an_answer_without_end_is_given_up(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "ANSWER_BYTES", 100_000)
    fault = await fault_of(transport, head(), Repeat((b"3e8\r\n" + b" " * 1000 + b"\r\n",), 0.0))
    assert "larger than any page" in fault.reason


async def test_nobody_listening_is_a_fault(transport: TransportName) -> None:
    with ReservedPort() as nowhere:
        async with backend(f"http://127.0.0.1:{nowhere.number}", transport) as engine:
            with pytest.raises(SearchFault, match="could not connect"):
                await engine.search(question())


async def test_an_address_that_cannot_be_used_is_a_fault(transport: TransportName) -> None:
    async with backend("http://127.0.0.1:99999999", transport) as engine:
        with pytest.raises(SearchFault):
            await engine.search(question())


async def test_cancelling_closes_the_connection(transport: TransportName) -> None:
    async with searxng(Linger()) as instance, backend(instance.url, transport) as engine:
        with trio.move_on_after(0.2):
            await engine.search(question())
        with trio.fail_after(5):
            await instance.left.wait()


async def test_a_proxy_of_the_environment_sees_no_searches(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with searxng(*FOUND) as instance, backend(instance.url, transport) as engine:
        assert len(await engine.search(question())) == 1
