"""A web search as the proxy asks for it, whoever answers: question, hits, and the one way it fails."""

from typing import Literal

from msgspec import Struct

SearchErrorCode = Literal[
    "invalid_tool_input",
    "unavailable",
    "max_uses_exceeded",
    "too_many_requests",
    "query_too_long",
]
"""Why a search gave nothing, in the API's words."""


class SearchQuestion(Struct, frozen=True, kw_only=True):
    """What a client wants to know. `call` is the id under which its answer is told.

    Domains are as the API has them: `example.com` (its subdomains too), perhaps with a path. No allowed ones
    means all. `max_uses` is how many searches the client grants.
    """

    call: str
    query: str
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    max_uses: int | None = None


class Hit(Struct, frozen=True, kw_only=True):
    """One thing found, as the engine told it: nothing here is cleaned or checked yet."""

    url: str
    title: str
    snippet: str = ""
    published: str | None = None


class SearchFault(Exception):
    """A search that gave nothing. `reason` is for the operator and holds nothing of the question."""

    def __init__(self, code: SearchErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code: SearchErrorCode = code
        self.reason = reason
