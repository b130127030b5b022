"""How a failed attempt is ruled on: what it says about its provider's health, and what the request does next.

The two questions differ, so the table answers both: a 400 says nothing about health and stops the request;
a rejected key condemns the provider and sends the request elsewhere; a hang-up does neither. The row
numbers are ours and are what log lines, tests and comments refer to.
"""

import enum
from typing import Self

from msgspec import Struct

from ccproxy_trio.wire.faults import FaultKind, UpstreamFault


class Verdict(enum.StrEnum):
    """What one attempt says about its provider's health."""

    HEALTHY = "healthy"  # a whole answer
    FAULTY = "faulty"  # it failed before any content
    MIDSTREAM = "midstream"  # it began to answer and died
    AUTH = "auth"  # it does not accept our key
    BILLING = "billing"  # the account is empty
    LIMITED = "limited"  # a rate limit: it works, and wants to be left alone
    SILENT = "silent"  # nothing: the client left, the request was at fault, or we were


class Next(enum.StrEnum):
    """What the request does after a failed attempt."""

    RETRY_SAME = "retry_same"  # this candidate once more, then another
    RETRY_IF_ALONE = "retry_if_alone"  # another; this one again only where there is no other
    NEXT_MODEL = "next_model"  # another model, of this provider first
    TRY_ANOTHER = "try_another"  # another provider
    TRY_LARGER = "try_larger"  # another candidate, only if its context window is known to be larger
    STOP = "stop"  # nothing: it would fail everywhere, or content has been shown


class Flag(enum.StrEnum):
    """A lasting trouble of a provider that its operator has to mend."""

    AUTH = "auth_error"
    QUOTA = "quota_exhausted"
    MISCONFIGURED = "misconfigured"
    TLS = "tls_error"


class Ruling(Struct, frozen=True, kw_only=True):
    """The judgement on one attempt.

    `cools`: the model (or the provider, see `CoolDowns.limit`) rests. `excludes`: the model is left out for
    a while. `flag`: what `/health` shows of the provider until an attempt succeeds, unless the breaker has a
    flag of its own (keys and quota), which only a passed trial takes away.
    """

    verdict: Verdict
    next: Next
    cools: bool = False
    excludes: bool = False
    flag: Flag | None = None

    @classmethod
    def healthy(cls) -> Self:
        """A whole answer."""
        return cls(verdict=Verdict.HEALTHY, next=Next.STOP)

    @classmethod
    def silent(cls) -> Self:
        """An attempt that ended for reasons of the client's or our own (hang-up, drain)."""
        return cls(verdict=Verdict.SILENT, next=Next.STOP)


class Rest(enum.StrEnum):
    """When a fault makes its model rest."""

    NEVER = "never"
    IF_ASKED = "if_asked"  # only if the provider named a time
    ALWAYS = "always"


class Row(Struct, frozen=True):
    """One row: before any content was shown, and `after` it, where the request always stops."""

    number: str
    verdict: Verdict
    next: Next
    after: Verdict = Verdict.MIDSTREAM
    rest: Rest = Rest.NEVER
    excludes: bool = False
    flag: Flag | None = None


