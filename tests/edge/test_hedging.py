"""Two providers race for one answer: the whole proxy in virtual time, over scripted upstreams."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ccproxy_trio.health.pace import ENOUGH
from ccproxy_trio.journal import AttemptEnded, Entry, ExchangeEnded, FellOver, Hedged, Note, RaceDecided
from ccproxy_trio.race import Contender, Lane, Race
from ccproxy_trio.routing.question import Attempt
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import RetryBudget, Settings
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.parts import Part, Text
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, Refused, UpstreamFault
from tests.edge.virtual import (
    Client,
    FakeAnswer,
    FakeUpstream,
    House,
    Script,
    hello,
    settings_for,
    silent_for,
    virtual_house,
)

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("autojump_clock")
streaming = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def says(text: str, *, after: float = 0.0) -> Script:
    async def script(answer: FakeAnswer) -> None:
        await trio.sleep(after)
        await answer.text(text)
        await answer.finish()

    return script


async def hang(answer: FakeAnswer) -> None:
    await trio.sleep_forever()


def dies(*, after: float = 0.0) -> Script:
    async def script(answer: FakeAnswer) -> None:
        await trio.sleep(after)

    return script


def breaks_off(text: str, *, after: float = 0.0) -> Script:
    async def script(answer: FakeAnswer) -> None:
        await trio.sleep(after)
        await answer.text(text)

    return script


def hedged(*names: str, after: Any = 2.0, **others: Any) -> Settings:
    return settings_for(*names, hedge_after=after, **others)


async def asked(house: House, *, stream: bool) -> tuple[int, str]:
    """The status and the text of one answer."""
    client = Client(house.connect())
    await client.post({"stream": stream})
    status = await client.head()
    body = await client.body()
    if status != 200:
        return status, str(json.loads(body)["error"]["message"])
    if not stream:
        return status, "".join(block["text"] for block in json.loads(body)["content"])
    kinds = [kind for _, kind in client.kinds() if kind != "ping"]
    assert kinds.count("message_start") == 1
    assert kinds[-1] == "message_stop"
    return status, text_of(body)


def text_of(body: bytes) -> str:
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


def of(journal: list[Entry], kind: type) -> list[Any]:
    return [entry for entry in journal if isinstance(entry, kind)]


async def nothing_is_left(house: House, *upstreams: FakeUpstream) -> None:
    """Every lease was given back, and every connection closed."""
    await trio.testing.wait_all_tasks_blocked()
    for upstream in upstreams:
        assert len(upstream.closed_at) == upstream.opened
    for name in "ab"[: len(upstreams)]:
        assert (await house.snapshot(name)).in_flight == 0


# -- who wins ------------------------------------------------------------------------------------------


@streaming
async def test_a_silent_provider_is_raced_and_the_first_content_wins(
    autojump_clock: Clock, *, stream: bool
) -> None:
    a, b = FakeUpstream(hang), FakeUpstream(says("from b", after=0.5))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        began_at = trio.current_time()
        assert await asked(house, stream=stream) == (200, "from b")
        assert trio.current_time() - began_at == pytest.approx(2.5)
        assert a.closed_at == [pytest.approx(began_at + 2.5)]
        await nothing_is_left(house, a, b)
        snapshot = await house.snapshot("a")
        assert (snapshot.failure_count, snapshot.last_failure) == (0, None)
        [start], [end] = of(house.journal, Hedged), of(house.journal, RaceDecided)
        assert (start.provider, start.to_provider, start.seconds) == ("a", "b", 2.0)
        assert (end.winner, end.seconds) == ("b", pytest.approx(0.5))
        assert (end.loser, end.loser_seconds) == ("a", pytest.approx(2.5))
        outcomes = {entry.provider: entry.outcome for entry in of(house.journal, AttemptEnded)}
        assert outcomes == {"a": "outrun", "b": "ok"}
        [ended] = of(house.journal, ExchangeEnded)
        assert (ended.how, ended.provider, ended.attempts) == ("complete", "b", 2)
        assert ended.first_content_seconds == pytest.approx(2.5)


@streaming
async def test_the_first_contender_may_still_win(autojump_clock: Clock, *, stream: bool) -> None:
    a, b = FakeUpstream(says("from a", after=3)), FakeUpstream(hang)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        began_at = trio.current_time()
        assert await asked(house, stream=stream) == (200, "from a")
        assert b.closed_at == [pytest.approx(began_at + 3)]
        await nothing_is_left(house, a, b)
        assert (await house.snapshot("b")).failure_count == 0
        [ended] = of(house.journal, ExchangeEnded)
        assert (ended.provider, ended.attempts) == ("a", 2)
        [end] = of(house.journal, RaceDecided)
        assert (end.winner, end.loser, end.loser_seconds) == ("a", "b", pytest.approx(1))


async def test_the_loser_is_closed_before_the_client_reads_anything(autojump_clock: Clock) -> None:
    """In the very step in which content comes, not when the winner's answer is over."""

    async def slowly(answer: FakeAnswer) -> None:
        await answer.text("one ")
        await trio.sleep(50)
        await answer.text("two")
        await answer.finish()

    a, b = FakeUpstream(hang), FakeUpstream(slowly)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        began_at = trio.current_time()
        assert await asked(house, stream=True) == (200, "one two")
        assert a.closed_at == [pytest.approx(began_at + 2)]
        assert trio.current_time() - began_at == pytest.approx(52)


