"""What the client is told, situation by situation. The clock stands at 100."""

from collections.abc import Mapping, Sequence

import pytest

from ccproxy_trio.health.snapshot import Flag, Snapshot, State
from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.question import Query, Rules, Size
from ccproxy_trio.routing.telling import _PHRASES, Told, kind_of, overflow_text, tell
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import FaultKind, Overflow
from tests.routing.asking import A2, A, B, C, failed, health, query, rules, shut, view_of

K = FaultKind


def told(
    question: Query,
    *snapshots: Snapshot,
    candidates: Sequence[Candidate] = (A, B, C),
    rules_: Rules | None = None,
    view: Mapping[str, Snapshot] | None = None,
) -> Told:
    return tell(
        question,
        candidates=candidates,
        view=view_of(*snapshots) if view is None else view,
        rules=rules() if rules_ is None else rules_,
        now=100.0,
    )


def brief(answer: Told) -> tuple[int, str, bool | None]:
    return answer.status, answer.kind, answer.should_retry


# -- the sentence --------------------------------------------------------------------------------------


def test_every_provider_is_named_with_its_state_in_the_order_of_priority() -> None:
    answer = told(
        query(failed(A, K.RATE_LIMITED), failed(B, K.CONNECT)),
        health("a", cooling={"m": 133.2}),
        shut("c", 111.5),
        rules_=rules(priorities={"c": 9, "b": 2, "a": 1}),
        candidates=(C, B, A),
    )
    assert answer.message == (
        "No provider could answer: a rate limited (retry in 34 s), b unreachable, "
        "c circuit open (next trial in 12 s)."
    )


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (health("a"), "a not asked"),
        (health("a", flag=Flag.AUTH), "a rejected its key"),
        (shut("a", 900.0, flag=Flag.QUOTA), "a quota exhausted"),
        (health("a", flag=Flag.MISCONFIGURED), "a misconfigured: check its base_url and wire"),
        (health("a", flag=Flag.TLS), "a failed the TLS check"),
        (health("a", cooling={"m": 101.1}), "a rate limited (retry in 2 s)"),
        (health("a", cooling={"*": 130.0}), "a rate limited (retry in 30 s)"),
        (health("a", cooling={"m": 100.0}), "a not asked"),
        (health("a", excluded={"m": 100.0}), "a not asked"),
        (shut("a", 160.0), "a circuit open (next trial in 60 s)"),
        (shut("a", 99.0), "a circuit open (next trial in 0 s)"),
        (health("a", State.HALF_OPEN, trial_taken=True), "a circuit half open (its trial is under way)"),
        (health("a", State.HALF_OPEN), "a not asked"),
    ],
)
def test_a_provider_that_was_not_asked_is_described_by_its_state(snapshot: Snapshot, text: str) -> None:
    assert told(query(), snapshot, candidates=(A,)).message == f"No provider could answer: {text}."


def test_a_provider_that_never_reported_is_not_available() -> None:
    assert told(query(), candidates=(A,), view={}).message == "No provider could answer: a not available."


def test_with_several_models_the_best_state_of_those_it_has_counts() -> None:
    def said(**fields: object) -> str:
        message = told(query(), health("a", **fields), candidates=(A, A2)).message
        return message.split("could answer: ")[1]

    assert said(cooling={"m": 140.0, "n": 120.0}) == "a rate limited (retry in 20 s)."
    assert said(cooling={"m": 140.0}) == "a not asked."
    assert said(cooling={"m": 140.0}, excluded={"n": 200.0}) == "a rate limited (retry in 40 s)."
    assert said(excluded={"m": 200.0, "n": 200.0}) == "a does not have m or n."
    assert said(excluded={"m": 200.0, "n": 200.0}, barred=frozenset({"n"})) == "a does not have m or n."


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (K.SERVER_ERROR, "a failed (HTTP 503)"),
        (K.GATEWAY_TIMEOUT, "a timed out (HTTP 503)"),
        (K.MISCONFIGURED, "a misconfigured: check its base_url and wire (HTTP 503)"),
        (K.CONTENT_TIMEOUT, "a did not answer in time (HTTP 503)"),
        (K.LOGIN, "a rejected your own login (HTTP 503)"),
        (K.MODEL_NOT_FOUND, "a does not have its model m"),
        (K.MODEL_ACCESS, "a does not give access to its model m"),
        (K.OVERLOADED, "a overloaded"),
    ],
)
def test_what_the_request_met_goes_before_the_state(kind: FaultKind, text: str) -> None:
    attempt = failed(A, kind, status=503)
    assert f": {text}." in told(query(attempt), shut("a", 120.0), candidates=(A,)).message


