"""The proxy is being stopped: what requests under way may still do, and what each client is told."""

from typing import Any

import h11
import msgspec
import trio
import trio.testing
from msgspec.structs import replace

from ccproxy_trio.drain import LAST_WORDS
from ccproxy_trio.health.breaker import State
from ccproxy_trio.journal import ExchangeEnded
from tests.edge.virtual import (
    Client,
    FakeAnswer,
    FakeUpstream,
    House,
    hello,
    settings_for,
    silent_for,
    virtual_house,
)

Clock = trio.testing.MockClock
SETTINGS = settings_for("a", drain_timeout=10.0)


async def for_ever(answer: FakeAnswer) -> None:
    await answer.text("once")
    while True:
        await trio.sleep(1)
        await answer.text("more")


async def streaming(house: House, **more: Any) -> Client:
    client = Client(house.connect(**more))
    await client.post({"stream": True})
    return client


def ended(house: House) -> list[tuple[str, int, str | None]]:
    return [
        (each.how, each.status, each.error_type) for each in house.journal if isinstance(each, ExchangeEnded)
    ]


def event_of(body: bytes) -> dict[str, Any]:
    """The data of the last event."""
    data: dict[str, Any] = msgspec.json.decode(body.rpartition(b"data: ")[2].strip())
    return data


async def test_a_stream_that_has_begun_ends_in_an_error_event_when_the_time_is_over(
    autojump_clock: Clock,
) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(for_ever)) as house:
        client = await streaming(house)
        assert await client.head() == 200
        began_at = trio.current_time()
        await house.stop()
        body = await client.body()
        assert trio.current_time() == began_at + 10.0
        assert client.kinds()[-1][1] == "error"
        assert b"message_stop" not in body
        assert event_of(body)["error"] == {
            "type": "overloaded_error",
            "message": "The proxy is being stopped. Ask again in a moment.",
        }
        assert ended(house) == [("drained", 529, "overloaded_error")]
        known = await house.snapshot("a")
        assert (known.in_flight, known.failure_count, known.state) == (0, 0, State.CLOSED)


async def test_who_has_seen_nothing_yet_is_told_to_come_again(autojump_clock: Clock) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(silent_for(60.0, hello))) as house:
        reader, waiter = await streaming(house), Client(house.connect())
        await waiter.post({})
        await trio.testing.wait_all_tasks_blocked()
        began_at = trio.current_time()
        await house.stop()
        for client in (reader, waiter):
            assert await client.head() == 529
            assert trio.current_time() == began_at + 10.0
            assert client.headers["retry-after"] == "5"
            assert "x-should-retry" not in client.headers
            assert msgspec.json.decode(await client.body())["error"]["type"] == "overloaded_error"
        assert ended(house) == [("drained", 529, "overloaded_error")] * 2
        assert (await house.snapshot("a")).in_flight == 0


async def test_what_is_finished_in_time_is_whole(autojump_clock: Clock) -> None:
    async def slow(answer: FakeAnswer) -> None:
        await answer.text("hello")
        await trio.sleep(9)
        await answer.finish()

    async with virtual_house(SETTINGS, a=FakeUpstream(slow)) as house:
        client = await streaming(house)
        await client.head()
        await house.stop()
        await client.body()
        assert client.kinds()[-1][1] == "message_stop"
        assert ended(house) == [("complete", 200, None)]
        await trio.testing.wait_all_tasks_blocked()
        assert house.connections == 0


async def test_a_signal_more_ends_everything_at_once(autojump_clock: Clock) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(for_ever)) as house:
        client = await streaming(house)
        await client.head()
        await house.stop()
        await trio.sleep(2)
        began_at = trio.current_time()
        house.stopping.hurry()
        body = await client.body()
        assert trio.current_time() == began_at
        assert event_of(body)["error"]["type"] == "overloaded_error"


async def test_a_longer_time_given_later_gives_nobody_more(autojump_clock: Clock) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(for_ever)) as house:
        client = await streaming(house)
        await client.head()
        began_at = trio.current_time()
        house.running.drain.begin(5.0)
        house.running.drain.begin(50.0)
        await client.body()
        assert trio.current_time() == began_at + 5.0


async def test_a_request_that_was_on_its_way_is_not_taken_on_and_readiness_is_gone_at_once(
    autojump_clock: Clock,
) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(for_ever)) as house:
        held = await streaming(house)
        await held.head()
        asking = house.connect()
        head = b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:8082\r\ncontent-type: application/json\r\n"
        body = b'{"model":"opus","max_tokens":1,"messages":[{"role":"user","content":"x"}]}'
        await asking.send_all(head + b"content-length: %d\r\n\r\n" % len(body) + body[:10])
        await trio.testing.wait_all_tasks_blocked()
        await house.stop()
        await trio.testing.wait_all_tasks_blocked()
        await asking.send_all(body[10:])
        refused = await response(asking)
        assert refused.status_code == 529
        assert dict(refused.headers)[b"retry-after"] == b"5"
        assert (await house.app.desk.ready()).status_code == 503
        assert (await house.app.desk.live()).status_code == 200
        assert ended(house) == []
        house.stopping.hurry()


async def response(stream: Any) -> h11.Response:
    """The head of the answer that comes."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await stream.receive_some(65536))
    assert isinstance(event, h11.Response), event
    return event


async def test_a_server_with_less_time_than_the_drain_leaves_room_for_the_last_words(
    autojump_clock: Clock,
) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(for_ever)) as house:
        house.graceful_timeout = 9.0
        client = await streaming(house)
        await client.head()
        began_at = trio.current_time()
        await house.stop()
        body = await client.body()
        assert trio.current_time() == began_at + 9.0 - LAST_WORDS - 1.0
        assert event_of(body)["error"]["type"] == "overloaded_error"


async def test_a_client_that_does_not_read_holds_nothing_up(autojump_clock: Clock) -> None:
    async with virtual_house(SETTINGS, a=FakeUpstream(for_ever)) as house:
        client = await streaming(house, slow=True)
        await client.head()
        await house.stop()
        await trio.sleep(10.0 + LAST_WORDS)
        await trio.testing.wait_all_tasks_blocked()
        assert house.connections == 0
        assert [how for how, _, _ in ended(house)] == ["drained"]
        assert (await house.snapshot("a")).in_flight == 0


async def test_nobody_is_probed_any_more(autojump_clock: Clock) -> None:
    a = FakeUpstream(silent_for(80.0, hello))  # who answers well is not probed anyway
    async with virtual_house(replace(SETTINGS, health_check_interval=2.0, drain_timeout=60.0), a=a) as house:
        await streaming(house)
        await trio.sleep(5)
        await house.stop()
        await trio.testing.wait_all_tasks_blocked()
        before = len(a.probed_at)
        await trio.sleep(30)
        assert len(a.probed_at) == before >= 2
        assert house.connections == 1  # all this while it has been draining
        house.stopping.hurry()