@streaming
async def test_content_at_the_same_instant_has_one_winner(autojump_clock: Clock, *, stream: bool) -> None:
    a, b = FakeUpstream(says("from a", after=5)), FakeUpstream(says("from b", after=3))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        for _ in range(20):
            status, text = await asked(house, stream=stream)
            assert (status, text in ("from a", "from b")) == (200, True)
        await nothing_is_left(house, a, b)
        assert of(house.journal, Note) == []


@pytest.mark.parametrize("turns", range(8))
async def test_content_in_any_turn_of_the_loop_keeps_a_hedge_from_beginning_behind_it(
    autojump_clock: Clock, turns: int
) -> None:
    """With the first content the request is let go of; a hedge that began then would find none."""

    async def late_by_turns(answer: FakeAnswer) -> None:
        await trio.sleep(2.0)
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        await answer.text("from a")
        await answer.finish()

    for _ in range(10):  # the order within a turn is Trio's to draw
        a, b = FakeUpstream(late_by_turns), FakeUpstream(hang)
        async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
            assert await asked(house, stream=True) == (200, "from a")
            await nothing_is_left(house, a, b)
            assert of(house.journal, Note) == []


async def test_pieces_without_content_win_nothing(autojump_clock: Clock) -> None:
    async def only_its_role(answer: FakeAnswer) -> None:
        await answer.data('{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')
        await trio.sleep_forever()

    a, b = FakeUpstream(only_its_role), FakeUpstream(says("from b", after=1))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        assert await asked(house, stream=True) == (200, "from b")


async def test_an_answer_that_comes_in_time_is_not_raced(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(says("from a", after=1.9)), FakeUpstream(hello)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        assert await asked(house, stream=True) == (200, "from a")
        assert await asked(house, stream=False) == (200, "from a")
        assert b.opened == 0
        assert of(house.journal, Hedged) == []


# -- when a contender fails ----------------------------------------------------------------------------


@streaming
async def test_the_hedge_goes_on_when_the_first_fails(autojump_clock: Clock, *, stream: bool) -> None:
    a, b = FakeUpstream(dies(after=3)), FakeUpstream(says("from b", after=5))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        began_at = trio.current_time()
        assert await asked(house, stream=stream) == (200, "from b")
        assert trio.current_time() - began_at == pytest.approx(7)
        assert (a.opened, b.opened) == (1, 1)
        await nothing_is_left(house, a, b)
        assert (await house.snapshot("a")).failure_count == 1
        assert of(house.journal, RaceDecided) == []


@streaming
async def test_the_first_goes_on_when_the_hedge_fails(autojump_clock: Clock, *, stream: bool) -> None:
    a, b = FakeUpstream(says("from a", after=5)), FakeUpstream(dies(after=1))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        assert await asked(house, stream=stream) == (200, "from a")
        assert (a.opened, b.opened) == (1, 1)
        assert (await house.snapshot("b")).failure_count == 1
        await nothing_is_left(house, a, b)


async def test_when_both_fail_the_next_is_asked_with_both_in_the_history(autojump_clock: Clock) -> None:
    a, b, c = FakeUpstream(dies(after=3)), FakeUpstream(dies(after=2)), FakeUpstream(hello)
    async with virtual_house(hedged("a", "b", "c"), a=a, b=b, c=c) as house:
        assert await asked(house, stream=True) == (200, "hello")
        assert (a.opened, b.opened, c.opened) == (1, 1, 1)
        [fell] = of(house.journal, FellOver)
        assert (fell.from_provider, fell.to_provider) == ("b", "c")


async def test_a_winner_that_breaks_off_ends_a_stream_in_an_error(autojump_clock: Clock) -> None:
    """It was shown. The other could have answered, and nobody may start over."""
    a, b = FakeUpstream(hang), FakeUpstream(breaks_off("half"))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await client.head()
        await client.body()
        assert client.kinds()[-1][1] == "error"
        await nothing_is_left(house, a, b)
        assert [entry.how for entry in of(house.journal, ExchangeEnded)] == ["midfail"]


async def test_a_winner_that_breaks_off_is_covered_where_nothing_was_shown(autojump_clock: Clock) -> None:
    """The loser was only slower: a client that waits for the whole answer gets it from there."""
    a, b = FakeUpstream(hang, hello), FakeUpstream(breaks_off("half"))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        assert await asked(house, stream=False) == (200, "hello")
        assert (a.opened, b.opened) == (2, 1)
        await nothing_is_left(house, a, b)


async def test_an_empty_answer_wins_nothing(autojump_clock: Clock) -> None:
    async def empty(answer: FakeAnswer) -> None:
        await answer.finish()

    a, b = FakeUpstream(says("from a", after=4)), FakeUpstream(empty)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        assert await asked(house, stream=True) == (200, "from a")


async def test_an_answer_of_hidden_thought_alone_is_an_answer(autojump_clock: Clock) -> None:
    async def spent(answer: FakeAnswer) -> None:
        await answer.data('{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}')
        await answer.data('{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}')
        await answer.data("[DONE]")

    a, b = FakeUpstream(hang), FakeUpstream(spent)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True, "thinking": {"type": "disabled"}})
        assert await client.head() == 200
        assert b"max_tokens" in await client.body()
        assert len(a.closed_at) == 1


