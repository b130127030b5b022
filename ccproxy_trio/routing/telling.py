"""What the client is told when no candidate has answered: one status and one truthful sentence.

Claude Code repeats most failures for three minutes before it shows anything, unless `x-should-retry: false`
stops it; it honours that for 429, 500 and 502 and ignores it for 529. It never repeats 400 and 402. An
upstream 401 or 403 about a key of ours is never passed on: it would make Claude Code tell people to log in.
About a client's own key, that is just what they have to do.
"""

import enum
import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from ccproxy_trio.health.snapshot import Flag, Snapshot, State
from ccproxy_trio.routing.chance import fraction
from ccproxy_trio.routing.order import fits
from ccproxy_trio.routing.question import Attempt, Query, Rules
from ccproxy_trio.routing.readiness import ready_at, rests_until
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.wire.faults import FaultKind, Overflow

LONGEST_RETRY_AFTER = 60  # seconds: at 61 Claude Code gives up instead of waiting


class Told(Struct, frozen=True):
    """An answer in Anthropic's terms. `kind` is the error type; `retry_after` whole seconds, 1 to 60.

    `should_retry` is the value of the `x-should-retry` header; None: no header.
    """

    status: int
    kind: str
    message: str
    retry_after: int | None = None
    should_retry: bool | None = None


class Trouble(enum.IntEnum):
    """What is the matter with a provider, in the order in which a client should hear of it."""

    LIMITED = enum.auto()
    OVERLOADED = enum.auto()
    FAILED = enum.auto()
    TIMED_OUT = enum.auto()
    SHUT = enum.auto()  # its breaker is open, or it was not asked
    MODEL = enum.auto()
    ACCESS = enum.auto()  # to a model
    QUOTA = enum.auto()
    KEY = enum.auto()  # keys and configuration
    LOGIN = enum.auto()  # the client's own key
    OURS = enum.auto()


class _Phrase(Struct, frozen=True):
    trouble: Trouble
    text: str


