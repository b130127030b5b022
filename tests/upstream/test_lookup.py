"""Looking up names: in threads, but in few of them, whatever a resolver does (A03, A04)."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio

from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, TransportName
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream.client import Upstream
from ccproxy_trio.upstream.transport.lookup import THREADS_A_NAME, Lookups, bound_lookups
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


class Resolver:
    """Hangs for names that begin with "dead" until it is let go; knows no "unknown"; answers the rest."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.asked: list[str] = []
        self.at_work = 0

    def __call__(self, host: Any, *_: Any) -> Sequence[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        self.asked.append(name)
        self.at_work += 1
        if name.startswith("dead"):
            self.may_end.wait(10)
        self.at_work -= 1
        if name.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.may_end.set()


async def until_idle(resolver: Resolver) -> None:
    with trio.fail_after(5):
        while resolver.at_work:  # noqa: ASYNC110 - threads set no event of Trio's
            await trio.sleep(0.01)


async def test_a03_a_resolver_that_hangs_takes_few_threads_and_none_from_others(resolver: Resolver) -> None:
    lookups, given_up = Lookups(resolver), 0

    async def ask() -> None:
        nonlocal given_up
        with trio.move_on_after(0.2) as scope:
            await lookups.getaddrinfo("dead.example", 80)
        given_up += scope.cancelled_caught

    for _ in range(THREADS_A_NAME + 2):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        with trio.fail_after(5):
            assert list(await lookups.getaddrinfo("alive.example", 80)) == FOUND
    assert given_up == (THREADS_A_NAME + 2) * 20
    assert resolver.at_work <= THREADS_A_NAME
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    resolver.may_end.set()
    await until_idle(resolver)
    assert list(await lookups.getaddrinfo("dead.example", 80)) == FOUND  # it works again when its server does


async def test_those_who_ask_at_the_same_time_share_one_lookup(resolver: Resolver) -> None:
    lookups, heard = Lookups(resolver), []

    async def ask() -> None:
        heard.append(await lookups.getaddrinfo("dead.example", 80))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        resolver.may_end.set()
    assert (len(heard), resolver.asked) == (100, ["dead.example"])


async def test_who_leaves_does_not_take_the_answer_from_the_others(resolver: Resolver) -> None:
    lookups, heard = Lookups(resolver), []

    async def ask() -> None:
        heard.append(await lookups.getaddrinfo("dead.example", 80))

    async with trio.open_nursery() as nursery:
        first = await nursery.start(_cancellable, ask)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        resolver.may_end.set()
    assert heard == [FOUND]


async def _cancellable(ask: Any, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await ask()


async def test_a_name_that_is_unknown_is_told_to_each_by_an_error_of_their_own(resolver: Resolver) -> None:
    lookups, errors = Lookups(resolver), []

    async def ask() -> None:
        try:
            await lookups.getaddrinfo("unknown.example", 80)
        except socket.gaierror as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert [error.errno for error in errors] == [socket.EAI_NONAME] * 3
    assert len({id(error) for error in errors}) == 3


async def test_a_resolver_that_somebody_chose_stays(resolver: Resolver) -> None:
    chosen = Lookups(resolver)
    trio.socket.set_custom_hostname_resolver(chosen)
    bound_lookups()
    assert trio.socket.set_custom_hostname_resolver(None) is chosen
    bound_lookups()
    assert isinstance(trio.socket.set_custom_hostname_resolver(None), Lookups)


async def fault_at(url: str, transport: TransportName, *, within: float) -> UpstreamFault:
    provider = ProviderSettings(
        name="p", api_key=Secret("k"), base_url=url, models=Models(big=("m",)), connect_timeout=within
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    opening = Upstream(provider, tls=tls, connections=5, wall=lambda: 0.0, transport=transport)
    with pytest.raises(UpstreamFault) as caught:
        async with (
            opening as there,
            there.open(Outgoing(body=b"{}"), model="m", dialect=resolve(provider, "m")),
        ):
            pass
    return caught.value


@pytest.mark.parametrize("name", ["dead.example", "unknown.example"])
async def test_a03_a_name_that_is_not_found_in_time_is_a_connect_fault(
    transport: TransportName, resolver: Resolver, name: str
) -> None:
    trio.socket.set_custom_hostname_resolver(Lookups(resolver))
    with trio.fail_after(5):
        fault = await fault_at(f"http://{name}/v1", transport, within=0.2)
    is_dead = name.startswith("dead")
    assert fault.kind is (FaultKind.CONNECT_TIMEOUT if is_dead else FaultKind.CONNECT)


async def test_a04_the_address_that_answers_is_used_although_the_first_is_dead(
    transport: TransportName,
) -> None:
    """The first swallows what it is sent (192.0.2.1 is nobody's); the second answers."""

    async def polite(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, polite, 0)
        port = listeners[0].socket.getsockname()[1]
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("192.0.2.1", "127.0.0.1")
        ]
        trio.socket.set_custom_hostname_resolver(Lookups(lambda *_: both))
        assert (await fault_at(f"http://two.example:{port}/v1", transport, within=5)).status == 503
        nursery.cancel_scope.cancel()
