"""Exact counts: equal to the ordinary encoder's, whatever the text and however it is cut."""

import builtins
import functools
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from splintr import AnyTokenizer, Tokenizer

from ccproxy_trio.counting import vocabulary
from ccproxy_trio.counting.vocabulary import Splintr, load
from ccproxy_trio.translate.vocabularies import VOCABULARIES

ROOT = Path(__file__).parents[2]
NAMES = sorted({rule.vocabulary for rule in VOCABULARIES if rule.vocabulary is not None})
# SentencePiece matches the symbols that it was given (`<table>`, `<s>`, runs of line ends) in any text, and
# so does Gemini; only the batch encoder does it here.
GEMMA = ("gemma2", "gemma3")
SPELLED = ["<|endoftext|>", "<|im_start|>", "[INST]", "<bos>", "<s>", "</s>", "<think>", "<|eot_id|>"]

# What pre-tokenisers treat in ways of their own, and the ends and beginnings of what they keep together.
ATOMS = [
    *("\n", "\r\n", "\n\n", " ", "  ", "\t", "\u00a0", "\u2028"),
    *("a", "B", "the", " the", "'s", "'S", "1", "12", "_", "é", "日", "ß", "\u0301", "😀"),
    *(".", "//", "*/", "-", "--", "<", "<|", "|>", "{", '"', *SPELLED),
]
TEXTS = st.one_of(st.lists(st.sampled_from(ATOMS), max_size=60).map("".join), st.text(max_size=80))


@functools.cache
def tokenizer_of(name: str) -> AnyTokenizer:
    return Tokenizer.from_pretrained(name)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are cut at most of their seams: a seam and what shows it are up to three characters."""
    monkeypatch.setattr(vocabulary, "PIECE", 3)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in GEMMA])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, max_size=4))
@example(texts=["a b\nc d <|endoftext|> e f"])
def test_cutting_changes_no_count(name: str, texts: list[str]) -> None:
    ordinary = tokenizer_of(name).encode_ordinary
    assert Splintr(tokenizer_of(name)).count(texts) == sum(len(ordinary(text)) for text in texts)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", GEMMA)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_cutting_changes_no_count_of_sentencepiece(name: str, text: str) -> None:
    assume(not any(token in text for token in tokenizer_of(name).special_tokens()))
    ids, _ = tokenizer_of(name).encode_batch_flat([text])
    assert Splintr(tokenizer_of(name)).count([text]) == len(ids) // 4


@pytest.mark.usefixtures("everywhere")
def test_texts_are_cut_and_nothing_is_lost() -> None:
    pieces = list(vocabulary._pieces(["def f():\n    return a b c\nx", "日" * 9]))
    assert "".join(pieces) == "def f():\n    return a b c\nx" + "日" * 9
    assert len(pieces) >= 4


def test_the_sources_of_this_project_count_as_with_the_ordinary_encoder() -> None:
    tokenizer = tokenizer_of("o200k_base")
    files = [path.read_text() for path in sorted(ROOT.rglob("*.py")) if ".git" not in path.parts]
    assert len(files) > 100
    assert max(map(len, files)) > vocabulary.PIECE  # some are cut
    expected = sum(len(tokenizer.encode_ordinary(text)) for text in files)
    assert Splintr(tokenizer).count(files) == expected


def test_a_special_token_in_a_text_is_text() -> None:
    tokenizer = tokenizer_of("o200k_base")
    assert len(tokenizer.encode("<|endoftext|>")) == 1
    assert Splintr(tokenizer).count(["<|endoftext|>"]) == len(tokenizer.encode_ordinary("<|endoftext|>")) > 5


def test_a_special_token_is_found_across_the_steps_of_the_search() -> None:
    tokenizer = tokenizer_of("o200k_base")
    for before in range(vocabulary.PIECE - 15, vocabulary.PIECE + 2):
        text = "-" * before + "<|endoftext|>" + "-" * 10
        assert Splintr(tokenizer).count([text]) == len(tokenizer.encode_ordinary(text))


def test_json_is_counted_as_it_came() -> None:
    counted = Splintr(tokenizer_of("o200k_base"))
    assert counted.count([Raw('{"a": "日本"}'.encode()), Raw(b"")]) == counted.count(['{"a": "日本"}'])
    assert counted.count([]) == 0


@pytest.mark.parametrize("body", [rb'["\ud800"]', b'["\xed\xa0\x80"]'])
def test_no_lone_surrogate_gets_this_far(body: bytes) -> None:
    """The tokeniser would raise."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        msgspec.json.decode(body)


def test_a_long_count_lets_others_run() -> None:
    """Eight megabytes without a seam take a good part of a second."""
    text = "日本" * 1_300_000

    async def longest_pause() -> tuple[float, float]:
        worst = 0.0
        done = trio.Event()
        counting = Splintr(tokenizer_of("o200k_base"))
        began = time.perf_counter()

        async def count() -> None:
            await trio.to_thread.run_sync(counting.count, [text])
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            while not done.is_set():
                before = time.perf_counter()
                await trio.sleep(0.001)
                worst = max(worst, time.perf_counter() - before)
        return worst, time.perf_counter() - began

    worst, whole = trio.run(longest_pause)
    assert worst < whole / 3, (worst, whole)


async def test_only_what_is_needed_is_loaded() -> None:
    assert await load([]) == {}
    loaded = await load(["o200k_base", "o200k_base"])
    assert list(loaded) == ["o200k_base"]
    assert loaded["o200k_base"].count(["hello world"]) == 2


async def test_the_first_count_of_a_request_is_as_quick_as_any() -> None:
    """What is built at the first use takes longer than a stream may pause."""
    loaded = await load(["glm4"])
    began = time.perf_counter()
    loaded["glm4"].count(["hello wqxzvyorld"])
    assert time.perf_counter() - began < 0.03


async def test_without_the_extra_there_are_no_vocabularies(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = []
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "splintr":
            asked_for.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "splintr")
    monkeypatch.setattr(builtins, "__import__", absent)
    assert await load(["o200k_base"]) == {}
    assert asked_for
