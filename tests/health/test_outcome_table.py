"""What each way of failing leads to, row by row: the fault is read, ruled on, and told, as one.

A row begins with what the provider sent where that is a status or an error object, and with the fault itself
where it is the network's or our own. `a` is asked first and has the models m and n; `b` is the other one.
"""

import json
from email.utils import formatdate

import pytest
from msgspec import Struct

from ccproxy_trio.health.breaker import Breaker, State
from ccproxy_trio.health.cooldown import EXCLUSION, CoolDowns
from ccproxy_trio.health.verdict import TABLE, Flag, Next, Ruling, Verdict, judge
from ccproxy_trio.routing.question import Attempt, GiveUp, Use
from ccproxy_trio.routing.telling import kind_of, tell
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.translate.errors import classify, classify_object
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.routing.asking import A2, A, B, ask, health, query, rules, view_of

WALL = 1_700_000_000.0
K, V, N = FaultKind, Verdict, Next
Body = dict[str, object] | str


def error(message: str = "", **fields: object) -> Body:
    return {"error": {"message": message, **fields}}


class Outcome(Struct, frozen=True, kw_only=True):
    """One line of the table.

    `step` is whom the request asks next where `b` is there too (a, n of a, b, or nobody), `alone` whom where
    nobody else is. `told` and `told_waiting` are status, error type and `x-should-retry` where `a` alone was
    asked, for a client that is told and for one that is made to wait; `words` what it reads of `a`.
    """

    row: str
    what: str
    fault: UpstreamFault
    verdict: Verdict
    rests: float | None = None  # seconds
    whole: bool = False  # the whole provider
    excludes: bool = False
    flag: Flag | None = None
    step: str = "b"
    alone: str = ""
    told: tuple[int, str, bool | None]
    told_waiting: tuple[int, str, bool | None] | None = None  # None: the same
    words: str = ""


def said(status: int, body: Body = "", profile: str = "openai", **headers: str) -> UpstreamFault:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(status, named, raw, profile=profile, wall_now=WALL)


def in_stream(body: Body) -> UpstreamFault:
    return classify_object(body, profile="openai")


FINAL = (502, "api_error", False)
LATER = (529, "overloaded_error", None)
TIMED_OUT = (504, "timeout_error", False)
LIMITED, LIMITED_LATER = (429, "rate_limit_error", False), (429, "rate_limit_error", None)
BILLING = (402, "billing_error", False)
MISSING = (404, "not_found_error", False)
WRONG = (400, "invalid_request_error", None)
OURS = (500, "api_error", False)
LOGIN = (401, "authentication_error", False)


def faulty(row: str, what: str, fault: UpstreamFault, words: str, **fields: object) -> Outcome:
    """Most rows: it counts, another is asked, and where there is none it is told, or may be had later."""
    known: dict[str, object] = {"told": FINAL, "told_waiting": LATER, "words": words, "verdict": V.FAULTY}
    return Outcome(row=row, what=what, fault=fault, **(known | fields))  # type: ignore[arg-type]


def kind(kind: FaultKind) -> UpstreamFault:
    return UpstreamFault(kind)


LIMIT_TEXT = error("Rate limit reached for m", code="rate_limit_exceeded")
TOO_LONG = (
    "This model's maximum context length is 1000 tokens. However, your messages resulted in 1500 tokens."
)
DETAIL = {"type": "string_type", "msg": "Input should be a valid string"}

