"""Rows A14 to A21 with content already shown: the stream ends in an error, and nothing false is added."""

from collections.abc import Callable, Sequence

import httpx
import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import ChaosBefore, StartProxy
from tests.faults.falling import SLACK, Pair, pair_of
from tests.faults.watching import assert_breaks_off, hear, tells, until
from tests.support import faults
from tests.support.chaos import LimitData, ResetPeer, SlowClose, Timeout
from tests.support.chunks import DONE, says
from tests.support.client import MODEL, asks, post
from tests.support.faults import Steps
from tests.support.proxy import Heard, Proxy
from tests.support.scripted import Send, body, stream_of
from tests.support.seals import Teller
from tests.support.told import Wire, told

pytestmark = pytest.mark.process

HELLO = ("hel", "lo")


def _frames(wire: Wire) -> tuple[bytes, ...]:
    return told(says(*HELLO), wire).begun


# row -> what it is held for, and the ways in which it dies on a wire
DEATHS: dict[str, tuple[str, Callable[[Wire], tuple[Steps, ...]]]] = {
    "a15-reset": ("reset", lambda wire: (faults.dies_after_text(*HELLO, how="rst", wire=wire),)),
    "a16-between-and-inside-chunks": (
        "reset",
        lambda wire: (
            faults.dies_after_text(*HELLO, how="fin", wire=wire),
            faults.dies_inside_chunk(*HELLO, wire=wire),
            faults.dies_inside_chunk(*HELLO, how="rst", wire=wire),
        ),
    ),
    "a17-without-framing": ("truncated", lambda wire: (faults.unframed(_frames(wire)),)),
    "a19-without-finish-or-done": (
        "truncated",
        lambda wire: (faults.without_mark(*HELLO, finish=None, wire=wire),),
    ),
    "a20-short-of-its-length": (
        "reset",
        lambda wire: (faults.falls_short(b"".join(_frames(wire)), "text/event-stream"),),
    ),
    "a21-bad-chunk-size": ("protocol", lambda wire: (faults.bad_chunk_size(*HELLO, wire=wire),)),
}


@pytest.mark.parametrize("death", DEATHS)
async def test_a15_to_a21_a_death_after_content_is_an_error_event(
    death: str, providers: Providers, start_proxy: StartProxy
) -> None:
    error, replies = DEATHS[death]
    await _die(await pair_of(providers, start_proxy), [(error, reply) for reply in replies("chat")])


