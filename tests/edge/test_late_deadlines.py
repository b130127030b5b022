"""C23: the process was stopped, and every deadline fires at once, too late. Nobody is to blame for that.

`jump` is what a stopped process sees: the clock has moved on, and nothing else has happened.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from ccproxy_trio.actors.probe import PROBE_LIMIT, ProbeSchedule, keep_probing
from ccproxy_trio.deadline import Bound, Deadline
from ccproxy_trio.health.lateness import LATE
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.journal import AttemptEnded, Entry, ExchangeEnded, Hedged
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock
streaming = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


async def hang(answer: FakeAnswer) -> None:
    await trio.sleep_forever()


async def half(answer: FakeAnswer) -> None:
    await answer.text("half")
    await trio.sleep_forever()


def outcomes(house: House) -> list[tuple[str, str]]:
    return [(entry.provider, entry.outcome) for entry in house.journal if isinstance(entry, AttemptEnded)]


@streaming
async def test_a_provider_whose_time_ran_out_while_we_were_stopped_is_asked_again(
    autojump_clock: Clock, *, stream: bool
) -> None:
    a, b = FakeUpstream(hang, hello), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        await trio.sleep(5)
        autojump_clock.jump(120)
        assert await client.head() == 200
        assert b"hello" in await client.body()
        assert outcomes(house) == [("a", "suspended"), ("a", "ok")]
        snapshot = await house.snapshot("a")
        assert (snapshot.failure_count, snapshot.last_failure, snapshot.in_flight) == (0, None, 0)
        assert (a.opened, len(a.closed_at), b.opened) == (2, 2, 0)


async def test_a_deadline_that_fires_in_time_still_blames(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(hang), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await trio.sleep(5)
        autojump_clock.jump(30)  # a stop that ends before the deadline changes nothing
        await client.head()
        await client.body()
        assert outcomes(house) == [("a", "content_timeout"), ("b", "ok")]
        assert (await house.snapshot("a")).failure_count == 1


async def test_fifty_requests_that_slept_through_their_deadlines_open_no_breaker(
    autojump_clock: Clock,
) -> None:
    """And do not storm: what has no token for a repetition goes elsewhere."""
    a, b = FakeUpstream(*[hang] * 50, hello), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b", max_exchanges=100), a=a, b=b) as house:
        answered: list[int] = []

        async def ask() -> None:
            client = Client(house.connect())
            await client.post({"stream": True})
            answered.append(await client.head())
            await client.body()

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
            await trio.sleep(5)
            autojump_clock.jump(120)
        assert answered == [200] * 50
        assert a.opened + b.opened == 100
        assert a.opened < 90
        snapshot = await house.snapshot("a")
        assert (snapshot.state, snapshot.failure_count, snapshot.opens) == ("closed", 0, 0)


async def test_an_answer_that_was_being_shown_ends_in_an_error_and_blames_nobody(
    autojump_clock: Clock,
) -> None:
    a = FakeUpstream(half)
    async with virtual_house(settings_for("a"), a=a) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await client.head()
        autojump_clock.jump(1000)
        body = await client.body()
        assert client.kinds()[-1][1] == "error"
        assert b"this proxy was suspended" in body
        assert (await house.snapshot("a")).failure_count == 0
        assert [entry.how for entry in house.journal if isinstance(entry, ExchangeEnded)] == ["midfail"]


async def test_a_request_whose_own_time_is_up_is_told_so_and_its_provider_is_not_blamed(
    autojump_clock: Clock,
) -> None:
    a = FakeUpstream(hang)
    async with virtual_house(settings_for("a", a_timeout=900.0), a=a) as house:
        client = Client(house.connect())
        await client.post({"stream": False}, **{"x-stainless-timeout": "300"})
        await trio.sleep(5)
        autojump_clock.jump(1000)
        assert await client.head() in (500, 502, 504)
        assert "suspended" in json.loads(await client.body())["error"]["message"]
        snapshot = await house.snapshot("a")
        assert (snapshot.failure_count, a.opened) == (0, 1)


class BlackHole(FakeUpstream):
    """Does not connect within its ten seconds, by the clock that it has."""

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.opened += 1
        await trio.sleep(10)
        raise UpstreamFault(FaultKind.CONNECT_TIMEOUT, "could not connect in time")
        yield  # a generator, as its parent's is


@pytest.mark.parametrize(("stopped_for", "outcome"), [(0, "connect_timeout"), (60, "suspended")])
async def test_who_could_not_be_connected_to_while_we_were_stopped_is_not_blamed(
    autojump_clock: Clock, stopped_for: float, outcome: str
) -> None:
    a, b = BlackHole(hello), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await trio.sleep(5)
        autojump_clock.jump(stopped_for)
        assert await client.head() == 200
        await client.body()
        assert outcomes(house)[0] == ("a", outcome)
        assert (await house.snapshot("a")).failure_count == 1  # the second try of the stopped one timed out


async def test_a_client_gets_its_time_to_read_again(autojump_clock: Clock) -> None:
    async def much(answer: FakeAnswer) -> None:
        for _ in range(20):
            await answer.text("x" * 1000)
        await answer.finish()

    async with virtual_house(settings_for("a"), a=FakeUpstream(much)) as house:
        client = Client(house.connect(slow=True))
        await client.post({"stream": True})
        await trio.sleep(30)
        autojump_clock.jump(1000)
        await trio.sleep(30)
        await client.head()
        await client.body()
        assert client.kinds()[-1][1] == "message_stop"


async def test_a_client_that_does_not_read_after_that_either_loses_its_answer(autojump_clock: Clock) -> None:
    async def flood(answer: FakeAnswer) -> None:
        while True:
            await answer.text("x" * 1000)

    upstream = FakeUpstream(flood)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        client = Client(house.connect(slow=True))
        await client.post({"stream": True})
        await trio.sleep(30)
        autojump_clock.jump(1000)
        woke_at = trio.current_time()
        await trio.sleep(100)
        assert upstream.closed_at == [pytest.approx(woke_at + 60)]
        await client.stream.aclose()


async def test_time_in_which_we_were_stopped_is_no_reason_to_race(autojump_clock: Clock) -> None:
    async def soon(answer: FakeAnswer) -> None:
        await trio.sleep(61)
        await hello(answer)

    a, b = FakeUpstream(soon), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b", hedge_after=30.0), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await trio.sleep(5)
        autojump_clock.jump(50)
        await client.head()
        assert (a.opened, b.opened) == (1, 0)
        assert [entry for entry in house.journal if isinstance(entry, Hedged)] == []


# -- the pieces ----------------------------------------------------------------------------------------


def _bound(at: float) -> Bound:
    return Bound(at, FaultKind.TOTAL_TIMEOUT)


async def test_a_read_that_was_served_late_does_not_hide_that_the_deadline_had_fired(
    autojump_clock: Clock,
) -> None:
    """Bytes and deadline in one turn of the event loop: the attempt goes on for a moment, and moves it."""
    watch = Deadline(_bound(trio.current_time() + 600))
    watch.expect(FaultKind.IDLE_TIMEOUT, 10)
    with watch.scope:
        autojump_clock.jump(100)
        with trio.CancelScope(shield=True):
            await trio.sleep(0.1)
        watch.expect(FaultKind.IDLE_TIMEOUT, 10)
        await trio.sleep_forever()
    assert watch.fault().kind is FaultKind.SUSPENDED


async def test_work_of_ours_that_takes_long_is_no_suspension_once_the_deadline_has_moved(
    autojump_clock: Clock,
) -> None:
    """The loop has had no turn in which to fire it."""
    watch = Deadline(_bound(trio.current_time() + 600))
    watch.expect(FaultKind.IDLE_TIMEOUT, 10)
    with watch.scope:
        autojump_clock.jump(100)
        watch.expect(FaultKind.IDLE_TIMEOUT, 10)
        await trio.sleep_forever()
    assert watch.fault().kind is FaultKind.IDLE_TIMEOUT


@pytest.mark.parametrize(("late_by", "told"), [(LATE - 1, ["fail"]), (120.0, [])], ids=["busy", "stopped"])
@pytest.mark.parametrize("answer", ["none", "reset"])
async def test_a_probe_that_we_slept_through_tells_nothing(
    autojump_clock: Clock, late_by: float, told: list[str], answer: str
) -> None:
    heard: list[ProbeResult] = []
    journal: list[Entry] = []

    async def ask() -> ProbeResult:
        autojump_clock.jump(PROBE_LIMIT + late_by)
        if answer == "none":
            await trio.sleep_forever()
        return ProbeResult(verdict=ProbeVerdict.FAIL, seconds=0.0)

    schedule = ProbeSchedule(
        name="a",
        interval=1000.0,
        draw=lambda: 0.0,
        wall=trio.current_time,
        last_success=lambda: None,
        journal=journal.append,
    )
    with trio.move_on_after(500):
        await keep_probing(ask, schedule, tell=heard.append)
    assert [str(result.verdict) for result in heard] == told
    assert len(journal) == len(told)


async def test_a_probe_that_was_answered_late_has_been_answered(autojump_clock: Clock) -> None:
    heard: list[ProbeResult] = []

    async def ask() -> ProbeResult:
        autojump_clock.jump(120)
        return ProbeResult(verdict=ProbeVerdict.OK, seconds=0.0)

    schedule = ProbeSchedule(
        name="a",
        interval=1000.0,
        draw=lambda: 0.0,
        wall=trio.current_time,
        last_success=lambda: None,
        journal=lambda _: None,
    )
    with trio.move_on_after(500):
        await keep_probing(ask, schedule, tell=heard.append)
    assert [result.verdict for result in heard] == [ProbeVerdict.OK]
