"""F12 and F03: errors that come several at once, and a client that leaves before it has asked."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
import trio.testing

from ccproxy_trio.attempt import worst
from ccproxy_trio.journal import AttemptEnded, ExchangeEnded, Note
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, hello, settings_for, virtual_house

Clock = trio.testing.MockClock
streaming = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


class Grouped(FakeUpstream):
    """Has a nursery whose tasks fail together: at once, or when they are cancelled."""

    def __init__(self, *errors: Exception, when_cancelled: bool) -> None:
        super().__init__(hello)
        self._errors = errors
        self._when_cancelled = when_cancelled

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.opened += 1
        async with trio.open_nursery() as nursery:
            for error in self._errors:
                nursery.start_soon(self._fail, error)
            await trio.sleep_forever()
        yield  # a generator, as its parent's is

    async def _fail(self, error: Exception) -> None:
        try:
            await trio.sleep(math.inf if self._when_cancelled else 1)
        finally:
            raise error


@streaming
async def test_errors_that_come_together_are_judged_by_the_worst_f12(
    autojump_clock: Clock, *, stream: bool
) -> None:
    limited = UpstreamFault(FaultKind.RATE_LIMITED, status=429)
    a, b = Grouped(OSError("gone"), limited, when_cancelled=False), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        assert await client.head() == 200
        await client.body()
        ended = [entry.outcome for entry in house.journal if isinstance(entry, AttemptEnded)]
        assert ended == ["reset", "ok"]
        assert (await house.snapshot("a")).failure_count == 1
        assert [entry for entry in house.journal if isinstance(entry, Note)] == []


@streaming
async def test_errors_on_the_way_out_of_a_missed_deadline_do_not_cover_it_f12(
    autojump_clock: Clock, *, stream: bool
) -> None:
    a, b = Grouped(OSError("gone"), when_cancelled=True), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        assert await client.head() == 200
        await client.body()
        ended = [entry.outcome for entry in house.journal if isinstance(entry, AttemptEnded)]
        assert ended == ["headers_timeout", "ok"]
        assert [entry for entry in house.journal if isinstance(entry, Note)] == []


@streaming
async def test_errors_on_the_way_out_of_a_hang_up_are_nobodys_news_f12(
    autojump_clock: Clock, *, stream: bool
) -> None:
    a = Grouped(OSError("gone"), when_cancelled=True)
    async with virtual_house(settings_for("a"), a=a) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        await trio.sleep(5)
        await client.stream.aclose()
        await trio.sleep(1)
        assert (await house.snapshot("a")).failure_count == 0
        assert [entry.how for entry in house.journal if isinstance(entry, ExchangeEnded)] == ["cancelled"]
        assert [entry for entry in house.journal if isinstance(entry, Note)] == []


def test_a_bug_among_faults_is_not_hidden_by_them_f12() -> None:
    bug = KeyError("x")
    inner = ExceptionGroup("", [bug, OSError("gone")])
    assert worst(ExceptionGroup("", [UpstreamFault(FaultKind.AUTH), inner])) is bug


def test_of_faults_alone_the_one_that_says_most_decides_f12() -> None:
    kinds = [FaultKind.POOL, FaultKind.AUTH, FaultKind.RESET, FaultKind.RATE_LIMITED]
    found = worst(ExceptionGroup("", [UpstreamFault(kind) for kind in kinds]))
    assert isinstance(found, UpstreamFault)
    assert found.kind is FaultKind.AUTH


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_a_client_that_leaves_while_it_uploads_reaches_no_provider_f03(
    autojump_clock: Clock, how: str
) -> None:
    upstream = FakeUpstream(hello)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        stream = house.connect()
        http = h11.Connection(h11.CLIENT)
        fields = [
            ("host", "127.0.0.1:8082"),
            ("content-type", "application/json"),
            ("content-length", "1000"),
        ]
        head = http.send(h11.Request(method="POST", target="/v1/messages", headers=fields))
        await stream.send_all(head + b'{"model":"claude-opus-4","stream":true,')
        await trio.sleep(5)
        if how == "gone":
            await stream.aclose()
        await trio.sleep(600)
        assert (upstream.opened, (await house.snapshot("a")).in_flight) == (0, 0)
        assert house.connections == 0
        assert [entry for entry in house.journal if isinstance(entry, Note)] == []
        await stream.aclose()
