"""The requests that go to one provider. What never changes in them is worked out once."""

from collections.abc import AsyncIterator
from typing import Self

import httpx

from ccproxy_trio.settings.model import ProviderSettings, Wire
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.endpoints import Endpoints, endpoints

POOL_TIMEOUT = 5.0  # seconds to wait for one of the connections
EVENT_STREAM, JSON = b"text/event-stream", b"application/json"  # what a request may accept
Fields = list[tuple[bytes, bytes]]


class Asking:
    """Makes requests. They bear the timeouts to get a connection and to connect, and no other: a byte now and
    then, or a comment, would reset httpx's read timeout for ever, so the deadlines of answers are Trio's.
    """

    def __init__(self, provider: ProviderSettings) -> None:
        self._endpoints: Endpoints = endpoints(provider)
        self._addresses: dict[tuple[Wire, str], httpx.URL] = {}
        self._fields: dict[bytes, Fields] = {}
        self._extensions = {
            "timeout": {
                "pool": POOL_TIMEOUT,
                "connect": provider.connect_timeout,
                "read": None,
                "write": None,
            }
        }

    def completion(self, asked: Outgoing, *, model: str, accept: bytes, wire: Wire) -> httpx.Request:
        """A request for one answer.

        Raises:
            httpx.InvalidURL, UnicodeError: the configuration's address or headers cannot be used.
        """
        url = self._addresses.get((wire, model))
        if url is None:
            url = httpx.URL(self._endpoints.answers_for(model, wire=wire))
            self._addresses[wire, model] = url
        fields = [*self._fields_for(url, accept), (b"content-length", b"%d" % len(asked.body))]
        stream = OnePiece(asked.body)
        return httpx.Request("POST", url, headers=fields, stream=stream, extensions=self._extensions)

    def models(self) -> httpx.Request:
        """The list of models.

        Raises:
            httpx.InvalidURL, UnicodeError: the configuration's address or headers cannot be used.
        """
        url = httpx.URL(self._endpoints.models)
        fields = self._fields_for(url, JSON)
        return httpx.Request("GET", url, headers=fields, stream=OnePiece(b""), extensions=self._extensions)

    def _fields_for(self, url: httpx.URL, accept: bytes) -> Fields:
        """The headers but for the length. All of a provider's addresses are on one host."""
        fields = self._fields.get(accept)
        if fields is None:
            configured = self._endpoints.headers_for(accept)
            host = [] if any(name == b"host" for name, _ in configured) else [(b"host", url.netloc)]
            fields = self._fields[accept] = host + configured
        return fields


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