NETWORK = [
    faulty("1", "refused", kind(K.CONNECT), "a unreachable", step="a", alone="a"),
    faulty("1", "black hole", kind(K.CONNECT_TIMEOUT), "no connection in time", told=TIMED_OUT),
    faulty(
        "2",
        "certificate",
        kind(K.TLS),
        "a failed the TLS check",
        flag=Flag.TLS,
        told_waiting=FINAL,
    ),
    faulty("3", "our own limit", kind(K.POOL), "too many connections of ours", verdict=V.SILENT),
    faulty("4", "stale", kind(K.STALE), "closed the connection", verdict=V.SILENT, step="a", alone="a"),
    faulty("5", "reset on a fresh connection", kind(K.RESET), "closed the connection"),
    faulty("5", "garbage", kind(K.PROTOCOL), "malformed"),
    faulty("6", "no headers", kind(K.HEADERS_TIMEOUT), "did not answer in time", told=TIMED_OUT),
    faulty("7", "no content", kind(K.CONTENT_TIMEOUT), "did not answer in time", told=TIMED_OUT),
    faulty("8", "silence, unseen by the client", kind(K.IDLE_TIMEOUT), "fell silent", told=TIMED_OUT),
    faulty("10", "the end before content", kind(K.TRUNCATED), "broke off its answer"),
    faulty("27", "more than is allowed of 1xx", kind(K.PROTOCOL), "malformed"),
    faulty("28", "HTML, NaN, no JSON", kind(K.PROTOCOL), "malformed"),
    faulty("29", "nothing in it", kind(K.EMPTY), "gave an empty answer", verdict=V.HEALTHY),
    faulty("30", "over a cap, not UTF-8", kind(K.PROTOCOL), "malformed"),
    faulty("31", "bad gzip", kind(K.PROTOCOL), "malformed"),
]
IN_STREAM = [
    faulty("11", "an error without a status", in_stream(error("boom")), 'a failed, saying "boom"'),
    faulty("11", "a 500", in_stream(error("boom", code=500)), "a failed (HTTP 500)", alone="a"),
    faulty(
        "11",
        "a rate limit",
        in_stream(error("slow down", code=429)),
        "a rate limited",
        verdict=V.LIMITED,
        rests=5.0,
        step="n",
        alone="n",
        told=LIMITED,
        told_waiting=LIMITED_LATER,
    ),
    faulty("11", "overload", in_stream(error("Overloaded")), "a overloaded", rests=5.0),
]
FAILURES = [
    *(
        faulty("13", f"{status}", said(status), f"a failed (HTTP {status})", alone="a")
        for status in (500, 502, 503, 520, 521, 522, 523, 525, 526, 527, 530, 599)
    ),
    *(
        faulty("13", f"{status}", said(status), f"a timed out (HTTP {status})", alone="a", told=TIMED_OUT)
        for status in (504, 524)
    ),
    faulty("13", "503, come again", said(503, retry_after="7"), "a failed (HTTP 503)", rests=7.0),
    faulty("13", "a router's 400", said(400, error("Provider returned error")), "a failed", alone="a"),
    faulty("14", "529", said(529), "a overloaded", rests=5.0),
    faulty("14", "529, come again", said(529, retry_after="7"), "a overloaded (retry in 7 s)", rests=7.0),
    faulty("14", "503, in words", said(503, error("The engine is overloaded")), "a overloaded", rests=5.0),
]


def limited(what: str, fault: UpstreamFault, seconds: float, **fields: object) -> Outcome:
    known: dict[str, object] = {
        "verdict": V.LIMITED,
        "rests": seconds,
        "step": "n",
        "alone": "n",
        "told": LIMITED,
        "told_waiting": LIMITED_LATER,
    }
    return faulty("15", what, fault, "a rate limited", **(known | fields))


RATE_LIMITS = [
    limited("bare", said(429), 5.0),
    limited("B02: 2", said(429, LIMIT_TEXT, retry_after="2"), 2.0),
    limited("B02: 1.5", said(429, LIMIT_TEXT, retry_after="1.5"), 1.5),
    limited("B02: 0", said(429, LIMIT_TEXT, retry_after="0"), 0.0),
    limited("B02: a date", said(429, LIMIT_TEXT, retry_after=formatdate(WALL + 90, usegmt=True)), 90.0),
    limited("B02: a date past", said(429, LIMIT_TEXT, retry_after=formatdate(WALL - 90, usegmt=True)), 0.0),
    limited("B02: retry-after-ms", said(429, LIMIT_TEXT, retry_after_ms="1250"), 1.25),
    limited("B02: both", said(429, LIMIT_TEXT, retry_after_ms="1250", retry_after="9"), 1.25),
    limited("B02: x-ms-retry-after-ms", said(429, LIMIT_TEXT, x_ms_retry_after_ms="300"), 0.3),
    limited("B02: reset 6m0s", said(429, LIMIT_TEXT, x_ratelimit_reset_requests="6m0s"), 360.0),
    limited("B02: reset 20ms", said(429, LIMIT_TEXT, x_ratelimit_reset_tokens="20ms"), 0.02),
    limited("B02: negative", said(429, LIMIT_TEXT, retry_after="-7"), 5.0),
    limited("B02: junk", said(429, LIMIT_TEXT, retry_after="soon"), 5.0),
    limited("B02: endless", said(429, LIMIT_TEXT, retry_after="99999999"), 3600.0),
    limited("in words", said(429, error("Rate limit. Please try again in 1m2.5s.")), 62.5),
    limited(
        "of the account",
        said(429, error("This would exceed your organization's rate limit"), retry_after="30"),
        30.0,
        whole=True,
        step="b",
        alone="",
    ),
]


