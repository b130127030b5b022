"""What a rehearsal tells of a configuration is what its settings say."""

import time
from itertools import pairwise

import pytest
from msgspec.structs import replace

from ccproxy_trio.journal import Cooling, Note, Probed
from ccproxy_trio.settings.model import Models
from ccproxy_trio.simulation.provider import Pace
from ccproxy_trio.simulation.rehearsal import Scenario
from tests.simulation.rehearsing import BREAKER, met, moves, rehearsed, settings_of, told


def test_a_circuit_opens_and_is_tried_at_the_instants_that_the_settings_say() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=30s@10s:500", lasts=80.0)
    # Requests every two seconds: the third failure is that of the one sent at 14 s. Then twenty seconds'
    # wait, a trial that fails, forty seconds' wait, a trial that passes with its first content.
    assert moves(outcome, "first") == [
        (14.2, "open"),
        (36.0, "half_open"),
        (36.2, "open"),
        (78.0, "half_open"),
        (78.5, "closed"),
    ]
    assert moves(outcome, "second") == []
    assert all(visit.answered for visit in outcome.visits)
    by_instant = {visit.sent_at: visit.provider for visit in outcome.visits}
    assert [by_instant[at] for at in (8.0, 10.0, 34.0, 36.0, 76.0, 78.0)] == [
        *("first", "second", "second", "second", "second", "first")
    ]
    assert {len(visit.tries) for visit in outcome.visits if 16 <= visit.sent_at < 36} == {1}


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_the_threshold_is_the_one_configured(threshold: int) -> None:
    settings = settings_of("first", "second", breaker=replace(BREAKER, failure_threshold=threshold))
    outcome = rehearsed(settings, "first=1m@0:500", every=1.0, lasts=10.0)
    assert moves(outcome, "first") == [(threshold - 1 + 0.2, "open")]


def test_a_rest_lasts_as_long_as_the_provider_asked() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=1s@4s:429=15s", lasts=40.0)
    (rest,) = [event for event in outcome.events if isinstance(event.entry, Cooling)]
    assert (round(rest.at, 6), rest.entry) == (
        4.2,
        Cooling(provider="first", model="m", reason="rate_limited", seconds=15.0),
    )
    seconds = [visit.sent_at for visit in outcome.visits if visit.provider == "second"]
    assert seconds == [4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0]


def test_a_rejected_key_opens_at_once() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=5s@4s:401", lasts=20.0)
    assert moves(outcome, "first") == [(4.2, "open")]


def test_who_is_alone_is_forced_once_a_second_and_its_user_reads_one_sentence() -> None:
    settings = settings_of("only", patience=4.0)
    outcome = rehearsed(settings, "only=forever@0", every=5.0, lasts=20.0)
    assert told(outcome) == ["No provider could answer: only unreachable."] * 4
    forced = [event.at for event in outcome.events if isinstance(event.entry, Note) and event.entry.provider]
    assert len(forced) > 3
    assert min(later - earlier for earlier, later in pairwise(forced)) >= 1.0
    assert max(visit.seconds for visit in outcome.visits) < 6.0


def test_without_panic_nobody_is_forced() -> None:
    outcome = rehearsed(settings_of("only", patience=4.0, panic="fail"), "only=forever@0", lasts=20.0)
    assert [event for event in outcome.events if isinstance(event.entry, Note)] == []
    assert len(told(outcome)) == 10


def test_claude_code_comes_again_where_the_configuration_asks_it_to() -> None:
    settings = settings_of("only", patience=2.0)
    once = rehearsed(settings, "only=20s@0", every=60.0, lasts=1.0).visits[0]
    assert (len(once.answers), once.answered, once.answers[0].status) == (1, False, 502)
    patient = replace(settings, on_exhaustion="wait")
    again = rehearsed(patient, "only=20s@0", every=60.0, lasts=1.0).visits[0]
    assert again.answered
    assert len(again.answers) > 1
    assert {answer.status for answer in again.answers[:-1]} == {529}
    assert again.seconds > 20.0


