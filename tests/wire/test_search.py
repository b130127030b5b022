"""The words of a web search."""

from ccproxy_trio.wire.search import SearchFault


def test_a_failed_search_has_a_code_for_the_client_and_a_reason_for_the_operator() -> None:
    fault = SearchFault("unavailable", "HTTP 502")
    assert (fault.code, fault.reason, str(fault)) == ("unavailable", "HTTP 502", "HTTP 502")
