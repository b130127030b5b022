"""Providers that answer 200 and then send errors, junk, floods, or nothing: before content and behind it."""

import gzip
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.watching import (
    ALL,
    Memory,
    asked,
    assert_breaks_off,
    hear,
    last_of,
    row,
    streamed_on_wires,
    tells,
    told_of,
    untouched,
)
from tests.support import faults
from tests.support.chunks import Chunk, Turn, chunk, error_chunk, says, sse
from tests.support.client import asks, events_of, post, text_of
from tests.support.ports import ReservedPort
from tests.support.scripted import (
    BODY_END,
    Linger,
    Pause,
    Reply,
    Send,
    Step,
    body,
    head,
    raw_reply,
    stream_frames,
)
from tests.support.told import Wire, error_frame, renamed_key, told, with_usage, without_usage
from tests.support.told_responses import event as responses_event
from tests.support.told_responses import failed_event

pytestmark = pytest.mark.process
MIB = 2**20
LENIENT = {"circuit_breaker": {"failure_threshold": 1000, "minimum_requests": 0}}


Told = dict[str, Any]
FAILED: Told = {"failure_count": 1, "last_error_type": "server_error", "state": "closed"}
BROKEN: Told = {"failure_count": 1, "last_error_type": "upstream_error", "state": "closed"}
OVERLOADED: Told = {"failure_count": 1, "last_error_type": "overloaded", "state": "cooling"}
LIMITED: Told = {"failure_count": 0, "state": "cooling", "status": "healthy"}
NO_KEY: Told = {"state": "auth_error", "opens": 1}
NO_QUOTA: Told = {"state": "quota_exhausted", "opens": 1}


def error_stream(payload: Chunk | bytes, *said: str, wire: Wire = "chat") -> Reply:
    """A 200 stream that turns into `payload`, behind some text if any is given."""
    frame = payload if isinstance(payload, bytes) else sse([payload])
    return (*faults.begun(*said, wire=wire), body(frame), BODY_END)


# the error object -> what is told of its provider afterwards
CHATS_ERRORS: dict[str, tuple[Chunk, Told]] = {
    "code-500": (
        error_chunk("The server had an error", code=500),
        {"failure_count": 1, "last_error_type": "server_error", "state": "closed"},
    ),
    "no-code": (
        error_chunk("Something went wrong", kind="whatever"),
        {"failure_count": 1, "last_error_type": "upstream_error", "state": "closed"},
    ),
    "a-bare-string": (
        {"error": "no luck"},
        {"failure_count": 1, "last_error_type": "upstream_error", "state": "closed"},
    ),
    "code-429": (
        error_chunk("Rate limit exceeded", code=429),
        {"failure_count": 0, "state": "cooling", "status": "healthy"},
    ),
    "rate_limit_exceeded": (
        error_chunk("Slow down", code="rate_limit_exceeded"),
        {"failure_count": 0, "state": "cooling", "status": "healthy"},
    ),
    "code-401": (error_chunk("Bad key", code=401), {"state": "auth_error", "opens": 1}),
    "insufficient_quota": (
        error_chunk("You exceeded your quota", code="insufficient_quota"),
        {"state": "quota_exhausted", "opens": 1},
    ),
    "overloaded": (
        error_chunk("Overloaded", kind="overloaded_error"),
        {"failure_count": 1, "last_error_type": "overloaded", "state": "cooling"},
    ),
    "beside-choices": (
        chunk({"content": ""}, finish="error") | {"error": {"code": 502, "message": "Provider disconnected"}},
        {"failure_count": 1, "last_error_type": "server_error", "state": "closed"},
    ),
}


