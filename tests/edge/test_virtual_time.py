"""The whole proxy in virtual time: silence, deadlines, failover behind a sent head, hang-ups."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest
import trio
import trio.testing

from ccproxy_trio.journal import ActorCrashed, AttemptEnded, ExchangeEnded, FellOver, Note
from ccproxy_trio.settings.model import DialectOptions, Secret
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import (
    Client,
    FakeAnswer,
    FakeUpstream,
    hello,
    settings_for,
    silent_for,
    virtual_house,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")
Clock = trio.testing.MockClock


async def hang(answer: FakeAnswer) -> None:
    await trio.sleep_forever()


async def die(answer: FakeAnswer) -> None:
    """The body ends at once: nothing was said."""


async def stall_after_text(answer: FakeAnswer) -> None:
    await answer.text("half")
    await trio.sleep_forever()


async def break_off(answer: FakeAnswer) -> None:
    await answer.text("half")


THINKING = {"thinking": {"type": "adaptive"}}


async def test_five_minutes_of_silence_are_pinged_and_beaten_through(autojump_clock: Clock) -> None:
    """Pings every 15 s; an empty delta once a minute, which is what resets the client's watchdog."""
    upstream = FakeUpstream(silent_for(330, hello))
    async with virtual_house(settings_for("a", a_timeout=400.0), a=upstream) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True, **THINKING})
        assert await client.head() == 200
        assert trio.current_time() - started_at == pytest.approx(20)
        body = await client.body()
    kinds = client.kinds()
    assert kinds[0][1] == "message_start"
    assert kinds[-1][1] == "message_stop"
    assert kinds[-1][0] - started_at == pytest.approx(330)
    others = [at for at, kind in kinds if kind != "ping"]
    assert max(b - a for a, b in pairwise(others)) <= 60
    arrivals = [at for at, _ in client.pieces]
    assert max(b - a for a, b in pairwise(arrivals)) <= 15
    assert b'"thinking_delta","thinking":""' in body
    assert b'"text":"hello"' in body


async def test_a_client_that_did_not_ask_for_thinking_gets_pings_only(autojump_clock: Clock) -> None:
    async with virtual_house(
        settings_for("a", a_timeout=400.0), a=FakeUpstream(silent_for(200, hello))
    ) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await client.head()
        body = await client.body()
    assert b"thinking" not in body
    assert body.count(b"event: ping") >= 11


async def test_a_hanging_provider_is_left_behind_a_head_that_was_sent(autojump_clock: Clock) -> None:
    """The client has seen `message_start` and a heartbeat of the first attempt; the second goes on there."""
    a, b = FakeUpstream(hang), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True, **THINKING})
        await client.head()
        body = await client.body()
        assert trio.current_time() - started_at == pytest.approx(90)
        assert a.closed_at == [pytest.approx(started_at + 90)]
        fell = [entry for entry in house.journal if isinstance(entry, FellOver)]
    assert body.count(b"event: message_start") == 1
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert [(entry.from_provider, entry.to_provider) for entry in fell] == [("a", "b")]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_provider_that_says_nothing_is_never_noticed(autojump_clock: Clock, *, stream: bool) -> None:
    async with virtual_house(settings_for("a", "b"), a=FakeUpstream(die), b=FakeUpstream(hello)) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        assert await client.head() == 200
        assert b"hello" in await client.body()


async def test_a_stream_that_stalls_ends_in_an_error_event_with_its_block_open(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(stall_after_text), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True})
        await client.head()
        await client.body()
    kinds = [kind for _, kind in client.kinds() if kind != "ping"]
    assert kinds == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert client.kinds()[-1][0] - started_at == pytest.approx(120)
    assert b.opened == 0


async def test_a_whole_answer_survives_a_provider_that_breaks_off(autojump_clock: Clock) -> None:
    """Nothing was shown to a client that waits for the whole answer, so the next provider starts over."""
    a, b = FakeUpstream(break_off), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": False})
        assert await client.head() == 200
        assert json.loads(await client.body())["content"] == [{"type": "text", "text": "hello"}]


