"""Session affinity in the whole proxy, in virtual time: who serves which session before and after outages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from ccproxy_trio.routing.affinity import IDLE, by_affinity
from ccproxy_trio.settings.model import BreakerSettings, Settings
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

pytestmark = pytest.mark.usefixtures("autojump_clock")
Clock = trio.testing.MockClock

SESSIONS = {"".join(by_affinity(f"session-{n}", "abc")): f"session-{n}" for n in range(60)}
ABC, BAC, ACB = SESSIONS["abc"], SESSIONS["bac"], SESSIONS["acb"]  # in the order that each has of its own


class Breakable(FakeUpstream):
    """Answers hello, or refuses connections while `is_down`."""

    def __init__(self) -> None:
        super().__init__(hello)
        self.is_down = False

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        if self.is_down:
            raise UpstreamFault(FaultKind.CONNECT, "refused")
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


class Ground:
    """A proxy over three providers that can be broken. `ask` tells who served."""

    def __init__(self, house: House, upstreams: dict[str, Breakable]) -> None:
        self._house = house
        self.upstreams = upstreams

    async def ask(self, session: str | None) -> str:
        before = {name: upstream.opened for name, upstream in self.upstreams.items()}
        client = Client(self._house.connect())
        named = {} if session is None else {"x-claude-code-session-id": session}
        await client.post({}, **named)
        assert await client.head() == 200
        await client.body()
        return next(name for name, upstream in self.upstreams.items() if upstream.opened > before[name])


def affine(**fields: object) -> Settings:
    breaker = BreakerSettings(failure_threshold=1, recovery_timeout=30.0, recovery_jitter=0.0)
    known = {"fallback_strategy": "round_robin", "session_affinity": True, "circuit_breaker": breaker}
    return settings_for("a", "b", "c", **(known | fields))


@asynccontextmanager
async def ground(settings: Settings | None = None) -> AsyncIterator[Ground]:
    upstreams = {name: Breakable() for name in "abc"}
    async with virtual_house(affine() if settings is None else settings, **upstreams) as house:
        yield Ground(house, upstreams)


@pytest.mark.parametrize("strategy", ["round_robin", "random"])
async def test_each_session_stays_with_its_own_provider(autojump_clock: Clock, strategy: str) -> None:
    async with ground(affine(fallback_strategy=strategy)) as g:
        assert [await g.ask(session) for session in (ABC, BAC) * 4] == ["a", "b"] * 4


async def test_those_without_a_session_go_round_and_sessions_take_nobodys_turn(autojump_clock: Clock) -> None:
    async with ground() as g:
        served = [await g.ask(session) for session in (None, BAC, None, BAC, None, BAC, None)]
    assert served == ["a", "b", "b", "b", "c", "b", "a"]


async def test_without_the_switch_sessions_go_round_too(autojump_clock: Clock) -> None:
    async with ground(affine(session_affinity=False)) as g:
        assert [await g.ask(ABC) for _ in range(4)] == ["a", "b", "c", "a"]


async def test_a_session_that_fell_over_stays_where_its_cache_is_warm_now(autojump_clock: Clock) -> None:
    async with ground() as g:
        assert [await g.ask(ABC), await g.ask(BAC)] == ["a", "b"]
        g.upstreams["a"].is_down = True
        assert [await g.ask(ABC), await g.ask(BAC)] == ["b", "b"]
        g.upstreams["a"].is_down = False
        await trio.sleep(60.0)  # its trial is due, and not this session's part
        assert [await g.ask(ABC) for _ in range(3)] == ["b"] * 3
        # A session that belongs there is the trial: so it comes back, though those that left stay away.
        assert await g.ask(ACB) == "a"
        assert [await g.ask(ABC), await g.ask(BAC)] == ["b", "b"]


async def test_after_ten_idle_minutes_it_goes_home_and_not_before(autojump_clock: Clock) -> None:
    async with ground() as g:
        g.upstreams["a"].is_down = True
        assert await g.ask(ABC) == "b"
        g.upstreams["a"].is_down = False
        for _ in range(3):
            await trio.sleep(IDLE - 10.0)
            assert await g.ask(ABC) == "b"
        await trio.sleep(IDLE + 10.0)
        assert await g.ask(ABC) == "a"


async def test_where_it_moved_to_fails_it_goes_by_its_own_order_again(autojump_clock: Clock) -> None:
    async with ground() as g:
        g.upstreams["a"].is_down = True
        assert await g.ask(ABC) == "b"
        await trio.sleep(60.0)
        g.upstreams["b"].is_down = True
        assert await g.ask(ABC) == "c"  # a is asked first, and still away
        g.upstreams["a"].is_down = g.upstreams["b"].is_down = False
        await trio.sleep(60.0)
        assert await g.ask(ABC) == "c"
        g.upstreams["c"].is_down = True
        assert [await g.ask(ABC) for _ in range(2)] == ["a", "a"]


async def test_under_priority_the_first_provider_has_every_session(autojump_clock: Clock) -> None:
    async with ground(affine(fallback_strategy="priority")) as g:
        assert [await g.ask(session) for session in (ABC, BAC)] == ["a", "a"]
        g.upstreams["a"].is_down = True
        assert await g.ask(ABC) == "b"
        g.upstreams["a"].is_down = False
        await trio.sleep(60.0)
        assert await g.ask(ABC) == "a"
