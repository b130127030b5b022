"""What is printed: rows, timeline, strips, summary, JSON; colours only where they belong."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.text import Text

from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.settings.load import Loaded
from ccproxy_trio.simulation import report, strip
from ccproxy_trio.simulation.rehearsal import Outcome
from ccproxy_trio.simulation.rows import MOST_ROWS, rows_of
from ccproxy_trio.simulation.strip import Span, State, cells
from ccproxy_trio.simulation.timeline import MOST_LINES, moments, ranges, timeline
from tests.simulation.rehearsing import rehearsed, settings_of, simulate, written

PALETTE = Palette(["first", "second"], None)


def _lines(outcome: Outcome, *names: str) -> list[str]:
    loaded = Loaded(settings=settings_of(*names), source="a test's")
    told = report.lines(outcome, loaded, PALETTE, sign_of=strip.signs(), width=20)
    return [line.plain for line in told]


def _part(lines: list[str], title: str) -> list[str]:
    start = lines.index(title) + 1
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    return lines[start:end]


def test_neighbours_that_met_the_same_share_a_row() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=6s@4s:500", lasts=16.0)
    assert _part(_lines(outcome, "first", "second"), "Requests") == [
        "request  sent at       tries  first content  took   what it met",
        "#1-2     0 s to 2 s    1      500 ms         1 s    first ✓",
        "#3-5     4 s to 8 s    2      700 ms         1.2 s  first server error (HTTP 500) → second ✓",
        "#6-8     10 s to 14 s  1      500 ms         1 s    second ✓",
    ]


def test_rows_that_would_be_too_many_are_put_together_wherever_they_are() -> None:
    settings = settings_of("first", "second")
    breaker = replace(settings.circuit_breaker, failure_threshold=1000, minimum_requests=0)
    settings = replace(settings, circuit_breaker=breaker)
    outcome = rehearsed(settings, "first=forever@0:flap=500", lasts=4.0 * MOST_ROWS)
    rows = rows_of(outcome.visits)
    assert [len(row.visits) for row in rows] == [MOST_ROWS, MOST_ROWS]
    assert f"{MOST_ROWS} of #1-{2 * MOST_ROWS - 1}" in _lines(outcome, "first", "second")[8]


def test_a_failed_request_ends_in_what_it_was_told() -> None:
    outcome = rehearsed(settings_of("first", patience=0.0), "first=1m@0:401", lasts=1.0)
    lines = _lines(outcome, "first")
    assert _part(lines, "Requests")[1].endswith("first key rejected (HTTP 401) → told 502")
    assert "❌ #1 would have read: 502 No provider could answer: first rejected its key (HTTP 401)." in lines


def test_the_timeline_tells_what_repeats_once_until_something_changes() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=30s@4s:500", lasts=30.0)
    assert _part(_lines(outcome, "first", "second"), "Timeline") == [
        "     4.00 s  -- [first] out of order from here on: 500",
        "     4.20 s  ⚠️  #3-4 fall over: [first] → [second] · server error (HTTP 500) (2 times until 6.20 s)",
        "     8.20 s  ❌ [first] Circuit open: 3 failures in a row; next trial in 20 s",
        "     8.20 s  ⚠️  #5 falls over: [first] → [second] · server error (HTTP 500)",
    ]


def test_a_timeline_without_end_is_cut_and_says_so() -> None:
    settings = settings_of("first", "second", health_check_interval=0.0)
    breaker = replace(settings.circuit_breaker, failure_threshold=1, recovery_timeout=1.0)
    settings = replace(settings, circuit_breaker=replace(breaker, max_recovery_timeout=1.0))
    outcome = rehearsed(settings, "first=forever@0:500", lasts=200.0)
    lines = [line.plain for line in timeline(outcome, PALETTE)]
    assert len(lines) == MOST_LINES + 1
    assert lines[-1].strip() == f"... and {len(moments(outcome)) - MOST_LINES} more (--json has them all)"


def test_an_outage_stands_before_what_it_causes() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=5s@4.6s", lasts=10.0)
    told = _part(_lines(outcome, "first", "second"), "Timeline")
    assert "out of order from here on: refused" in told[0]
    assert "broke off: first failed (connection lost). Claude Code asks again." in told[1]
    assert told[1].startswith("     4.60 s")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([4], "#4"),
        ([4, 5, 6], "#4-6"),
        ([6, 4, 8, 5], "#4-6, #8"),
        ([1, 3, 5, 7, 9], "#1, #3, #5 and 2 more"),
    ],
)
def test_numbers_are_told_in_stretches(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_the_strips_show_states_and_outages_over_time() -> None:
    # Twenty cells of two seconds. The third failure at 8.2 s opens the circuit, its trial begins at 30 s.
    outcome = rehearsed(settings_of("first", "second"), "first=6s@4s:500", every=2.0, lasts=40.0)
    assert outcome.ended_at == 40.0
    assert _part(_lines(outcome, "first", "second"), "Providers") == [
        "first         ==!!###########?====",
        "out of order    xxx",
        "second        ..=============.....",
        "              0         20s    40s",
        "              . ready  = answering  ! failing  ~ resting  # circuit open  ? trial",
    ]


def test_in_a_stretch_the_more_serious_state_is_shown_and_a_short_one_not_lost() -> None:
    found = [
        Span(0.0, 10.0, State.ANSWERING),
        Span(2.0, 4.0, State.OPEN),
        Span(4.0, 4.0, State.TRIAL),
        Span(6.0, 7.0, State.RESTING),
    ]
    shown = cells(found, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
    assert shown == [State.ANSWERING, State.OPEN, State.TRIAL, State.RESTING, State.ANSWERING, State.READY]


def test_the_summary_says_how_it_went_in_words() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=6s@4s:500", lasts=60.0)
    told = _part(_lines(outcome, "first", "second"), "Summary")
    assert told == [
        "✅ 30 requests in 1m of virtual time: all of them were answered.",
        "ℹ️  3 of them met failures, and their users saw nothing of it but the wait.",
        "ℹ️  The longest wait for content was 700 ms (#3, sent at 4 s); the shortest was 500 ms.",
        "ℹ️  Answered by [first] 17 (57%), [second] 13 (43%).",
        "ℹ️  [first] was in order again at 10 s and asked again at 30 s, 20 s later.",
    ]


def test_the_summary_says_when_nobody_could_stand_in_or_nothing_was_touched() -> None:
    outcome = rehearsed(settings_of("first", patience=0.0), "first=5s@4s", lasts=10.0)
    assert "ℹ️  first is the only provider of the tier big: nobody can stand in for it." in _lines(
        outcome, "first"
    )
    settings = settings_of("first", "second")
    first, second = settings.providers
    small = replace(second, models=type(second.models)(small=("m",)))
    outcome = rehearsed(replace(settings, providers=(first, small)), "second=5s@4s", lasts=10.0)
    loaded = Loaded(settings=replace(settings, providers=(first, small)), source="a test's")
    told = [line.plain for line in report.lines(outcome, loaded, PALETTE, sign_of=strip.signs(), width=20)]
    assert "ℹ️  second has no model of the tier big, so its outage touched no request." in told


def test_who_is_still_left_out_at_the_end_is_named() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=6s@4s:quota", lasts=30.0)
    assert (
        "ℹ️  [first] was in order again at 10 s and not asked again by the end; "
        "a longer --for shows when it is." in _lines(outcome, "first", "second")
    )


def test_json_has_every_request_and_every_event(tmp_path: Path) -> None:
    config = written(tmp_path, "first", "second")
    ended = simulate("--config", config, "--outage", "first=6s@4s:500", "--for", "20s", "--json")
    told: dict[str, Any] = json.loads(ended.stdout)
    assert ended.exit_code == 0
    assert told["all_answered"] is True
    assert told["outages"] == [{"provider": "first", "begins_at": 4.0, "lasts": 6.0, "kind": "500"}]
    assert len(told["requests"]) == 10
    third = told["requests"][2]
    assert (third["number"], third["sent_at"], third["provider"]) == (3, 4.0, "second")
    assert [attempt["outcome"] for attempt in third["tries"]] == ["server_error", "ok"]
    assert third["tries"][1]["began_at"] == 4.2
    names = [event["event"] for event in told["events"]]
    assert names == ["OutageBegan", "FellOver", "FellOver", "FellOver", "OutageEnded"]
    assert all(event["at"] == round(event["at"], 6) for event in told["events"])


def test_an_endless_outage_has_no_length_in_json(tmp_path: Path) -> None:
    config = written(tmp_path, "first", "second")
    ended = simulate("--config", config, "--outage", "first=forever@4s", "--for", "20s", "--json")
    assert json.loads(ended.stdout)["outages"][0]["lasts"] is None


def test_colours_are_for_terminals_and_signs_for_files(tmp_path: Path) -> None:
    config = written(tmp_path, "first", "second")
    arguments = ("--config", config, "--outage", "first=1m@4s:500")
    plain = simulate(*arguments).stdout
    assert "\x1b" not in plain
    assert "█" not in plain
    assert re.search(r"^first +=+[!#?]", plain, re.MULTILINE)
    coloured = simulate(*arguments, NO_COLOR=None, FORCE_COLOR="3").stdout
    assert "█" in coloured
    assert "\x1b[31m█" in coloured  # red: its circuit is open
    without = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert without.splitlines()[:8] == plain.splitlines()[:8]


def test_every_line_is_a_line_of_text() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=6s@4s:500", lasts=20.0)
    loaded = Loaded(settings=settings_of("first", "second"), source="a\nb", notes=("c\x1b[31m",))
    for line in report.lines(outcome, loaded, PALETTE, sign_of=strip.signs(), width=20):
        assert isinstance(line, Text)
        assert "\n" not in line.plain
        assert "\x1b" not in line.plain
        assert io.StringIO(line.plain).read() == line.plain.rstrip()
