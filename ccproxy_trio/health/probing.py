"""What a health probe found out, as one closed vocabulary."""

import enum

import msgspec


class ProbeVerdict(enum.StrEnum):
    """How a probe ended. UNSUPPORTED: there is no such endpoint, which says nothing about its health."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    FAIL = "fail"
    AUTH = "auth"
    LIMITED = "limited"


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """A probe's verdict, one line of detail (never a key or a URL), and how long it took in seconds."""

    verdict: ProbeVerdict
    detail: str = ""
    seconds: float