async def test_a_hang_up_closes_both(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(hang), FakeUpstream(hang)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await trio.sleep(5)
        left_at = trio.current_time()
        await client.stream.aclose()
        await trio.sleep(1)
        assert [*a.closed_at, *b.closed_at] == [pytest.approx(left_at, abs=0.1)] * 2
        await nothing_is_left(house, a, b)
        assert {entry.outcome for entry in of(house.journal, AttemptEnded)} == {"cancelled"}


class Quick:
    """An audience that is never behind, so that catching up is no checkpoint either."""

    shown = False
    is_behind = False

    def __init__(self) -> None:
        self.heard: list[Part] = []

    def hear(self, parts: Sequence[Part]) -> None:
        self.heard += parts

    async def catch_up(self) -> None:
        pass

    def forget(self) -> None:
        self.heard = []


@pytest.mark.parametrize(("a_fails_after", "order"), [(2, "ab"), (9, "ba")])
async def test_failures_are_told_in_the_order_in_which_they_came(
    autojump_clock: Clock, a_fails_after: float, order: str
) -> None:
    def contender(name: str, after: float) -> Contender:
        async def run(lane: Lane) -> Attempt | None:
            candidate = Candidate(name, "m")
            lane.begin(candidate)
            await trio.sleep(after)
            return Attempt.failed(candidate, UpstreamFault(FaultKind.RESET), at=trio.current_time())

        return run

    race = Race(Quick(), decided=lambda *_: None)
    failures = await race.run(contender("a", a_fails_after), contender("b", 3), after=1.0)
    assert failures is not None
    assert "".join(failure.candidate.provider for failure in failures) == order


async def test_who_was_outrun_with_its_content_in_hand_goes_no_further(autojump_clock: Clock) -> None:
    """It was woken in the same turn, so its cancellation is still on its way when it has spoken."""
    audience, met = Quick(), trio.Event()
    race = Race(audience, decided=lambda *_: None)
    beyond: list[str] = []

    def contender(name: str) -> Contender:
        async def run(lane: Lane) -> Attempt | None:
            lane.begin(Candidate(name, "m"))
            await met.wait()
            lane.hear([Text(name)])
            if lane.is_behind:
                await lane.catch_up()
                beyond.append(name)
            return None

        return run

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(race.run, contender("a"), contender("b"), after=1.0))
        await trio.sleep(2)
        met.set()
    assert [part for part in audience.heard if isinstance(part, Text)] in (
        [Text("a")],
        [Text("b")],
    )
    assert beyond == []


