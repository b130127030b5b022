"""Web search: what a backend is, and the one there is, a SearXNG instance asked for JSON.

Every foreign error becomes a `SearchFault` here, without a word of the question or of httpx's texts.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self

import httpx
import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.settings.model import WebSearch
from ccproxy_trio.upstream.bodies import COMPRESSED, abandon, is_compressed
from ccproxy_trio.upstream.client import CLOSE_WITHIN, transport_fault
from ccproxy_trio.version import __version__
from ccproxy_trio.wire.search import Hit, SearchFault, SearchQuestion

ANSWER_BYTES = 2 * 2**20  # a page of results is about 20 kB
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # all that decoding may raise
_NO_PAGE = "its answer is not a page of results in JSON"
_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",  # nothing is to be inflated here
    "user-agent": f"ccproxy-trio/{__version__}",
}


class Search(Protocol):
    """Whoever can be asked what the web has to say."""

    async def search(self, question: SearchQuestion) -> tuple[Hit, ...]:
        """The hits, best first, as they come. No time is bounded here; cancelling ends the search.

        Raises:
            SearchFault: there is no answer, and why.
        """


class _Result(Struct, frozen=True):
    """One of SearXNG's `results`. Without an address it is of no use."""

    url: str
    title: str | None = None
    content: str | None = None
    publishedDate: str | None = None  # noqa: N815 - the wire's word


class _Results(Struct, frozen=True):
    """SearXNG's answer. `unresponsive_engines` has a pair for each engine that failed it.

    Every engine fills its results in its own way, so each of them is decoded by itself.
    """

    results: tuple[msgspec.Raw, ...]
    unresponsive_engines: tuple[Any, ...] = ()


class SearXng:
    """A SearXNG instance. Enter it (`async with`) before use.

    Source: SearXNG's search API reference; `json` must be among its `search.formats`.
    """

    def __init__(self, settings: WebSearch, *, tls: ssl.SSLContext, connections: int) -> None:
        self._url = f"{settings.searxng}/search"
        self._options = _options(settings)
        self._client = httpx.AsyncClient(
            timeout=None,  # noqa: S113 - the caller's deadline bounds all of it
            # Searches are rare. A connection kept for the next one would mostly be found closed.
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=0),
            verify=tls,
            follow_redirects=False,
            trust_env=False,  # what is searched for is nobody's business
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await self._client.aclose()

    async def search(self, question: SearchQuestion) -> tuple[Hit, ...]:
        """Ask for one page of results.

        Raises:
            SearchFault: see `Search`.
        """
        try:
            async with self._asked(_query(question)) as response:
                body = await _body(response)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            raise SearchFault("unavailable", transport_fault(_known(error), reused=False).message) from None
        return _hits(body)

    @asynccontextmanager
    async def _asked(self, query: str) -> AsyncIterator[httpx.Response]:
        request = self._client.build_request(
            "GET", self._url, params={"q": query, "format": "json", **self._options}, headers=_HEADERS
        )
        response = await self._client.send(request, stream=True)
        try:
            yield response
        finally:
            with trio.move_on_after(CLOSE_WITHIN, shield=True):
                await response.aclose()


def _options(settings: WebSearch) -> dict[str, str]:
    options = {"categories": ",".join(settings.categories), "language": settings.language or ""}
    if settings.safesearch is not None:
        options["safesearch"] = str(settings.safesearch)
    return {name: value for name, value in options.items() if value}


def _query(question: SearchQuestion) -> str:
    """The query; with the domain, where there is one: the first page would rarely have anything of it."""
    if len(question.allowed_domains) != 1:
        return question.query
    return f"{question.query} site:{question.allowed_domains[0].removesuffix('/*')}"


def _known(error: Exception) -> Exception:
    """The error as `transport_fault` knows it: an address that cannot be used is one of configuration."""
    return httpx.UnsupportedProtocol("") if isinstance(error, httpx.InvalidURL) else error


async def _body(response: httpx.Response) -> bytes:
    match response.status_code:
        case 200:
            pass
        case 429:
            raise SearchFault("too_many_requests", "it limits our rate (HTTP 429)")
        case 414:
            raise SearchFault("query_too_long", "the query is too long for it (HTTP 414)")
        case 403:
            raise SearchFault(
                "unavailable", "HTTP 403; is `json` among the `search.formats` of its settings?"
            )
        case status:
            raise SearchFault("unavailable", f"HTTP {status}")
    if is_compressed(response.headers):
        raise SearchFault("unavailable", COMPRESSED)
    return await _all_of(response.aiter_raw())


async def _all_of(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    try:
        while data := await anext(chunks, b""):
            body += data
            if len(body) > ANSWER_BYTES:
                raise SearchFault("unavailable", "its answer is larger than any page of results")
    finally:
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await abandon(chunks)
    return bytes(body)


def _hits(body: bytes) -> tuple[Hit, ...]:
    try:
        told = msgspec.json.decode(body, type=_Results)
    except _UNREADABLE:
        raise SearchFault("unavailable", _NO_PAGE) from None
    if not told.results and told.unresponsive_engines:
        # To say that nothing was found would be a lie: nobody looked.
        raise SearchFault("unavailable", f"{len(told.unresponsive_engines)} of its engines did not answer")
    hits = tuple(hit for hit in map(_hit, told.results) if hit is not None)
    if told.results and not hits:
        raise SearchFault("unavailable", _NO_PAGE)
    return hits


def _hit(raw: msgspec.Raw) -> Hit | None:
    """None for what cannot be used: it costs no other hit."""
    try:
        told = msgspec.json.decode(raw, type=_Result)
    except _UNREADABLE:
        return None
    return Hit(url=told.url, title=told.title or "", snippet=told.content or "", published=told.publishedDate)