def test_the_last_thing_met_is_told() -> None:
    attempts = failed(A, K.CONNECT), failed(A, K.OVERLOADED), failed(A, None)
    assert "a overloaded" in told(query(*attempts), candidates=(A,)).message


def test_the_end_of_a_rest_is_told_of_a_limit_and_an_overload_only() -> None:
    resting = health("a", cooling={"m": 120.0})
    assert "retry in 20 s" in told(query(failed(A, K.OVERLOADED)), resting, candidates=(A,)).message
    assert "retry" not in told(query(failed(A, K.SERVER_ERROR)), resting, candidates=(A,)).message
    over = health("a", cooling={"m": 100.0})
    assert "retry" not in told(query(failed(A, K.OVERLOADED)), over, candidates=(A,)).message
    assert "retry" not in told(query(failed(A, K.OVERLOADED)), candidates=(A,), view={}).message


def test_a_provider_is_quoted_about_anything_but_keys_and_connections() -> None:
    for kind in FaultKind:
        message = told(query(failed(A, kind, message="so it says"))).message
        assert ("so it says" in message) == (kind not in OURS), kind


OURS = {  # what is said of these is our own finding, or says all there is in another way
    *(K.CONNECT, K.CONNECT_TIMEOUT, K.TLS, K.POOL, K.STALE, K.RESET, K.PROTOCOL, K.TRUNCATED, K.EMPTY),
    *(K.HEADERS_TIMEOUT, K.CONTENT_TIMEOUT, K.IDLE_TIMEOUT, K.OVERTIME, K.TOTAL_TIMEOUT, K.SUSPENDED),
    *(K.AUTH, K.CONFIG, K.CLIENT_STALLED, K.INTERNAL, K.CONTEXT_OVERFLOW),
}


def test_a_sentence_about_many_providers_is_cut() -> None:
    many = [Candidate(f"provider-{number}", "m") for number in range(20)]
    failures = [failed(one, K.SERVER_ERROR, message="é" * 300, status=500) for one in many]
    message = told(query(*failures), candidates=many, view={}).message
    assert len(message.encode()) <= 2048
    assert message.endswith("…")


def test_a_quotation_is_short_and_says_more_than_the_status() -> None:
    long = told(query(failed(A, K.SERVER_ERROR, message="x" * 5000))).message
    assert len(long) < 500
    assert "x…" in long
    assert "saying" not in told(query(failed(A, K.SERVER_ERROR, message="HTTP 500", status=500))).message


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (K.RATE_LIMITED, "rate_limit_error"),
        (K.IDLE_TIMEOUT, "timeout_error"),
        (K.OVERTIME, "timeout_error"),
        (K.MODEL_NOT_FOUND, "not_found_error"),
        (K.QUOTA, "billing_error"),
        (K.CONTENT_POLICY, "invalid_request_error"),
        (K.CONTEXT_OVERFLOW, "invalid_request_error"),
        (K.OVERLOADED, "api_error"),
        (K.AUTH, "api_error"),
        (K.LOGIN, "authentication_error"),
        (K.TRUNCATED, "api_error"),
        (K.INTERNAL, "api_error"),
    ],
)
def test_an_answer_that_breaks_off_has_a_kind_of_error(fault: FaultKind, kind: str) -> None:
    assert kind_of(fault) == kind


def test_there_is_a_phrase_for_every_kind_of_fault() -> None:
    assert set(_PHRASES) == set(FaultKind)