async def test_a_hedge_that_is_outrun_while_it_is_chosen_takes_no_lease(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease is not free: a provider whose trial is due would have spent it on nothing."""
    a, b = FakeUpstream(says("from a", after=5)), FakeUpstream(hang)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        dispatcher, other = house.running.services.dispatcher, house.running.services.units["b"].actor
        leased: list[float] = []
        hedge, lease = dispatcher.hedge, type(other).lease

        async def slowly(*arguments: Any) -> Any:
            step = await hedge(*arguments)
            with trio.CancelScope(shield=True):  # the answer is there; the asker has not run yet
                await trio.sleep(4)
            return step

        async def counted(actor: Any, *arguments: Any, **named: Any) -> Any:
            if actor.name == "b":
                leased.append(trio.current_time())
            return await lease(actor, *arguments, **named)

        monkeypatch.setattr(dispatcher, "hedge", slowly)
        monkeypatch.setattr(type(other), "lease", counted)
        assert await asked(house, stream=True) == (200, "from a")
        await trio.sleep(5)
        assert leased == []


# -- what else goes on inside an attempt ---------------------------------------------------------------


class Choosy(FakeUpstream):
    """Refuses `temperature`, after a while, before it plays its scripts."""

    def __init__(self, *scripts: Script, after: float = 0.0) -> None:
        super().__init__(*scripts)
        self._after = after

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        if b'"temperature"' in asked.body:
            self.received.append(asked.body)
            await trio.sleep(self._after)
            refused = (Refused(parameter="temperature"),)
            raise UpstreamFault(FaultKind.UNSUPPORTED_PARAMETER, status=400, refused=refused)
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


async def test_the_head_and_heartbeats_go_on_during_a_race(autojump_clock: Clock) -> None:
    """Neither contender's silence, nor the first one's failure, keeps the client without a sign of life."""
    a, b = FakeUpstream(dies(after=80)), FakeUpstream(says("from b", after=100))
    async with virtual_house(hedged("a", "b", b_timeout=300.0), a=a, b=b) as house:
        client, began_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": True, "thinking": {"type": "adaptive"}})
        assert await client.head() == 200
        assert trio.current_time() - began_at == pytest.approx(20)
        assert text_of(await client.body()) == "from b"
        assert client.kinds()[-1][1] == "message_stop"
        arrivals = [at for at, _ in client.pieces]
        assert max(later - sooner for sooner, later in pairwise(arrivals)) <= 15.001


@streaming
async def test_each_contender_keeps_its_own_deadline(autojump_clock: Clock, *, stream: bool) -> None:
    """A race hides no hang: who is silent for its own `timeout` has failed, race or no race."""
    a, b = FakeUpstream(hang), FakeUpstream(says("from b", after=60))
    async with virtual_house(hedged("a", "b", a_timeout=30.0), a=a, b=b) as house:
        began_at = trio.current_time()
        assert await asked(house, stream=stream) == (200, "from b")
        assert a.closed_at == [pytest.approx(began_at + 30)]
        assert (await house.snapshot("a")).failure_count == 1


async def test_the_requests_deadline_ends_both(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(hang), FakeUpstream(hang)
    settings = hedged("a", "b", after=10.0, a_timeout=900.0, b_timeout=900.0)
    async with virtual_house(settings, a=a, b=b) as house:
        client, began_at = Client(house.connect()), trio.current_time()
        await client.post({"stream": False}, **{"x-stainless-timeout": "60"})
        assert await client.head() == 504
        assert trio.current_time() - began_at == pytest.approx(55)
        await nothing_is_left(house, a, b)


# -- when there is no race -----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [None, 0], ids=["null", "0"])
async def test_nobody_is_raced_unless_it_was_asked_for(autojump_clock: Clock, after: Any) -> None:
    a, b = FakeUpstream(silent_for(60, hello)), FakeUpstream(hello)
    async with virtual_house(hedged("a", "b", after=after), a=a, b=b) as house:
        assert await asked(house, stream=True) == (200, "hello")
        assert b.opened == 0


async def test_a_provider_may_have_its_own_time_or_none(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(silent_for(60, says("from a"))), FakeUpstream(says("from b"))
    settings = hedged("a", "b")
    never = msgspec.structs.replace(settings.providers[0], hedge_after=0)
    later = msgspec.structs.replace(settings.providers[0], hedge_after=7.0)
    for first, text, seconds in [(never, "from a", 60), (later, "from b", 7)]:
        mine = msgspec.structs.replace(settings, providers=(first, settings.providers[1]))
        async with virtual_house(mine, a=a, b=b) as house:
            began_at = trio.current_time()
            assert await asked(house, stream=True) == (200, text)
            assert trio.current_time() - began_at == pytest.approx(seconds)


async def test_without_a_token_nobody_is_raced(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(silent_for(10, says("from a"))), FakeUpstream(says("from b"))
    poor = RetryBudget(ratio=0.0, min_per_s=0.1, ttl=10.0)  # one token
    async with virtual_house(hedged("a", "b", retry_budget=poor), a=a, b=b) as house:
        assert await asked(house, stream=True) == (200, "from b")
        assert await asked(house, stream=True) == (200, "from a")


async def test_a_hedge_counts_among_the_attempts_of_a_round(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(silent_for(10, says("from a"))), FakeUpstream(says("from b"))
    async with virtual_house(hedged("a", "b", max_attempts=1), a=a, b=b) as house:
        assert await asked(house, stream=True) == (200, "from a")
        assert b.opened == 0


@pytest.mark.parametrize("most", [2, 3, 4])
async def test_those_that_were_outrun_count_as_well(autojump_clock: Clock, *, most: int) -> None:
    """Each race has a loser. Were it forgotten, a request would make nearly twice its attempts."""
    first, *others = names = "abcdef"
    upstreams = {name: FakeUpstream(breaks_off("half", after=1 + place)) for place, name in enumerate(others)}
    upstreams[first] = FakeUpstream(hang)
    settings = hedged(*names, max_attempts=most, patience=0.0, panic="fail")
    async with virtual_house(settings, **upstreams) as house:
        status, _ = await asked(house, stream=False)
        assert status != 200
        assert of(house.journal, RaceDecided)
        assert sum(upstream.opened for upstream in upstreams.values()) == most


async def test_a_model_of_the_same_provider_is_no_hedge(autojump_clock: Clock) -> None:
    a = FakeUpstream(silent_for(10, says("from a")))
    async with virtual_house(hedged("a", models=("m", "n")), a=a) as house:
        assert await asked(house, stream=True) == (200, "from a")
        assert a.opened == 1


async def test_a_provider_that_is_out_is_no_hedge(autojump_clock: Clock) -> None:
    """Its breaker is open, or due for a trial: one does not hedge with that."""
    a, b = FakeUpstream(dies(), says("from a", after=10)), FakeUpstream(dies())
    settings = hedged("a", "b", patience=0.0, panic="fail", queue_wait=0.0)
    breaker = msgspec.structs.replace(settings.circuit_breaker, failure_threshold=1)
    settings = msgspec.structs.replace(settings, circuit_breaker=breaker)
    async with virtual_house(settings, a=a, b=b) as house:
        status, _ = await asked(house, stream=True)
        assert status != 200
        await trio.sleep(100)  # both are due for a trial; a gets it
        assert await asked(house, stream=True) == (200, "from a")
        assert b.opened == 1


async def test_nobody_is_raced_while_the_proxy_is_being_stopped(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(says("from a", after=10)), FakeUpstream(says("from b"))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house, trio.open_nursery() as nursery:
        answers: list[tuple[int, str]] = []

        async def ask() -> None:
            answers.append(await asked(house, stream=True))

        nursery.start_soon(ask)
        await trio.sleep(1)
        await house.stop()

    assert (answers, b.opened) == ([(200, "from a")], 0)


async def test_a_contender_learns_as_any_attempt_does(autojump_clock: Clock) -> None:
    a, b = FakeUpstream(hang), Choosy(says("from b"))
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": True, "temperature": 0.3})
        assert await client.head() == 200
        assert text_of(await client.body()) == "from b"
        assert len(b.received) == 2
        await nothing_is_left(house, a, b)


@streaming
async def test_who_was_outrun_does_not_ask_again(autojump_clock: Clock, *, stream: bool) -> None:
    """Its refusal came at the instant of the other's content: the request may not be kept any more."""
    a, b = FakeUpstream(says("from a", after=5)), Choosy(says("from b", after=1), after=3)
    async with virtual_house(hedged("a", "b"), a=a, b=b) as house:
        for _ in range(10):
            client = Client(house.connect())
            await client.post({"stream": stream, "temperature": 0.3})
            assert await client.head() == 200
            await client.body()
        assert of(house.journal, Note) == []
        await nothing_is_left(house, a, b)


# -- p95 -----------------------------------------------------------------------------------------------


async def test_p95_waits_for_what_the_providers_own_answers_needed(autojump_clock: Clock) -> None:
    scripts = [says("from a", after=seconds / 10) for seconds in range(1, ENOUGH + 1)]
    a, b = FakeUpstream(*scripts, silent_for(60, says("late"))), FakeUpstream(says("from b"))
    async with virtual_house(hedged("a", "b", after="p95"), a=a, b=b) as house:
        for _ in range(ENOUGH):
            assert await asked(house, stream=True) == (200, "from a")
        assert of(house.journal, Hedged) == []
        began_at = trio.current_time()
        assert await asked(house, stream=True) == (200, "from b")
        assert trio.current_time() - began_at == pytest.approx(1.9)  # the 19th of 20
        assert of(house.journal, Hedged)[0].seconds == pytest.approx(1.9)


async def test_p95_of_too_few_answers_is_no_reason_to_race(autojump_clock: Clock) -> None:
    scripts = [says("from a", after=0.1)] * (ENOUGH - 1)
    a, b = FakeUpstream(*scripts, silent_for(60, says("late"))), FakeUpstream(says("from b"))
    async with virtual_house(hedged("a", "b", after="p95"), a=a, b=b) as house:
        for _ in range(ENOUGH - 1):
            await asked(house, stream=True)
        assert await asked(house, stream=True) == (200, "late")


async def test_lost_races_keep_p95_from_sinking(autojump_clock: Clock) -> None:
    """The slow answers are cut off just by racing; were they left out, each race would start sooner."""
    a = FakeUpstream(*[says("from a", after=1.0)] * ENOUGH, hang)
    b = FakeUpstream(says("from b", after=3.0))
    async with virtual_house(hedged("a", "b", after="p95"), a=a, b=b) as house:
        for _ in range(ENOUGH + 5):
            await asked(house, stream=True)
        waits = [entry.seconds for entry in of(house.journal, Hedged)]
    assert waits[0] == pytest.approx(1.0)
    assert waits[-1] >= 4.0


# -- whatever the timing -------------------------------------------------------------------------------

instants = st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0])
endings = st.sampled_from(["answers", "breaks off", "dies", "hangs"])
contenders = st.tuples(instants, instants, endings)