NESTED = {"type": "server_error", "code": "server_error", "message": "An error occurred", "param": None}
ERRORS: dict[Wire, Mapping[str, tuple[Chunk | bytes, Told]]] = {
    "chat": CHATS_ERRORS,
    "responses": {
        "error": (error_frame("responses", "The server had an error", code="server_error"), BROKEN),
        "nested": (responses_event("error", error=NESTED, sequence_number=2), BROKEN),
        "failed": (failed_event("The model failed to generate a response"), BROKEN),
        "limited": (error_frame("responses", "Slow down", code="rate_limit_exceeded"), LIMITED),
        "failed-for-a-limit": (failed_event("Rate limit reached", code="rate_limit_exceeded"), LIMITED),
        "key": (error_frame("responses", "Incorrect API key", code="invalid_api_key"), NO_KEY),
        "quota": (failed_event("You exceeded your quota", code="insufficient_quota"), NO_QUOTA),
    },
    "anthropic": {
        "api_error": (error_frame("anthropic", "Internal server error", kind="api_error"), BROKEN),
        "overloaded": (error_frame("anthropic", "Overloaded", kind="overloaded_error"), OVERLOADED),
        "limited": (error_frame("anthropic", "Slow down", kind="rate_limit_error"), LIMITED),
        "key": (error_frame("anthropic", "invalid x-api-key", kind="authentication_error"), NO_KEY),
        "quota": (error_frame("anthropic", "Out of credits", kind="billing_error"), NO_QUOTA),
    },
}


