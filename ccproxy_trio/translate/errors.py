"""From an upstream's error to a fault: what its status, its codes and its words mean together.

The status alone is not enough. Quota, keys, context windows and content filters hide behind 400, 403 and 429
alike, routers put a 5xx into a 400, and an error inside a stream has no status at all. So `_DECISIONS` are
taken in order, from what is certain to what is likely; the status decides what they leave open.

Source: the providers' error references, and the answers seen where those are silent.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.translate import overflow, signs
from ccproxy_trio.translate.complaint import Complaint, read, read_body
from ccproxy_trio.translate.refusals import of_a_wire, refusals
from ccproxy_trio.translate.sanitise import sanitise
from ccproxy_trio.translate.signs import NO_STATUS
from ccproxy_trio.translate.waits import asked_wait
from ccproxy_trio.wire.faults import FaultKind, Overflow, Refused, UpstreamFault

__all__ = ["classify", "classify_object", "sanitise"]

_OF_THE_ACCOUNT = re.compile(
    r"\b(?:account|organi[sz]ation|workspace|user|key)[- ]level\b"
    r"|\byour (?:account|organi[sz]ation|workspace|api key)\b.{0,40}\b(?:limit|quota)\b",
    re.IGNORECASE,
)

# Which limit of a subscription of Anthropic's decided. Those on one family of models have its name behind.
_SUBSCRIPTION = "anthropic-ratelimit-unified-status"
_CLAIM = "anthropic-ratelimit-unified-representative-claim"
_CLAIMS_ON_ALL = frozenset({"five_hour", "seven_day"})

# OpenRouter has no such status for it as others have: "No endpoints found that support the provided
# 'tool_choice' value" comes with 404, as if the model did not exist.
_CHOICE = re.compile(r"\bno endpoints found that support the provided [\"'`]?tool_choice\b", re.IGNORECASE)


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, profile: str, wall_now: float
) -> UpstreamFault:
    """The fault that an answer other than a plain 200 means.

    `headers` have lower-case names; `body` is already capped; `profile` is the provider's, resolved where it
    can be; `wall_now` is epoch seconds, to read dates in `Retry-After` against.
    """
    complaint = read_body(body)
    asked = asked_wait(status, headers, wall_now=wall_now)
    if asked is not None:
        complaint = replace(complaint, retry_after=asked)
    is_subscriptions = status == 429 and headers.get(_SUBSCRIPTION) == "rejected"
    limits_all = is_subscriptions and headers.get(_CLAIM) in _CLAIMS_ON_ALL
    return _fault(_Case(status, complaint, profile, limits_all=limits_all))


def classify_object(error: object, *, profile: str) -> UpstreamFault:
    """The fault that an error inside a stream means: its JSON (`Raw` or bytes), decoded, or plain text."""
    complaint = read(error)
    return _fault(_Case(complaint.status or NO_STATUS, complaint, profile))


class _Case(Struct, frozen=True):
    status: int
    complaint: Complaint
    profile: str
    limits_all: bool = False  # a limit that was hit is on all models


class _Decided(Struct, frozen=True):
    kind: FaultKind
    overflow: Overflow | None = None
    refused: tuple[Refused, ...] = ()


def _fault(case: _Case) -> UpstreamFault:
    taken = (decide(case) for decide in _DECISIONS)
    decided = next((one for one in taken if one is not None), None) or _Decided(signs.by_status(case.status))
    status = None if case.status == NO_STATUS else case.status
    unsaid = "the provider reported an error" if status is None else f"HTTP {status}"
    message = case.complaint.message
    return UpstreamFault(
        decided.kind,
        sanitise(message) or unsaid,
        status=status,
        retry_after=case.complaint.retry_after,
        refused=decided.refused,
        overflow=decided.overflow,
        whole_provider=decided.kind is FaultKind.QUOTA
        or case.limits_all
        or _OF_THE_ACCOUNT.search(message) is not None,
    )


def _no_error(case: _Case) -> _Decided | None:
    return _Decided(signs.by_status(case.status)) if NO_STATUS < case.status < 400 else None


def _beyond_allowance(case: _Case) -> _Decided | None:
    numbers = overflow.beyond_allowance(case.complaint.message)
    return None if numbers is None else _Decided(FaultKind.CONTEXT_OVERFLOW, numbers)


def _account(case: _Case) -> _Decided | None:
    kind = signs.first_sign(signs.KEYS_AND_ACCOUNTS, case.complaint, case.status)
    if kind is not None:
        return _Decided(kind)
    if signs.first_sign(signs.QUOTA_OR_LIMIT, case.complaint, case.status) is None:
        return None
    passing = case.complaint.retry_after is not None or "resource_exhausted" in case.complaint.codes
    return _Decided(FaultKind.RATE_LIMITED if passing or case.profile == "gemini" else FaultKind.QUOTA)


def _overflow(case: _Case) -> _Decided | None:
    if case.status in (401, 403, 404):
        return None
    complaint = case.complaint
    found = overflow.recognise(complaint.message, complaint.codes)
    if found is None:
        return None
    if complaint.prompt is not None and complaint.limit is not None:  # llama.cpp counts in fields
        return _Decided(FaultKind.CONTEXT_OVERFLOW, Overflow(complaint.prompt, complaint.limit))
    return _Decided(*found)


def _by_code(case: _Case) -> _Decided | None:
    kind = signs.first_sign(signs.CODES, case.complaint, case.status)
    return None if kind is None else _Decided(kind)


def _parameter(case: _Case) -> _Decided | None:
    # Before the words: "Unsupported parameter: ... with this model" reads much like a missing model.
    complaint = case.complaint
    if case.status not in (400, 422) and not (_CHOICE.search(complaint.message) or of_a_wire(complaint)):
        return None
    refused = refusals(complaint)
    return _Decided(FaultKind.UNSUPPORTED_PARAMETER, refused=refused) if refused else None


def _by_words(case: _Case) -> _Decided | None:
    kind = signs.first_sign(signs.WORDS, case.complaint, case.status)
    return None if kind is None else _Decided(kind)


def _router(case: _Case) -> _Decided | None:
    # A router's own words for whatever its provider did. Unless that was a refusal, it was a failure.
    if case.status != 400 or not case.complaint.message.lower().startswith("provider returned error"):
        return None
    refused = case.complaint.codes & {"invalid_request_error", "invalid_argument", "badrequesterror"}
    return _Decided(FaultKind.BAD_REQUEST if refused else FaultKind.SERVER_ERROR)


_DECISIONS: tuple[Callable[[_Case], _Decided | None], ...] = (
    _no_error,
    _beyond_allowance,
    _account,
    _overflow,
    _by_code,
    _parameter,
    _by_words,
    _router,
)
