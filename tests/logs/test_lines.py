import pytest

from ccproxy_trio.journal import (
    ActorCrashed,
    AttemptEnded,
    BreakerMoved,
    Cooling,
    ExchangeEnded,
    FellOver,
    GrammarViolated,
    Hedged,
    ModelExcluded,
    Note,
    ParameterLearned,
    Probed,
    RaceDecided,
)
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import render, span, tokens

PALETTE = Palette(["openai", "azure"], "256")


def exchange(**changes):
    facts = {
        "request_id": "req_1",
        "session": None,
        "model": "claude-opus-4-8",
        "tier": "big",
        "stream": True,
        "how": "complete",
        "status": 200,
        "provider": "azure",
        "upstream_model": "gpt-4o",
        "attempts": 1,
        "seconds": 3.2,
        "input_tokens": 12345,
        "output_tokens": 670,
    }
    return ExchangeEnded(**(facts | changes))


def attempt(**changes):
    facts = {"request_id": "req_1", "provider": "openai", "model": "gpt-4o", "outcome": "ok", "seconds": 1.0}
    return AttemptEnded(**(facts | changes))


CASES = [
    (
        attempt(first_content_seconds=0.4),
        "debug",
        "·  attempt [openai] gpt-4o · ok · 1 s · first content 400 ms · req_1",
    ),
    (
        attempt(outcome="server_error", status=503, detail="busy"),
        "debug",
        "·  attempt [openai] gpt-4o · server_error · HTTP 503 · busy · 1 s · req_1",
    ),
    (
        FellOver(
            request_id="req_1",
            from_provider="openai",
            from_model="gpt-4o",
            to_provider="azure",
            to_model="gpt-4",
            reason="server_error (503)",
            seconds=0.31,
        ),
        "warning",
        "⚠️  Falling over: [openai] gpt-4o → [azure] gpt-4 · server_error (503) after 310 ms · req_1",
    ),
    (
        Hedged(
            request_id="req_1",
            provider="openai",
            model="gpt-4o",
            to_provider="azure",
            to_model="gpt-4",
            seconds=2.0,
        ),
        "info",
        "ℹ️  Hedging: [openai] gpt-4o is silent after 2 s; asking [azure] gpt-4 too · req_1",
    ),
    (
        RaceDecided(
            request_id="req_1",
            winner="azure",
            winner_model="gpt-4",
            seconds=0.5,
            loser="openai",
            loser_model="gpt-4o",
            loser_seconds=2.5,
        ),
        "info",
        "ℹ️  [azure] gpt-4 answered first, after 500 ms; [openai] gpt-4o had nothing after 2.5 s · req_1",
    ),
    (
        BreakerMoved(provider="openai", before="closed", after="open", reason="5 failures", reopens_in=60.0),
        "warning",
        "❌ [openai] Circuit open: 5 failures; next trial in 1 min",
    ),
    (
        BreakerMoved(provider="openai", before="half_open", after="open", reason=""),
        "warning",
        "❌ [openai] Circuit open",
    ),
    (
        BreakerMoved(provider="openai", before="open", after="half_open", reason="trial"),
        "info",
        "ℹ️  [openai] Circuit half-open: trial",
    ),
    (
        BreakerMoved(provider="openai", before="half_open", after="closed", reason="trial succeeded"),
        "info",
        "✅ [openai] Circuit closed: trial succeeded",
    ),
    (
        Cooling(provider="openai", model="gpt-4o", reason="rate_limited", seconds=12),
        "warning",
        "⚠️  [openai] gpt-4o Rate limited: rests for 12 s",
    ),
    (
        Cooling(provider="openai", model=None, reason="server_error", seconds=190),
        "warning",
        "⚠️  [openai] Server error: rests for 3 min 10 s",
    ),
    (
        ModelExcluded(provider="openai", model="o9", reason="model_not_found", seconds=600),
        "warning",
        "⚠️  [openai] o9 Left out for 10 min: model_not_found",
    ),
    (
        ParameterLearned(
            provider="openai",
            model="o9",
            lesson='stop: "stop": false',
            line='"options": {"stop": false}',
        ),
        "info",
        'ℹ️  [openai] o9 Refused and learned: stop: "stop": false '
        '· to save the detour for good, in openai\'s entry: "options": {"stop": false}',
    ),
    (
        ParameterLearned(
            provider="openai", model="o9", lesson="stop: s", line="l", others=("gpt-4o", "gpt-5")
        ),
        "info",
        "ℹ️  [openai] o9 Refused and learned: stop: s · to save the detour for good, in openai's entry: l; "
        "it then holds for gpt-4o, gpt-5 too",
    ),
    (Probed(provider="openai", result="ok", seconds=0.03), "debug", "·  [openai] Health probe: ok · 30 ms"),
    (
        Probed(provider="openai", result="auth", detail="HTTP 401", seconds=0.03),
        "warning",
        "⚠️  [openai] Health probe: auth · HTTP 401 · 30 ms",
    ),
    (exchange(), "info", "✅ claude-opus-4-8 → [azure] gpt-4o · 12.3k tokens in, 670 out · 3.2 s"),
    (
        exchange(scale=200_000 / 128_000),
        "info",
        "✅ claude-opus-4-8 → [azure] gpt-4o · 12.3k tokens in, 670 out (told ×1.56) · 3.2 s",
    ),
    (
        exchange(attempts=3, input_tokens=None),
        "info",
        "✅ claude-opus-4-8 → [azure] gpt-4o · 3.2 s · 3 attempts",
    ),
    (
        exchange(how="error", status=502, error_type="api_error", provider=None, input_tokens=None),
        "error",
        "❌ claude-opus-4-8 · failed · 502 api_error · 3.2 s · req_1",
    ),
    (
        exchange(how="midfail", input_tokens=None),
        "error",
        "❌ claude-opus-4-8 → [azure] gpt-4o · broke off in the middle of the answer · 200 · 3.2 s · req_1",
    ),
    (
        exchange(how="cancelled", input_tokens=None),
        "info",
        "ℹ️  claude-opus-4-8 → [azure] gpt-4o · the client hung up · 200 · 3.2 s · req_1",
    ),
    (
        exchange(how="refused", status=400, provider=None, input_tokens=None),
        "warning",
        "⚠️  claude-opus-4-8 · refused · 400 · 3.2 s · req_1",
    ),
    (
        ActorCrashed(actor="provider openai", error="ValueError", restart_in=0.1),
        "error",
        "❌ provider openai crashed: ValueError; restarting in 100 ms",
    ),
    (
        ActorCrashed(actor="dispatcher", error="ValueError", restart_in=None),
        "error",
        "❌ dispatcher crashed: ValueError; giving up",
    ),
    (
        GrammarViolated(request_id="req_1", kinds=("message_start", "text", "text_delta x 3", "ping")),
        "error",
        "❌ Event out of place: this proxy was about to send message_start text text_delta x 3 ping · req_1",
    ),
    (
        GrammarViolated(request_id=None, kinds=("ping",)),
        "error",
        "❌ Event out of place: this proxy was about to send ping",
    ),
    (
        Note(level="info", event="x", text="Hello.", provider="azure", request_id="req_2"),
        "info",
        "ℹ️  [azure] Hello. · req_2",
    ),
    (Note(level="debug", event="x", text="Hush."), "debug", "·  Hush."),
    (Note(level="odd", event="x", text="Hm."), "info", "ℹ️  Hm."),
]


@pytest.mark.parametrize(("entry", "level", "text"), CASES, ids=lambda value: type(value).__name__)
def test_an_entry_is_told_as(entry, level, text):
    line = render(entry, PALETTE)
    assert (line.level, line.text.plain) == (level, text)


def test_both_providers_of_a_fall_over_are_in_their_own_colour():
    entry = CASES[2][0]
    text = render(entry, PALETTE).text
    styles = {text.plain[each.start : each.end]: each.style for each in text.spans}
    assert styles["[openai]"] == PALETTE.of("openai") != PALETTE.of("azure") == styles["[azure]"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.0004, "0 ms"),
        (0.085, "85 ms"),
        (0.9996, "1 s"),
        (2.34, "2.3 s"),
        (10.0, "10 s"),
        (59.96, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (12000, "3 h 20 min"),
    ],
)
def test_a_span_reads(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (12345, "12.3k"), (999_949, "999.9k"), (1_234_567, "1.2M")],
)
def test_tokens_read(count, text):
    assert tokens(count) == text
