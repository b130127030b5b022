"""Who is counted for, with what, and where the work is done."""

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio

from ccproxy_trio.counting.sizes import Counting, Seat, seats_of, vocabularies_needed
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.scale import UNSCALED, Scale
from ccproxy_trio.translate.state import ReplayState, seal
from ccproxy_trio.translate.tokens import Text
from ccproxy_trio.wire.anthropic import CountRequest, Message, decode_count
from ccproxy_trio.wire.faults import RequestRefused
from tests.translate.asking import assistant, tool, user

SMALL, LARGE = 1_000, 40_000_000  # bytes of a body: one below every threshold, one above


class PerWord:
    """A vocabulary that has every word. Remembers which thread each of its counts was made in."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def count(self, texts: Sequence[Text]) -> int:
        self.threads.append(threading.get_ident())
        return sum(len(text.split()) if isinstance(text, str) else 1 for text in texts)


def seat(name: str = "a", **fields: Any) -> Seat:
    return Seat(**({"candidate": Candidate(name, "m"), "dialect": Dialect(), "vocabulary": "words"} | fields))


def counting(*seats: Seat, **fields: Any) -> Counting:
    known: dict[str, Any] = {"vocabularies": {"words": PerWord()}}
    return Counting({"big": seats, "middle": (), "small": ()}, **(known | fields))


def asked(*messages: dict[str, Any], **fields: Any) -> CountRequest:
    return decode_count(json.dumps({"model": "m", "messages": messages, **fields}).encode())


FOUR_WORDS = asked(user("one two three four"))  # 18 bytes: 5 tokens by bytes
BOTH = pytest.mark.parametrize("body_bytes", [SMALL, LARGE])


@BOTH
async def test_tokens_are_counted_with_the_first_candidates_vocabulary(body_bytes: int) -> None:
    first = counting(seat(), seat("b", vocabulary=None))
    assert await first.count(FOUR_WORDS, "big", body_bytes=body_bytes) == 4 + 4
    second = counting(seat(vocabulary=None), seat("b"))
    assert await second.count(FOUR_WORDS, "big", body_bytes=body_bytes) == 5 + 4


async def test_where_the_vocabulary_is_not_at_hand_tokens_are_estimated() -> None:
    for poor in (counting(seat(), vocabularies=None), counting(seat(vocabulary="other")), counting()):
        assert await poor.count(FOUR_WORDS, "big", body_bytes=SMALL) == 5 + 4


@BOTH
async def test_a_request_that_cannot_be_weighed_is_refused(body_bytes: int) -> None:
    with pytest.raises(RequestRefused, match="unique"):
        await counting(seat()).count(asked(tools=[tool(), tool()]), "big", body_bytes=body_bytes)


@pytest.mark.parametrize(("body_bytes", "elsewhere"), [(32_000, False), (32_001, True)])
async def test_a_long_count_leaves_the_event_loop(body_bytes: int, *, elsewhere: bool) -> None:
    words = PerWord()
    sizes = counting(seat(), vocabularies={"words": words})
    await sizes.count(FOUR_WORDS, "big", body_bytes=body_bytes)
    assert [thread != threading.get_ident() for thread in words.threads] == [elsewhere]


class Watched(tuple[Message, ...]):
    """Messages that remember which threads they were read in."""

    def __new__(cls, messages: Sequence[Message]) -> "Watched":
        made = super().__new__(cls, messages)
        made.threads = set()
        return made

    threads: set[int]

    def __iter__(self) -> Iterator[Message]:
        self.threads.add(threading.get_ident())
        return super().__iter__()


@pytest.mark.parametrize(("body_bytes", "elsewhere"), [(500_000, False), (500_001, True)])
async def test_a_large_body_is_weighed_off_the_event_loop(body_bytes: int, *, elsewhere: bool) -> None:
    messages = Watched(FOUR_WORDS.messages)
    request = CountRequest(model="m", messages=messages)
    sized = await counting(seat()).size(request, "big", body_bytes=body_bytes, betas="")
    assert sized.prompt.tokens == 9
    assert [thread != threading.get_ident() for thread in messages.threads] == [elsewhere]


async def test_a_client_that_leaves_does_not_wait_for_its_count() -> None:
    release = threading.Event()

    class Slow(PerWord):
        def count(self, texts: Sequence[Text]) -> int:
            release.wait(30)
            return super().count(texts)

    sizes = counting(seat(), vocabularies={"words": Slow()})
    with trio.move_on_after(0.05) as patience:
        await sizes.count(FOUR_WORDS, "big", body_bytes=LARGE)
    release.set()
    assert patience.cancelled_caught


# -- near a window -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "silent", "counted"),
    [
        (None, False, False),
        (11, False, False),  # the estimate is 9
        (10, False, True),
        (5, False, True),
        (21, True, False),
        (20, True, True),
    ],
)
async def test_tokens_are_counted_exactly_only_where_a_window_is_near(
    window: int | None, *, silent: bool, counted: bool
) -> None:
    sizes = counting(seat(window=window, is_silent=silent))
    sized = await sizes.size(FOUR_WORDS, "big", body_bytes=SMALL, betas="")
    assert sized.prompt.exact == ({Candidate("a", "m"): 8} if counted else {})
    assert sized.prompt.tokens == 9


@BOTH
async def test_candidates_of_one_vocabulary_who_see_the_same_share_one_count(body_bytes: int) -> None:
    words, others = PerWord(), PerWord()
    seats = (
        seat(window=5),
        seat("b", window=6),
        seat("c", window=7, vocabulary="other"),
        seat("d", window=8),
    )
    sizes = counting(*seats, vocabularies={"words": words, "other": others})
    sized = await sizes.size(FOUR_WORDS, "big", body_bytes=body_bytes, betas="")
    assert sized.prompt.exact == {Candidate(name, "m"): 8 for name in "abcd"}
    assert (len(words.threads), len(others.threads)) == (1, 1)


async def test_who_sees_more_of_the_prompt_is_counted_for_by_himself() -> None:
    words = PerWord()
    thinking = Dialect(replay="reasoning_content")
    seats = (seat(window=5, dialect=thinking), seat("b", window=5, dialect=thinking), seat("c", window=5))
    thought = {"type": "thinking", "thinking": "deep " * 100, "signature": seal(ReplayState("a", "m"))}
    request = asked(user("hi"), assistant(thought), user("go"))
    sizes = counting(*seats, vocabularies={"words": words})
    sized = await sizes.size(request, "big", body_bytes=SMALL, betas="")
    assert list(sized.prompt.exact.values()) == [114, 14, 14]
    assert len(words.threads) == 2


async def test_without_a_vocabulary_there_is_only_the_estimate() -> None:
    sized = await counting(seat(window=5, vocabulary=None)).size(
        FOUR_WORDS, "big", body_bytes=SMALL, betas=""
    )
    assert sized.prompt.exact == {}


async def test_media_are_told_apart_since_they_are_guesses() -> None:
    photo = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    sized = await counting(seat(window=5)).size(asked(user(photo)), "big", body_bytes=SMALL, betas="")
    assert (sized.prompt.tokens, sized.prompt.media) == (1604, 1600)
    assert sized.prompt.exact == {Candidate("a", "m"): 1604}


async def test_thinking_counts_for_those_who_are_sent_it_again() -> None:
    signature = seal(ReplayState("a", "m"))
    request = asked(
        user("hi"),
        assistant({"type": "thinking", "thinking": "deep " * 100, "signature": signature}),
        user("go"),
    )
    for dialect, extra in ((Dialect(replay="reasoning_content"), 100), (Dialect(), 0)):
        assert await counting(seat(dialect=dialect)).count(request, "big", body_bytes=SMALL) == 14 + extra
    other = seat("b", dialect=Dialect(replay="reasoning_content"))  # not the one who thought it
    assert await counting(other).count(request, "big", body_bytes=SMALL) == 14


# -- scale ---------------------------------------------------------------------------------------------


def test_the_scale_is_that_of_the_smallest_window_of_the_tier() -> None:
    seats = (seat(window=400_000), seat("b", window=100_000), seat("c"))
    sizes = counting(*seats, wish=True)
    assert sizes.scale("big", "") == Scale(200_000, 100_000)
    assert sizes.scale("big", "context-1m-2025-08-07") == Scale(1_000_000, 100_000)
    assert sizes.scale("small", "") == UNSCALED
    assert counting(*seats, wish=150_000).scale("big", "context-1m-2025-08-07") == Scale(150_000, 100_000)
    assert counting(*seats).scale("big", "") == UNSCALED


def test_a_tiers_smallest_window_is_looked_for_once() -> None:
    class Row(tuple[Seat, ...]):
        looks = 0

        def __iter__(self) -> Iterator[Seat]:
            Row.looks += 1
            return super().__iter__()

    sizes = Counting({"big": Row((seat(window=100_000),)), "middle": (), "small": ()}, wish=True)
    assert [sizes.scale("big", "").factor for _ in range(3)] == [2, 2, 2]
    assert Row.looks == 1


def test_the_scale_is_announced_where_there_is_one() -> None:
    assert counting(seat(window=100_000)).announcement() == ""
    told = counting(seat(window=128_000), wish=True).announcement()
    assert told.endswith(
        "big ×1.56 (smallest window 128,000), middle ×1 (no window known), small ×1 (no window known)"
    )


# -- who sits where ------------------------------------------------------------------------------------


def provider(name: str, url: str, models: tuple[str, ...], **fields: Any) -> ProviderSettings:
    return ProviderSettings(name=name, api_key=Secret("k"), base_url=url, models=Models(big=models), **fields)


def test_seats_are_in_routing_order_with_what_is_known_of_each() -> None:
    settings = Settings(
        providers=(
            provider("cloud", "https://api.openai.com/v1", ("gpt-4o", "gpt-9"), priority=2),
            provider("home", "http://127.0.0.1:11434/v1", ("llama3.2",), context_window=8192),
            provider("off", "https://api.openai.com/v1", ("gpt-4",), enabled=False),
        )
    )
    dialects = {
        each.name: {model: resolve(each, model) for model in each.all_models()} for each in settings.enabled()
    }
    seats = seats_of(settings, dialects)
    assert [
        (each.candidate.model, each.window, each.is_silent, each.vocabulary) for each in seats["big"]
    ] == [
        ("llama3.2", 8192, True, "llama3"),
        ("gpt-4o", 128_000, False, "o200k_base"),
        ("gpt-9", None, False, None),
    ]
    assert seats["small"] == []
    assert vocabularies_needed(seats) == {"llama3", "o200k_base"}
    sizes = Counting(seats)
    home, cloud = Candidate("home", "llama3.2"), Candidate("cloud", "gpt-4o")
    assert sizes.windows() == {home: 8192, cloud: 128_000}
    assert sizes.silent() == {home}