async def test_when_everything_fails_patience_is_bounded_and_the_answer_truthful(
    autojump_clock: Clock,
) -> None:
    async with virtual_house(settings_for("a", "b"), a=FakeUpstream(die), b=FakeUpstream(die)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": False})
        status = await client.head()
        error = json.loads(await client.body())["error"]
        assert trio.current_time() - started_at <= 21
    assert status in (500, 502)
    assert client.headers["x-should-retry"] == "false"
    assert "a " in error["message"]
    assert "b " in error["message"]


async def test_a_short_outage_is_waited_out(autojump_clock: Clock) -> None:
    upstream = FakeUpstream(die, die, hello)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        assert await client.head() == 200
        assert b"hello" in await client.body()
        ended = [entry for entry in house.journal if isinstance(entry, ExchangeEnded)]
    assert [(entry.how, entry.attempts) for entry in ended] == [("complete", 3)]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_hang_up_cancels_the_upstream_and_counts_for_nothing(
    autojump_clock: Clock, *, stream: bool
) -> None:
    upstream = FakeUpstream(hang)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        await trio.sleep(5)
        left_at = trio.current_time()
        await client.stream.aclose()
        await trio.sleep(1)
        assert upstream.closed_at == [pytest.approx(left_at, abs=0.1)]
        attempts = [entry.outcome for entry in house.journal if isinstance(entry, AttemptEnded)]
    assert attempts == ["cancelled"]


async def test_usage_that_never_comes_is_waited_for_two_seconds(autojump_clock: Clock) -> None:
    async def no_done(answer: FakeAnswer) -> None:
        await answer.text("hello")
        await answer.data('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
        await trio.sleep_forever()

    async with virtual_house(settings_for("a"), a=FakeUpstream(no_done)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True})
        await client.head()
        body = await client.body()
    assert client.pieces[-1][0] - started_at == pytest.approx(2)
    assert b"message_stop" in body


async def test_the_client_is_not_kept_waiting_for_what_follows_the_end(autojump_clock: Clock) -> None:
    async def lingering(answer: FakeAnswer) -> None:
        await hello(answer)
        await trio.sleep_forever()

    async with virtual_house(settings_for("a"), a=FakeUpstream(lingering)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True})
        await client.head()
        await client.body()
        assert trio.current_time() == started_at


async def test_a_model_that_thinks_unseen_is_not_taken_for_a_hanging_one(autojump_clock: Clock) -> None:
    async def ponder(answer: FakeAnswer) -> None:
        for _ in range(5):
            await trio.sleep(60)
            await answer.data('{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}')
        await hello(answer)

    async with virtual_house(settings_for("a"), a=FakeUpstream(ponder)) as house:
        client = Client(house.connect())
        await client.post({"stream": True, "thinking": {"type": "disabled"}})
        assert await client.head() == 200
        assert b"hello" in await client.body()


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


async def test_images_that_no_model_takes_are_refused_in_the_clients_own_words(autojump_clock: Clock) -> None:
    """Claude Code repeats the request without its images on exactly this text."""
    upstream = FakeUpstream(hello)
    async with virtual_house(settings_for("a", options=DialectOptions(vision=False)), a=upstream) as house:
        client = Client(house.connect())
        await client.post({"messages": [{"role": "user", "content": [IMAGE]}]})
        assert await client.head() == 400
        assert "Could not process image" in json.loads(await client.body())["error"]["message"]
    assert upstream.opened == 0


async def test_an_outage_that_outlasts_patience_is_told_as_an_http_error_not_in_a_stream(
    autojump_clock: Clock,
) -> None:
    """The head is held back while attempts fail quickly: behind it, the client would ask all over again."""
    async with virtual_house(settings_for("a"), a=FakeUpstream(die)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True, **THINKING})
        assert await client.head() in (500, 502)
        assert 15 <= trio.current_time() - started_at <= 21
        assert client.headers["x-should-retry"] == "false"


async def test_a_crashed_provider_actor_touches_no_stream(autojump_clock: Clock) -> None:
    async def slow(answer: FakeAnswer) -> None:
        await answer.text("one ")
        await trio.sleep(10)
        await answer.text("two")
        await answer.finish()

    async with virtual_house(settings_for("a"), a=FakeUpstream(slow)) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await client.head()
        house.crash("a")
        body = await client.body()
        crashes = [entry for entry in house.journal if isinstance(entry, ActorCrashed)]
        again = Client(house.connect())
        await again.post({"stream": False})
        assert await again.head() == 200
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert b"two" in body
    assert [crash.actor for crash in crashes] == ["provider a"]


async def explode(answer: FakeAnswer) -> None:
    raise AssertionError("never played")


class Exploding(FakeUpstream):
    """Raises what it is given instead of answering."""

    def __init__(self, error: Exception) -> None:
        super().__init__(explode)
        self._error = error

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.opened += 1
        raise self._error
        yield  # a generator, as its parent's is


@pytest.mark.parametrize("stream", [True, False])
async def test_a_bug_on_one_candidates_path_falls_over_and_is_told_to_the_operator(
    autojump_clock: Clock, *, stream: bool
) -> None:
    a, b = Exploding(KeyError("sk-canary-0123456789")), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        assert await client.head() == 200
        await client.body()
        notes = [entry for entry in house.journal if isinstance(entry, Note)]
    assert [note.event for note in notes] == ["internal.error"]
    assert "KeyError at Exploding.open" in notes[0].text
    assert "canary" not in notes[0].text


