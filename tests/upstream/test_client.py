"""Transport errors become faults that say what happened and never what was sent. Real sockets on loopback."""

import socket
import ssl
from contextlib import suppress

import msgspec
import pytest
import trio
import trustme

from ccproxy_trio.health.probing import ProbeVerdict
from ccproxy_trio.settings.model import Models, TransportName
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.upstream import client as under_test
from ccproxy_trio.wire.faults import FaultKind
from tests.support.peers import (
    CANARY,
    DIALECT,
    OK,
    Handler,
    fault_from,
    fault_of,
    read_request,
    replying,
    serving,
    upstream,
)


async def test_an_answer_arrives_piece_by_piece_as_it_was_sent(transport: TransportName) -> None:
    handler = replying(OK + b"content-length: 10\r\n\r\n", b"data: ", b"abcd")
    async with (
        serving(handler) as port,
        upstream(port, transport) as there,
        there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer,
    ):
        assert answer.is_event_stream
        assert await answer.receive_all() == b"data: abcd"


async def test_a_refused_connection_is_a_connect_fault(transport: TransportName) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with upstream(closed.getsockname()[1], transport) as there:
            assert (await fault_of(there)).kind is FaultKind.CONNECT


async def test_an_unknown_host_is_a_connect_fault(transport: TransportName) -> None:
    async with upstream(1, transport, "http://x.invalid") as there:
        assert (await fault_of(there)).kind is FaultKind.CONNECT


async def test_a_full_backlog_is_a_connect_timeout(transport: TransportName) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        async with upstream(port, transport, connect_timeout=0.3) as there:
            assert (await fault_of(there)).kind is FaultKind.CONNECT_TIMEOUT
        for filler in fillers:
            filler.close()


async def test_a_certificate_nobody_vouches_for_is_a_tls_fault(transport: TransportName) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def handler(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await trio.SSLStream(stream, context, server_side=True).do_handshake()

    assert (await fault_from(handler, transport, address="https://127.0.0.1")).kind is FaultKind.TLS


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (replying(), FaultKind.RESET),
        (replying(reset=True), FaultKind.RESET),
        (replying(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), FaultKind.PROTOCOL),
        (replying(OK + b"content-length: 100\r\n\r\nshort"), FaultKind.RESET),
        (replying(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nabc"), FaultKind.RESET),
        (replying(OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc"), FaultKind.PROTOCOL),
        (replying(OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", reset=True), FaultKind.RESET),
        (replying(OK + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx"), FaultKind.PROTOCOL),
    ],
    ids=["fin", "rst", "not-http", "short-body", "cut-chunk", "bad-chunk", "rst-in-body", "gzip"],
)
async def test_a_broken_answer_is_named_for_what_broke(
    transport: TransportName, handler: Handler, kind: FaultKind
) -> None:
    assert (await fault_from(handler, transport)).kind is kind


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529, 301, 204])
async def test_any_status_but_200_is_a_fault_that_bears_it(transport: TransportName, status: int) -> None:
    head = f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:1/\r\n\r\n"
    fault = await fault_from(replying(head.encode()), transport)
    assert fault.status == status


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}\r\nx: y", f"{CANARY}\0"])
async def test_a_key_that_cannot_be_sent_is_a_fault_that_does_not_quote_it(
    transport: TransportName, key: str
) -> None:
    fault = await fault_from(replying(), transport, key=key)
    assert fault.kind is FaultKind.CONFIG


@pytest.mark.parametrize(
    ("transport", "kind", "connections"), [("trio", None, 2), ("httpx", FaultKind.STALE, 1)]
)
async def test_a_kept_alive_connection_that_died_is_replaced_by_ours_and_stale_with_httpx(
    transport: TransportName, kind: FaultKind | None, connections: int
) -> None:
    served = 0

    async def handler(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        await read_request(stream)
        await stream.send_all(OK + b"content-length: 2\r\n\r\nok")
        await read_request(stream)
        await stream.aclose()

    async with serving(handler) as port, upstream(port, transport) as there:
        async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
            await answer.receive_all()
        if kind is None:
            async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
                assert await answer.receive_all() == b"ok"
        else:
            assert (await fault_of(there)).kind is kind
    assert served == connections


async def test_cancelling_closes_the_connection(transport: TransportName) -> None:
    closed = trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(OK + b"transfer-encoding: chunked\r\n\r\n")
        assert await stream.receive_some() == b""
        closed.set()

    async with serving(handler) as port, upstream(port, transport) as there:
        with trio.move_on_after(0.2):
            async with there.open(Outgoing(body=b"{}"), model="m", dialect=DIALECT) as answer:
                await answer.receive_some()
        with trio.fail_after(1):
            await closed.wait()


async def test_an_endless_answer_is_cut(transport: TransportName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "ANSWER_BODY_BYTES", 1000)
    fault = await fault_from(replying(OK + b"content-length: 2000\r\n\r\n" + b"x" * 2000), transport)
    assert fault.kind is FaultKind.PROTOCOL


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, ProbeVerdict.OK),
        (404, ProbeVerdict.UNSUPPORTED),
        (405, ProbeVerdict.UNSUPPORTED),
        (401, ProbeVerdict.AUTH),
        (403, ProbeVerdict.UNSUPPORTED),
        (301, ProbeVerdict.UNSUPPORTED),
        (402, ProbeVerdict.QUOTA),
        (408, ProbeVerdict.FAIL),
        (429, ProbeVerdict.LIMITED),
        (500, ProbeVerdict.FAIL),
    ],
)
async def test_a_probe_reads_the_status(transport: TransportName, status: int, verdict: ProbeVerdict) -> None:
    handler = replying(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
    async with serving(handler) as port, upstream(port, transport) as there:
        assert (await there.probe()).verdict is verdict


@pytest.mark.parametrize(
    ("base_url", "field"),
    [("http://p.example/v1", b"max_tokens"), ("https://api.openai.com/v1", b"max_completion_tokens")],
)
async def test_a_probe_by_completion_asks_the_smallest_model_for_one_token(
    transport: TransportName, base_url: str, field: bytes
) -> None:
    seen: list[bytes] = []

    async def handler(stream: trio.SocketStream) -> None:
        data = b""
        while not data.endswith(b"}"):
            data += bytes(await stream.receive_some())
        seen.append(data.partition(b"\r\n\r\n")[2])
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with serving(handler) as port, upstream(port, transport, probe="completion") as there:
        there._provider = msgspec.structs.replace(
            there._provider, base_url=base_url, models=Models(big=("large",), small=("tiny", "mini"))
        )
        assert (await there.probe()).verdict is ProbeVerdict.OK
    body = b'{"model":"tiny","messages":[{"role":"user","content":"ping"}],"%s":1}'
    assert seen == [body % field]


async def test_a_probe_of_a_dead_provider_fails_quietly(transport: TransportName) -> None:
    async with serving(replying()) as port, upstream(port, transport) as there:
        result = await there.probe()
    assert (result.verdict, CANARY in result.detail) == (ProbeVerdict.FAIL, False)