_T = Trouble
_PHRASES: dict[FaultKind, _Phrase] = {
    FaultKind.CONNECT: _Phrase(_T.FAILED, "unreachable"),
    FaultKind.CONNECT_TIMEOUT: _Phrase(_T.TIMED_OUT, "unreachable (no connection in time)"),
    FaultKind.TLS: _Phrase(_T.KEY, "failed the TLS check"),
    FaultKind.POOL: _Phrase(_T.OVERLOADED, "busy (too many connections of ours)"),
    FaultKind.STALE: _Phrase(_T.FAILED, "closed the connection"),
    FaultKind.RESET: _Phrase(_T.FAILED, "closed the connection"),
    FaultKind.PROTOCOL: _Phrase(_T.FAILED, "gave a malformed answer"),
    FaultKind.HEADERS_TIMEOUT: _Phrase(_T.TIMED_OUT, "did not answer in time"),
    FaultKind.CONTENT_TIMEOUT: _Phrase(_T.TIMED_OUT, "did not answer in time"),
    FaultKind.IDLE_TIMEOUT: _Phrase(_T.TIMED_OUT, "fell silent"),
    FaultKind.OVERTIME: _Phrase(_T.TIMED_OUT, "took longer than its total_timeout"),
    FaultKind.TOTAL_TIMEOUT: _Phrase(_T.TIMED_OUT, "had not answered when the request's time was up"),
    FaultKind.SUSPENDED: _Phrase(_T.OURS, "not heard (this proxy was suspended)"),
    FaultKind.TRUNCATED: _Phrase(_T.FAILED, "broke off its answer"),
    FaultKind.SERVER_ERROR: _Phrase(_T.FAILED, "failed"),
    FaultKind.GATEWAY_TIMEOUT: _Phrase(_T.TIMED_OUT, "timed out"),
    FaultKind.OVERLOADED: _Phrase(_T.OVERLOADED, "overloaded"),
    FaultKind.RATE_LIMITED: _Phrase(_T.LIMITED, "rate limited"),
    FaultKind.QUOTA: _Phrase(_T.QUOTA, "quota exhausted"),
    FaultKind.AUTH: _Phrase(_T.KEY, "rejected its key"),
    FaultKind.LOGIN: _Phrase(_T.LOGIN, "rejected your own login"),
    FaultKind.MODEL_ACCESS: _Phrase(_T.ACCESS, "does not give access to its model"),
    FaultKind.MODEL_NOT_FOUND: _Phrase(_T.MODEL, "does not have its model"),
    FaultKind.MISCONFIGURED: _Phrase(_T.KEY, "misconfigured: check its base_url and wire"),
    FaultKind.BAD_REQUEST: _Phrase(_T.FAILED, "refused the request"),
    FaultKind.CONTENT_POLICY: _Phrase(_T.FAILED, "refused the content"),
    FaultKind.CONTEXT_OVERFLOW: _Phrase(_T.FAILED, "found the prompt too long"),
    FaultKind.OUTPUT_OVERFLOW: _Phrase(_T.FAILED, "found max_tokens too large"),
    FaultKind.UNSUPPORTED_PARAMETER: _Phrase(_T.FAILED, "refused a parameter"),
    FaultKind.REQUEST_TIMEOUT: _Phrase(_T.TIMED_OUT, "did not read the request in time"),
    FaultKind.CONFLICT: _Phrase(_T.FAILED, "failed"),
    FaultKind.EMPTY: _Phrase(_T.FAILED, "gave an empty answer"),
    FaultKind.UPSTREAM_ERROR: _Phrase(_T.FAILED, "failed"),
    FaultKind.CONFIG: _Phrase(_T.KEY, "misconfigured (its key or a header cannot be sent)"),
    FaultKind.CLIENT_STALLED: _Phrase(_T.OURS, "not read by the client"),
    FaultKind.INTERNAL: _Phrase(_T.OURS, "not asked properly (a fault of this proxy)"),
}
_FLAGGED: dict[Flag, _Phrase] = {
    Flag.AUTH: _PHRASES[FaultKind.AUTH],
    Flag.QUOTA: _PHRASES[FaultKind.QUOTA],
    Flag.MISCONFIGURED: _PHRASES[FaultKind.MISCONFIGURED],
    Flag.TLS: _PHRASES[FaultKind.TLS],
}
_WITH_STATUS = frozenset({_T.FAILED, _T.TIMED_OUT, _T.KEY, _T.LOGIN})
_KINDS: dict[Trouble, str] = {
    Trouble.LIMITED: "rate_limit_error",
    Trouble.TIMED_OUT: "timeout_error",
    Trouble.MODEL: "not_found_error",
    Trouble.QUOTA: "billing_error",
    Trouble.LOGIN: "authentication_error",
}
# The others' messages are ours.
_IN_THEIR_WORDS = frozenset(
    {
        FaultKind.LOGIN,
        FaultKind.SERVER_ERROR,
        FaultKind.GATEWAY_TIMEOUT,
        FaultKind.OVERLOADED,
        FaultKind.RATE_LIMITED,
        FaultKind.QUOTA,
        FaultKind.MODEL_ACCESS,
        FaultKind.MODEL_NOT_FOUND,
        FaultKind.MISCONFIGURED,
        FaultKind.REQUEST_TIMEOUT,
        FaultKind.CONFLICT,
        FaultKind.UPSTREAM_ERROR,
    }
)
_MOST_QUOTED = 300  # characters of one provider
_MOST_BYTES = 2000  # of a sentence
_BAD_REQUESTS = frozenset({FaultKind.BAD_REQUEST, FaultKind.CONTENT_POLICY, FaultKind.UNSUPPORTED_PARAMETER})
_TOO_LONG = frozenset({FaultKind.CONTEXT_OVERFLOW, FaultKind.OUTPUT_OVERFLOW})


class _Finding(Struct, frozen=True):
    """One provider's part of the sentence."""

    provider: str
    trouble: Trouble
    text: str

    def __str__(self) -> str:
        return f"{self.provider} {self.text}"


def kind_of(fault: FaultKind) -> str:
    """Anthropic's error type for one fault, where there is no status to go with it: inside a stream.

    Overload, keys and configuration are `api_error`: Claude Code has its own ideas about the first, and about
    the others it would tell people to log in.
    """
    if fault in _BAD_REQUESTS or fault in _TOO_LONG:
        return "invalid_request_error"
    return _KINDS.get(_PHRASES[fault].trouble, "api_error")


