"""Whose key reaches whom: the whole proxy over real sockets, a provider on each wire, all secrets marked.

Each request is refused by the first two and answered by the third, so every provider hears of it.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from ccproxy_trio.settings.model import PASSTHROUGH, DialectOptions, Secret, Settings
from ccproxy_trio.upstream.client import Upstream
from tests.edge.virtual import Client, House, settings_for, virtual_house
from tests.support.peers import Handler, serving, trusting

PROXYS = "canary-a1-opens-the-proxy"
LOGIN = "canary-b2-of-the-client"
KEYS = {"responses": "canary-c3-of-responses", "chat": "canary-d4-of-chat"}
TEAM = "canary-e5-team-header"
EVERYTHING = (PROXYS, LOGIN, *KEYS.values(), TEAM)
REFUSAL = b"HTTP/1.1 429 X\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n"


class Real:
    """Stands where a fake upstream does, and is a real one."""

    nursery: trio.Nursery

    def __init__(self, settings: Settings, name: str) -> None:
        provider = next(one for one in settings.providers if one.name == name)
        self._upstream = Upstream(provider, tls=trusting(), connections=4, wall=lambda: 0.0)

    def connected(self) -> Upstream:
        return self._upstream


def listening(heard: list[bytes], answer: bytes) -> Handler:
    async def handle(stream: trio.SocketStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += bytes(await stream.receive_some())
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += bytes(await stream.receive_some())
        heard.append(head + b"\r\n\r\n" + body)
        await stream.send_all(answer)

    return handle


def answered() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    body = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def three() -> AsyncIterator[tuple[House, dict[str, list[bytes]]]]:
    heard: dict[str, list[bytes]] = {"subscription": [], "responses": [], "chat": []}
    async with (
        serving(listening(heard["subscription"], REFUSAL)) as first,
        serving(listening(heard["responses"], REFUSAL)) as second,
        serving(listening(heard["chat"], answered())) as third,
    ):
        settings = arranged(subscription=first, responses=second, chat=third)
        upstreams: Any = {name: Real(settings, name) for name in heard}
        async with virtual_house(settings, **upstreams) as house:
            yield house, heard


def arranged(**ports: int) -> Settings:
    settings = settings_for(*ports, client_api_keys=(Secret(PROXYS),))
    first, second, third = (
        msgspec.structs.replace(
            provider,
            base_url=f"http://127.0.0.1:{ports[provider.name]}/v1",
            api_key=Secret(KEYS.get(provider.name, PASSTHROUGH)),
        )
        for provider in settings.providers
    )
    first = msgspec.structs.replace(first, options=DialectOptions(wire="anthropic"))
    second = msgspec.structs.replace(
        second, options=DialectOptions(wire="responses"), custom_headers={"x-team": Secret(TEAM)}
    )
    return msgspec.structs.replace(settings, providers=(first, second, third))


def found_in(heard: list[bytes]) -> set[str]:
    """The canaries in all that one provider was sent."""
    return {canary for canary in EVERYTHING if any(canary.encode() in raw for raw in heard)}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("shown", "passed_on"),
    [
        ({"x-api-key": PROXYS, "authorization": f"Bearer {LOGIN}"}, True),
        ({"x-api-key": LOGIN, "authorization": f"Bearer {PROXYS}"}, True),
        ({"x-api-key": PROXYS}, False),
        ({"x-api-key": PROXYS, "authorization": f"Bearer {PROXYS}"}, False),
    ],
)
async def test_every_key_reaches_whom_it_is_for_and_nobody_else(
    shown: dict[str, str], *, passed_on: bool, stream: bool
) -> None:
    async with three() as (house, heard):
        client = Client(house.connect())
        with trio.fail_after(5):
            await client.post(
                {"stream": stream},
                path="/v1/messages?beta=true",
                **shown,
                cookie=f"session={LOGIN}",
                **{"user-agent": "claude-cli/2"},
            )
            assert await client.head() == 200
            body = await client.body()
        journal = repr(house.journal)
    assert {name: len(requests) for name, requests in heard.items()} == {
        "subscription": int(passed_on),
        "responses": 1,
        "chat": 1,
    }
    assert found_in(heard["subscription"]) == ({LOGIN} if passed_on else set())
    assert found_in(heard["responses"]) == {KEYS["responses"], TEAM}
    assert found_in(heard["chat"]) == {KEYS["chat"]}
    assert sum(raw.count(LOGIN.encode()) for raw in heard["subscription"]) == int(passed_on)
    assert not any(canary in journal or canary.encode() in body for canary in EVERYTHING)
