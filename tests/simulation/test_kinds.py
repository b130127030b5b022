"""Every kind of outage, as requests meet it: those that begin in it, and those under way as it begins."""

from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ccproxy_trio.health.probing import ProbeVerdict
from ccproxy_trio.settings.model import PASSTHROUGH, DialectOptions, Secret, Settings
from ccproxy_trio.simulation.outage import KINDS, parse_outage
from ccproxy_trio.simulation.provider import SimulatedProvider
from ccproxy_trio.wire.faults import FaultKind
from tests.simulation.rehearsing import QUICK, met, rehearsed, settings_of

# kind -> how the first attempt of a request in the outage ends, and after how many seconds.
OUTCOMES: dict[str, tuple[str, float]] = {
    "refused": ("connect", 0.05),
    "blackhole": ("connect_timeout", 10.0),  # the default connect_timeout
    "hang": ("headers_timeout", 30.0),  # the provider's timeout
    "reset": ("reset", 0.05),
    "tls": ("tls", 0.05),
    "silent": ("content_timeout", 30.0),
    "stall": ("idle_timeout", 120.7),  # the default idle_timeout behind the fifth word
    "dies": ("reset", 0.75),
    "empty": ("empty", 1.0),
    "garbage": ("protocol", 0.2),
    "slow": ("ok", 5.0),
    "slow=100": ("content_timeout", 30.0),
    "quota": ("quota", 0.2),
    "429": ("rate_limited", 0.2),
    "400": ("bad_request", 0.2),
    "401": ("auth", 0.2),
    "402": ("quota", 0.2),
    "404": ("model_not_found", 0.2),
    "500": ("server_error", 0.2),
    "503": ("overloaded", 0.2),
    "529": ("overloaded", 0.2),
    "flap": ("connect", 0.05),
    "flap=500": ("server_error", 0.2),
}


def test_no_kind_is_left_out() -> None:
    kinds = {text.split("[")[0] for text in KINDS} - {"500, 401, ..."}
    assert kinds <= set(OUTCOMES)


def spoken_to(settings: Settings, **options: Any) -> Settings:
    """The same, its first provider with these switches."""
    first, *others = settings.providers
    return replace(settings, providers=(replace(first, options=DialectOptions(**options)), *others))


WIRES = ("chat", "responses", "anthropic")


# What becomes of a connection has nothing to do with the wire, but for where an answer breaks off.
IN_WORDS = ("stall", "dies", "empty", "slow", "quota", *(kind for kind in OUTCOMES if kind.isdigit()))
SPOKEN = [("chat", kind) for kind in OUTCOMES] + [(w, kind) for w in WIRES[1:] for kind in IN_WORDS]


@pytest.mark.parametrize(("wire", "kind"), SPOKEN)
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_a_request_meets_the_outage_as_it_is_described(kind: str, wire: str, streams: bool) -> None:
    settings = spoken_to(settings_of("first", "second"), wire=wire)
    outcome = rehearsed(settings, f"first=5m@0:{kind}", every=10.0, lasts=5.0, streams=streams)
    (visit,) = outcome.visits
    attempt = visit.tries[0]
    assert (attempt.provider, attempt.outcome) == ("first", OUTCOMES[kind][0])
    assert attempt.ended_at - attempt.began_at == pytest.approx(OUTCOMES[kind][1], abs=0.01)
    assert visit.answered is (kind != "400")  # the client's own fault is told; all else is somebody else's
    # A refused connection is tried once more at once, which is the flapping provider's good turn.
    assert visit.provider == {"slow": "first", "flap": "first", "400": None}.get(kind, "second")


@pytest.mark.parametrize("kind", OUTCOMES)
def test_only_what_takes_the_connection_away_touches_an_answer_under_way(kind: str) -> None:
    outcome = rehearsed(settings_of("only"), f"only=20s@0.7:{kind}", every=10.0, lasts=0.5)
    (visit,) = outcome.visits
    first = visit.tries[0]
    if kind == "refused":
        assert (first.outcome, first.ended_at) == ("reset", pytest.approx(0.7))
    elif kind in ("blackhole", "hang"):
        assert (first.outcome, first.ended_at) == ("ok", pytest.approx(21.0))
    else:
        assert (first.outcome, first.ended_at) == ("ok", pytest.approx(1.0))


@pytest.mark.parametrize("kind", ["hang", "blackhole"])
def test_who_waits_in_a_short_outage_is_answered_when_it_is_over(kind: str) -> None:
    outcome = rehearsed(settings_of("only"), f"only=4s@0:{kind}", every=10.0, lasts=1.0)
    assert met(outcome.visits[0]) == [("only", "ok")]
    assert outcome.visits[0].first_content_seconds == pytest.approx(4.5)


