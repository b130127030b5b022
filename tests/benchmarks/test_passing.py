"""What the benchmark of passing on times is what it says, and passing on costs a part of translating."""

import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import passing, sse, translate
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.wire.anthropic import decode_request


@pytest.mark.parametrize("kind", passing.KINDS)
@pytest.mark.parametrize("at_once", sse.AT_ONCE)
def test_what_is_timed_passes_the_whole_answer_on(kind: str, at_once: int) -> None:
    reads = passing.reads(kind, at_once)
    sent = b"".join(passing.relayed(reads))
    assert sent == b"".join(reads).replace(passing.THEIR_MODEL.encode(), b"claude-opus-4-8")
    assert sent.count(b"event: content_block_delta") == sse.CHUNKS


@pytest.mark.parametrize("kind", passing.KINDS)
def test_both_ways_bring_the_same_content(kind: str) -> None:
    passed = b"".join(passing.relayed(passing.reads(kind, 10)))
    translated = b"".join(sse.relayed(sse.reads(kind, 10)))
    said = b'"' + sse.WORD.encode()
    assert passed.count(said) == sse.CHUNKS
    assert translated.count(said) in (sse.CHUNKS, sse.CHUNKS + 1)  # text that ends the reasoning


def test_a_request_that_is_passed_on_keeps_its_bytes_but_for_the_model() -> None:
    body = translate.with_history(20_000)
    asked = Asked(request=decode_request(body), body=body)
    sent = passing.asks(asked, passing.target_of("anthropic"))
    assert json.loads(sent) == json.loads(body) | {"model": translate.MODEL}
    assert "messages" in json.loads(passing.asks(asked, passing.target_of("generic")))


def test_every_answer_and_request_is_timed_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    args = ["--turns", "1", "--json", str(path)]
    ended = CliRunner().invoke(passing.command, args, catch_exceptions=False)
    rows = json.loads(path.read_bytes())["rows"]
    assert len(rows) == len(passing.KINDS) * len(sse.AT_ONCE) + len(passing.HISTORIES_KB)
    assert {row["what"] for row in rows} == {*passing.KINDS, "request"}
    assert max(map(len, ended.output.splitlines())) <= 80
    assert "…" not in ended.output


@pytest.mark.parametrize(
    ("at_once", "most"),
    # With room for a busy machine, and far below what looking into every event would take.
    [(100, 0.35), (1, 0.55)],
)
def test_passing_an_answer_on_costs_a_small_part_of_translating_it(at_once: int, most: float) -> None:
    passed = partial(passing.relayed, passing.reads("text", at_once))
    translated = partial(sse.relayed, sse.reads("text", at_once))
    assert ratio(passed, translated) < most


def test_passing_a_request_on_costs_a_small_part_of_translating_it() -> None:
    body = translate.with_history(100_000)
    asked = Asked(request=decode_request(body), body=body)
    passed, translated = (
        partial(passing.asks, asked, passing.target_of(name)) for name in ("anthropic", "generic")
    )
    assert ratio(passed, translated) < 0.35


def ratio(passed: passing.Work, translated: passing.Work) -> float:
    return passing.in_turns(passed, translated, what="x", shape="y", turns=9).ratio
