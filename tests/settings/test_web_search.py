import json
from typing import Any

import pytest

from ccproxy_trio.settings.model import WebSearch
from tests.settings.making import check, faults, notes, settings


def loaded(environ: dict[str, str] | None = None, **keys: Any) -> WebSearch:
    search = check(settings(web_search=keys), environ).settings.web_search
    assert search is not None
    return search


def test_there_is_no_search_unless_it_is_configured() -> None:
    assert check(settings()).settings.web_search is None
    assert check(settings(web_search=None)).settings.web_search is None


def test_an_address_is_enough() -> None:
    search = loaded(searxng="http://127.0.0.1:8888/")
    assert search == WebSearch(searxng="http://127.0.0.1:8888")
    assert (search.timeout, search.max_results) == (10, 8)
    assert notes(settings(web_search={"searxng": "http://127.0.0.1:8888/"})) == []


def test_variables_are_put_in_as_everywhere() -> None:
    search = loaded(
        {"HOST_OF_IT": "search.internal", "TONGUE": "de"},
        searxng="https://${HOST_OF_IT}/x",
        language="${TONGUE}",
        categories=["general", "${MORE:-it}"],
    )
    assert search.searxng == "https://search.internal/x"
    assert (search.language, search.categories) == ("de", ("general", "it"))
    assert faults(settings(web_search={"searxng": "https://${NOT_THERE}"})) == [
        "web_search.searxng: The variable NOT_THERE is not set."
    ]


@pytest.mark.parametrize(
    ("keys", "path", "says"),
    [
        ({}, "web_search", "lacks the key `searxng`"),
        ({"searxng": "127.0.0.1:8888"}, "web_search.searxng", "the address of a SearXNG instance"),
        ({"searxng": "http://x?q=1"}, "web_search.searxng", "the address of a SearXNG instance"),
        ({"searxng": "http://[x"}, "web_search.searxng", "is not an address"),
        ({"searxng": "https://u:p@x.example"}, "web_search.searxng", "user name or password"),
        ({"searxng": "https://x.example/search"}, "web_search.searxng", "goes too far"),
        ({"searxng": "https://x.example", "timeout": 0}, "web_search.timeout", "more than 0 and at most 120"),
        ({"searxng": "https://x.example", "timeout": 8000}, "web_search.timeout", "not milliseconds"),
        ({"searxng": "https://x.example", "timeout": "9"}, "web_search.timeout", "without quotes"),
        ({"searxng": "https://x.example", "max_results": 0}, "web_search.max_results", "at least 1"),
        ({"searxng": "https://x.example", "safesearch": 3}, "web_search.safesearch", "at most 2"),
        ({"searxng": "https://x.example", "categories": "it"}, "web_search.categories", "brackets"),
        ({"searxng": "https://x.example", "categories": ["a,b"]}, "web_search.categories[0]", "commas"),
        ({"searxng": "https://x.example", "language": ""}, "web_search.language", "one word"),
        ({"searxng": "https://x.example", "results": 5}, "web_search.results", "There is no such key"),
    ],
)
def test_faults_are_told_with_their_place(keys: dict[str, Any], path: str, says: str) -> None:
    found = faults(settings(web_search=keys))
    assert any(fault.startswith(f"{path}: ") and says in fault for fault in found), found


def test_a_key_of_the_search_at_the_wrong_place_is_sent_there() -> None:
    assert "it belongs in `web_search`" in " ".join(faults(settings(max_results=5)))


def test_searches_in_plain_text_over_the_internet_are_warned_of() -> None:
    found = notes(settings(web_search={"searxng": "http://search.example.com"}))
    assert len(found) == 1
    assert "what is searched for travels readable" in found[0]
    assert notes(json.dumps(json.loads(settings(web_search={"searxng": "http://searxng:8080"})))) == []
