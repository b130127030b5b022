"""What a health probe found out, as one closed vocabulary."""

import enum

import msgspec

from ccproxy_trio.wire.faults import FaultKind


class ProbeVerdict(enum.StrEnum):
    """How a probe ended. UNSUPPORTED: there is no such endpoint, which says nothing about its health."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    FAIL = "fail"
    AUTH = "auth"
    QUOTA = "quota"
    LIMITED = "limited"


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """A probe's verdict and what it rests on.

    `kind` is None where nothing failed; `retry_after` in seconds, as the provider asked; `detail` is one line
    without key or URL; `seconds` is how long it took.
    """

    verdict: ProbeVerdict
    kind: FaultKind | None = None
    retry_after: float | None = None
    detail: str = ""
    seconds: float
