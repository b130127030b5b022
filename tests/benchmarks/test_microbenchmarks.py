"""The microbenchmarks time what they say, over requests and answers that are what they say."""

import json
from itertools import count
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import UNSET

from benchmarks import ask, sse, translate
from benchmarks.timing import BATCH_WITHIN, line, spread, timed, timed_async
from ccproxy_trio.translate.profiles import PROFILES
from ccproxy_trio.wire.anthropic import decode_request


def test_a_line_through_points_on_a_line_is_that_line() -> None:
    found = line([(10, 70 + 3 * 10), (100, 70 + 3 * 100), (1000, 70 + 3 * 1000)])
    assert found.fixed_us == pytest.approx(70)
    assert found.slope_us == pytest.approx(3)
    assert found.bend == pytest.approx(1)


def test_small_points_count_as_much_as_large_ones() -> None:
    """A tenth more at the large end would otherwise push the line below zero at the small one."""
    assert line([(10, 100), (100, 1000), (1000, 11_000)]).fixed_us > -10


def test_what_grows_with_the_square_bends() -> None:
    assert line([(size, size**2) for size in (10, 100, 1000)]).bend == pytest.approx(10)


def test_growth_that_is_lost_in_the_noise_has_no_bend() -> None:
    assert line([(10, 51), (100, 50), (1000, 55)]).bend is None


def test_a_spread_is_the_middle_half_of_the_batches() -> None:
    found = spread([9.0, 1.0, 5.0, 3.0, 7.0], calls_a_batch=4)
    assert (found.low_us, found.us, found.high_us) == (3, 5, 7)
    assert (found.batches, found.calls_a_batch) == (5, 4)


def test_what_is_quick_is_called_often_in_each_batch() -> None:
    calls = count()
    found = timed(lambda: next(calls), batches=3)
    assert found.batches == 3
    assert found.calls_a_batch * found.us / 1e6 > BATCH_WITHIN / 10
    assert next(calls) > 3 * found.calls_a_batch


async def test_what_is_awaited_is_timed_alike() -> None:
    calls = count()

    async def work() -> None:
        next(calls)

    found = await timed_async(work, batches=2)
    assert found.batches == 2
    assert next(calls) > 2 * found.calls_a_batch


@pytest.mark.parametrize("size", [10_000, 100_000])
def test_a_history_is_as_large_as_it_should_be_and_a_request(size: int) -> None:
    body = translate.with_history(size)
    assert size <= len(body) < size * 1.1
    assert len(decode_request(body).messages) > 10


def test_every_profile_that_translates_in_its_own_way_is_timed() -> None:
    plain = PROFILES["generic"]
    own = {name for name, switches in PROFILES.items() if switches != plain and switches.wire == UNSET}
    assert set(translate.NAMES) == own | {"generic"}


def test_what_is_timed_as_all_of_it_ends_in_the_body_that_is_sent() -> None:
    whole = translate.stages(translate.with_tools(2))[translate.ALL]()
    assert isinstance(whole, bytes)
    sent = msgspec.json.decode(whole)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Tool0", "Tool1"]


def test_requests_are_timed_at_every_size_and_stage(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    args = ["--batches", "1", "--largest", "1000", "--json", str(path)]
    ended = CliRunner().invoke(translate.command, args, catch_exceptions=False)
    rows = json.loads(path.read_bytes())["rows"]
    names = set(translate.stages(translate.with_tools(1)))
    assert {(row["sweep"], row["stage"]) for row in rows} == {
        (sweep, name) for sweep in (translate.HISTORY, translate.OFFERED) for name in names
    }
    assert [row["sizes"] for row in rows if row["stage"] == translate.ALL] == [[10, 100, 1000], [1, 24, 200]]
    for row in rows:
        assert row["line"]["slope_us"] > 0
        assert row["times"][0]["us"] < row["times"][-1]["us"]
    assert max(map(len, ended.output.splitlines())) <= 80
    assert "…" not in ended.output
    assert all(name in ended.output for name in names)


@pytest.mark.parametrize("kind", sse.KINDS)
@pytest.mark.parametrize("at_once", sse.AT_ONCE)
def test_the_stages_of_a_stream_together_do_what_is_timed_as_a_whole(kind: str, at_once: int) -> None:
    reads = sse.reads(kind, at_once)
    whole = sse.relayed(reads)
    shown = sse.emitted(sse.heard(sse.decoded(reads)))
    sse.checked(shown)
    assert sse.framed(shown) == whole
    assert b"message_stop" in whole[-1]
    assert sum(data.count(b"data: ") for data in reads[1:-1]) == sse.CHUNKS


@pytest.mark.parametrize("kind", sse.KINDS)
def test_every_kind_of_content_reaches_the_client(kind: str) -> None:
    sent = b"".join(sse.relayed(sse.reads(kind, 10)))
    field = {
        "text": b"text_delta",
        "tool call arguments": b"input_json_delta",
        "reasoning": b"thinking_delta",
    }
    assert sent.count(field[kind]) >= sse.CHUNKS
    assert sent.count(sse.WORD.strip().encode()) >= sse.CHUNKS


def test_streams_are_timed_in_every_kind_and_shape(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    args = ["--batches", "1", "--json", str(path)]
    ended = CliRunner().invoke(sse.command, args, catch_exceptions=False)
    rows = json.loads(path.read_bytes())["rows"]
    assert [(row["kind"], row["at_once"]) for row in rows] == [(k, n) for k in sse.KINDS for n in sse.AT_ONCE]
    # Of a busy machine no single figure is to be trusted, but their sum tells a whole from a part.
    assert sum(row["whole"]["us"] for row in rows) > sum(row["decoder"]["us"] for row in rows)
    assert all(row[stage]["us"] > 0 for row in rows for stage in ("reader", "emitter", "grammar", "encoder"))
    assert max(map(len, ended.output.splitlines())) <= 80
    assert "…" not in ended.output


def test_questions_to_the_actors_are_timed_and_cost_more_than_what_they_are_made_of(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    args = ["--batches", "9", "--json", str(path)]
    ended = CliRunner().invoke(ask.command, args, catch_exceptions=False)
    # Whatever else the machine does only adds to a time, and not to all batches.
    times = {row["step"]: row["time"]["low_us"] for row in json.loads(path.read_bytes())["rows"]}
    assert 0 < times["a bare checkpoint"] < times["ask through a reply slot"] < times["lease and settle"]
    assert times["lease and settle"] < times["choice, lease and settle"]
    assert max(map(len, ended.output.splitlines())) <= 80
    assert "…" not in ended.output
