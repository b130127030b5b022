import pytest

from ccproxy_trio.health.verdict import TABLE, Flag, Next, Rest, Ruling, Verdict, judge
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

K, V, N = FaultKind, Verdict, Next


def ruled(kind: FaultKind, *, shown: bool = False, retry_after: float | None = None) -> Ruling:
    return judge(UpstreamFault(kind, retry_after=retry_after), shown=shown)


def test_there_is_a_row_for_every_kind_of_fault() -> None:
    assert set(TABLE) == set(FaultKind)


@pytest.mark.parametrize(
    ("kind", "verdict", "next_"),
    [
        (K.CONNECT, V.FAULTY, N.RETRY_SAME),
        (K.CONNECT_TIMEOUT, V.FAULTY, N.TRY_ANOTHER),
        (K.TLS, V.FAULTY, N.TRY_ANOTHER),
        (K.POOL, V.SILENT, N.TRY_ANOTHER),
        (K.STALE, V.SILENT, N.RETRY_SAME),
        (K.RESET, V.FAULTY, N.TRY_ANOTHER),
        (K.PROTOCOL, V.FAULTY, N.TRY_ANOTHER),
        (K.HEADERS_TIMEOUT, V.FAULTY, N.TRY_ANOTHER),
        (K.CONTENT_TIMEOUT, V.FAULTY, N.TRY_ANOTHER),
        (K.IDLE_TIMEOUT, V.FAULTY, N.TRY_ANOTHER),
        (K.OVERTIME, V.FAULTY, N.TRY_ANOTHER),
        (K.TOTAL_TIMEOUT, V.SILENT, N.STOP),
        (K.SUSPENDED, V.SILENT, N.RETRY_SAME),
        (K.TRUNCATED, V.FAULTY, N.TRY_ANOTHER),
        (K.SERVER_ERROR, V.FAULTY, N.RETRY_IF_ALONE),
        (K.GATEWAY_TIMEOUT, V.FAULTY, N.RETRY_IF_ALONE),
        (K.OVERLOADED, V.FAULTY, N.TRY_ANOTHER),
        (K.RATE_LIMITED, V.LIMITED, N.NEXT_MODEL),
        (K.QUOTA, V.BILLING, N.TRY_ANOTHER),
        (K.AUTH, V.AUTH, N.TRY_ANOTHER),
        (K.LOGIN, V.SILENT, N.TRY_ANOTHER),
        (K.MODEL_ACCESS, V.SILENT, N.NEXT_MODEL),
        (K.MODEL_NOT_FOUND, V.SILENT, N.NEXT_MODEL),
        (K.MISCONFIGURED, V.FAULTY, N.TRY_ANOTHER),
        (K.BAD_REQUEST, V.SILENT, N.STOP),
        (K.CONTENT_POLICY, V.SILENT, N.STOP),
        (K.CONTEXT_OVERFLOW, V.SILENT, N.TRY_LARGER),
        (K.OUTPUT_OVERFLOW, V.SILENT, N.TRY_LARGER),
        (K.UNSUPPORTED_PARAMETER, V.SILENT, N.TRY_ANOTHER),
        (K.REQUEST_TIMEOUT, V.FAULTY, N.RETRY_SAME),
        (K.CONFLICT, V.SILENT, N.RETRY_SAME),
        (K.EMPTY, V.HEALTHY, N.TRY_ANOTHER),
        (K.UPSTREAM_ERROR, V.FAULTY, N.TRY_ANOTHER),
        (K.CONFIG, V.AUTH, N.TRY_ANOTHER),
        (K.CLIENT_STALLED, V.SILENT, N.STOP),
        (K.INTERNAL, V.SILENT, N.TRY_ANOTHER),
    ],
)
def test_a_fault_before_content(kind: FaultKind, verdict: Verdict, next_: Next) -> None:
    ruling = ruled(kind)
    assert (ruling.verdict, ruling.next) == (verdict, next_)


def test_after_content_every_fault_stops_the_request() -> None:
    assert {ruled(kind, shown=True).next for kind in FaultKind} == {Next.STOP}


def test_after_content_a_fault_is_a_dead_stream_unless_it_was_ours_or_the_requests() -> None:
    assert {kind for kind in FaultKind if ruled(kind, shown=True).verdict is not Verdict.MIDSTREAM} == {
        K.POOL,
        K.TOTAL_TIMEOUT,
        K.SUSPENDED,
        K.LOGIN,
        K.EMPTY,
        K.CONTENT_POLICY,
        K.CONTEXT_OVERFLOW,
        K.OUTPUT_OVERFLOW,
        K.CLIENT_STALLED,
        K.INTERNAL,
    }


def test_no_fault_of_the_client_counts_against_a_provider() -> None:
    clients = {K.BAD_REQUEST, K.CONTENT_POLICY, K.CONTEXT_OVERFLOW, K.UNSUPPORTED_PARAMETER, K.CLIENT_STALLED}
    clients.add(K.LOGIN)
    assert {ruled(kind).verdict for kind in clients} == {Verdict.SILENT}


def test_a_time_out_of_ours_is_never_repeated_on_the_same_provider() -> None:
    hangs = {K.CONNECT_TIMEOUT, K.HEADERS_TIMEOUT, K.CONTENT_TIMEOUT, K.IDLE_TIMEOUT, K.OVERTIME}
    assert {ruled(kind).next for kind in hangs} == {Next.TRY_ANOTHER}


@pytest.mark.parametrize("shown", [False, True])
def test_a_rate_limit_always_cools_and_a_failure_only_if_the_provider_named_a_time(*, shown: bool) -> None:
    assert {kind for kind in FaultKind if ruled(kind, shown=shown).cools} == {K.RATE_LIMITED, K.OVERLOADED}
    assert {kind for kind in FaultKind if ruled(kind, shown=shown, retry_after=0.0).cools} == {
        K.RATE_LIMITED,
        K.OVERLOADED,
        K.SERVER_ERROR,
        K.GATEWAY_TIMEOUT,
        K.QUOTA,
    }


def test_a_model_that_is_missing_or_barred_is_left_out() -> None:
    assert {kind for kind in FaultKind if ruled(kind).excludes} == {K.MODEL_NOT_FOUND, K.MODEL_ACCESS}


def test_what_the_operator_has_to_mend_is_flagged() -> None:
    flagged = {kind: flag for kind in FaultKind if (flag := ruled(kind).flag) is not None}
    assert flagged == {
        K.AUTH: Flag.AUTH,
        K.QUOTA: Flag.QUOTA,
        K.TLS: Flag.TLS,
        K.MISCONFIGURED: Flag.MISCONFIGURED,
        K.CONFIG: Flag.MISCONFIGURED,
    }


def test_rulings_without_a_fault() -> None:
    assert Ruling.healthy() == Ruling(verdict=Verdict.HEALTHY, next=Next.STOP)
    assert not Ruling.healthy().cools
    assert not Ruling.healthy().excludes
    assert Ruling.silent() == Ruling(verdict=Verdict.SILENT, next=Next.STOP)
    assert TABLE[K.TLS].rest is Rest.NEVER
