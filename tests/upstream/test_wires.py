"""What leaves on each wire, over real sockets: the address, the headers, whose key; and what a probe asks."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from ccproxy_trio.health.probing import ProbeVerdict
from ccproxy_trio.settings.model import (
    PASSTHROUGH,
    DialectOptions,
    Models,
    ProviderSettings,
    Secret,
    TransportName,
    Wire,
)
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.question import Credential, Outgoing
from ccproxy_trio.upstream.client import Upstream
from tests.support.peers import CANARY, Handler, serving, trusting

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
WIRES: tuple[Wire, ...] = ("chat", "responses", "anthropic")
PATHS: dict[Wire, str] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
}
LOGIN = "sk-ant-oat01-of-the-client"
CLIENTS = (("user-agent", "claude-cli/2.1"), ("anthropic-beta", "a,b"), ("authorization", "Bearer proxy-key"))
KEYS = ("authorization", "x-api-key", "api-key")
BOTH = Outgoing(
    body=b"{}",
    headers=CLIENTS,
    query="beta=true",
    credential=Credential("authorization", Secret(f"Bearer {LOGIN}")),
)


class Heard:
    """A provider that keeps what it hears, as it came, and answers 200."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    @property
    def handler(self) -> Handler:
        async def handle(stream: trio.SocketStream) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                head += bytes(await stream.receive_some())
            head, _, body = head.partition(b"\r\n\r\n")
            length = next((int(v) for k, v in fields(head) if k == "content-length"), 0)
            while len(body) < length:
                body += bytes(await stream.receive_some())
            self.raw.append(head + b"\r\n\r\n" + body)
            await stream.send_all(OK)

        return handle

    @property
    def line(self) -> str:
        """The method and the target of the only request."""
        (raw,) = self.raw
        return raw.split(b" HTTP/", 1)[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        """Its headers, each of which came once."""
        (raw,) = self.raw
        pairs = fields(raw.partition(b"\r\n\r\n")[0])
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def keys(self) -> dict[str, str]:
        """Those of its headers that bear keys."""
        return {name: value for name, value in self.headers.items() if name in KEYS}

    @property
    def body(self) -> Any:
        (raw,) = self.raw
        return json.loads(raw.partition(b"\r\n\r\n")[2])


def fields(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


@asynccontextmanager
async def provider(transport: TransportName, **options: Any) -> AsyncIterator[tuple[Upstream, Heard]]:
    heard = Heard()
    wire = options.pop("wire", "chat")
    async with serving(heard.handler) as port:
        settings = ProviderSettings(
            name="p",
            api_key=Secret(options.pop("key", CANARY)),
            base_url=f"http://127.0.0.1:{port}{options.pop('path', '/v1')}",
            models=Models(big=("large",), small=("tiny",)),
            options=DialectOptions(wire=wire),
            **options,
        )
        opening = Upstream(settings, tls=trusting(), connections=2, wall=lambda: 0.0, transport=transport)
        async with opening as there:
            yield there, heard


async def ask(there: Upstream, outgoing: Outgoing) -> None:
    dialect = resolve(there._provider, "large")
    async with there.open(outgoing, model="large", dialect=dialect) as answer:
        assert await answer.receive_all() == b"{}"


@pytest.mark.parametrize("wire", WIRES)
async def test_each_wire_has_its_address_and_its_header_for_the_key(
    transport: TransportName, wire: Wire
) -> None:
    async with provider(transport, wire=wire) as (there, heard):
        await ask(there, Outgoing(body=b'{"a":1}'))
    assert heard.line == f"POST {PATHS[wire]}"
    key = {"x-api-key": CANARY} if wire == "anthropic" else {"authorization": f"Bearer {CANARY}"}
    assert heard.keys == key
    assert heard.body == {"a": 1}
    assert ("anthropic-version" in heard.headers) == (wire == "anthropic")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/messages", "/v1/messages/", "/api/anthropic"])
async def test_an_address_of_anthropics_wire_is_found_however_it_was_pasted(
    transport: TransportName, path: str
) -> None:
    async with provider(transport, wire="anthropic", path=path) as (there, heard):
        await ask(there, Outgoing(body=b"{}", query="beta=true"))
    assert heard.line == f"POST {'/api/anthropic' if 'api' in path else ''}/v1/messages?beta=true"


async def test_a_clients_headers_arrive_but_for_the_keys_among_them(transport: TransportName) -> None:
    async with provider(transport, wire="anthropic") as (there, heard):
        await ask(there, BOTH)
    assert heard.headers["user-agent"] == "claude-cli/2.1"
    assert heard.headers["anthropic-beta"] == "a,b"
    assert heard.headers["accept-encoding"] == "identity"
    assert heard.headers["content-length"] == "2"
    assert heard.keys == {"x-api-key": CANARY}


@pytest.mark.parametrize("wire", WIRES)
async def test_a_provider_with_a_key_of_its_own_hears_nothing_of_the_clients(
    transport: TransportName, wire: Wire
) -> None:
    async with provider(transport, wire=wire) as (there, heard):
        await ask(there, BOTH)
    (raw,) = heard.raw
    assert raw.count(CANARY.encode()) == 1
    assert LOGIN.encode() not in raw
    assert b"proxy-key" not in raw


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_a_client_whose_key_is_passed_on_speaks_with_that_and_nothing_beside_it(
    transport: TransportName, header: str
) -> None:
    value = f"Bearer {LOGIN}" if header == "authorization" else LOGIN
    asked = Outgoing(body=b"{}", headers=CLIENTS, credential=Credential(header, Secret(value)))
    async with provider(transport, wire="anthropic", key=PASSTHROUGH) as (there, heard):
        await ask(there, asked)
    assert heard.keys == {header: value}
    assert PASSTHROUGH.encode() not in heard.raw[0]


@pytest.mark.parametrize(
    ("wire", "line"),
    [("chat", "GET /v1/models"), ("responses", "GET /v1/models"), ("anthropic", "GET /v1/models")],
)
async def test_a_probe_asks_for_the_list_of_models_in_the_words_of_its_wire(
    transport: TransportName, wire: Wire, line: str
) -> None:
    path = "/v1/messages" if wire == "anthropic" else "/v1"
    async with provider(transport, wire=wire, path=path) as (there, heard):
        assert (await there.probe()).verdict is ProbeVerdict.OK
    assert heard.line == line
    if wire == "anthropic":
        assert heard.keys == {"x-api-key": CANARY}
        assert heard.headers["anthropic-version"] == "2023-06-01"
    else:
        assert heard.keys == {"authorization": f"Bearer {CANARY}"}


@pytest.mark.parametrize(
    ("wire", "asked"),
    [
        ("chat", {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}),
        ("responses", {"input": "ping", "max_output_tokens": 16, "store": False}),
        ("anthropic", {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}),
    ],
)
async def test_a_probe_by_completion_asks_for_the_least_in_the_words_of_its_wire(
    transport: TransportName, wire: Wire, asked: dict[str, Any]
) -> None:
    async with provider(transport, wire=wire, probe="completion") as (there, heard):
        assert (await there.probe()).verdict is ProbeVerdict.OK
    assert heard.line == f"POST {PATHS[wire]}"
    assert heard.body == {"model": "tiny", **asked}


@pytest.mark.parametrize("probe", ["models", "completion"])
async def test_without_a_key_of_ours_no_probe_is_sent(transport: TransportName, probe: str) -> None:
    async with provider(transport, wire="anthropic", key=PASSTHROUGH, probe=probe) as (there, heard):
        assert (await there.probe()).verdict is ProbeVerdict.UNSUPPORTED
    assert heard.raw == []