# -- the status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        ([K.CONNECT], (502, "api_error", False)),
        ([K.SERVER_ERROR], (502, "api_error", False)),
        ([K.OVERLOADED], (502, "api_error", False)),
        ([K.CONTENT_TIMEOUT], (504, "timeout_error", False)),
        ([K.TOTAL_TIMEOUT, K.REQUEST_TIMEOUT], (504, "timeout_error", False)),
        ([K.CONTENT_TIMEOUT, K.CONNECT], (502, "api_error", False)),
        ([K.CONTENT_TIMEOUT, K.AUTH], (504, "timeout_error", False)),
        ([K.EMPTY], (502, "api_error", False)),
        ([K.RATE_LIMITED], (429, "rate_limit_error", False)),
        ([K.RATE_LIMITED, K.SERVER_ERROR, K.AUTH], (429, "rate_limit_error", False)),
        ([K.AUTH], (502, "api_error", False)),
        ([K.AUTH, K.QUOTA, K.MODEL_NOT_FOUND], (502, "api_error", False)),
        ([K.TLS], (502, "api_error", False)),
        ([K.MISCONFIGURED, K.CONFIG], (502, "api_error", False)),
        ([K.QUOTA], (402, "billing_error", False)),
        ([K.QUOTA, K.QUOTA], (402, "billing_error", False)),
        ([K.QUOTA, K.CONNECT], (502, "api_error", False)),
        ([K.MODEL_NOT_FOUND, K.MODEL_NOT_FOUND], (404, "not_found_error", False)),
        ([K.MODEL_ACCESS], (502, "api_error", False)),
        ([K.MODEL_NOT_FOUND, K.MODEL_ACCESS], (502, "api_error", False)),
        ([K.MODEL_ACCESS, K.CONNECT], (502, "api_error", False)),
        ([K.GATEWAY_TIMEOUT, K.CONTENT_TIMEOUT], (504, "timeout_error", False)),
        ([K.GATEWAY_TIMEOUT, K.SERVER_ERROR], (502, "api_error", False)),
        ([K.INTERNAL], (500, "api_error", False)),
        ([K.INTERNAL, K.AUTH], (500, "api_error", False)),
        ([K.INTERNAL, K.CONNECT], (502, "api_error", False)),
        ([K.LOGIN], (401, "authentication_error", False)),
        ([K.LOGIN, K.AUTH, K.QUOTA], (401, "authentication_error", False)),
        ([K.LOGIN, K.INTERNAL], (401, "authentication_error", False)),
        # Whatever the others suffer from, the login is what its user can mend.
        ([K.LOGIN, K.RATE_LIMITED, K.SERVER_ERROR], (401, "authentication_error", False)),
    ],
)
def test_a_client_that_is_told_gets_a_final_status(
    kinds: list[FaultKind], answer: tuple[int, str, bool | None]
) -> None:
    attempts = [failed(c, kind) for c, kind in zip((A, B, C), kinds, strict=False)]
    assert brief(told(query(*attempts), candidates=(A, B, C)[: len(kinds)])) == answer


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        ([K.CONNECT], (529, "overloaded_error", None)),
        ([K.SERVER_ERROR, K.RATE_LIMITED], (529, "overloaded_error", None)),
        ([K.RATE_LIMITED, K.RATE_LIMITED], (429, "rate_limit_error", None)),
        ([K.RATE_LIMITED, K.AUTH], (429, "rate_limit_error", None)),
        ([K.AUTH], (502, "api_error", False)),
        ([K.QUOTA], (402, "billing_error", False)),
        ([K.MODEL_NOT_FOUND], (404, "not_found_error", False)),
        ([K.INTERNAL], (500, "api_error", False)),
        ([K.LOGIN], (401, "authentication_error", False)),
        ([K.LOGIN, K.QUOTA], (401, "authentication_error", False)),
        ([K.LOGIN, K.RATE_LIMITED], (429, "rate_limit_error", None)),
        ([K.LOGIN, K.CONNECT], (529, "overloaded_error", None)),
    ],
)
def test_a_client_that_is_to_wait_is_asked_to_come_again_unless_that_is_no_use(
    kinds: list[FaultKind], answer: tuple[int, str, bool | None]
) -> None:
    attempts = [failed(c, kind) for c, kind in zip((A, B, C), kinds, strict=False)]
    waits = rules(tells=False)
    assert brief(told(query(*attempts), candidates=(A, B, C)[: len(kinds)], rules_=waits)) == answer


@pytest.mark.parametrize("tells", [True, False])
def test_no_answer_lets_claude_code_blame_its_users_key_or_repeat_an_ignored_no(tells: bool) -> None:
    for kind in set(FaultKind) - {K.LOGIN}:  # which is about that key
        answer = told(query(failed(A, kind)), candidates=(A,), rules_=rules(tells=tells))
        assert answer.status not in (401, 403)
        assert answer.kind not in ("authentication_error", "permission_error")
        assert not (answer.status == 529 and answer.should_retry is False)


