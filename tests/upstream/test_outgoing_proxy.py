"""Providers behind an outgoing proxy: a real one on loopback, and TLS all the way behind it."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path

import pytest
import trio
import trustme
from msgspec import structs

from ccproxy_trio.health.probing import ProbeVerdict
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings, TransportName
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import Upstream
from ccproxy_trio.upstream.transport.choice import open_transport
from ccproxy_trio.upstream.trust import Trust
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.support.outgoing import outgoing_proxy
from tests.support.ports import ReservedPort

CANARY = "pw-canary-88c1"
KEY = "sk-canary-5f2b1c"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("trust") / "corp.pem"
    authority().cert_pem.write_to_path(path)
    return str(path)


class Origin:
    """A provider that answers everything with 200, with or without TLS."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[bytes] = []
        self.connections = 0


@asynccontextmanager
async def origin(*, tls: ssl.SSLContext | None) -> AsyncIterator[Origin]:
    there = Origin()

    async def handle(raw: trio.SocketStream) -> None:
        there.connections += 1
        stream: trio.abc.Stream = raw
        if tls is not None:
            stream = trio.SSLStream(raw, tls, server_side=True, https_compatible=True)
        data = b""
        with suppress(trio.BrokenResourceError):
            while more := await stream.receive_some():
                data += bytes(more)
                if data.startswith(b"GET") or data.endswith(b"{}"):
                    there.seen.append(data)
                    data = b""
                    await stream.send_all(OK)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        there.port = listeners[0].socket.getsockname()[1]
        yield there
        nursery.cancel_scope.cancel()


def provider_at(
    port: int,
    *,
    scheme: str = "https",
    proxy: str | None = None,
    bundle: str | None = None,
    connect_timeout: float = 5.0,
) -> ProviderSettings:
    return ProviderSettings(
        name="p",
        api_key=Secret(KEY),
        base_url=f"{scheme}://localhost:{port}/v1",
        models=Models(big=("m",)),
        connect_timeout=connect_timeout,
        proxy=None if proxy is None else Secret(proxy),
        ca_bundle=bundle,
    )


def upstream_of(provider: ProviderSettings, transport: TransportName | None = None) -> Upstream:
    provider = structs.replace(provider, transport=transport)
    return Upstream(
        provider,
        tls=Trust().context(provider.authorities),
        connections=4,
        wall=lambda: 0.0,
        transport=Settings(providers=(provider,)).transport_of(provider),
    )


async def answer_of(there: Upstream) -> bytes:
    async with there.open(Outgoing(body=b"{}"), model="m", dialect=resolve(there._provider, "m")) as answer:
        return await answer.receive_all()


async def fault_of(there: Upstream) -> UpstreamFault:
    with pytest.raises(UpstreamFault) as caught:
        await answer_of(there)
    assert CANARY not in f"{caught.value!r} {caught.value.message}"
    return caught.value


@pytest.mark.parametrize("transport", [None, "httpx", "httpx-http2"])
async def test_tls_goes_through_a_tunnel_which_learns_neither_key_nor_question(
    transport: TransportName | None, bundle: str
) -> None:
    async with origin(tls=server_tls()) as there, outgoing_proxy(login=f"me:{CANARY}") as proxy:
        address = f"http://me:{CANARY}@127.0.0.1:{proxy.port}"
        opening = upstream_of(provider_at(there.port, proxy=address, bundle=bundle), transport)
        async with opening as opened:
            assert [await answer_of(opened) for _ in range(3)] == [b"ok"] * 3
    assert proxy.asked == [f"CONNECT localhost:{there.port}"]  # one tunnel, used again
    assert KEY.encode() not in proxy.seen
    assert CANARY.encode() not in b"".join(there.seen)


async def test_a_password_with_odd_characters_arrives_as_it_is(bundle: str) -> None:
    async with origin(tls=server_tls()) as there, outgoing_proxy(login="me:p@ss/w%rd") as proxy:
        address = f"http://me:p%40ss%2Fw%25rd@127.0.0.1:{proxy.port}"
        async with upstream_of(provider_at(there.port, proxy=address, bundle=bundle)) as opened:
            assert await answer_of(opened) == b"ok"


async def test_a_proxy_behind_tls_is_believed_by_the_same_bundle(bundle: str) -> None:
    async with origin(tls=server_tls()) as there, outgoing_proxy(tls=server_tls()) as proxy:
        address = f"https://localhost:{proxy.port}"
        async with upstream_of(provider_at(there.port, proxy=address, bundle=bundle)) as opened:
            assert await answer_of(opened) == b"ok"
        async with upstream_of(provider_at(there.port, proxy=address)) as opened:
            assert (await fault_of(opened)).kind is FaultKind.TLS
    assert proxy.asked == [f"CONNECT localhost:{there.port}"]