@streamed_on_wires
async def test_b11_an_error_object_as_the_first_frame_is_ruled_on_as_its_status_would_be(
    streamed: bool, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    errors = ERRORS[wire]
    replies = {name: error_stream(payload, wire=wire) for name, (payload, _) in errors.items()}
    made = row(providers, replies, wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    assert await hear(proxy, streamed=streamed) == "from last"
    assert asked(made) == dict.fromkeys(made, 1)
    for name, (_, expected) in errors.items():
        await tells(proxy, name, **expected)


async def test_b12_an_error_object_behind_content_is_an_error_event(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first", wire=wire), providers.start("second")
    errors = ERRORS[wire]
    first.plays(*[error_stream(payload, "hel", "lo", wire=wire) for payload, _ in errors.values()])
    proxy = await start_proxy(first, second, **LENIENT)
    for number in range(len(errors)):
        answer = await post(proxy, asks(f"question {number}", stream=True))
        events = events_of(answer.text)
        if len(first.requests) <= number:  # it rests by now: an earlier error was a rate limit
            assert text_of(events) == "ok"
            continue
        kind = events[-1].data["error"]["type"]
        assert kind in ("api_error", "rate_limit_error", "billing_error"), kind
        assert "first" in assert_breaks_off(answer, after="hello", kind=kind)
    assert len(second.requests) == len(errors) - len(first.requests)


async def test_b12_a_dead_stream_counts_and_one_ended_by_a_filter_does_not(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    filtered = error_chunk("The response was filtered", code="content_filter", kind="invalid_request_error")
    first.plays(error_stream(filtered, "hel", "lo"), error_stream(CHATS_ERRORS["code-500"][0], "hel", "lo"))
    proxy = await start_proxy(first, last_of(providers))
    answer = await post(proxy, asks("one", stream=True))
    assert_breaks_off(answer, after="hello", kind="invalid_request_error")
    await untouched(proxy, "first")
    assert_breaks_off(await post(proxy, asks("two", stream=True)), after="hello")
    await tells(proxy, "first", failure_count=1, status="healthy")


PAGE = b"<html><title>Please log in</title><p>canary-page</p></html>"
PAGES = {
    "as-html": raw_reply(200, PAGE, content_type="text/html"),
    "as-nothing": raw_reply(200, PAGE),
    "as-json": raw_reply(200, PAGE, content_type="application/json"),
    "as-a-stream": (head(), body(PAGE), BODY_END),
    "as-an-event": (head(), body(b"data: " + PAGE + b"\n\n"), BODY_END),
    "nothing-at-all": raw_reply(200, b"", content_type="text/html"),
    "204": (head(204, headers={"x-odd": "1"}),),
    "206": raw_reply(206, PAGE, content_type="text/html"),
}


@streamed_on_wires
async def test_b13_a_web_page_is_left_for_the_next_provider_and_shown_to_nobody(
    streamed: bool, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, PAGES, wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    assert await hear(proxy, streamed=streamed) == "from last"
    assert asked(made) == dict.fromkeys(made, 1)
    for name in made:
        assert (await told_of(proxy, name))["failure_count"] == 1, name
    assert "canary-page" not in proxy.output


async def test_b13_a_web_page_is_not_relayed_where_nobody_else_is_left(
    providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, PAGES)
    proxy = await start_proxy(*made.values(), patience=0, **ALL)
    for streamed in (True, False):
        answer = await post(proxy, asks(stream=streamed))
        assert answer.status_code == 502
        assert "canary-page" not in answer.text
        assert "<" not in answer.json()["error"]["message"]


def odd_key(wire: Wire, *said: str) -> faults.Steps:
    """A stream with a key that is no UTF-8 beside its first text or, if any is `said`, behind that."""
    stream = told(says(*said, "x"), wire)
    content = [*stream.content[:-1], renamed_key(stream.content[-1], b"\xff")]
    return (head(), *stream_frames((*stream.opening, *content, *stream.finish, stream.mark)), BODY_END)


NO_TEXT = b"\xff\xfe\xc3("


async def test_b15_broken_utf_8_before_content_falls_over_or_is_replaced(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    broken: dict[str, Reply] = {
        "in-text": faults.bad_text(NO_TEXT, wire=wire),
        "in-a-key": odd_key(wire),
        "bare": (head(), body(b"data: \xff\xfe\n\n"), BODY_END),
    }
    made = row(providers, broken, wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    for streamed in (True, False):
        assert await hear(proxy, streamed=streamed) == "from last"
    assert asked(made) == dict.fromkeys(made, 2)
    for name in made:
        await tells(proxy, name, failure_count=2, last_error_type="protocol")


async def test_b15_broken_utf_8_behind_content_is_an_error_event(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first", wire=wire)
    replies = (faults.bad_text(NO_TEXT, "hel", "lo", wire=wire), odd_key(wire, "hel", "lo"))
    begun = len(faults.begun("hel", "lo", wire=wire))
    # What comes in one read with something that is none of it may fall over, all of it.
    first.plays(*[(*reply[:begun], Pause(0.1), *reply[begun:]) for reply in replies])
    proxy = await start_proxy(first, last_of(providers))
    for number in range(2):
        answer = await post(proxy, asks(f"question {number}", stream=True))
        assert "first" in assert_breaks_off(answer, after="hello")
    assert "Traceback" not in proxy.output


async def test_b15_half_a_surrogate_or_a_broken_comment_harms_nobody(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """The escape is legal JSON and no text: it is replaced. Comments are not read at all."""
    first = providers.start("first", wire=wire)
    begin, *rest = faults.bad_text(b"\\ud800", "a", then="b", wire=wire)
    first.plays((begin, body(b": \xff\xfe\n\n"), *rest))
    proxy = await start_proxy(first)
    for streamed in (True, False):
        heard = await hear(proxy, streamed=streamed)
        assert (heard[0], heard[-1]) == ("a", "b")
        # An escape that is passed on is what the client's own JSON makes of it.
        heard.encode(errors="surrogatepass" if wire == "anthropic" else "strict")
    await untouched(proxy, "first")


PIECE = Send(b"%x\r\n%s\r\n" % (MIB // 16, b"a" * (MIB // 16)))


def room(wire: Wire) -> int:
    """How much a line may take. The other wires have long ones: a whole answer, what a tool has found."""
    return (8 if wire == "chat" else 16) * MIB


def endless_line(*said: str, wire: Wire) -> tuple[Step, ...]:
    """20 MB of one line, in pieces of 64 KB, behind some text if any is given."""
    before = faults.begun(*said, wire=wire) if said else (head(),)
    return (*before, body(b"data: "), *[PIECE] * 320, Linger())


@streamed_on_wires
async def test_b16_a_line_without_an_end_is_cut_long_before_it_fills_the_memory(
    streamed: bool, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first", wire=wire)
    first.plays(endless_line(wire=wire))
    proxy = await start_proxy(first, last_of(providers))
    await hear(proxy, model="claude-haiku-4-5")  # what the first request of all costs is no rise
    memory = Memory(proxy)
    assert await hear(proxy, streamed=streamed) == "from last"
    assert memory.rise() < room(wire)
    with trio.fail_after(1):
        await first.requests[0].gone.wait()
    await tells(proxy, "first", failure_count=1, last_error_type="protocol")


async def test_b16_a_line_without_an_end_behind_content_is_an_error_event(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first", wire=wire)
    first.plays(endless_line("hel", "lo", wire=wire))
    proxy = await start_proxy(first, last_of(providers))
    await hear(proxy, model="claude-haiku-4-5")
    memory = Memory(proxy)
    assert_breaks_off(await post(proxy, asks(stream=True)), after="hello")
    assert memory.rise() < room(wire)


def gzipped(data: bytes, *, keep: int | None = None, encoding: str = "gzip", status: int = 200) -> Reply:
    """A response whose body is compressed, all of it or the first `keep` bytes."""
    packed = (zlib.compress(data) if encoding == "deflate" else gzip.compress(data, 6))[:keep]
    kind = "text/event-stream" if status == 200 else "application/json"
    return raw_reply(status, packed, content_type=kind, content_encoding=encoding)


def _bombs(wire: Wire) -> dict[str, Reply]:
    bomb = b"data: " + b" " * (64 * MIB) + b"\n\n"
    good = b"".join(told(says("unasked"), wire).frames)
    return {
        "bomb": gzipped(bomb),
        "bomb-deflate": gzipped(bomb, encoding="deflate"),
        "bomb-with-an-error": gzipped(bomb, status=500),
        "truncated": gzipped(good, keep=40),
        "not-asked-for": gzipped(good),
        "not-even-gzip": raw_reply(200, good, content_type="text/event-stream", content_encoding="gzip"),
        "brotli": raw_reply(200, good, content_type="text/event-stream", content_encoding="br"),
        "twice": raw_reply(200, good, content_type="text/event-stream", content_encoding="gzip, gzip"),
    }


async def test_b17_what_was_compressed_unasked_is_not_unpacked(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, await trio.to_thread.run_sync(_bombs, wire), wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    await hear(proxy, model="claude-haiku-4-5")
    memory = Memory(proxy)
    for streamed in (True, False):
        assert await hear(proxy, streamed=streamed) == "from last"
    assert memory.rise() < 16 * MIB
    assert asked(made) == dict.fromkeys(made, 2)
    for name, provider in made.items():
        assert provider.requests[0].headers["accept-encoding"] == "identity"
        kind = "server_error" if name == "bomb-with-an-error" else "protocol"
        await tells(proxy, name, failure_count=2, last_error_type=kind)


# the names that each wire has for: tokens of the prompt, of the answer, what more is told of them
NAMES: dict[Wire, tuple[str, str, str]] = {
    "chat": ("prompt_tokens", "completion_tokens", "prompt_tokens_details"),
    "responses": ("input_tokens", "output_tokens", "input_tokens_details"),
    "anthropic": ("input_tokens", "output_tokens", "cache_creation"),
}
COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def usages(wire: Wire) -> dict[str, object]:
    """Ways to tell it that are none."""
    prompt, answer, details = NAMES[wire]
    return {
        "null": None,
        "empty": {},
        "negative": {prompt: -5, answer: -7, "total_tokens": -12},
        "huge": {prompt: 10**30, answer: 10**40, "total_tokens": 10**41},
        "words": {prompt: "many", answer: "12", "total_tokens": []},
        "fractions": {prompt: 1.5, answer: 1e300, "total_tokens": 2.5},
        "a list": [1, 2, 3],
        "a number": 7,
        "details that are none": {prompt: 5, answer: 5, details: "x"},
        "more cached than there was": {
            prompt: 5,
            answer: 5,
            details: {"cached_tokens": 50},
            "cache_read_input_tokens": -50,
        },
    }


def _counting(wire: Wire, usage: object) -> Reply:
    """A good answer that tells this usage wherever usage is told. The number of 10**40 is written out."""
    stream = told(says("ok"), wire)
    return (head(), *stream_frames(with_usage(frame, usage) for frame in stream.frames), BODY_END)


def _without_usage(wire: Wire) -> Reply:
    return (head(), *stream_frames(map(without_usage, told(says("ok"), wire).frames)), BODY_END)


async def test_b19_no_usage_upsets_an_answer(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """What is translated has sane counts; what is passed on may have those that came, but not the log."""
    first = providers.start("first", wire=wire)
    proxy = await start_proxy(first)
    for usage in [_UNTOLD, *usages(wire).values()]:
        first.plays(_without_usage(wire) if usage is _UNTOLD else _counting(wire, usage))
        events = events_of((await post(proxy, asks(stream=True))).text)
        assert text_of(events) == "ok"
        total = next(event.data for event in events if event.kind == "message_delta")
        answer = (await post(proxy, asks())).json()
        assert answer["content"] == [{"type": "text", "text": "ok"}]
        for told_usage in (total["usage"], answer["usage"]):
            is_passed_on = wire == "anthropic" and usage == told_usage
            assert is_passed_on or _is_sane(told_usage), told_usage
    await untouched(proxy, "first")
    logged = re.findall(r"· (-?\d+) tokens in, (-?\d+) out", proxy.output)
    assert logged
    assert all(0 <= int(count) <= 10**12 for counts in logged for count in counts)


_UNTOLD = object()


def _is_sane(usage: dict[str, Any]) -> bool:
    counts = [usage[name] for name in COUNTS if usage.get(name) is not None]
    return all(isinstance(count, int) and 0 <= count <= 10**12 for count in counts)


async def test_b20_an_empty_answer_is_asked_for_once_more_elsewhere(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, dict.fromkeys(("first", "second", "third"), Turn()), wire=wire)
    proxy = await start_proxy(*made.values())
    for streamed in (True, False):
        answer = await post(proxy, asks(stream=streamed))
        assert answer.status_code == 200
        if streamed:
            assert text_of(events_of(answer.text)) == ""
        else:
            assert answer.json()["stop_reason"] == "end_turn"
    assert asked(made) == {"first": 2, "second": 2, "third": 0}
    made["second"].plays(says("from second"))
    assert await hear(proxy) == "from second"
    for name in made:
        assert (await told_of(proxy, name))["failure_count"] == 0


# how an answer ends -> the client's word for it
CHATS_ENDINGS: dict[str, tuple[Turn, str]] = {
    "stop": (says("x"), "end_turn"),
    "length": (Turn(text=("x",), finish="length"), "max_tokens"),
    "content_filter": (Turn(text=("x",), finish="content_filter"), "refusal"),
    "content_filter without a word": (Turn(finish="content_filter"), "refusal"),
}
ENDINGS: dict[Wire, dict[str, tuple[Turn, str]]] = {
    "chat": CHATS_ENDINGS | {"a word that nobody knows": (Turn(text=("x",), finish="because"), "end_turn")},
    "responses": CHATS_ENDINGS | {"a refusal": (Turn(refusal=("No", ".")), "refusal")},
    "anthropic": CHATS_ENDINGS
    | {word: (Turn(text=("x",), finish=word), word) for word in ("pause_turn", "stop_sequence")},
}


async def test_b20_each_ending_is_told_in_the_clients_words(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first", wire=wire)
    proxy = await start_proxy(first)
    for name, (turn, reason) in ENDINGS[wire].items():
        first.plays(turn)
        events = events_of((await post(proxy, asks(stream=True))).text)
        told_as = next(event.data["delta"] for event in events if event.kind == "message_delta")
        assert told_as["stop_reason"] == reason, name
        assert (await post(proxy, asks())).json()["stop_reason"] == reason, name
    await untouched(proxy, "first")


async def test_b20_an_end_without_a_reason_is_no_end(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """The reason null all along, and the body over without its last word."""
    first = providers.start("first", wire=wire)
    first.plays(faults.dies_after_text("hel", "lo", how="clean", wire=wire))
    proxy = await start_proxy(first, last_of(providers))
    assert_breaks_off(await post(proxy, asks(stream=True)), after="hello")
    assert await hear(proxy) == "from last"


TOO_MANY = b"HTTP/1.1 429 Too Many\r\nretry-after: 30\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def hasty_provider(*, lingers: bool) -> AsyncIterator[tuple[str, list[int]]]:
    """One that answers 429 as soon as it has read a head, and closes; its base_url, and how much it read.

    With `lingers` it reads on, as careful servers do, so that its answer is not lost to a reset.
    """
    read: list[int] = []

    async def serve(stream: trio.SocketStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some()
        read.append(len(data))
        await stream.send_all(TOO_MANY)
        if lingers:
            await stream.send_eof()
            with trio.move_on_after(2):
                while await stream.receive_some():
                    pass

    async with trio.open_nursery() as nursery:
        with ReservedPort() as port:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(port.listen()))
            nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))
            yield f"http://127.0.0.1:{port.number}/v1", read
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("lingers", "wire"),
    [(True, "chat"), (False, "chat"), (True, "responses"), (True, "anthropic")],
    ids=["lingers", "closes", "responses", "anthropic"],
)
async def test_b21_an_answer_before_the_request_was_sent_is_heard(
    lingers: bool, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    entry = providers.absent("first", wire=wire).entry()
    async with hasty_provider(lingers=lingers) as (base_url, read):
        proxy = await start_proxy(entry | {"base_url": base_url}, last_of(providers))
        for streamed in (True, False):
            assert await hear(proxy, streamed=streamed, system="x" * (12 * MIB)) == "from last"
        if lingers:
            await tells(proxy, "first", state="cooling", failure_count=0, opens=0)
            assert len(read) == 1
            assert read[0] < 12 * MIB
        else:  # the answer may be lost with the reset; what is left then is a failure
            assert (await told_of(proxy, "first"))["failure_count"] in (0, 1, 2)


def steady(count: int, every: float, wire: Wire = "chat") -> tuple[Step, ...]:
    """An answer of `count` words, `every` seconds apart."""
    stream = told(says(*["tick "] * count), wire)
    words = [step for frame in stream.content for step in (body(frame), Pause(every))]
    rest = stream_frames((*stream.finish, stream.mark))
    return (head(), *stream_frames(stream.opening), *words, *rest, BODY_END)


@pytest.mark.parametrize(
    ("streamed", "wire"),
    [(True, "chat"), (False, "chat"), (True, "responses"), (True, "anthropic")],
    ids=["stream", "whole", "responses", "anthropic"],
)
async def test_b23_slow_but_steady_is_allowed_beyond_every_limit_to_silence(
    streamed: bool, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    count = 15 if wire == "chat" else 8
    first = providers.start("first", wire=wire)
    first.plays(steady(count, 0.1, wire))
    proxy = await start_proxy(first.entry(timeout=0.5, idle_timeout=0.5), last_of(providers))
    started_at = trio.current_time()
    assert await hear(proxy, streamed=streamed) == "tick " * count
    assert trio.current_time() - started_at >= count * 0.1
    await untouched(proxy, "first")


async def test_b23_a_limit_to_the_whole_is_kept_where_one_is_set(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(steady(50, 0.05))
    proxy = await start_proxy(
        first.entry(timeout=0.5, total_timeout=0.6, idle_timeout=0.5, connect_timeout=0.5), last_of(providers)
    )
    started_at = trio.current_time()
    answer = await post(proxy, asks(stream=True))
    assert 0.5 <= trio.current_time() - started_at < 2
    said = text_of(events_of(answer.text))
    assert said.startswith("tick tick ")
    assert "first failed (took too long)" in assert_breaks_off(answer, after=said, kind="timeout_error")
    await tells(proxy, "first", failure_count=1, last_error_type="overtime")
