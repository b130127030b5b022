"""Rows A01 to A09: there is no connection, or it ends before there is an answer."""

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from tests.conftest import Providers
from tests.faults.conftest import ChaosBefore, StartProxy
from tests.faults.falling import Pair, each_falls_over, pair_of, ways
from tests.faults.watching import hear, tells, told_of
from tests.support import faults
from tests.support.chaos import ResetPeer
from tests.support.chunks import says
from tests.support.client import asks, post
from tests.support.ports import ReservedPort
from tests.support.scripted import ScriptedProvider
from tests.support.told import Wire

pytestmark = pytest.mark.process


async def test_a01_a_refused_connection_costs_less_than_50_ms(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """The fastest of several, so that a busy machine does not count."""
    first, second = providers.absent("first", wire=wire), providers.start("second")
    second.plays(says("from ", "second"))
    breaker = {"failure_threshold": 100, "minimum_requests": 0}
    undisturbed = {"middle": [first.model]}  # it does not serve the tier `big`
    proxy = await start_proxy(first.entry(models=undisturbed), second, circuit_breaker=breaker)

    async def seconds(model: str, *, streamed: bool) -> float:
        began_at = trio.current_time()
        assert await hear(proxy, streamed=streamed, model=model) == "from second"
        return trio.current_time() - began_at

    for streamed in (True, False):
        without = min([await seconds("claude-opus-4-8", streamed=streamed) for _ in range(5)])
        refused = min([await seconds("claude-sonnet-5", streamed=streamed) for _ in range(5)])
        assert refused - without < 0.05
    # Nothing was sent, so each request asks it twice, at once.
    await tells(proxy, "first", status="healthy", last_error_type="connect", failure_count=20, opens=0)


async def test_a01_a_provider_that_goes_down_between_two_requests_is_left_at_once(
    providers: Providers, start_proxy: StartProxy, chaos_before: ChaosBefore
) -> None:
    """The kept connection has been closed, and a new one is refused."""
    first, second = providers.start("first"), providers.start("second")
    first.plays(says("from first"))
    second.plays(says("from second"))
    chaos, entry = await chaos_before(first)
    proxy = await start_proxy(entry, second)
    assert await hear(proxy) == "from first"
    chaos.down()
    assert await hear(proxy) == "from second"
    chaos.up()
    assert await hear(proxy) == "from first"
    await tells(proxy, "first", status="healthy", failure_count=0, opens=0)


class BlackHole:
    """A port whose queue of connections is full, so that the system drops who else would connect."""

    def __init__(self) -> None:
        self._open = ExitStack()
        listener = self._open.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        self.port: int = listener.getsockname()[1]
        for _ in range(3):
            waiting = self._open.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", self.port))

    def close(self) -> None:
        self._open.close()


async def test_a02_a_black_hole_is_left_at_connect_timeout(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    hole = BlackHole()
    try:
        address = {"base_url": f"http://127.0.0.1:{hole.port}/v1", "connect_timeout": 0.3}
        pair = await pair_of(providers, start_proxy, first=address, wire=wire)
        pair.ways = ways(wire)
        await pair.falls_over("connect_timeout", after=0.3)
    finally:
        hole.close()


async def _plain(said: bytes, nursery: trio.Nursery) -> dict[str, Any]:
    """A server that says this to the first bytes of TLS, or waits for a line of HTTP; its https address."""

    async def plain(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(said)
            while not said and await stream.receive_some():
                pass

    listeners = await nursery.start(partial(trio.serve_tcp, plain, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    return {"base_url": f"https://127.0.0.1:{port}/v1", "connect_timeout": 0.4}


async def test_a05_tls_to_a_plain_port_that_says_so_is_left_at_once(
    wire: Wire, providers: Providers, start_proxy: StartProxy, nursery: trio.Nursery
) -> None:
    address = await _plain(b"HTTP/1.1 400 Bad Request\r\n\r\n", nursery)
    pair = await pair_of(providers, start_proxy, first=address, wire=wire)
    await pair.falls_over("tls")


async def test_a05_tls_to_a_plain_port_that_is_silent_is_left_at_connect_timeout(
    providers: Providers, start_proxy: StartProxy, nursery: trio.Nursery
) -> None:
    pair = await pair_of(providers, start_proxy, first=await _plain(b"", nursery))
    await pair.falls_over("connect_timeout", after=0.4)


Terminate = Callable[[trustme.LeafCert, ScriptedProvider], Awaitable["Terminator"]]


class Terminator:
    """TLS before a provider. `offers` counts connections, `plain` what came through TLS."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.offers = 0
        self.came_through = 0


@pytest.fixture
async def terminate(nursery: trio.Nursery) -> Terminate:
    async def start(certificate: trustme.LeafCert, provider: ScriptedProvider) -> Terminator:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)

        async def serve(stream: trio.SocketStream) -> None:
            terminator.offers += 1
            secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            try:
                await secured.do_handshake()
            except trio.BrokenResourceError:
                return
            await _relay(secured, provider, terminator)

        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        terminator = Terminator(listeners[0].socket.getsockname()[1])
        return terminator

    return start


async def _relay(secured: trio.abc.Stream, provider: ScriptedProvider, terminator: Terminator) -> None:
    async def forward(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some():
                terminator.came_through += source is secured
                await sink.send_all(data)
        scope.cancel()

    async with await trio.open_tcp_stream("127.0.0.1", provider.port) as plain, trio.open_nursery() as both:
        both.start_soon(forward, secured, plain, both.cancel_scope)
        both.start_soon(forward, plain, secured, both.cancel_scope)


def _bundle(authority: trustme.CA, folder: Path) -> str:
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def _bad_certificates(authority: trustme.CA) -> dict[str, trustme.LeafCert]:
    now = datetime.now(tz=UTC)
    return {
        "expired": authority.issue_cert(
            "127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2)
        ),
        "of another host": authority.issue_cert("api.example.com"),
        "of an unknown authority": trustme.CA().issue_cert("127.0.0.1"),
    }


async def test_a06_a_certificate_that_is_not_believed_is_not_argued_with(
    wire: Wire, providers: Providers, start_proxy: StartProxy, terminate: Terminate, tmp_path: Path
) -> None:
    authority = trustme.CA()
    first, second = providers.start("first", wire=wire), providers.start("second")
    second.plays(says("from second"))
    bad = {name: await terminate(leaf, first) for name, leaf in _bad_certificates(authority).items()}
    entries = [
        first.entry(name=name, base_url=f"https://127.0.0.1:{terminator.port}/v1")
        for name, terminator in bad.items()
    ]
    proxy = await start_proxy(*entries, second, ca_bundle=_bundle(authority, tmp_path))
    assert await hear(proxy, streamed=True) == "from second"
    for name, terminator in bad.items():
        await tells(proxy, name, failure_count=1, last_error_type="tls", state="tls_error")
        assert (terminator.offers, terminator.came_through) == (1, 0)
    assert first.requests == []
    assert await hear(proxy) == "from second"
    assert {terminator.came_through for terminator in bad.values()} == {0}


async def test_a06_alone_with_a_bad_certificate_the_client_is_told_so(
    providers: Providers, start_proxy: StartProxy, terminate: Terminate, tmp_path: Path
) -> None:
    authority = trustme.CA()
    first = providers.start("first")
    terminator = await terminate(_bad_certificates(authority)["expired"], first)
    entry = first.entry(base_url=f"https://127.0.0.1:{terminator.port}/v1")
    proxy = await start_proxy(entry, ca_bundle=_bundle(authority, tmp_path), patience=0)
    answer = await post(proxy, asks())
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert "first failed the TLS check" in answer.json()["error"]["message"]
    assert terminator.came_through == 0


async def test_a06_a_certificate_of_the_bundle_is_believed(
    providers: Providers, start_proxy: StartProxy, terminate: Terminate, tmp_path: Path
) -> None:
    """Or the two tests before this one would show nothing."""
    authority = trustme.CA()
    first = providers.start("first")
    terminator = await terminate(authority.issue_cert("127.0.0.1"), first)
    entry = first.entry(base_url=f"https://127.0.0.1:{terminator.port}/v1")
    proxy = await start_proxy(entry, ca_bundle=_bundle(authority, tmp_path))
    assert await hear(proxy, streamed=True) == "ok"
    assert terminator.came_through >= 1


async def test_a07_a_close_before_the_response_is_a_failure_of_a_fresh_connection(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    await each_falls_over(pair, "reset", faults.closes("fin"))
    assert len(pair.first.requests) == 2  # one each: it may have been at work, so it is not asked again


async def test_a07_a_close_at_once_before_the_request_is_read_is_one_too(
    providers: Providers, start_proxy: StartProxy, nursery: trio.Nursery
) -> None:
    async def slam(stream: trio.SocketStream) -> None:
        await stream.aclose()

    listeners = await nursery.start(partial(trio.serve_tcp, slam, 0, host="127.0.0.1"))
    address = {"base_url": f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"}
    pair = await pair_of(providers, start_proxy, first=address)
    await pair.falls_over("reset")


async def test_a08_a_kept_connection_that_was_closed_is_nobodys_failure(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """The provider closes each connection as the second request on it is under way."""
    pair = await pair_of(providers, start_proxy)
    seen: set[int] = set()

    def reply(request: Any) -> Any:
        again = request.connection in seen
        seen.add(request.connection)
        return faults.closes("fin") if again else says("from first")

    pair.first.behaves(reply)
    for streamed in (True, False, True):
        assert await hear(pair.proxy, streamed=streamed) == "from first"
    assert pair.first.connections == 3
    assert len(pair.first.requests) == 5
    await tells(pair.proxy, "first", failure_count=0, last_error_type=None)


async def test_a09_a_reset_before_the_headers_is_a_failure(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    await each_falls_over(pair, "reset", faults.closes("rst"))


async def test_a09_a_reset_by_something_on_the_way_is_one_too(
    providers: Providers, start_proxy: StartProxy, chaos_before: ChaosBefore
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.silent())
    second.plays(says("from second"))
    chaos, entry = await chaos_before(first)
    chaos.downstream.poison(ResetPeer(0.2))
    proxy = await start_proxy(entry, second, circuit_breaker={"failure_threshold": 100})
    pair = Pair(proxy, first, second)
    await pair.falls_over("reset", after=0.2)
    assert (await told_of(proxy, "first"))["state"] == "closed"


def test_a_reserved_port_is_refused_and_not_a_black_hole() -> None:
    """What the two rows differ in."""
    with ReservedPort() as closed, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", closed.number), timeout=1)
    hole = BlackHole()
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", hole.port), timeout=0.2)
    hole.close()