async def test_a_provider_without_tls_is_asked_for_by_its_whole_address() -> None:
    async with origin(tls=None) as there, outgoing_proxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with upstream_of(provider_at(there.port, scheme="http", proxy=address)) as opened:
            assert await answer_of(opened) == b"ok"
    assert proxy.asked == [f"POST http://localhost:{there.port}/v1/chat/completions"]


async def test_a_probe_goes_through_the_proxy_too(bundle: str) -> None:
    async with origin(tls=server_tls()) as there, outgoing_proxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with upstream_of(provider_at(there.port, proxy=address, bundle=bundle)) as opened:
            assert (await opened.probe()).verdict is ProbeVerdict.OK
    assert proxy.asked == [f"CONNECT localhost:{there.port}"]


@pytest.mark.parametrize(("status", "login"), [(502, None), (407, f"me:{CANARY}")])
async def test_a_proxy_that_refuses_is_a_connect_fault_that_names_the_status(
    status: int, login: str | None, bundle: str
) -> None:
    async with outgoing_proxy(login=login) as proxy:
        proxy.status = status
        address = f"http://me:wrong-{CANARY}@127.0.0.1:{proxy.port}"
        async with upstream_of(provider_at(1, proxy=address, bundle=bundle)) as opened:
            fault = await fault_of(opened)
    assert fault.kind is FaultKind.CONNECT
    assert f"HTTP {status}" in fault.message


async def test_a_proxy_that_is_not_there_is_a_connect_fault(bundle: str) -> None:
    with ReservedPort() as nowhere:
        address = f"http://127.0.0.1:{nowhere.number}"
        async with upstream_of(provider_at(1, proxy=address, bundle=bundle)) as opened:
            assert (await fault_of(opened)).kind is FaultKind.CONNECT


async def test_a_proxy_that_never_answers_ends_at_the_time_to_connect(bundle: str) -> None:
    async with outgoing_proxy() as proxy:
        proxy.is_mute = True
        settings = provider_at(1, proxy=f"http://127.0.0.1:{proxy.port}", bundle=bundle, connect_timeout=0.2)
        async with upstream_of(settings) as opened:
            with trio.fail_after(5):
                assert (await fault_of(opened)).kind is FaultKind.CONNECT_TIMEOUT


async def test_the_sockets_towards_a_proxy_notice_a_peer_that_vanished(
    bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[trio.SocketStream] = []
    real = trio.open_tcp_stream

    async def opening(*args: object, **named: object) -> trio.SocketStream:
        opened.append(await real(*args, **named))  # type: ignore[arg-type]
        return opened[-1]

    async with origin(tls=server_tls()) as there, outgoing_proxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with upstream_of(provider_at(there.port, proxy=address, bundle=bundle)) as asking:
            monkeypatch.setattr(trio, "open_tcp_stream", opening)
            assert await answer_of(asking) == b"ok"
            assert opened[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert opened[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


async def test_our_own_transport_refuses_to_ignore_a_proxy() -> None:
    with pytest.raises(ValueError, match="no proxy"):
        open_transport("trio", tls=Trust().context(None), connections=1, proxy=Secret("http://p.example"))


@pytest.mark.parametrize("transport", ["trio", "httpx", "httpx-http2"])
async def test_the_environment_changes_nothing(
    transport: TransportName, bundle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither its proxies, nor its certificates, nor a .netrc. The canary would see the key."""
    (tmp_path / ".netrc").write_text("machine localhost login me password other\n")
    (tmp_path / "junk.pem").write_text("junk")
    async with origin(tls=server_tls()) as there, outgoing_proxy() as canary:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{canary.port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "junk.pem"))
        monkeypatch.setenv("HOME", str(tmp_path))
        async with upstream_of(provider_at(there.port, bundle=bundle), transport) as opened:
            assert await answer_of(opened) == b"ok"
        # And the other way round: it does not make anybody believed.
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        async with upstream_of(provider_at(there.port), transport) as opened:
            assert (await fault_of(opened)).kind is FaultKind.TLS
    assert canary.asked == []
    assert f"Bearer {KEY}".encode() in there.seen[0]


async def test_no_proxy_in_the_environment_makes_no_exception(
    bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    async with origin(tls=server_tls()) as there, outgoing_proxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with upstream_of(provider_at(there.port, proxy=address, bundle=bundle)) as opened:
            assert await answer_of(opened) == b"ok"
    assert len(proxy.asked) == 1
