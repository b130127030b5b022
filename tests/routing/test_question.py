"""How attempts that led nowhere are told."""

from ccproxy_trio.health.verdict import Next
from ccproxy_trio.routing.question import Attempt
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

A = Candidate("a", "m")


def test_a_refused_lease_was_no_attempt_and_leads_elsewhere() -> None:
    refused = Attempt.refused(A, "resting", at=7.0)
    assert (refused.candidate, refused.kind, refused.next) == (A, None, Next.TRY_ANOTHER)
    assert (refused.message, refused.ended_at) == ("resting", 7.0)


def test_a_failed_attempt_bears_what_its_fault_said_and_what_follows_from_it() -> None:
    fault = UpstreamFault(
        FaultKind.RATE_LIMITED, "slow down", status=429, retry_after=3.0, whole_provider=True
    )
    failed = Attempt.failed(A, fault, at=7.0)
    assert (failed.kind, failed.next, failed.status) == (FaultKind.RATE_LIMITED, Next.NEXT_MODEL, 429)
    assert (failed.message, failed.retry_after, failed.whole_provider) == ("slow down", 3.0, True)
