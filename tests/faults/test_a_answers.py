"""Rows A10 to A23: what comes is late, endless, cut or no HTTP, with the first content still to come."""

import json

import pytest

from tests.conftest import Providers
from tests.faults.conftest import ChaosBefore, StartProxy
from tests.faults.falling import SLACK, Pair, each_falls_over, pair_of
from tests.faults.watching import assert_breaks_off, hear, tells
from tests.support import faults
from tests.support.chaos import Bandwidth, Latency, Slicer
from tests.support.chunks import says
from tests.support.client import asks, post
from tests.support.faults import Steps
from tests.support.scripted import Repeat, body, head, json_reply
from tests.support.told import Wire, told, whole

pytestmark = pytest.mark.process

TIMEOUT = 0.3
SOON = {"timeout": TIMEOUT}
JSON_HEAD = head(200, headers={"content-type": "application/json", "content-length": "99"})
WHOLE_HEAD = b"HTTP/1.1 200 OK\r\nx-drip: " + b"a" * 999


def dripping(content: bytes) -> Steps:
    """Byte by byte."""
    return (Repeat(tuple(bytes([each]) for each in content), 0.05),)


async def _are_left_at_first_content_timeout(pair: Pair, error: str, *replies: Steps) -> None:
    await each_falls_over(pair, error, *replies, after=TIMEOUT)
    assert len(pair.first.requests) == len(pair.ways) * len(replies)  # who hangs has had its chance
    for request in pair.first.requests:
        assert request.gone_at is not None
        assert request.gone_at - request.at < TIMEOUT + SLACK


@pytest.fixture
async def hasty(providers: Providers, start_proxy: StartProxy) -> Pair:
    """A pair whose first is not waited for long."""
    return await pair_of(providers, start_proxy, first=SOON)


def _contentless(wire: Wire) -> list[Steps]:
    """Comments, what opens an answer, empty lines, events without data, each for ever."""
    opening = told(says(), wire).opening[-1]
    pieces = (b": PROCESSING\n\n", opening, b"\n", b"event: ping\n\n")
    return [(head(), Repeat((body(piece).data,), 0.05)) for piece in pieces]


async def test_a10_silence_is_left_at_first_content_timeout(hasty: Pair) -> None:
    await _are_left_at_first_content_timeout(hasty, "headers_timeout", faults.silent())


async def test_a11_a_head_that_drips_is_left_at_first_content_timeout(hasty: Pair) -> None:
    one_header, whole_head = faults.headers_dripped(every=0.05), dripping(WHOLE_HEAD)
    await _are_left_at_first_content_timeout(hasty, "headers_timeout", one_header, whole_head)


async def test_a12_a_head_and_no_body_is_left_at_first_content_timeout(hasty: Pair) -> None:
    silence, spaces = faults.headers_then_silent(), (JSON_HEAD, Repeat((b" ",), 0.05))
    await _are_left_at_first_content_timeout(hasty, "content_timeout", silence, spaces)


async def test_a13_a_body_without_content_is_left_at_first_content_timeout(hasty: Pair) -> None:
    await _are_left_at_first_content_timeout(hasty, "content_timeout", *_contentless("chat"))