async def test_a_key_that_a_provider_quotes_is_taken_out_of_what_the_client_reads(
    autojump_clock: Clock,
) -> None:
    echo = UpstreamFault(FaultKind.BAD_REQUEST, "no such thing: 0123456789abcdef", status=400)
    async with virtual_house(settings_for("a", key="0123456789abcdef"), a=Exploding(echo)) as house:
        client = Client(house.connect())
        await client.post({})
        assert await client.head() == 400
        message = json.loads(await client.body())["error"]["message"]
    assert "no such thing" in message
    assert "0123456789abcdef" not in message


async def test_a_request_that_one_dialect_cannot_express_goes_to_another_provider(
    autojump_clock: Clock,
) -> None:
    a, b = FakeUpstream(hello), FakeUpstream(hello)
    settings = settings_for("a", "b", options=DialectOptions(max_tools=1))
    second = msgspec.structs.replace(settings.providers[1], options=DialectOptions())
    settings = msgspec.structs.replace(settings, providers=(settings.providers[0], second))
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("one", "two")]
    async with virtual_house(settings, a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"tools": tools})
        assert await client.head() == 200
    assert (a.opened, b.opened) == (0, 1)


async def test_a_providers_own_total_timeout_is_its_fault_and_not_the_requests(autojump_clock: Clock) -> None:
    async def drip(answer: FakeAnswer) -> None:
        while True:
            await trio.sleep(10)
            await answer.text("x")

    settings = settings_for("a", "b")
    first = msgspec.structs.replace(settings.providers[0], total_timeout=100.0)
    settings = msgspec.structs.replace(settings, providers=(first, settings.providers[1]))
    async with virtual_house(settings, a=FakeUpstream(drip), b=FakeUpstream(hello)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": False})
        assert await client.head() == 200
        assert json.loads(await client.body())["content"] == [{"type": "text", "text": "hello"}]
        assert trio.current_time() - started_at == pytest.approx(100)
        outcomes = [entry.outcome for entry in house.journal if isinstance(entry, AttemptEnded)]
    assert outcomes == ["overtime", "ok"]


async def test_a_provider_that_hangs_until_the_clients_patience_ends_is_blamed(autojump_clock: Clock) -> None:
    async with virtual_house(settings_for("a", a_timeout=900.0), a=FakeUpstream(hang)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": False}, **{"x-stainless-timeout": "300"})
        assert await client.head() == 504
        assert trio.current_time() - started_at == pytest.approx(295)
        snapshot = await house.snapshot("a")
    assert snapshot.failure_count == 1


async def test_a_rate_limit_is_known_to_the_very_next_choice(autojump_clock: Clock) -> None:
    limited = UpstreamFault(FaultKind.RATE_LIMITED, status=429, retry_after=45.0)
    async with virtual_house(settings_for("a", patience=0.0), a=Exploding(limited)) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({})
        assert await client.head() == 429
        message = json.loads(await client.body())["error"]["message"]
        assert trio.current_time() == started_at
    assert "45 s" in message


async def test_a_client_that_stops_reading_loses_its_answer_and_no_one_is_blamed(
    autojump_clock: Clock,
) -> None:
    async def flood(answer: FakeAnswer) -> None:
        while True:
            await answer.text("x" * 1000)

    upstream = FakeUpstream(flood)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        client, started_at = Client(house.connect(slow=True)), trio.current_time()
        await client.post({"stream": True})
        await trio.sleep(100)
        assert upstream.closed_at == [pytest.approx(started_at + 60)]
        snapshot = await house.snapshot("a")
        ended = [entry.how for entry in house.journal if isinstance(entry, ExchangeEnded)]
        await client.stream.aclose()  # Hypercorn shields its writes: it would wait for this reader for ever
    assert (snapshot.failure_count, snapshot.in_flight) == (0, 0)
    assert ended == ["cancelled"]


async def test_a_question_that_crashes_the_dispatcher_is_answered_500(autojump_clock: Clock) -> None:
    async with virtual_house(settings_for("a"), a=FakeUpstream(hello)) as house:
        house.poison_dispatcher()
        client = Client(house.connect())
        await client.post({"stream": True})
        assert await client.head() == 500
        assert json.loads(await client.body())["error"]["type"] == "api_error"


@pytest.mark.parametrize("ending", ["fin", "junk", "late error"], ids=["cut", "junk", "late-error"])
async def test_what_follows_a_finish_reason_takes_nothing_away(autojump_clock: Clock, ending: str) -> None:
    async def finished(answer: FakeAnswer) -> None:
        await answer.text("hello")
        await answer.data('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
        if ending == "junk":
            await answer.data("not JSON")
        if ending == "late error":
            await answer.data('{"error":{"message":"too late"}}')

    b = FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=FakeUpstream(finished), b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await client.head()
        assert (await client.body()).endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        assert (await house.snapshot("a")).failure_count == 0
    assert b.opened == 0


async def test_those_who_waited_for_a_provider_are_served_once_it_is_back(autojump_clock: Clock) -> None:
    """Forty requests wait for the only provider; when it answers one, it answers all, budget or not."""
    back_at = trio.current_time() + 8

    async def down_until_then(answer: FakeAnswer) -> None:
        if trio.current_time() >= back_at:
            await hello(answer)

    upstream = FakeUpstream(down_until_then)
    async with virtual_house(settings_for("a", max_exchanges=100), a=upstream) as house:
        answered: list[float] = []

        async def ask() -> None:
            client = Client(house.connect())
            await client.post({"stream": False})
            assert await client.head() == 200
            answered.append(trio.current_time() - back_at)

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(ask)
    assert len(answered) == 40
    assert max(answered) <= 3


async def test_a_connection_that_its_client_closed_is_not_held_until_the_keep_alive_ends(
    autojump_clock: Clock,
) -> None:
    async with virtual_house(settings_for("a"), a=FakeUpstream(hello)) as house:
        client = Client(house.connect())
        await client.post({"stream": False})
        await client.head()
        await client.body()
        await client.stream.aclose()
        await trio.sleep(1)
        assert house.connections == 0


async def test_a_repetition_of_a_broken_answer_goes_to_another_provider_first(
    autojump_clock: Clock,
) -> None:
    a, b = FakeUpstream(break_off), FakeUpstream(hello)
    async with virtual_house(settings_for("a", "b"), a=a, b=b) as house:
        session = {"x-claude-code-session-id": "5e55"}
        client = Client(house.connect())
        await client.post({"stream": True}, **session)
        await client.head()
        assert b"event: error" in await client.body()
        again = Client(house.connect())
        await again.post({"stream": False}, **session)
        assert await again.head() == 200
        assert (a.opened, b.opened) == (1, 1)
        other = Client(house.connect())
        await other.post(
            {"stream": True, "messages": [{"role": "user", "content": "What else is there to be done?"}]},
            **session,
        )
        await other.head()
    assert a.opened == 2


async def test_a_wrong_client_key_is_told_at_once_to_both_sides(autojump_clock: Clock) -> None:
    """Claude Code repeats a 401 in silence for minutes unless it is told not to."""
    settings = settings_for("a", client_api_keys=(Secret("the-right-key"),))
    async with virtual_house(settings, a=FakeUpstream(hello)) as house:
        for _ in range(3):
            client = Client(house.connect())
            await client.post({}, **{"x-api-key": "the-wrong-key"})
            assert await client.head() == 401
            assert client.headers["x-should-retry"] == "false"
            assert "client key" in json.loads(await client.body())["error"]["message"]
        await trio.sleep(11)
        await Client(house.connect()).post({}, **{"x-api-key": "the-wrong-key"})
        await trio.testing.wait_all_tasks_blocked()
        told = [entry.text for entry in house.journal if isinstance(entry, Note)]
    assert [text.startswith("Refused a caller at 127.0.0.1") for text in told] == [True, True]
    assert "(and 2 more before)" in told[1]
    assert "wrong-key" not in "".join(told)


async def test_the_operator_reads_what_the_client_was_told(autojump_clock: Clock) -> None:
    async with virtual_house(settings_for("a", patience=0.0), a=FakeUpstream(die)) as house:
        client = Client(house.connect())
        await client.post({})
        await client.head()
        message = json.loads(await client.body())["error"]["message"]
        ended = [entry for entry in house.journal if isinstance(entry, ExchangeEnded)]
    assert [entry.detail for entry in ended] == [message]


@pytest.mark.parametrize("words", [1, 2, 3])
async def test_a_stream_whose_client_stalls_before_its_last_frames_never_merely_ends(
    words: int, autojump_clock: Clock
) -> None:
    """Stalling before the last frames or earlier: no end without `message_stop` or an error event."""

    async def briefly(answer: FakeAnswer) -> None:
        for _ in range(words):
            await answer.text("x" * 100)
        await answer.finish()

    async with virtual_house(settings_for("a"), a=FakeUpstream(briefly)) as house:
        client = Client(house.connect(slow=True))
        await client.post({"stream": True})
        await trio.sleep(100)  # longer than any stall limit
        await client.head()
        await client.body()
        assert client.kinds()[-1][1] in ("message_stop", "error")