def account(what: str, fault: UpstreamFault, **fields: object) -> Outcome:
    known: dict[str, object] = {
        "verdict": V.BILLING,
        "flag": Flag.QUOTA,
        "told": BILLING,
        "told_waiting": BILLING,
    }
    return faulty("16", what, fault, "a quota exhausted", **(known | fields))


def key(row: str, what: str, fault: UpstreamFault, words: str, **fields: object) -> Outcome:
    known: dict[str, object] = {"verdict": V.AUTH, "flag": Flag.AUTH, "told_waiting": FINAL}
    return faulty(row, what, fault, words, **(known | fields))


def barred(what: str, fault: UpstreamFault) -> Outcome:
    return faulty(
        "18",
        what,
        fault,
        "a does not give access to its model m",
        verdict=V.SILENT,
        excludes=True,
        step="n",
        alone="n",
        told_waiting=FINAL,
    )


def missing(what: str, fault: UpstreamFault) -> Outcome:
    return faulty(
        "19",
        what,
        fault,
        "a does not have its model m",
        verdict=V.SILENT,
        excludes=True,
        step="n",
        alone="n",
        told=MISSING,
        told_waiting=MISSING,
    )


def misconfigured(what: str, fault: UpstreamFault) -> Outcome:
    return faulty(
        "20",
        what,
        fault,
        f"a misconfigured: check its base_url and wire (HTTP {fault.status})",
        flag=Flag.MISCONFIGURED,
        told_waiting=FINAL,
    )


SETTINGS_AT_FAULT = [
    account("insufficient_quota", said(429, error("You exceeded", code="insufficient_quota"))),
    account("billing_hard_limit_reached", said(429, error("Limit", code="billing_hard_limit_reached"))),
    account("enforced_spend_limit_reached", said(429, error("L", type="enforced_spend_limit_reached"))),
    account("402", said(402)),
    account("402, come again", said(402, retry_after="120"), rests=120.0, whole=True),
    key("17", "401", said(401, error("Incorrect API key")), "a rejected its key (HTTP 401)"),
    key("17", "Azure's 401", said(401, error("Access denied", code="401")), "a rejected its key"),
    key("17", "400 about the key", said(400, error("x", code="invalid_api_key")), "a rejected its key"),
    key("18", "403 about the key", said(403, error("no permission")), "a rejected its key (HTTP 403)"),
    barred("a region", said(403, error("Country, region, or territory not supported"))),
    barred("a region, by code", said(403, error("x", code="unsupported_country_region_territory"))),
    barred("a model", said(403, error("You do not have access to the model m"))),
    barred("451", said(451)),
    missing("OpenAI", said(404, error("The model `m` does not exist", code="model_not_found"))),
    missing("Azure", said(404, error("The API deployment", code="DeploymentNotFound"), profile="azure")),
    missing("under 403", said(403, error("Project p", code="model_not_found"))),
    misconfigured("a path", said(404, "<html><title>404 Not Found</title></html>")),
    misconfigured("405", said(405)),
    *(misconfigured(f"{status}", said(status)) for status in (300, 301, 302, 303, 307, 308)),
]


def request(row: str, what: str, fault: UpstreamFault, words: str, **fields: object) -> Outcome:
    known: dict[str, object] = {"verdict": V.SILENT, "step": "", "told": WRONG, "told_waiting": WRONG}
    return faulty(row, what, fault, words, **(known | fields))