def test_all_resting_is_a_rate_limit_and_all_shut_is_not() -> None:
    resting = [health(name, cooling={"m": 130.0}) for name in "abc"]
    assert brief(told(query(), *resting)) == (429, "rate_limit_error", False)
    assert brief(told(query(), *[shut(name, 130.0) for name in "abc"])) == (502, "api_error", False)
    waits = rules(tells=False)
    assert brief(told(query(), *resting, rules_=waits)) == (429, "rate_limit_error", None)
    assert brief(told(query(), *[shut(n, 130.0) for n in "abc"], rules_=waits)) == (
        529,
        "overloaded_error",
        None,
    )


def test_a_missing_model_begins_with_the_word_that_clients_look_for() -> None:
    answer = told(query(failed(A, K.MODEL_NOT_FOUND)), candidates=(A,))
    assert answer.message == "model: No provider could answer: a does not have its model m."


def test_a_model_that_is_not_for_us_is_told_alike_of_whoever_met_it_and_of_whoever_comes_after() -> None:
    met = told(query(failed(A, K.MODEL_ACCESS, status=403, message="not in your region")), candidates=(A,))
    assert brief(met) == (502, "api_error", False)
    assert "a does not give access to its model m" in met.message
    barred = health("a", excluded={"m": 200.0}, barred=frozenset({"m"}))
    after = told(query(), barred, candidates=(A,))
    assert brief(after) == brief(met)
    assert after.message == "No provider could answer: a does not give access to m."


def test_a_tier_that_nobody_serves() -> None:
    answer = told(query(), candidates=())
    assert brief(answer) == (404, "not_found_error", None)
    assert answer.message == "model: no provider serves 'claude-opus' (tier big)"


# -- Retry-After ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ready", "seconds"),
    [
        (100.0, {1}),
        (100.1, {1, 2}),
        (133.2, {34, 35}),
        (159.5, {60}),
        (160.0, {60}),
        (1000.0, {60}),
    ],
)
def test_retry_after_is_the_earliest_readiness_in_whole_seconds_from_1_to_60(
    ready: float, seconds: set[int]
) -> None:
    others = health("b", cooling={"m": 5000.0}), health("c", cooling={"m": 5000.0})
    waits = rules(tells=False)
    answers = {
        told(
            query(failed(A, K.RATE_LIMITED), turn=turn),
            health("a", cooling={"m": ready}),
            *others,
            rules_=waits,
        )
        for turn in range(50)
    }
    assert {answer.retry_after for answer in answers} == seconds


def test_retry_after_is_a_minute_where_nobody_says_when() -> None:
    assert told(query(), view={}, rules_=rules(tells=False)).retry_after == 60


def test_only_a_limit_or_an_overload_names_a_time() -> None:
    assert told(query(failed(A, K.RATE_LIMITED)), candidates=(A,)).retry_after is not None
    for kind in (K.CONNECT, K.AUTH, K.QUOTA, K.MODEL_NOT_FOUND, K.INTERNAL, K.BAD_REQUEST):
        assert told(query(failed(A, kind)), candidates=(A,)).retry_after is None


# -- the request was at fault --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [K.BAD_REQUEST, K.CONTENT_POLICY, K.UNSUPPORTED_PARAMETER])
def test_a_refusal_by_the_first_provider_keeps_its_words(kind: FaultKind) -> None:
    attempt = failed(A, kind, message="messages.1: no such role", status=400)
    answer = told(query(failed(B, None), attempt, failed(C, K.CONNECT)))
    assert answer == Told(400, "invalid_request_error", "messages.1: no such role (provider a, HTTP 400)")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (None, (400, "invalid_request_error")),
        (422, (400, "invalid_request_error")),
        (413, (413, "request_too_large")),
    ],
)
def test_a_refusals_status_is_one_that_is_not_repeated(status: int | None, answer: tuple[int, str]) -> None:
    given = told(query(failed(A, K.BAD_REQUEST, status=status)))
    assert (given.status, given.kind) == answer
    assert given.message == f"the provider refused the request (provider a, HTTP {status or 400})"


def test_a_refusal_by_a_later_provider_hides_nothing_worse() -> None:
    answer = told(query(failed(A, K.RATE_LIMITED), failed(B, K.BAD_REQUEST, message="dialect", status=400)))
    assert answer.status == 429
    assert "b refused the request (HTTP 400)" in answer.message
    assert "dialect" not in answer.message


def test_a_refusal_after_a_retry_of_the_same_first_provider_is_its_refusal() -> None:
    assert told(query(failed(A, K.CONNECT), failed(A, K.BAD_REQUEST))).status == 400


