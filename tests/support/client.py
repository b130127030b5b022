"""The client's side: requests as they are sent to `/v1/messages`, and event streams taken apart."""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar, cast

import httpx
import trio
from anthropic import Anthropic

from tests.support.proxy import Heard, Proxy

T = TypeVar("T")
MODEL = "claude-sonnet-5"


class Event(NamedTuple):
    """One server-sent event; `data` is its JSON."""

    kind: str
    data: dict[str, Any]


def asks(text: str = "hi", **more: Any) -> dict[str, Any]:
    """The body of a small request."""
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | more


@asynccontextmanager
async def client_of(proxy: Proxy, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client of the proxy. Header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def listen(response: httpx.Response) -> None:
        path, status = response.request.url.path, response.status_code
        proxy.heard.append(Heard(path, status, list(response.headers.raw)))
        response.stream = _Listened(cast("httpx.AsyncByteStream", response.stream), proxy.heard[-1])

    async with httpx.AsyncClient(
        base_url=proxy.base_url,
        headers=named,
        timeout=30,
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # the default reads certificates for 70 ms
        event_hooks={"response": [listen]},
    ) as client:
        yield client


class _Listened(httpx.AsyncByteStream):
    """A body that is kept as it is read."""

    def __init__(self, stream: httpx.AsyncByteStream, heard: Heard) -> None:
        self._stream = stream
        self._heard = heard

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._stream:
                self._heard.body += data
                yield data
        except httpx.TransportError:
            self._heard.ending = "broken"
            raise
        self._heard.ending = "whole"

    async def aclose(self) -> None:
        await self._stream.aclose()


async def post(proxy: Proxy, body: Any, path: str = "/v1/messages", **headers: str) -> httpx.Response:
    """One request on a connection of its own, read to its end."""
    async with client_of(proxy, **headers) as client:
        return await client.post(path, json=body)


async def get(proxy: Proxy, path: str, **headers: str) -> httpx.Response:
    """The same, asking for `path`."""
    async with client_of(proxy, **headers) as client:
        return await client.get(path)


async def with_anthropic(proxy: Proxy, use: Callable[[Anthropic], T]) -> T:
    """Run `use` with the vendor's own client, in a thread; it repeats nothing by itself."""

    def in_thread() -> T:
        with Anthropic(base_url=proxy.base_url, api_key="canary-client-key", max_retries=0) as client:
            return use(client)

    return await trio.to_thread.run_sync(in_thread)


def events_of(text: str) -> list[Event]:
    """A whole event stream, taken apart strictly: two lines an event, a blank line after each.

    Comments may be among them: they are passed on as they come.
    """
    assert text.endswith("\n\n"), text[-200:]
    events = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        if frame.startswith(":") and "\n" not in frame:
            continue
        kind, data = frame.split("\n")
        events.append(Event(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        assert events[-1].kind == events[-1].data["type"]
    return events


def kinds_of(events: list[Event]) -> list[str]:
    """The events' names, pings left out."""
    return [event.kind for event in events if event.kind != "ping"]


def text_of(events: list[Event]) -> str:
    """All visible text."""
    deltas = [event.data["delta"] for event in events if event.kind == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas if delta["type"] == "text_delta")


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Status, kind and message of an error response, whose envelope must be Anthropic's."""
    envelope = response.json()
    assert set(envelope) == {"type", "error", "request_id"}, envelope
    assert envelope["type"] == "error"
    assert envelope["request_id"] == response.headers["request-id"]
    assert response.headers["content-type"].startswith("application/json")
    return response.status_code, envelope["error"]["type"], envelope["error"]["message"]


def told(answer: httpx.Response, *, streamed: bool) -> str:
    """The text of what must be one good answer."""
    assert answer.status_code == 200, answer.text
    if not streamed:
        return "".join(block["text"] for block in answer.json()["content"])
    events = events_of(answer.text)
    assert kinds_of(events).count("message_start") == 1
    assert kinds_of(events)[-1] == "message_stop"
    return text_of(events)