@pytest.mark.parametrize("wire", ["responses", "anthropic"])
async def test_a10_a11_a12_a13_whatever_is_late_is_left_at_first_content_timeout(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """The four rows before this on one proxy: what each of them waits for adds up."""
    pair = await pair_of(providers, start_proxy, first=SOON, wire=wire)
    pair.ways = (True,)
    headless = (faults.silent(), faults.headers_dripped(every=0.05))
    await each_falls_over(pair, "headers_timeout", *headless, after=TIMEOUT)
    bodiless = (faults.headers_then_silent(), *_contentless(wire))
    await each_falls_over(pair, "content_timeout", *bodiless, after=TIMEOUT)
    assert len(pair.first.requests) == len(headless) + len(bodiless)


async def test_a10_first_content_timeout_is_a_setting_of_its_own(
    providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, first={"timeout": 60, "first_content_timeout": TIMEOUT})
    await each_falls_over(pair, "headers_timeout", faults.silent(), after=TIMEOUT)


async def test_a12_a_head_after_most_of_the_time_buys_no_more_of_it(
    providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, first={"timeout": 0.6})
    late = (faults.Pause(0.4), *faults.headers_then_silent())
    await each_falls_over(pair, "content_timeout", late, after=0.6)


async def test_a17_a_stream_without_framing_that_ends_before_content_falls_over(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    begun = faults.unframed(told(says(), wire).opening)
    await each_falls_over(pair, "truncated", begun, faults.unframed([]))


async def test_a17_a_stream_without_framing_that_says_it_is_done_is_a_good_answer(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    pair.first.plays(faults.unframed(told(says("from first"), wire).frames))
    for streamed in (True, False):
        assert await hear(pair.proxy, streamed=streamed) == "from first"
    await tells(pair.proxy, "first", failure_count=0, last_error_type=None)


@pytest.mark.parametrize("wire", ["chat"])
async def test_a18_a_finish_reason_without_done_is_a_good_answer(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    pair.first.plays(faults.without_mark("from ", "first", wire=wire))
    for streamed in (True, False):
        assert await hear(pair.proxy, streamed=streamed) == "from first"
    await tells(pair.proxy, "first", failure_count=0, last_error_type=None)
    assert pair.second.requests == []


@pytest.mark.parametrize("wire", ["responses", "anthropic"])
async def test_a18_all_but_the_last_event_is_a_truncated_answer(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """These wires say themselves when they are done; what has been sent stays open."""
    pair = await pair_of(providers, start_proxy, wire=wire)
    pair.first.plays(faults.without_mark("from ", "first", wire=wire))
    assert "first" in assert_breaks_off(await post(pair.proxy, asks(stream=True)), after="from first")
    assert pair.second.requests == []
    assert await hear(pair.proxy) == "from second"
    await tells(pair.proxy, "first", failure_count=2, last_error_type="truncated")


async def test_a20_a_body_shorter_than_its_length_falls_over(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    content = json.dumps(whole(says("never shown"), wire)).encode()
    await each_falls_over(
        pair,
        "reset",
        faults.falls_short(content, "application/json"),
        faults.falls_short(content[:40], "application/json"),
        faults.falls_short(b"".join(told(says(), wire).opening), "text/event-stream"),
        faults.falls_short(b"", "text/event-stream"),
    )


async def test_a20_an_answer_that_came_whole_is_not_thrown_away_for_its_length(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """A stream that was finished by what it said. All that is missing is what nobody waits for."""
    pair = await pair_of(providers, start_proxy, wire=wire)
    content = b"".join(told(says("from first"), wire).frames)
    pair.first.plays(faults.falls_short(content, "text/event-stream"))
    assert await hear(pair.proxy, streamed=True) == "from first"
    await tells(pair.proxy, "first", failure_count=0)


async def test_a21_what_is_no_http_falls_over(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    await each_falls_over(
        pair,
        "protocol",
        faults.bad_chunk_size(wire=wire),
        faults.bad_status_line(),
        faults.http2_preface(),
    )


@pytest.mark.transport(
    "trio", reason="httpx's waits for an empty line, or an end, which it takes for a reset"
)
async def test_a21_another_protocols_greeting_is_known_at_once(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Whether it hangs up then, or waits for an answer to it."""
    pair = await pair_of(providers, start_proxy)
    await each_falls_over(pair, "protocol", faults.garbage(), (faults.garbage()[0], faults.Linger()))


@pytest.mark.transport("trio", reason="httpx's counts neither lines nor informational responses")
async def test_a21_heads_without_end_fall_over(providers: Providers, start_proxy: StartProxy) -> None:
    pair = await pair_of(providers, start_proxy)
    too_much = b"x-filler: " + b"a" * 200_000 + b"\r\n"
    await each_falls_over(
        pair,
        "protocol",
        faults.flood_of_informational(says("never shown")),
        (faults.Send(b"HTTP/1.1 200 OK\r\n" + too_much), faults.Linger()),
        (faults.Send(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n"), faults.Linger()),
    )


async def test_a21_a_few_informational_responses_are_tolerated(
    providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy)
    pair.first.plays(faults.flood_of_informational(says("from first"), count=3))
    assert await hear(pair.proxy, streamed=True) == "from first"
    await tells(pair.proxy, "first", failure_count=0)


@pytest.mark.transport("trio", reason="httpx's takes the length from the first of the two")
async def test_a23_two_lengths_that_contradict_each_other_fall_over(
    providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy)
    await each_falls_over(pair, "protocol", faults.two_lengths(says("never shown")))


async def test_a23_a_length_beside_chunks_is_passed_over_and_its_connection_not_used_again(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    pair = await pair_of(providers, start_proxy, wire=wire)
    pair.first.plays(faults.length_and_chunks(says("from first"), wire=wire), says("well again"))
    assert await hear(pair.proxy, streamed=True) == "from first"
    assert await hear(pair.proxy, streamed=True) == "well again"
    assert [request.connection for request in pair.first.requests] == [1, 2]
    await tells(pair.proxy, "first", failure_count=0)


async def test_a23_a_connection_with_something_unasked_on_it_is_not_used_again(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Behind an answer lies another one, which would be taken for the next request's."""
    pair = await pair_of(providers, start_proxy)
    extra = json_reply(200, says("smuggled").completion())
    first = json_reply(200, says("from first").completion())
    pair.first.plays((*first, *extra), says("well again"))
    assert await hear(pair.proxy) == "from first"
    assert await hear(pair.proxy) == "well again"
    assert [request.connection for request in pair.first.requests] == [1, 2]


async def test_a_slow_line_in_small_pieces_delays_and_spoils_nothing(
    providers: Providers, start_proxy: StartProxy, chaos_before: ChaosBefore
) -> None:
    """Latency, jitter, bandwidth and slices of a few bytes at once, in both directions."""
    first, second = providers.start("first"), providers.start("second")
    words = [f"word{number} " for number in range(20)]
    first.plays(says(*words))
    chaos, entry = await chaos_before(first, seed=7)
    chaos.downstream.poison(Latency(0.05, jitter=0.05), Bandwidth(60_000), Slicer(150, variation=149))
    chaos.upstream.poison(Latency(0.05), Slicer(40, variation=30))
    proxy = await start_proxy(entry, second)
    for streamed in (True, False):
        assert await hear(proxy, streamed=streamed) == "".join(words)
    await tells(proxy, "first", failure_count=0, last_error_type=None)
    assert second.requests == []