def test_claude_code_gives_up_after_ten_repetitions() -> None:
    settings = settings_of("only", patience=0.0, on_exhaustion="wait")
    (visit,) = rehearsed(settings, "only=forever@0", every=60.0, lasts=1.0).visits
    assert (len(visit.answers), visit.answered) == (11, False)
    assert visit.seconds > 150


def test_an_answer_that_broke_off_is_asked_for_once_more_as_a_whole_and_elsewhere() -> None:
    (visit,) = rehearsed(settings_of("first", "second"), "first=1m@0:dies", every=9.0, lasts=1.0).visits
    assert met(visit) == [("first", "reset"), ("second", "ok")]
    assert [(answer.how, answer.streams) for answer in visit.answers] == [
        ("midfail", True),
        ("complete", False),
    ]
    assert [attempt.part for attempt in visit.tries] == [0, 1]
    assert visit.first_content_seconds == pytest.approx(0.75 + 1.0)  # seen when all of it is there


def test_who_waits_for_the_whole_answer_never_notices_that_one_broke_off() -> None:
    outcome = rehearsed(
        settings_of("first", "second"), "first=1m@0:dies", every=9.0, lasts=1.0, streams=False
    )
    (visit,) = outcome.visits
    assert met(visit) == [("first", "reset"), ("second", "ok")]
    assert len(visit.answers) == 1


def test_sessions_take_turns_and_know_themselves() -> None:
    scenario = Scenario(outages=(), every=3.0, lasts=6.0, sessions=3)
    assert list(scenario.instants()) == [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 0, 1), (4, 1, 1), (5, 2, 1)]
    outcome = rehearsed(settings_of("only"), every=3.0, lasts=6.0, sessions=3)
    sessions = [visit.prompt.session for visit in outcome.visits]
    assert sessions[:3] == sessions[3:]
    assert len(set(sessions)) == 3


def test_the_tier_asked_for_is_the_one_served() -> None:
    settings = settings_of("first", "second")
    first, second = settings.providers
    second = replace(second, models=Models(big=("m",), small=("tiny",)))
    settings = replace(settings, providers=(first, second))
    outcome = rehearsed(settings, tier="small", every=2.0, lasts=4.0)
    assert [attempt.model for visit in outcome.visits for attempt in visit.tries] == ["tiny", "tiny"]


def test_a_provider_answers_at_its_pace() -> None:
    outcome = rehearsed(settings_of("only"), every=60.0, lasts=1.0, paces={"only": Pace(7.0, 31.0)})
    (visit,) = outcome.visits
    assert visit.first_content_seconds == pytest.approx(7.0)
    assert visit.seconds == pytest.approx(31.0)


def test_health_probes_run_as_configured() -> None:
    settings = settings_of("first", "second", health_check_interval=20.0)
    outcome = rehearsed(
        settings, "first=2m@0:500", every=300.0, lasts=100.0, paces={"second": Pace(1.0, 99.0)}
    )
    results = [
        event.entry.result
        for event in outcome.events
        if isinstance(event.entry, Probed) and event.entry.provider == "first"
    ]
    assert len(results) >= 4
    assert set(results) == {"fail"}


def test_a_hedge_is_rehearsed_too() -> None:
    settings = settings_of("first", "second")
    first, second = settings.providers
    settings = replace(settings, providers=(replace(first, hedge_after=2.0), second))
    (visit,) = rehearsed(settings, "first=1m@0:slow=20", every=60.0, lasts=1.0).visits
    assert (visit.provider, visit.first_content_seconds) == ("second", pytest.approx(2.5))
    assert met(visit) == [("first", "outrun"), ("second", "ok")]


def test_twenty_minutes_pass_in_much_less() -> None:
    began = time.monotonic()
    outcome = rehearsed(settings_of("first", "second"), "first=5m@5m", every=2.0, lasts=1200.0)
    assert len(outcome.visits) == 600
    assert outcome.ended_at >= 1200
    assert time.monotonic() - began < outcome.ended_at / 60