def tell(
    query: Query,
    *,
    candidates: Sequence[Candidate],
    view: Mapping[str, Snapshot],
    rules: Rules,
    now: float,
) -> Told:
    """What to answer now that `choose` gave up. Arguments are those of `choose`.

    Ranked: what the client can mend (a prompt too long, a 400 of the provider asked first), then rate limits,
    overload, failures, time-outs, keys and configuration, and last a 400 of a later provider, whose dialect
    may be to blame.
    """
    if not candidates:
        text = f"model: no provider serves {query.model!r} (tier {query.tier})"
        return Told(404, "not_found_error", text)
    clients = _clients_fault(query, candidates, rules)
    if clients is not None:
        return clients
    providers = sorted(
        dict.fromkeys(c.provider for c in candidates), key=lambda n: rules.priorities.get(n, 1)
    )
    findings = [_finding(name, query, candidates, view, now) for name in providers]
    message = _cut("No provider could answer: " + ", ".join(map(str, findings)) + ".")
    troubles = {finding.trouble for finding in findings}
    return _status(troubles, message, _retry_after(query, candidates, view, now), rules)


# -- the request was at fault --------------------------------------------------------------------------


def _clients_fault(query: Query, candidates: Sequence[Candidate], rules: Rules) -> Told | None:
    made = [attempt for attempt in query.attempts if attempt.kind is not None]
    overflows = [attempt for attempt in made if attempt.kind in _TOO_LONG]
    if overflows:
        return _too_long(max(overflows, key=lambda attempt: _limit(attempt, rules)), query, rules)
    first = [attempt for attempt in made if attempt.candidate.provider == made[0].candidate.provider]
    bad = next((attempt for attempt in first if attempt.kind in _BAD_REQUESTS), None)
    if bad is not None:
        return _bad_request(bad)
    if not any(fits(candidate, query, rules) for candidate in candidates):
        largest = max(candidates, key=lambda candidate: rules.windows.get(candidate, 0))
        return _told_400(overflow_text(query.size.at(largest), rules.windows.get(largest, 0)))
    return None


def _told_400(message: str) -> Told:
    return Told(400, "invalid_request_error", message)


def _limit(attempt: Attempt, rules: Rules) -> int:
    overflow = attempt.overflow or Overflow()
    return overflow.limit or rules.windows.get(attempt.candidate, 0)


def overflow_text(prompt: int, limit: int) -> str:
    """The words that make Claude Code compact its conversation. Sizes in tokens, 0 if unknown.

    It reads the first two numbers as what there is and what there may be, and cuts by the difference. Numbers
    that contradict the failure would make it cut nothing, so they are left out.
    """
    return (
        f"prompt is too long: {prompt} tokens > {limit} maximum"
        if prompt > limit > 0
        else "prompt is too long"
    )


def _too_long(attempt: Attempt, query: Query, rules: Rules) -> Told:
    overflow = attempt.overflow or Overflow()
    limit = _limit(attempt, rules)
    prompt = overflow.prompt or query.size.at(attempt.candidate)
    if attempt.kind is FaultKind.CONTEXT_OVERFLOW:
        return _told_400(overflow_text(prompt, limit))
    if not (limit and prompt and overflow.completion):
        return _bad_request(attempt)
    # The client repeats this one with a smaller `max_tokens`.
    return _told_400(
        f"input length and `max_tokens` exceed context limit: {prompt} + {overflow.completion} > {limit}, "
        "decrease input length or `max_tokens` and try again"
    )


def _bad_request(attempt: Attempt) -> Told:
    what = attempt.message or "the provider refused the request"
    status = attempt.status or 400
    message = f"{what} (provider {attempt.candidate.provider}, HTTP {status})"
    return Told(413, "request_too_large", message) if status == 413 else _told_400(message)


# -- the providers were --------------------------------------------------------------------------------


def _finding(
    provider: str,
    query: Query,
    candidates: Sequence[Candidate],
    view: Mapping[str, Snapshot],
    now: float,
) -> _Finding:
    """What is the matter with one provider: what this request met there, else what its snapshot says."""
    snapshot = view.get(provider)
    met = [a for a in query.attempts if a.kind is not None and a.candidate.provider == provider]
    if met:
        return _met(met[-1], snapshot, now)
    if snapshot is None:
        return _Finding(provider, Trouble.SHUT, "not available")
    if snapshot.flag is not None:
        phrase = _FLAGGED[snapshot.flag]
        return _Finding(provider, phrase.trouble, phrase.text)
    models = [candidate.model for candidate in candidates if candidate.provider == provider]
    return _unasked(snapshot, models, now)


