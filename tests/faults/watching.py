"""What the rows look at: what a client hears, and what the proxy tells of its providers and itself."""

import json
import resource
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import trio

from tests.conftest import Providers
from tests.support.chunks import says
from tests.support.client import asks, error_of, events_of, get, kinds_of, post, text_of
from tests.support.proxy import Proxy
from tests.support.scripted import Reply, ScriptedProvider
from tests.support.told import Wire

streaming = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
streamed_on_wires = pytest.mark.parametrize(  # both ways on the first wire, and one on each other
    ("streamed", "wire"),
    [(True, "chat"), (False, "chat"), (True, "responses"), (False, "anthropic")],
    ids=["stream", "whole", "stream-responses", "whole-anthropic"],
)
NO_JITTER = {"recovery_jitter": 0}
ALL = {"max_attempts": 100}  # one request may be led through a whole row of providers


def row(
    providers: Providers, replies: Mapping[str, Reply], *, wire: Wire = "chat"
) -> dict[str, ScriptedProvider]:
    """A provider for each reply, under the same name."""
    made = {name: providers.start(name, wire=wire) for name in replies}
    for name, reply in replies.items():
        made[name].plays(reply)
    return made


def last_of(providers: Providers, name: str = "last") -> ScriptedProvider:
    """One that answers, to stand behind all others."""
    last = providers.start(name)
    last.plays(says("from last"))
    return last


def asked(made: dict[str, ScriptedProvider]) -> dict[str, int]:
    """How often each was asked."""
    return {name: len(provider.requests) for name, provider in made.items()}


async def hear(proxy: Proxy, *, streamed: bool = False, **more: Any) -> str:
    """Ask once; the text of what must be a good answer. `more` are further fields of the request."""
    answer = await post(proxy, asks(stream=streamed, **more))
    assert answer.status_code == 200, answer.text
    if not streamed:
        return str(answer.json()["content"][0]["text"])
    events = events_of(answer.text)
    assert kinds_of(events).count("message_start") == 1
    assert kinds_of(events)[-1] == "message_stop"
    return text_of(events)


def assert_breaks_off(answer: httpx.Response, *, after: str, kind: str = "api_error") -> str:
    """The stream ends in one error event with the last block open; its message."""
    events = events_of(answer.text)
    kinds = kinds_of(events)
    assert text_of(events) == after
    assert (kinds[-1], kinds.count("error")) == ("error", 1)
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") + 1
    assert "message_delta" not in kinds
    assert "message_stop" not in kinds
    error = events[-1].data["error"]
    assert error["type"] == kind
    return str(error["message"])


def assert_final(answer: httpx.Response, status: int, kind: str) -> str:
    """The client is told once and for all; the message."""
    told_status, told_kind, message = error_of(answer)
    assert (told_status, told_kind) == (status, kind), answer.text
    assert answer.headers["x-should-retry"] == "false"
    return message


async def told_of(proxy: Proxy, name: str) -> dict[str, Any]:
    """What `/health` tells of one provider."""
    told: dict[str, Any] = (await get(proxy, "/health")).json()["providers"][name]
    return told


async def tells(proxy: Proxy, name: str, **expected: Any) -> dict[str, Any]:
    """Wait until `/health` tells all of this of a provider; then all it tells."""
    told: dict[str, Any] = {}
    with trio.move_on_after(2):
        while True:
            told = await told_of(proxy, name)
            if {key: told[key] for key in expected} == expected:
                return told
            await trio.sleep(0.01)
    raise AssertionError(f"expected {expected}, but it says {told}")


async def untouched(proxy: Proxy, name: str) -> None:
    """Nothing is held against the provider."""
    told = await told_of(proxy, name)
    assert (told["status"], told["failure_count"], told["opens"]) == ("healthy", 0, 0), told
    assert told["last_failure"] is None


async def until(holds: Callable[[], Awaitable[bool]] | Callable[[], bool], *, within: float = 2.0) -> None:
    """Wait until `holds()` is true."""
    with trio.fail_after(within):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await trio.sleep(0.005)


class RawClient:
    """A connection to the proxy that costs little: requests are written by hand, answers read by length."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._unread = b""

    @classmethod
    async def to(cls, proxy: Proxy) -> Self:
        """A new connection."""
        return cls(await trio.open_tcp_stream("127.0.0.1", int(proxy.base_url.rpartition(":")[2])))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def send(self, body: dict[str, Any]) -> None:
        """Write a request for a message."""
        await self.stream.send_all(request_bytes(body))

    async def status_of(self, body: dict[str, Any]) -> int:
        """Ask, and read an answer that has a length; its status."""
        await self.send(body)
        while b"\r\n\r\n" not in self._unread:
            self._unread += await self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        while len(self._unread) < length:
            self._unread += await self._more()
        self._unread = self._unread[length:]
        return int(lines[0].split()[1])

    async def read_until(self, words: bytes) -> bytes:
        """All that comes, up to and with `words`."""
        while words not in self._unread:
            self._unread += await self._more()
        return self._unread

    async def read_to_the_end(self) -> bytes:
        """All that comes until the proxy closes."""
        with suppress(trio.BrokenResourceError):
            while data := await self.stream.receive_some():
                self._unread += data
        return self._unread

    async def _more(self) -> bytes:
        data = await self.stream.receive_some()
        if not data:
            raise AssertionError(f"the proxy closed after {self._unread!r}")
        return bytes(data)

    def reset(self) -> None:
        """Close with a RST."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()


def request_bytes(body: dict[str, Any]) -> bytes:
    """A request for a message, as it goes over the wire."""
    content = json.dumps(body).encode()
    lines = ["POST /v1/messages HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += [f"content-length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


class Memory:
    """How much a process's resident memory rises from now on, at its highest."""

    def __init__(self, proxy: Proxy) -> None:
        self._folder = Path(f"/proc/{proxy.process.pid}")
        (self._folder / "clear_refs").write_text("5")  # the high-water mark starts again from here
        self._before = self._bytes("VmRSS")

    def rise(self) -> int:
        """Bytes between then and the highest mark since."""
        return self._bytes("VmHWM") - self._before

    def _bytes(self, field: str) -> int:
        status = (self._folder / "status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024


@contextmanager
def squeezed(proxy: Proxy, *, room_bytes: int) -> Iterator[None]:
    """The proxy's address space may grow by so much and no more."""
    pid = proxy.process.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room_bytes
    before = resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