TABLE: dict[FaultKind, Row] = {
    # -- the connection. Asking again at once is right only where nothing can have been processed.
    FaultKind.CONNECT: Row("1", Verdict.FAULTY, Next.RETRY_SAME),
    # A black hole costs `connect_timeout` each time; nothing is gained by falling into it twice.
    FaultKind.CONNECT_TIMEOUT: Row("1", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.TLS: Row("2", Verdict.FAULTY, Next.TRY_ANOTHER, flag=Flag.TLS),
    FaultKind.POOL: Row("3", Verdict.SILENT, Next.TRY_ANOTHER, after=Verdict.SILENT),
    # The kept-alive connection lost a race with the server's idle timer. That is nobody's failure.
    FaultKind.STALE: Row("4", Verdict.SILENT, Next.RETRY_SAME),
    FaultKind.RESET: Row("5, 9, 10", Verdict.FAULTY, Next.TRY_ANOTHER),
    # -- time. A hanging provider has had its chance, so none of these asks it again.
    FaultKind.HEADERS_TIMEOUT: Row("6", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.CONTENT_TIMEOUT: Row("7", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.IDLE_TIMEOUT: Row("8", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.OVERTIME: Row("8", Verdict.FAULTY, Next.TRY_ANOTHER),
    # The request's own deadline, which the client set: the provider may have had two seconds of it.
    FaultKind.TOTAL_TIMEOUT: Row("36", Verdict.SILENT, Next.STOP, after=Verdict.SILENT),
    # The provider may have answered while we were stopped, so it is asked again.
    FaultKind.SUSPENDED: Row("37", Verdict.SILENT, Next.RETRY_SAME, after=Verdict.SILENT),
    # -- the answer
    FaultKind.TRUNCATED: Row("9, 10", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.PROTOCOL: Row("5, 27, 28, 30, 31", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.UPSTREAM_ERROR: Row("11, 12", Verdict.FAULTY, Next.TRY_ANOTHER),
    FaultKind.EMPTY: Row("29", Verdict.HEALTHY, Next.TRY_ANOTHER, after=Verdict.HEALTHY),
    # -- the status
    FaultKind.SERVER_ERROR: Row("13", Verdict.FAULTY, Next.RETRY_IF_ALONE, rest=Rest.IF_ASKED),
    FaultKind.GATEWAY_TIMEOUT: Row("13", Verdict.FAULTY, Next.RETRY_IF_ALONE, rest=Rest.IF_ASKED),
    FaultKind.OVERLOADED: Row("14", Verdict.FAULTY, Next.TRY_ANOTHER, rest=Rest.ALWAYS),
    FaultKind.RATE_LIMITED: Row("15", Verdict.LIMITED, Next.NEXT_MODEL, rest=Rest.ALWAYS),
    FaultKind.QUOTA: Row("16", Verdict.BILLING, Next.TRY_ANOTHER, rest=Rest.IF_ASKED, flag=Flag.QUOTA),
    FaultKind.AUTH: Row("17, 18", Verdict.AUTH, Next.TRY_ANOTHER, flag=Flag.AUTH),
    # The client's own key: it says nothing of the provider, and another client's may well be good.
    FaultKind.LOGIN: Row("38", Verdict.SILENT, Next.TRY_ANOTHER, after=Verdict.SILENT),
    # Another model of the same provider may well be allowed here, so it is asked before the next provider.
    FaultKind.MODEL_ACCESS: Row("18", Verdict.SILENT, Next.NEXT_MODEL, excludes=True),
    FaultKind.MODEL_NOT_FOUND: Row("19", Verdict.SILENT, Next.NEXT_MODEL, excludes=True),
    FaultKind.MISCONFIGURED: Row("20", Verdict.FAULTY, Next.TRY_ANOTHER, flag=Flag.MISCONFIGURED),
    FaultKind.REQUEST_TIMEOUT: Row("25", Verdict.FAULTY, Next.RETRY_SAME),
    FaultKind.CONFLICT: Row("25", Verdict.SILENT, Next.RETRY_SAME),
    # -- the request. A client's fault must never count: a thousand of them would open a healthy provider.
    FaultKind.BAD_REQUEST: Row("21, 26", Verdict.SILENT, Next.STOP),
    FaultKind.CONTENT_POLICY: Row("22", Verdict.SILENT, Next.STOP, after=Verdict.SILENT),
    FaultKind.CONTEXT_OVERFLOW: Row("23", Verdict.SILENT, Next.TRY_LARGER, after=Verdict.SILENT),
    FaultKind.OUTPUT_OVERFLOW: Row("23", Verdict.SILENT, Next.TRY_LARGER, after=Verdict.SILENT),
    # What is ruled on here is the rest: what could be repaired by dropping the parameter never comes here.
    FaultKind.UNSUPPORTED_PARAMETER: Row("24", Verdict.SILENT, Next.TRY_ANOTHER),
    # -- ourselves
    FaultKind.CLIENT_STALLED: Row("33", Verdict.SILENT, Next.STOP, after=Verdict.SILENT),
    FaultKind.INTERNAL: Row("34", Verdict.SILENT, Next.TRY_ANOTHER, after=Verdict.SILENT),
    # A header that cannot be built is most often a key with a line break in it: as bad as a rejected one.
    FaultKind.CONFIG: Row("34", Verdict.AUTH, Next.TRY_ANOTHER, flag=Flag.MISCONFIGURED),
}


def judge(fault: UpstreamFault, *, shown: bool) -> Ruling:
    """Rule on a failed attempt. `shown`: content of it has reached the client, so nothing can follow."""
    row = TABLE[fault.kind]
    cools = row.rest is Rest.ALWAYS or (row.rest is Rest.IF_ASKED and fault.retry_after is not None)
    if shown:
        return Ruling(verdict=row.after, next=Next.STOP, cools=cools, excludes=row.excludes)
    return Ruling(verdict=row.verdict, next=row.next, cools=cools, excludes=row.excludes, flag=row.flag)