def _script(name: str, contender: tuple[float, float, str]) -> Script:
    silence, length, ending = contender

    async def script(answer: FakeAnswer) -> None:
        if ending == "hangs":
            await trio.sleep_forever()
        await trio.sleep(silence)
        if ending == "dies":
            return
        await answer.text(f"{name} one ")
        await trio.sleep(length)
        if ending == "answers":
            await answer.text(f"{name} two")
            await answer.finish()

    return script


@given(first=contenders, second=contenders, stream=st.booleans())
@example(first=(3.0, 0.0, "answers"), second=(1.0, 0.0, "answers"), stream=True)
@example(first=(3.0, 0.0, "answers"), second=(1.0, 0.0, "answers"), stream=False)
@example(first=(2.0, 0.0, "answers"), second=(0.0, 0.0, "answers"), stream=True)
@example(first=(2.0, 0.0, "dies"), second=(0.0, 0.0, "answers"), stream=True)
@example(first=(2.5, 0.0, "breaks off"), second=(0.5, 0.0, "answers"), stream=False)
@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_timing_one_provider_answers_whole_and_nothing_is_left(
    first: tuple[float, float, str], second: tuple[float, float, str], *, stream: bool
) -> None:
    trio.run(_race_once, first, second, stream, clock=Clock(autojump_threshold=0))


async def _race_once(first: tuple[float, float, str], second: tuple[float, float, str], stream: bool) -> None:
    a, b = FakeUpstream(_script("a", first)), FakeUpstream(_script("b", second))
    async with virtual_house(hedged("a", "b", patience=0.0, panic="fail"), a=a, b=b) as house:
        client = Client(house.connect())
        await client.post({"stream": stream})
        status, body = await client.head(), await client.body()
        whole = {"a one a two", "b one b two"}
        if status == 200 and not stream:
            assert json.loads(body)["content"][0]["text"] in whole
        elif status == 200:
            assert client.kinds()[-1][1] in ("message_stop", "error")
            complete = client.kinds()[-1][1] == "message_stop"
            assert text_of(body) in (whole if complete else {"a one ", "b one ", ""})
        else:
            assert "answers" not in (first[2], second[2])
        await nothing_is_left(house, a, b)
        assert of(house.journal, Note) == []