def test_a_flapping_provider_fails_every_second_request() -> None:
    outcome = rehearsed(settings_of("first", "second"), "first=8s@0:flap=500", every=2.0, lasts=12.0)
    firsts = [visit.tries[0].outcome for visit in outcome.visits]
    assert firsts == ["server_error", "ok", "server_error", "ok", "ok", "ok"]


def test_where_outages_overlap_the_one_named_first_counts() -> None:
    outages = ("first=10s@0:500", "first=20s@0:401")
    outcome = rehearsed(settings_of("first", "second"), *outages, every=10.0, lasts=11.0)
    assert [visit.tries[0].outcome for visit in outcome.visits] == ["server_error", "auth"]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("refused", "connect"),
        ("dies", "reset"),
        ("stall", "content_timeout"),
        ("empty", "empty"),
        ("slow", "ok"),
    ],
)
@pytest.mark.parametrize("wire", WIRES)
def test_a_provider_that_does_not_stream_fails_in_the_same_ways(kind: str, wire: str, outcome: str) -> None:
    settings = spoken_to(settings_of("first", "second"), wire=wire, streaming=False)
    (visit,) = rehearsed(settings, f"first=5m@0:{kind}", every=10.0, lasts=5.0).visits
    assert visit.tries[0].outcome == outcome
    assert visit.answered


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_a_provider_at_work_answers_on_its_wire(wire: str, streams: bool) -> None:
    settings = spoken_to(settings_of("only"), wire=wire)
    (visit,) = rehearsed(settings, every=10.0, lasts=5.0, streams=streams).visits
    assert met(visit) == [("only", "ok")]
    assert visit.first_content_seconds == pytest.approx(0.5 if streams else 1.0)


def test_a_subscription_first_is_rehearsed_with_a_client_that_is_logged_in() -> None:
    settings = spoken_to(settings_of("first", "second"), wire="anthropic")
    passing = replace(settings.providers[0], api_key=Secret(PASSTHROUGH))
    settings = replace(settings, providers=(passing, settings.providers[1]))
    outcome = rehearsed(settings, "first=60s@15s:429=60s", every=10.0, lasts=100.0)
    providers = [visit.provider for visit in outcome.visits]
    assert providers == ["first"] * 2 + ["second"] * 7 + ["first"]  # it rests from 20 s to 80.2 s
    tries = [attempt for visit in outcome.visits for attempt in visit.tries]
    assert sum(attempt.outcome == "rate_limited" for attempt in tries) == 1
    rejected = rehearsed(settings, "first=60s@0:401", every=10.0, lasts=50.0)
    assert [met(visit) for visit in rejected.visits] == [[("first", "login"), ("second", "ok")]] * 5


PROBES: dict[str, tuple[ProbeVerdict, FaultKind | None]] = {
    "refused": (ProbeVerdict.FAIL, FaultKind.CONNECT),
    "blackhole": (ProbeVerdict.FAIL, FaultKind.CONNECT_TIMEOUT),
    "tls": (ProbeVerdict.FAIL, FaultKind.TLS),
    "reset": (ProbeVerdict.FAIL, FaultKind.RESET),
    "500": (ProbeVerdict.FAIL, FaultKind.SERVER_ERROR),
    "401": (ProbeVerdict.AUTH, FaultKind.AUTH),
    "402": (ProbeVerdict.QUOTA, FaultKind.QUOTA),
    # A list of models is to be had of all these: they fail at completions.
    "429": (ProbeVerdict.OK, None),
    "404": (ProbeVerdict.OK, None),
    "quota": (ProbeVerdict.OK, None),
    "hang": (ProbeVerdict.OK, None),  # once it is over; who probes waits for ten seconds at most
    "dies": (ProbeVerdict.OK, None),
    "flap": (ProbeVerdict.OK, None),
}


@pytest.mark.parametrize("kind", PROBES)
async def test_a_probe_meets_the_outage_too(kind: str, autojump_clock: trio.testing.MockClock) -> None:
    settings = settings_of("first")
    outages = [parse_outage(f"first=1m@0:{kind}", settings)]
    provider = SimulatedProvider(settings.providers[0], pace=QUICK, outages=outages, wall=lambda: 0.0)
    result = await provider.probe()
    assert (result.verdict, result.kind) == PROBES[kind]
    assert result.seconds == trio.current_time()