def ours(row: str, what: str, fault: FaultKind, words: str, **fields: object) -> Outcome:
    known: dict[str, object] = {"verdict": V.SILENT, "told": OURS, "told_waiting": OURS}
    return faulty(row, what, kind(fault), words, **(known | fields))


REQUEST_AT_FAULT = [
    request("21", "schema", said(400, error("'messages' must not be empty")), "(provider a, HTTP 400)"),
    request("22", "Azure's filter under 403", said(403, error("x", code="content_filter")), "HTTP 403"),
    request("22", "filter", said(400, error("filtered", code="content_filter")), "filtered (provider a"),
    request(
        "23",
        "context",
        said(400, error(TOO_LONG, code="context_length_exceeded")),
        "prompt is too long: 1500 tokens > 1000 maximum",
        step="b",  # its window is known to be larger
    ),
    request("23", "413", said(413, "<title>413 Request Entity Too Large</title>"), "prompt is too long"),
    request("24", "parameter", said(400, error("Unsupported parameter: 'top_k'")), "top_k", step="b"),
    # How content is put is the dialect's doing, not the client's: another provider may take it.
    request(
        "24",
        "FastAPI on the form of content",
        said(422, {"detail": [{"loc": ["body", "messages", 3, "content"], **DETAIL}]}),
        "messages.3.content: Input should be a valid string (provider a, HTTP 422)",
        step="b",
    ),
    request(
        "26",
        "FastAPI on content that is not there",
        said(422, {"detail": [{"loc": ["body", "messages", 3, "content"], "msg": "Field required"}]}),
        "messages.3.content: Field required (provider a, HTTP 422)",
    ),
    request("26", "422", said(422), "(provider a, HTTP 422)"),
    *(request("21", f"{status}", said(status), f"HTTP {status}") for status in (406, 415, 418, 431)),
    faulty("25", "408", said(408), "(HTTP 408)", step="a", alone="a", told=TIMED_OUT),
    *(
        faulty(
            "25",
            f"{status}",
            said(status),
            f"a failed (HTTP {status})",
            verdict=V.SILENT,
            step="a",
            alone="a",
        )
        for status in (409, 425)
    ),
    *(faulty("27", f"{status}", said(status), "malformed") for status in (201, 202, 204, 206)),
]
OURSELVES = [
    faulty("8", "the provider's own limit", kind(K.OVERTIME), "total_timeout", told=TIMED_OUT),
    ours("33", "the client does not read", K.CLIENT_STALLED, "not read by the client", step=""),
    ours("34", "a bug", K.INTERNAL, "a fault of this proxy"),
    ours("38", "a client's own key", K.LOGIN, "a rejected your own login", told=LOGIN, told_waiting=LOGIN),
    key("34", "a header that cannot be sent", kind(K.CONFIG), "misconfigured", flag=Flag.MISCONFIGURED),
    ours("36", "no time left", K.TOTAL_TIMEOUT, "time was up", step="", told=TIMED_OUT, told_waiting=LATER),
]
OUTCOMES = [
    *(*NETWORK, *IN_STREAM, *FAILURES, *RATE_LIMITS),
    *(*SETTINGS_AT_FAULT, *REQUEST_AT_FAULT, *OURSELVES),
]
each_row = pytest.mark.parametrize("outcome", OUTCOMES, ids=[f"row {o.row}: {o.what}" for o in OUTCOMES])


def attempt_of(fault: UpstreamFault) -> Attempt:
    return Attempt(
        candidate=A,
        kind=fault.kind,
        next=judge(fault, shown=False).next,
        ended_at=100.0,
        message=fault.message,
        status=fault.status,
        retry_after=fault.retry_after,
        overflow=fault.overflow,
        whole_provider=fault.whole_provider,
    )


@each_row
def test_what_it_says_about_the_provider(outcome: Outcome) -> None:
    ruling = judge(outcome.fault, shown=False)
    assert ruling.verdict is outcome.verdict
    assert ruling.flag is outcome.flag
    assert ruling.excludes is outcome.excludes
    assert ruling.cools is (outcome.rests is not None)
    assert outcome.row in TABLE[outcome.fault.kind].number.split(", ") or outcome.row == "11"


