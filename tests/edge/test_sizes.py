"""Windows, counts and scales through the whole proxy. Real time where a count leaves the event loop."""

import json
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from splintr import Tokenizer

from ccproxy_trio import app as root
from ccproxy_trio.counting.vocabulary import Vocabulary, load
from ccproxy_trio.fleet import World
from ccproxy_trio.journal import ExchangeEnded, Note, Tally
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.translate.tokens import Text
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock
PITFALL = "<|endoftext|>" * 10
WORD = "word "  # one token in every vocabulary, and 1.2 by bytes


def changed(settings: Settings, **fields: Any) -> Settings:
    """The same, its first provider changed."""
    first, *others = settings.providers
    return msgspec.structs.replace(settings, providers=(msgspec.structs.replace(first, **fields), *others))


def ollama(window: int | None, **fields: Any) -> Settings:
    return changed(settings_for("a", models=("llama3.2",), **fields), profile="ollama", context_window=window)


async def down(_: FakeAnswer) -> None:
    raise AssertionError("nobody should be asked")


async def llama3() -> dict[str, Vocabulary]:
    return await load(["llama3"])


async def ask(house: House, *, path: str = "/v1/messages", **body: Any) -> tuple[int, dict[str, Any]]:
    client = Client(house.connect())
    headers = {"anthropic-beta": body.pop("betas")} if "betas" in body else {}
    await client.post(body, path=path, **headers)
    status = await client.head()
    return status, json.loads(await client.body())


async def count(house: House, text: str, **fields: Any) -> int:
    messages = [{"role": "user", "content": text}]
    status, body = await ask(house, path="/v1/messages/count_tokens", messages=messages, **fields)
    assert status == 200, body
    tokens: int = body["input_tokens"]
    return tokens


# -- before anything is sent ---------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_ollama_would_cut_is_refused_with_its_exact_count(*, stream: bool) -> None:
    upstream = FakeUpstream(down)
    async with virtual_house(ollama(32_768), vocabularies=await llama3(), a=upstream) as house:
        prompt = [{"role": "user", "content": WORD * 39_995}]
        status, error = await ask(house, messages=prompt, stream=stream)
    assert (status, error["error"]["type"]) == (400, "invalid_request_error")
    assert error["error"]["message"] == "prompt is too long: 40000 tokens > 32768 maximum"
    assert upstream.opened == 0


async def test_without_a_vocabulary_ollama_is_held_to_the_estimate(autojump_clock: Clock) -> None:
    upstream = FakeUpstream(hello)
    async with virtual_house(ollama(32_768), a=upstream) as house:
        status, error = await ask(house, messages=[{"role": "user", "content": "x" * 137_630}])
        assert (status, upstream.opened) == (400, 0)
        assert error["error"]["message"] == "prompt is too long: 32774 tokens > 32768 maximum"
        assert (await ask(house, messages=[{"role": "user", "content": "x" * 137_600}]))[0] == 200
    assert upstream.opened == 1


async def test_an_exact_count_saves_a_prompt_that_the_estimate_would_refuse() -> None:
    upstream = FakeUpstream(hello)
    async with virtual_house(ollama(32_768), vocabularies=await llama3(), a=upstream) as house:
        status, _ = await ask(house, messages=[{"role": "user", "content": WORD * 32_000}])  # 38,100 by bytes
    assert (status, upstream.opened) == (200, 1)


async def test_an_exact_count_refuses_a_dense_prompt_that_the_estimate_would_let_pass() -> None:
    upstream = FakeUpstream(down)
    async with virtual_house(ollama(32_768), vocabularies=await llama3(), a=upstream) as house:
        status, error = await ask(house, messages=[{"role": "user", "content": "9f c2 " * 20_000}])
    assert status == 400  # 28,576 by bytes
    assert error["error"]["message"].startswith("prompt is too long: ")