def _met(attempt: Attempt, snapshot: Snapshot | None, now: float) -> _Finding:
    provider, model = attempt.candidate.provider, attempt.candidate.model
    phrase = _PHRASES[attempt.kind or FaultKind.INTERNAL]
    text = phrase.text
    if phrase.trouble in _WITH_STATUS and attempt.status is not None:
        text += f" (HTTP {attempt.status})"
    if phrase.trouble in (Trouble.MODEL, Trouble.ACCESS):
        text += f" {model}"
    rests = -math.inf if snapshot is None else rests_until(snapshot, model)
    if phrase.trouble in (Trouble.LIMITED, Trouble.OVERLOADED) and rests > now:
        text += f" (retry in {math.ceil(rests - now)} s)"
    return _Finding(provider, phrase.trouble, text + quoted(attempt.kind, attempt.message, attempt.status))


def _cut(text: str) -> str:
    whole = text.encode()
    return text if len(whole) <= _MOST_BYTES else whole[:_MOST_BYTES].decode("utf-8", "ignore") + "…"


def quoted(kind: FaultKind | None, words: str, status: int | None) -> str:
    """The provider's own (sanitised) words as the end of a phrase, where there are any that help.

    Not about keys of ours: Claude Code takes some wordings for a trouble of its own and tells people to log
    in.
    """
    if kind not in _IN_THEIR_WORDS or words in ("", f"HTTP {status}"):
        return ""
    return f', saying "{words if len(words) <= _MOST_QUOTED else words[:_MOST_QUOTED] + "…"}"'


def _unasked(snapshot: Snapshot, models: Sequence[str], now: float) -> _Finding:
    provider = snapshot.provider
    had = [model for model in models if snapshot.excluded.get(model, now) <= now]
    if not had:
        if snapshot.barred.issuperset(models):
            return _Finding(provider, Trouble.ACCESS, "does not give access to " + " or ".join(models))
        return _Finding(provider, Trouble.MODEL, "does not have " + " or ".join(models))
    rests = min(rests_until(snapshot, model) for model in had)
    if rests > now:
        return _Finding(provider, Trouble.LIMITED, f"rate limited (retry in {math.ceil(rests - now)} s)")
    if snapshot.trial_taken:
        return _Finding(provider, Trouble.SHUT, "circuit half open (its trial is under way)")
    if snapshot.state is not State.OPEN:
        return _Finding(provider, Trouble.SHUT, "not asked")
    wait = max(0, math.ceil((snapshot.reopens_at or now) - now))
    return _Finding(provider, Trouble.SHUT, f"circuit open (next trial in {wait} s)")


def _status(troubles: set[Trouble], message: str, retry_after: int, rules: Rules) -> Told:
    """One status for all. What cannot pass by itself is said to be final; the rest as configured.

    A client whose own login was rejected can mend that, whatever the others suffer from; but one that is to
    wait for them is not kept from it.
    """
    passing = troubles - {Trouble.MODEL, Trouble.ACCESS, Trouble.QUOTA, Trouble.KEY, Trouble.LOGIN}
    if Trouble.LOGIN in troubles and (rules.tells or not passing):
        return Told(401, "authentication_error", message, should_retry=False)
    if troubles == {Trouble.QUOTA}:
        return Told(402, "billing_error", message, should_retry=False)
    if troubles == {Trouble.MODEL}:
        return Told(404, "not_found_error", "model: " + message, should_retry=False)
    if not passing:
        return Told(502, "api_error", message, should_retry=False)
    if passing == {Trouble.OURS}:
        return Told(500, "api_error", message, should_retry=False)
    if rules.tells:
        if Trouble.LIMITED in passing:
            return Told(429, "rate_limit_error", message, retry_after, should_retry=False)
        if passing == {Trouble.TIMED_OUT}:
            return Told(504, "timeout_error", message, should_retry=False)
        return Told(502, "api_error", message, should_retry=False)
    if passing == {Trouble.LIMITED}:
        return Told(429, "rate_limit_error", message, retry_after)
    return Told(529, "overloaded_error", message, retry_after)


def _retry_after(
    query: Query, candidates: Sequence[Candidate], view: Mapping[str, Snapshot], now: float
) -> int:
    """Whole seconds until somebody is ready, give or take one so that clients do not all come at once."""
    ready = min(ready_at(view.get(candidate.provider), candidate.model, now) for candidate in candidates)
    if ready == math.inf:
        return LONGEST_RETRY_AFTER
    spread = int(2 * fraction(query.turn or 0, now))
    return min(max(math.ceil(ready - now) + spread, 1), LONGEST_RETRY_AFTER)
