"""The requests that go to one provider. What never changes in them is worked out once."""

from collections.abc import AsyncIterator
from typing import Self

import httpx

from ccproxy_trio.settings.model import ProviderSettings
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.endpoints import (
    KEY_HEADERS,
    OURS,
    Endpoints,
    Fields,
    endpoints,
    firm_headers,
    usual_headers,
)

POOL_TIMEOUT = 5.0  # seconds to wait for one of the connections
EVENT_STREAM, JSON = "text/event-stream", "application/json"  # what a request may accept
MOST_ADDRESSES = 256  # that are kept: a client's query is part of one
Pairs = list[tuple[bytes, bytes]]


class Asking:
    """Makes requests. They bear the timeouts to get a connection and to connect, and no other: a byte now and
    then, or a comment, would reset httpx's read timeout for ever, so the deadlines of answers are Trio's.
    """

    def __init__(self, provider: ProviderSettings) -> None:
        self._provider = provider
        self._endpoints: Endpoints = endpoints(provider)
        self._addresses: dict[tuple[str, str, str], httpx.URL] = {}
        self._headers: dict[tuple[str, ...], _Headers] = {}
        self._extensions = {
            "timeout": {
                "pool": POOL_TIMEOUT,
                "connect": provider.connect_timeout,
                "read": None,
                "write": None,
            }
        }

    def completion(self, asked: Outgoing, *, model: str, accept: str, dialect: Dialect) -> httpx.Request:
        """A request for one answer.

        Raises:
            httpx.InvalidURL, UnicodeError: the configuration's address or headers cannot be used.
        """
        url = self._address(model, dialect, asked.query)
        fields = self._headers_for(url, accept, dialect).of(asked)
        fields.append((b"content-length", b"%d" % len(asked.body)))
        stream = OnePiece(asked.body)
        return httpx.Request("POST", url, headers=fields, stream=stream, extensions=self._extensions)

    def models(self, dialect: Dialect) -> httpx.Request:
        """The list of models.

        Raises:
            httpx.InvalidURL, UnicodeError: the configuration's address or headers cannot be used.
        """
        url = httpx.URL(self._endpoints.models_on(dialect.wire))
        fields = self._headers_for(url, JSON, dialect).without_clients
        return httpx.Request("GET", url, headers=fields, stream=OnePiece(b""), extensions=self._extensions)

    def _address(self, model: str, dialect: Dialect, query: str) -> httpx.URL:
        key = (dialect.wire, model, query)
        url = self._addresses.get(key)
        if url is None:
            address = self._endpoints.answers_for(model, wire=dialect.wire)
            url = httpx.URL(f"{address}{'&' if '?' in address else '?'}{query}" if query else address)
            if len(self._addresses) < MOST_ADDRESSES:
                self._addresses[key] = url
        return url

    def _headers_for(self, url: httpx.URL, accept: str, dialect: Dialect) -> "_Headers":
        """The headers but for the length. All of a provider's addresses are on one host."""
        key = (accept, dialect.wire, dialect.profile, dialect.key_header)
        headers = self._headers.get(key)
        if headers is None:
            headers = self._headers[key] = _Headers(
                host=url.netloc,
                usual=usual_headers(dialect, accept),
                firm=firm_headers(self._provider, dialect),
                passes_credentials=self._provider.passes_credentials,
            )
        return headers


class _Headers:
    """Those of one kind of request, as pairs of name and value: with a client's, and without.

    A client's own go before what is only usual, and behind what is ours to say. Its credentials go nowhere
    but to who is configured to get them.
    """

    def __init__(self, *, host: bytes, usual: Fields, firm: Fields, passes_credentials: bool) -> None:
        self._usual = {b"host": host, **usual}
        self._firm = firm
        self._passes_credentials = passes_credentials
        self.without_clients = list({**self._usual, **firm}.items())

    def of(self, asked: Outgoing) -> Pairs:
        """A request's; the caller may add to them."""
        credential = asked.credential if self._passes_credentials else None
        if not asked.headers and credential is None:
            return [*self.without_clients]
        fields = dict(self._usual)
        for name, value in asked.headers:
            raw = _raw(name)
            if raw not in OURS and raw not in KEY_HEADERS:
                fields[raw] = _raw(value)
        fields.update(self._firm)
        if credential is not None:
            fields[_raw(credential.header)] = _raw(credential.value.reveal())
        return list(fields.items())


def _raw(text: str) -> bytes:
    """As HTTP carries it. What it cannot carry came from no request."""
    return text.encode("latin-1", "backslashreplace")


class OnePiece(httpx.AsyncByteStream):
    """A request's body in one piece. httpx's own is an async generator, left behind when a write fails."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._data)


class _Once:
    """An async iterator over one item."""

    def __init__(self, item: bytes) -> None:
        self._items = [item]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop()