async def test_a_window_that_is_known_without_being_configured_is_kept() -> None:
    upstream = FakeUpstream(down)
    settings = changed(settings_for("a", models=("gpt-4",)), profile="openai")
    loaded = await load(["cl100k_base"])
    async with virtual_house(settings, vocabularies=loaded, a=upstream) as house:
        status, error = await ask(house, messages=[{"role": "user", "content": WORD * 8_188}])
        assert (status, error["error"]["message"]) == (
            400,
            "prompt is too long: 8193 tokens > 8192 maximum",
        )


async def test_an_overflow_without_numbers_is_told_with_ours(autojump_clock: Clock) -> None:
    class Full(FakeUpstream):
        def open(self, *_: Any, **__: Any) -> Any:
            raise UpstreamFault(FaultKind.CONTEXT_OVERFLOW, "exceeds the context window", status=400)

    settings = changed(settings_for("a"), context_window=1_000)
    async with virtual_house(settings, a=Full()) as house:
        status, error = await ask(house, messages=[{"role": "user", "content": "x" * 4_700}])
    assert (status, error["error"]["message"]) == (400, "prompt is too long: 1124 tokens > 1000 maximum")


# -- count_tokens --------------------------------------------------------------------------------------


async def test_tokens_are_counted_exactly_while_everybody_is_down(autojump_clock: Clock) -> None:
    upstream = FakeUpstream(down)
    async with virtual_house(ollama(None), vocabularies=await llama3(), a=upstream) as house:
        assert await count(house, WORD * 999) == 999 + 1 + 4
        assert await count(house, "<|eot_id|>") > 5
        house.crash("a")
        assert await count(house, WORD * 999) == 999 + 1 + 4
    assert upstream.opened == 0


async def test_a_long_count_is_exact_too() -> None:
    async with virtual_house(ollama(None), vocabularies=await llama3(), a=FakeUpstream(down)) as house:
        assert await count(house, WORD * 200_000) == 200_000 + 1 + 4


async def test_without_the_extra_tokens_are_estimated(autojump_clock: Clock) -> None:
    async with virtual_house(ollama(None), a=FakeUpstream(down)) as house:
        assert await count(house, WORD * 999) == 1_190 + 4


async def test_vocabularies_are_loaded_before_the_first_request() -> None:
    settings = changed(settings_for("a", models=("gpt-4o",)), probe="off")
    async with root.running(settings, journal=Tally(lambda _: None), world=World()) as running:
        house = House(root.assemble(settings, journal=lambda _: None), [])
        async with house.open(lambda: _given(running)):
            exact = len(Tokenizer.from_pretrained("o200k_base").encode_ordinary(PITFALL))
            assert await count(house, PITFALL) == exact + 4


def _given(running: Any) -> Any:
    class Given:
        async def __aenter__(self) -> Any:
            return running

        async def __aexit__(self, *_: object) -> None:
            pass

    return Given()


# -- overload ------------------------------------------------------------------------------------------