@pytest.mark.parametrize("wire", ["responses", "anthropic"])
async def test_a15_a16_a17_a19_a20_a21_every_death_after_content_is_an_error_event(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """All of the rows before this on one proxy."""
    deaths = [(error, reply) for error, replies in DEATHS.values() for reply in replies(wire)]
    await _die(await pair_of(providers, start_proxy, wire=wire), deaths)


async def _die(pair: Pair, deaths: Sequence[tuple[str, Steps]]) -> None:
    """Who reads along is told; who waits for the whole is given another's answer."""
    for number, (error, reply) in enumerate(deaths):
        pair.first.plays(reply)
        answer = await post(pair.proxy, asks(stream=True))
        assert "first" in assert_breaks_off(answer, after="hello")
        assert len(pair.second.requests) == number
        held = {"status": "healthy", "last_error_type": error, "opens": 0}
        await tells(pair.proxy, "first", failure_count=2 * number + 1, **held)
        assert await hear(pair.proxy) == "from second"
        await tells(pair.proxy, "first", failure_count=2 * number + 2, **held)


async def test_a16_what_was_passed_on_before_a_death_is_untouched(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Byte for byte but for the model's name; and behind it there is the error and nothing else."""
    pair = await pair_of(providers, start_proxy, wire="anthropic")
    pair.first.plays(faults.dies_after_text(*HELLO, wire="anthropic"))
    answer = await post(pair.proxy, asks(stream=True))
    sent = b"".join(told(says(*HELLO), "anthropic", by=Teller(model=MODEL)).begun)
    passed_on, mark, error = answer.content.partition(b"event: error\n")
    assert (passed_on.decode(), mark, error.count(b"\n\n")) == (sent.decode(), b"event: error\n", 1)


async def test_a14_a_stream_that_stalls_is_ended_at_idle_timeout(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, first={"idle_timeout": 0.4}, wire=wire)
    pair.first.plays(faults.stops_talking("hel", "lo", wire=wire))
    began_at = trio.current_time()
    answer = await post(pair.proxy, asks(stream=True))
    assert 0.4 <= trio.current_time() - began_at < 0.4 + SLACK
    assert "stalled" in assert_breaks_off(answer, after="hello", kind="timeout_error")
    await tells(pair.proxy, "first", failure_count=1, last_error_type="idle_timeout", opens=0)
    assert await hear(pair.proxy) == "from second"
    await tells(pair.proxy, "first", failure_count=2)
    await until(lambda: all(request.gone.is_set() for request in pair.first.requests))


KEEPALIVES = {
    "chat": b": still here\n\n",
    "responses": b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 9}\n\n',
    "anthropic": b'event: ping\ndata: {"type": "ping"}\n\n',
}


async def test_a14_comments_and_pings_are_no_content(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, first={"idle_timeout": 0.4}, wire=wire)
    idle = faults.Repeat((body(KEEPALIVES[wire]).data,), 0.05)
    pair.first.plays((*faults.begun("hel", "lo", wire=wire), idle))
    began_at = trio.current_time()
    answer = await post(pair.proxy, asks(stream=True))
    assert_breaks_off(answer, after="hello", kind="timeout_error")
    assert 0.4 <= trio.current_time() - began_at < 0.4 + SLACK
    await tells(pair.proxy, "first", failure_count=1, last_error_type="idle_timeout")


async def test_a14_as_long_as_content_keeps_coming_no_time_is_up(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Three times idle_timeout in all, and never half of it without a word."""
    pair = await pair_of(providers, start_proxy, first={"idle_timeout": 0.6, "timeout": 0.6})
    chunks = says(*"abcdefghi").chunks()
    pieces = [step for chunk in chunks for step in (*stream_of([chunk]), faults.Pause(0.15))]
    pair.first.plays((faults.head(), *pieces, body(DONE), faults.BODY_END))
    for streamed in (True, False):
        assert await hear(pair.proxy, streamed=streamed) == "abcdefghi"
    await tells(pair.proxy, "first", failure_count=0, last_error_type=None)


async def test_a15_always_beginning_and_always_dying_opens_the_breaker(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """A first content resets the failures before it, but not those behind it."""
    pair = await pair_of(
        providers, start_proxy, circuit_breaker={"failure_threshold": 3, "minimum_requests": 0}
    )
    pair.first.plays(faults.dies_after_text("hello", how="rst"))
    for number in range(3):
        assert_breaks_off(await post(pair.proxy, asks(f"question {number}", stream=True)), after="hello")
    await tells(pair.proxy, "first", status="circuit_open", state="open", opens=1)
    assert await hear(pair.proxy, streamed=True) == "from second"
    assert len(pair.first.requests) == 3


async def test_a15_whatever_the_line_does_to_a_stream_is_told(
    providers: Providers, start_proxy: StartProxy, chaos_before: ChaosBefore
) -> None:
    """One after the other on one proxy: it is reset, goes black, is closed after so many bytes, ends late."""
    first, second = providers.start("first"), providers.start("second")
    chaos, entry = await chaos_before(first, idle_timeout=0.4)
    proxy = await start_proxy(entry, second, circuit_breaker={"failure_threshold": 100})
    steps = faults.stops_talking("hello")
    first.plays(steps)
    for harm, kind in (
        (ResetPeer(), "api_error"),
        (Timeout(0.1), "api_error"),
        (Timeout(0), "timeout_error"),
    ):
        chaos.downstream.heal()
        answers: list[httpx.Response] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_note, answers, proxy)
            await until(lambda: bool(proxy.heard) and b"hello" in proxy.heard[-1].body)
            chaos.downstream.poison(harm)
        assert_breaks_off(answers[0], after="hello", kind=kind)
        proxy.heard.append(Heard("/", 200, []))  # so that the next round waits for its own
    await tells(proxy, "first", failure_count=3, last_error_type="idle_timeout", opens=0)
    assert second.requests == []
    chaos.downstream.poison(LimitData(sum(len(step.data) for step in steps if isinstance(step, Send))))
    assert_breaks_off(await post(proxy, asks(stream=True)), after="hello")
    chaos.downstream.poison(SlowClose(0.2))
    first.plays(faults.dies_after_text("hello"))
    began_at = trio.current_time()
    assert_breaks_off(await post(proxy, asks(stream=True)), after="hello")
    assert 0.2 <= trio.current_time() - began_at < 0.2 + SLACK


async def _note(answers: list[httpx.Response], proxy: Proxy) -> None:
    answers.append(await post(proxy, asks(stream=True)))