@pytest.mark.parametrize(
    ("overflow", "estimate", "windows", "message"),
    [
        (
            Overflow(prompt=210_000, limit=128_000),
            5,
            {},
            "prompt is too long: 210000 tokens > 128000 maximum",
        ),
        (Overflow(limit=128_000), 200_000, {}, "prompt is too long: 200000 tokens > 128000 maximum"),
        (None, 200_000, {A: 128_000}, "prompt is too long: 200000 tokens > 128000 maximum"),
        (Overflow(limit=128_000), 100_000, {}, "prompt is too long"),
        (Overflow(prompt=210_000), 0, {}, "prompt is too long"),
        (None, 0, {}, "prompt is too long"),
    ],
)
def test_an_overflow_is_told_in_the_words_that_start_compaction(
    overflow: Overflow | None, estimate: int, windows: dict[Candidate, int], message: str
) -> None:
    attempts = (
        failed(C, K.CONNECT),
        failed(A, K.CONTEXT_OVERFLOW, overflow=overflow, message="too long", status=400),
    )
    answer = told(query(*attempts, size=Size(tokens=estimate)), rules_=rules(windows=windows))
    assert answer == Told(400, "invalid_request_error", message)


def test_of_several_overflows_the_largest_limit_is_told() -> None:
    attempts = [
        failed(c, K.CONTEXT_OVERFLOW, overflow=Overflow(prompt=900, limit=limit))
        for c, limit in ((A, 100), (B, 800), (C, 300))
    ]
    assert told(query(*attempts)).message == "prompt is too long: 900 tokens > 800 maximum"


def test_an_answer_too_long_is_told_in_the_words_that_lower_max_tokens() -> None:
    overflow = Overflow(prompt=30_000, limit=32_768, completion=8192)
    answer = told(query(failed(A, K.OUTPUT_OVERFLOW, overflow=overflow)))
    assert answer == Told(
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 30000 + 8192 > 32768, "
        "decrease input length or `max_tokens` and try again",
    )


@pytest.mark.parametrize(
    "overflow",
    [None, Overflow(limit=8192), Overflow(limit=8192, completion=64_000), Overflow(1, None, 64_000)],
)
def test_an_answer_too_long_without_all_numbers_keeps_the_providers_words(overflow: Overflow | None) -> None:
    attempt = failed(A, K.OUTPUT_OVERFLOW, overflow=overflow, message="at most 8192", status=400)
    assert told(query(attempt)).message == "at most 8192 (provider a, HTTP 400)"


def test_a_prompt_too_long_for_every_known_window_is_told_without_having_asked_anyone() -> None:
    answer = told(query(size=Size(tokens=1000)), rules_=rules(windows={A: 500, B: 800, C: 600}))
    assert answer == Told(400, "invalid_request_error", "prompt is too long: 1000 tokens > 800 maximum")


def test_the_numbers_told_are_those_of_the_largest_window() -> None:
    size = Size(tokens=1000, exact={A: 990, B: 801, C: 1010})
    answer = told(query(size=size), rules_=rules(windows={A: 500, B: 800, C: 600}))
    assert answer.message == "prompt is too long: 801 tokens > 800 maximum"


def test_an_overflow_without_numbers_is_told_with_our_own_count() -> None:
    attempt = failed(A, K.CONTEXT_OVERFLOW, message="exceeds the context window", status=400)
    answer = told(query(attempt, size=Size(tokens=400, exact={A: 501})), rules_=rules(windows={A: 500}))
    assert answer.message == "prompt is too long: 501 tokens > 500 maximum"


def test_where_the_larger_window_is_merely_away_the_provider_is_to_blame() -> None:
    answer = told(
        query(size=Size(tokens=900)), shut("b", 200.0), rules_=rules(windows={A: 500, B: 1000, C: 600})
    )
    assert answer.status == 502


def test_a_step_that_asks_for_a_larger_window_without_one_known_is_told_without_numbers() -> None:
    attempt = failed(A, K.RESET, next=Next.TRY_LARGER)
    assert told(query(attempt)).message == "prompt is too long"


@pytest.mark.parametrize(
    ("prompt", "limit", "text"),
    [
        (2, 1, "prompt is too long: 2 tokens > 1 maximum"),
        (1, 1, "prompt is too long"),
        (5, 0, "prompt is too long"),
        (0, 0, "prompt is too long"),
    ],
)
def test_numbers_that_contradict_the_failure_are_left_out(prompt: int, limit: int, text: str) -> None:
    assert overflow_text(prompt, limit) == text
