"""A stand-in for a SearXNG instance on a real loopback socket: answers `/search` as it is told, keeps what it
was asked.

    async with searxng(page(hit("https://a.example", "A"))) as instance:
        ... instance.url ... instance.asked
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import trio

from tests.support.scripted import Linger, Repeat, Send, Step, json_reply

Reply = tuple[Step, ...]


def hit(url: str, title: str, content: str = "", **more: Any) -> dict[str, Any]:
    """One of SearXNG's results."""
    return {"url": url, "title": title, "content": content, "engine": "stand-in", "score": 1.0, **more}


def page(*hits: dict[str, Any], **more: Any) -> Reply:
    """SearXNG's answer with these hits."""
    return json_reply(200, {"query": "", "number_of_results": 0, "results": list(hits), **more})


class Instance:
    """The instance. `asked` has the parameters of each search, `left` counts clients that did not wait."""

    def __init__(self, reply: Reply, port: int) -> None:
        self.reply = reply
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = trio.Event()
        self.left = trio.Event()


@asynccontextmanager
async def searxng(*reply: Step) -> AsyncIterator[Instance]:
    """An instance that answers every search with `reply`, until the block is left."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        instance = Instance(reply, listener.socket.getsockname()[1])
        await nursery.start(partial(trio.serve_listeners, partial(_serve, instance), [listener]))
        yield instance
        nursery.cancel_scope.cancel()


async def _serve(instance: Instance, stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        request = await _request(stream)
        target = urlsplit(request.target.decode())
        instance.paths.append(target.path)
        instance.asked.append({name: values[0] for name, values in parse_qs(target.query).items()})
        instance.headers.append({name.decode(): value.decode() for name, value in request.headers})
        instance.arrived.set()
        for step in instance.reply:
            await _perform(step, instance, stream)
    await stream.aclose()


async def _request(stream: trio.SocketStream) -> h11.Request:
    connection = h11.Connection(h11.SERVER)
    while not isinstance(event := connection.next_event(), h11.Request):
        connection.receive_data(bytes(await stream.receive_some()))
    return event


async def _perform(step: Step, instance: Instance, stream: trio.SocketStream) -> None:
    match step:
        case Send(data=data):
            await stream.send_all(data)
        case Linger():
            while await stream.receive_some():
                pass
            instance.left.set()
        case Repeat(pieces=pieces):
            while True:
                await stream.send_all(b"".join(pieces))
        case _:
            raise AssertionError(f"not for a search engine: {json.dumps(str(step))}")
