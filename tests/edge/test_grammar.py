"""A bug of ours that would have sent an event out of place: the client hears an error, the operator why."""

import json

import msgspec
import pytest
import trio
import trio.testing

from ccproxy_trio.journal import ActorCrashed, Entry, GrammarViolated, Note, Tally
from ccproxy_trio.settings.model import WebSearch
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.stops import REASONS, Ending
from ccproxy_trio.wire.events import Event
from ccproxy_trio.wire.search import Hit, SearchQuestion
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, hello, settings_for, virtual_house

pytestmark = pytest.mark.usefixtures("autojump_clock")
Clock = trio.testing.MockClock
FUNCTION = '{"index":0,"function":{"name":"X","arguments":"{}"}}'
CALL = f'{{"choices":[{{"index":0,"delta":{{"tool_calls":[{FUNCTION}]}}}}]}}'


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emitter that forgets to close its blocks."""

    def forgets(self: Emitter, out: list[Event]) -> None:
        self._open = None

    monkeypatch.setattr(Emitter, "_close", forgets)


async def text_and_call(answer: FakeAnswer) -> None:
    await answer.text("a secret")
    await answer.data(CALL)
    await answer.finish()


def violations(journal: list[Entry]) -> list[GrammarViolated]:
    return [entry for entry in journal if isinstance(entry, GrammarViolated)]


@pytest.mark.usefixtures("careless")
async def test_a_stream_ends_in_a_typed_error_and_the_log_names_the_kinds(autojump_clock: Clock) -> None:
    async with virtual_house(settings_for("a"), a=FakeUpstream(text_and_call)) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        assert await client.head() == 200
        body = await client.body()
        journal = list(house.journal)
        health = await Client(house.connect()).get("/health")
    kinds = [kind for _, kind in client.kinds()]
    assert kinds == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert b'"type":"api_error"' in body
    assert b"a fault of this proxy" in body
    (violated,) = violations(journal)
    assert violated.kinds == ("message_start", "text", "text_delta", "tool_use")
    assert violated.request_id is not None
    assert health["internal_errors"] == {"grammar": 1, "actors": 0, "others": 0}


async def test_a_violation_in_the_last_events_is_no_end_either(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emitter believes that it has ended; what it ended with was never sent."""
    monkeypatch.setitem(REASONS, Ending.DONE, ("end_turn", "end_turn"))
    async with virtual_house(settings_for("a"), a=FakeUpstream(text_and_call)) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        await client.head()
        await client.body()
        assert client.kinds()[-1][1] == "error"
        assert len(violations(house.journal)) == 1


@pytest.mark.usefixtures("careless")
async def test_a_web_search_with_an_event_out_of_place_ends_in_an_error(autojump_clock: Clock) -> None:
    class Finds:
        async def search(self, question: SearchQuestion) -> tuple[Hit, ...]:
            return (Hit(url="https://a.example/", title="A"),)

    search = {"type": "web_search_20250305", "name": "web_search"}
    ask = {"stream": True, "tools": [search], "tool_choice": {"type": "tool", "name": "web_search"}}
    found = msgspec.structs.replace(settings_for("a"), web_search=WebSearch(searxng="http://127.0.0.1:1"))
    async with virtual_house(found, a=FakeUpstream(hello), search=Finds()) as house:
        client = Client(house.connect())
        await client.post(ask)
        await client.head()
        await client.body()
        assert client.kinds()[-1][1] == "error"
        assert len(violations(house.journal)) == 1


@pytest.mark.usefixtures("careless")
async def test_a_client_that_waits_for_the_whole_is_told_with_a_status(autojump_clock: Clock) -> None:
    async with virtual_house(settings_for("a"), a=FakeUpstream(text_and_call)) as house:
        client = Client(house.connect())
        await client.post({})
        assert await client.head() == 500
        assert json.loads(await client.body())["error"]["type"] == "api_error"
        assert violations(house.journal)


async def test_a_heartbeat_out_of_place_ends_the_stream_too(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begins_anew(self: Emitter) -> list[Event]:
        self._started = False
        return self.open()

    monkeypatch.setattr(Emitter, "heartbeat", begins_anew)

    async def silent(answer: FakeAnswer) -> None:
        await trio.sleep(100)
        await hello(answer)

    async with virtual_house(settings_for("a", a_timeout=400.0), a=FakeUpstream(silent)) as house:
        client = Client(house.connect())
        await client.post({"stream": True, "thinking": {"type": "adaptive"}})
        await client.head()
        await client.body()
        assert client.kinds()[-1][1] == "error"
        assert len(violations(house.journal)) == 1


@pytest.mark.parametrize(
    ("entry", "counted"),
    [
        (GrammarViolated(request_id=None, kinds=("ping",)), (1, 0, 0)),
        (ActorCrashed(actor="dispatcher", error="KeyError", restart_in=1.0), (0, 1, 0)),
        (Note(level="error", event="internal.error", text="unexpected KeyError"), (0, 0, 1)),
        (Note(level="info", event="anything.else", text="fine"), (0, 0, 0)),
    ],
)
def test_every_mishap_is_counted_and_passed_on(entry: Entry, counted: tuple[int, int, int]) -> None:
    entries: list[Entry] = []
    tally = Tally(entries.append)
    tally(entry)
    assert (tally.grammar, tally.actors, tally.others) == counted
    assert entries == [entry]