@each_row
def test_what_the_breaker_makes_of_it(outcome: Outcome) -> None:
    breaker = Breaker(BreakerSettings(recovery_jitter=0.0), trial_timeout=120.0, draw=lambda: 0.0)
    permit = breaker.acquire(100.0)
    assert permit is not None
    breaker.settle(permit, judge(outcome.fault, shown=False).verdict, 100.0)
    if outcome.verdict is V.AUTH:
        assert (breaker.state, breaker.reopens_at, breaker.flag) == (State.OPEN, 160.0, Flag.AUTH)
    elif outcome.verdict is V.BILLING:
        assert (breaker.state, breaker.reopens_at, breaker.flag) == (State.OPEN, 1000.0, Flag.QUOTA)
    else:
        counted = int(outcome.verdict is V.FAULTY)
        assert (breaker.state, breaker.failure_count, breaker.flag) == (State.CLOSED, counted, None)


@each_row
def test_how_long_it_rests(outcome: Outcome) -> None:
    rests = CoolDowns(BreakerSettings())
    seconds = rests.limit("m", outcome.fault, 100.0) if judge(outcome.fault, shown=False).cools else None
    assert seconds == (None if outcome.rests is None else pytest.approx(outcome.rests))
    if outcome.rests:
        assert rests.cooling(100.0) == {"*" if outcome.whole else "m": pytest.approx(100.0 + outcome.rests)}
    if outcome.excludes:
        rests.exclude("m", 100.0, why=outcome.fault.kind)
        assert rests.excluded(100.0) == {"m": 100.0 + EXCLUSION}


@each_row
def test_what_the_request_does_next(outcome: Outcome) -> None:
    def step(candidates: tuple[Candidate, ...]) -> str:
        chosen = ask(query(attempt_of(outcome.fault)), candidates=candidates, view=view, rules_=asked)
        return names[chosen.candidate] if isinstance(chosen, Use) else ""

    names = {A: "a", A2: "n", B: "b"}
    # What the provider publishes before the next question is asked.
    resting = {"*" if outcome.whole else "m": 100.0 + outcome.rests} if outcome.rests else {}
    excluded = {"m": 100.0 + EXCLUSION} if outcome.excludes else {}
    view = view_of(health("a", cooling=resting, excluded=excluded, failure_count=1))
    asked = rules(windows={A: 1000, B: 2000} if outcome.fault.overflow else {})
    assert step((A, A2, B)) == outcome.step
    assert step((A, A2)) == outcome.alone


@each_row
def test_what_the_client_is_told(outcome: Outcome) -> None:
    resting = {"*" if outcome.whole else "m": 100.0 + outcome.rests} if outcome.rests else {}
    view = view_of(health("a", cooling=resting))
    question = query(attempt_of(outcome.fault))
    for tells, expected in ((True, outcome.told), (False, outcome.told_waiting)):
        answer = tell(question, candidates=(A,), view=view, rules=rules(tells=tells), now=100.0)
        assert (answer.status, answer.kind, answer.should_retry) == expected
        assert outcome.words in answer.message
        assert answer.retry_after is None or 1 <= answer.retry_after <= 60
        assert (answer.retry_after is None) == (answer.status not in (429, 529))


# -- rows that are not about a fault before content --------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "fault", "verdict", "kind"),
    [
        ("8", UpstreamFault(K.IDLE_TIMEOUT), V.MIDSTREAM, "timeout_error"),
        ("9", UpstreamFault(K.RESET), V.MIDSTREAM, "api_error"),
        ("9", UpstreamFault(K.TRUNCATED), V.MIDSTREAM, "api_error"),
        ("12", in_stream(error("boom")), V.MIDSTREAM, "api_error"),
        ("12", in_stream(error("slow", code=429)), V.MIDSTREAM, "rate_limit_error"),
        ("12", in_stream(error("x", code="content_filter")), V.SILENT, "invalid_request_error"),
        ("30", UpstreamFault(K.PROTOCOL), V.MIDSTREAM, "api_error"),
        ("33", UpstreamFault(K.CLIENT_STALLED), V.SILENT, "api_error"),
        ("34", UpstreamFault(K.INTERNAL), V.SILENT, "api_error"),
    ],
)
def test_after_content_it_stops_and_the_stream_ends_in_an_error(
    row: str, fault: UpstreamFault, verdict: Verdict, kind: str
) -> None:
    ruling = judge(fault, shown=True)
    assert (ruling.verdict, ruling.next) == (verdict, Next.STOP)
    assert kind_of(fault.kind) == kind
    assert ruling.cools is (fault.kind is K.RATE_LIMITED)


