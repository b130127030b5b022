"""Web search: what a backend is, and the one there is, a SearXNG instance asked for JSON.

Every foreign error becomes a `SearchFault` here, without a word of the question or of httpx's texts.
"""

import ssl
from typing import Any, Protocol, Self

import httpx
import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.settings.model import TransportName, WebSearch
from ccproxy_trio.upstream.asking import OnePiece
from ccproxy_trio.upstream.bodies import COMPRESSED, is_compressed
from ccproxy_trio.upstream.client import transport_fault
from ccproxy_trio.upstream.transport.body import Body, body_of
from ccproxy_trio.upstream.transport.choice import open_transport
from ccproxy_trio.upstream.transport.lookup import bound_lookups
from ccproxy_trio.upstream.transport.stock import CLOSE_WITHIN
from ccproxy_trio.version import __version__
from ccproxy_trio.wire.search import Hit, SearchFault, SearchQuestion

ANSWER_BYTES = 2 * 2**20  # a page of results is about 20 kB
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # all that decoding may raise
_NO_PAGE = "its answer is not a page of results in JSON"
_FIELDS = (
    (b"accept", b"application/json"),
    (b"accept-encoding", b"identity"),  # nothing is to be inflated here
    (b"user-agent", b"ccproxy-trio/" + __version__.encode()),
    # Searches are rare. A connection kept for the next one would mostly be found closed.
    (b"connection", b"close"),
)


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

    def __init__(
        self,
        settings: WebSearch,
        *,
        tls: ssl.SSLContext,
        connections: int,
        transport: TransportName = "trio",
    ) -> None:
        self._url = f"{settings.searxng}/search"
        self._options = _options(settings)
        # No timeout: the caller's deadline bounds all of it.
        self._transport = open_transport(transport, tls=tls, connections=connections)

    async def __aenter__(self) -> Self:
        bound_lookups()
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await self._transport.aclose()

    async def search(self, question: SearchQuestion) -> tuple[Hit, ...]:
        """Ask for one page of results.

        Raises:
            SearchFault: see `Search`.
        """
        try:
            response = await self._transport.handle_async_request(self._request(_query(question)))
            async with body_of(response) as body:
                found = await _page(response, body)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            raise SearchFault("unavailable", transport_fault(_known(error)).message) from None
        return _hits(found)

    def _request(self, query: str) -> httpx.Request:
        url = httpx.URL(self._url, params={"q": query, "format": "json", **self._options})
        fields = [(b"host", url.netloc), *_FIELDS]
        return httpx.Request("GET", url, headers=fields, stream=OnePiece(b""))


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


async def _page(response: httpx.Response, body: Body) -> bytes:
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
    page = bytearray()
    while data := await body.receive():
        page += data
        if len(page) > ANSWER_BYTES:
            raise SearchFault("unavailable", "its answer is larger than any page of results")
    return bytes(page)


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