class Held:
    """A vocabulary whose counts off the event loop wait to be released."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.release = threading.Event()

    def count(self, texts: Sequence[Text]) -> int:
        if threading.current_thread() is not threading.main_thread():
            trio.from_thread.run_sync(self.begun.set)
            self.release.wait(30)
        return len(texts)


PATHS = {"stream": "/v1/messages", "whole": "/v1/messages", "count": "/v1/messages/count_tokens"}


@pytest.mark.parametrize("first", PATHS)
@pytest.mark.parametrize("second", PATHS)
async def test_a_request_that_is_being_counted_takes_one_of_the_places(first: str, second: str) -> None:
    held = Held()
    settings = ollama(32_768, max_exchanges=1)
    async with virtual_house(settings, vocabularies={"llama3": held}, a=FakeUpstream(hello)) as house:
        client = Client(house.connect())
        long = [{"role": "user", "content": WORD * 20_000}]
        await client.post({"messages": long, "stream": first == "stream"}, path=PATHS[first])
        with trio.fail_after(10):
            await held.begun.wait()
        status, error = await ask(house, path=PATHS[second], stream=second == "stream")
        held.release.set()
        assert (status, error["error"]["type"]) == (529, "overloaded_error")
        assert await client.head() == 200
        await client.body()
        assert (await ask(house, path=PATHS[second]))[0] == 200


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_that_cannot_be_weighed_gives_its_place_back(
    autojump_clock: Clock, path: str
) -> None:
    same = {"name": "same", "input_schema": {"type": "object"}}
    async with virtual_house(settings_for("a", max_exchanges=1), a=FakeUpstream(hello)) as house:
        status, _ = await ask(house, path=PATHS[path], stream=path == "stream", tools=[same, same])
        assert status == 400
        assert (await ask(house, path=PATHS[path]))[0] == 200


# -- scaled usage --------------------------------------------------------------------------------------

USED = (
    '{"choices":[],"usage":{"prompt_tokens":64000,"completion_tokens":640,'
    '"prompt_tokens_details":{"cached_tokens":48000}}}'
)


async def used(answer: FakeAnswer) -> None:
    await answer.text("hello")
    await answer.data('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    await answer.data(USED)
    await answer.data("[DONE]")


def scaled(wish: bool | int) -> Settings:
    """Two providers, the fallback with the smaller window."""
    settings = settings_for("a", "b", scale_usage_to_window=wish)
    first, second = settings.providers
    return msgspec.structs.replace(
        settings,
        providers=(
            msgspec.structs.replace(first, context_window=400_000),
            msgspec.structs.replace(second, context_window=128_000),
        ),
    )


def parts(usage: dict[str, int]) -> tuple[int, int, int, int]:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    one, two, three, four = (usage[name] for name in names)
    return one, two, three, four


@pytest.mark.parametrize(
    ("wish", "betas", "told", "factor"),
    [
        (False, "", (16_000, 48_000, 0, 640), 1.0),
        (True, "", (25_000, 75_000, 0, 1_000), 1.5625),
        (True, "context-1m-2025-08-07", (125_000, 375_000, 0, 5_000), 7.8125),
        (64_000, "context-1m-2025-08-07", (8_000, 24_000, 0, 320), 0.5),
    ],
)
async def test_usage_is_told_scaled_and_booked_as_it_was(
    autojump_clock: Clock, wish: bool | int, betas: str, told: tuple[int, ...], factor: float
) -> None:
    async with virtual_house(scaled(wish), a=FakeUpstream(used), b=FakeUpstream(down)) as house:
        _, message = await ask(house, betas=betas)
        assert parts(message["usage"]) == told
        client = Client(house.connect())
        await client.post({"stream": True, "messages": [{"role": "user", "content": "x" * 42_000}]},
                          **{"anthropic-beta": betas})  # fmt: skip
        await client.head()
        events = [
            json.loads(line.removeprefix("data: "))
            for line in (await client.body()).decode().splitlines()
            if line.startswith("data: ")
        ]
    start, delta = events[0], next(event for event in events if event["type"] == "message_delta")
    assert start["message"]["usage"]["input_tokens"] == int(10_004 * factor)
    assert parts(delta["usage"]) == told
    for entry in [entry for entry in house.journal if isinstance(entry, ExchangeEnded)]:
        assert (entry.input_tokens, entry.output_tokens, entry.scale) == (64_000, 640, factor)


async def test_counts_and_local_answers_are_scaled_too(autojump_clock: Clock) -> None:
    async with virtual_house(scaled(True), a=FakeUpstream(down), b=FakeUpstream(down)) as house:
        assert await count(house, "x" * 42_000) == int(10_004 * 1.5625)
        _, message = await ask(house, max_tokens=0, messages=[{"role": "user", "content": "x" * 42_000}])
        assert message["usage"]["input_tokens"] == int(10_004 * 1.5625)


@pytest.mark.parametrize(("wish", "times"), [(False, 0), (True, 1)])
async def test_the_scale_is_said_once_at_the_start(autojump_clock: Clock, times: int, *, wish: bool) -> None:
    async with virtual_house(scaled(wish), a=FakeUpstream(used), b=FakeUpstream(down)) as house:
        await ask(house)
        await ask(house)
    notes = [e.text for e in house.journal if isinstance(e, Note) and e.event == "usage.scaled"]
    assert len(notes) == times
    assert all("big ×1.56 (smallest window 128,000)" in note for note in notes)