def test_row_32_and_35_a_hang_up_or_a_drain_says_nothing() -> None:
    assert Ruling.silent().verdict is Verdict.SILENT
    assert Ruling.silent().next is Next.STOP


def test_row_4_a_second_stale_connection_is_not_asked_a_third_time() -> None:
    stale = attempt_of(UpstreamFault(K.STALE))
    chosen = ask(query(stale, stale))
    assert isinstance(chosen, Use)
    assert chosen.candidate == B


def test_row_16_an_empty_account_is_left_alone_for_a_quarter_of_an_hour_however_often_it_opens() -> None:
    breaker = Breaker(BreakerSettings(recovery_jitter=0.0), trial_timeout=120.0, draw=lambda: 0.0)
    now, waits = 0.0, []
    for _ in range(3):
        permit = breaker.acquire(now)
        assert permit is not None
        breaker.settle(permit, Verdict.BILLING, now)
        assert breaker.reopens_at is not None
        waits.append(breaker.reopens_at - now)
        now = breaker.reopens_at
    assert waits == [900.0, 900.0, 900.0]


def test_row_17_a_rejected_keys_wait_doubles_to_its_limit() -> None:
    breaker = Breaker(BreakerSettings(recovery_jitter=0.0), trial_timeout=120.0, draw=lambda: 0.0)
    now, waits = 0.0, []
    for _ in range(6):
        permit = breaker.acquire(now)
        assert permit is not None
        breaker.settle(permit, Verdict.AUTH, now)
        assert breaker.reopens_at is not None
        waits.append(breaker.reopens_at - now)
        now = breaker.reopens_at
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_row_21_a_thousand_wrong_requests_open_nothing() -> None:
    breaker = Breaker(BreakerSettings(), trial_timeout=120.0, draw=lambda: 0.0)
    for _ in range(1000):
        permit = breaker.acquire(0.0)
        assert permit is not None
        breaker.settle(permit, judge(said(400, error("wrong")), shown=False).verdict, 0.0)
    assert (breaker.state, breaker.failure_count) == (State.CLOSED, 0)


def test_row_23_only_a_window_known_to_be_larger_is_asked_next() -> None:
    long = attempt_of(said(400, error(TOO_LONG, code="context_length_exceeded")))
    for windows, asked in (({A: 1000}, False), ({A: 1000, B: 1500}, False), ({A: 1000, B: 1501}, True)):
        chosen = ask(query(long), candidates=(A, B), rules_=rules(windows=windows))
        assert isinstance(chosen, Use if asked else GiveUp)


def test_row_29_an_empty_answer_is_asked_for_once_more_and_no_further() -> None:
    empty = attempt_of(UpstreamFault(K.EMPTY))
    chosen = ask(query(empty))
    assert isinstance(chosen, Use)
    assert chosen.candidate == B
    again = Attempt(candidate=B, kind=K.EMPTY, next=Next.TRY_ANOTHER, ended_at=100.0)
    assert isinstance(ask(query(empty, again)), GiveUp)


def test_every_row_is_there() -> None:
    elsewhere = {"8", "9", "12", "32", "35"}  # above; the rest of 27 and 30 is the transport's
    numbered = {str(number) for number in range(1, 39)} - {"37"}  # a suspension: not the provider's doing
    assert {o.row for o in OUTCOMES} | elsewhere == numbered
    assert {o.fault.kind for o in OUTCOMES} >= set(FaultKind) - {
        K.SUSPENDED,  # not the provider's doing, and not in the table
        K.OUTPUT_OVERFLOW,  # as CONTEXT_OVERFLOW
    }
