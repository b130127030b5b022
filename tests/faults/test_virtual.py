"""Rows whose nature is time, at their full length: in virtual time, which costs none."""

from itertools import pairwise

import h11
import pytest
import trio
import trio.testing
from hypercorn.events import Updated
from hypercorn.trio.tcp_server import TCPServer
from quart_trio.wrappers.request import TrioBody

from ccproxy_trio.journal import BreakerMoved, Note
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, hello, settings_for, virtual_house

pytestmark = pytest.mark.usefixtures("autojump_clock")
Clock = trio.testing.MockClock
MINUTE = 60.0


async def die(answer: FakeAnswer) -> None:
    """The body ends at once: nothing was said."""


async def test_b23_a_token_a_second_for_twenty_minutes_is_allowed(autojump_clock: Clock) -> None:
    async def tick(answer: FakeAnswer) -> None:
        for _ in range(1200):
            await trio.sleep(1)
            await answer.text(".")
        await answer.finish()

    async with virtual_house(settings_for("a"), a=FakeUpstream(tick)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True})
        assert await client.head() == 200
        body = await client.body()
        assert trio.current_time() - started_at == pytest.approx(20 * MINUTE, abs=1)
        assert (await house.snapshot("a")).failure_count == 0
    assert body.count(b"text_delta") == 1200
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


async def test_c06_waits_of_minutes_are_kept_to_the_second(autojump_clock: Clock) -> None:
    """A client that asks every ten seconds, with somebody else to answer it: 60, 120, 240, 480, 600, 600."""
    asked_at: list[float] = []

    async def fail(answer: FakeAnswer) -> None:
        asked_at.append(trio.current_time())

    breaker = BreakerSettings(failure_threshold=1, recovery_jitter=0.0)
    settings = settings_for("a", "b", circuit_breaker=breaker)
    async with virtual_house(settings, a=FakeUpstream(fail), b=FakeUpstream(hello)) as house:
        while len(asked_at) < 7:
            client = Client(house.connect())
            await client.post({"stream": False})
            assert await client.head() == 200
            await client.body()
            await client.stream.aclose()
            await trio.sleep(10)
        waits = [
            entry.reopens_in
            for entry in house.journal
            if isinstance(entry, BreakerMoved) and entry.after == "open"
        ]
    assert waits == [60, 120, 240, 480, 600, 600, 600]
    spans = [later - earlier for earlier, later in pairwise(asked_at)]
    assert spans == pytest.approx([60, 120, 240, 480, 600, 600], abs=10.01)


async def test_c13_the_earliest_of_several_rests_is_waited_out_and_no_longer(autojump_clock: Clock) -> None:
    class Limited(FakeUpstream):
        def __init__(self, wait: float) -> None:
            super().__init__(hello)
            self.wait: float | None = wait

        def open(self, asked: Outgoing, *, model: str, dialect: object):  # type: ignore[no-untyped-def]
            wait, self.wait = self.wait, None
            if wait is not None:
                self.opened += 1
                raise UpstreamFault(FaultKind.RATE_LIMITED, retry_after=wait)
            return super().open(asked, model=model, dialect=dialect)  # type: ignore[arg-type]

    a, b = Limited(500), Limited(2)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": False})
        assert await client.head() == 200
        assert trio.current_time() - started_at == pytest.approx(2, abs=0.01)
    assert (a.opened, b.opened) == (1, 2)


async def test_c15_a_lone_provider_that_was_down_for_thirty_seconds_is_found_within_one(
    autojump_clock: Clock,
) -> None:
    """A client that asks whenever it was told that nobody is there."""
    started_at = trio.current_time()
    back_at = started_at + 30

    async def down_until_then(answer: FakeAnswer) -> None:
        if trio.current_time() >= back_at:
            await hello(answer)

    upstream = FakeUpstream(down_until_then)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        while True:
            client = Client(house.connect())
            await client.post({"stream": False})
            status = await client.head()
            if status == 200:
                break
            await client.body()
            await client.stream.aclose()
        assert 0 <= trio.current_time() - back_at <= 1.01
    assert upstream.opened <= 40  # one forced attempt a second, and the first few


async def test_c14_what_no_waiting_mends_is_never_waited_for(autojump_clock: Clock) -> None:
    class Locked(FakeUpstream):
        def open(self, asked: Outgoing, *, model: str, dialect: object):  # type: ignore[no-untyped-def]
            self.opened += 1
            raise UpstreamFault(FaultKind.AUTH, status=401)

    a, b = Locked(hello), Locked(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        started_at = trio.current_time()
        for _ in range(3):
            client = Client(house.connect())
            await client.post({"stream": True})
            assert await client.head() == 502
            assert client.headers["x-should-retry"] == "false"
        assert trio.current_time() == started_at
    assert (a.opened, b.opened) == (1, 1)


async def end_answer(server: TCPServer, closed: trio.Event, checkpoints: int) -> None:
    """As the last part of an answer does, so long after the client has gone."""
    await closed.wait()
    for _ in range(checkpoints):
        await trio.lowlevel.checkpoint()
    await server.protocol_send(Updated(idle=True))


async def test_f05_a_client_that_closes_as_its_answer_ends_leaves_no_connection(
    autojump_clock: Clock,
) -> None:
    """The end of the answer, which starts the idle timer, comes at any moment of the end of the reading."""
    for checkpoints in range(12):
        async with virtual_house(settings_for("a"), a=FakeUpstream(hello)) as house:
            client, closed = Client(house.connect()), trio.Event()
            await client.post({"stream": False})
            await client.head()
            await client.body()
            (server,) = house.stopping._connections

            async def end(
                server: TCPServer = server, closed: trio.Event = closed, after: int = checkpoints
            ) -> None:
                """As an answer's last part does."""
                await closed.wait()
                for _ in range(after):
                    await trio.lowlevel.checkpoint()
                await server.protocol_send(Updated(idle=True))

            server._task_group.spawn(end)
            await client.stream.aclose()
            closed.set()
            await trio.sleep(1)
            assert house.connections == 0, f"it ended after {checkpoints} checkpoints"


async def test_f17_a_body_without_room_is_told_to_come_again_and_is_no_fault_of_ours(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_body: TrioBody, _data: bytes) -> None:
        raise MemoryError

    async with virtual_house(settings_for("a"), a=FakeUpstream(hello)) as house:
        with monkeypatch.context() as patch:
            patch.setattr(TrioBody, "append", refuse)
            client = Client(house.connect())
            await client.post({"stream": True})
            assert await client.head() == 529
            assert client.headers["retry-after"] == "5"
            assert b"overloaded_error" in await client.body()
        again = Client(house.connect())
        await again.post({"stream": False})
        assert await again.head() == 200
        assert not any(isinstance(entry, Note) and entry.level == "error" for entry in house.journal)


async def test_f17_a_connection_without_room_ends_alone(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_connection: h11.Connection, _data: bytes) -> None:
        raise MemoryError

    async with virtual_house(settings_for("a"), a=FakeUpstream(hello)) as house:
        other, unlucky = Client(house.connect()), Client(house.connect())
        with monkeypatch.context() as patch:
            patch.setattr("hypercorn.protocol.h11.h11.Connection.receive_data", refuse)
            await unlucky.stream.send_all(b"POST / HTTP/1.1")
            assert await unlucky.stream.receive_some(1) == b""
        await other.post({"stream": False})
        assert await other.head() == 200
