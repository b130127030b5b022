"""What can go wrong with an upstream, as one closed vocabulary shared by every floor above."""

import enum
from typing import Literal

import msgspec


class FaultKind(enum.StrEnum):
    """Why an attempt yielded no usable answer. The row numbers are those of `health/verdict.py`'s table."""

    CONNECT = "connect"  # DNS, refused, unreachable: nothing was sent
    CONNECT_TIMEOUT = "connect_timeout"  # black hole
    TLS = "tls"
    POOL = "pool"  # our own connection limit
    STALE = "stale_connection"  # a kept-alive connection died before the response head
    RESET = "reset"  # the same on a fresh connection, or before any content
    PROTOCOL = "protocol"  # not HTTP, not SSE, not JSON, over a cap
    HEADERS_TIMEOUT = "headers_timeout"
    CONTENT_TIMEOUT = "content_timeout"  # a response head, but no content in time
    IDLE_TIMEOUT = "idle_timeout"  # content, then silence
    TOTAL_TIMEOUT = "total_timeout"  # the request's own deadline
    OVERTIME = "overtime"  # the provider's `total_timeout`
    SUSPENDED = "suspended"  # a deadline of ours fired late: we did not run, and know nothing
    TRUNCATED = "truncated"  # the body ended without a finish
    SERVER_ERROR = "server_error"  # 5xx
    GATEWAY_TIMEOUT = "gateway_timeout"  # 504, 524: a gateway of theirs gave up on the model behind it
    OVERLOADED = "overloaded"  # 529, or 503 that says so
    RATE_LIMITED = "rate_limited"  # 429
    QUOTA = "quota"  # 402, 429 insufficient_quota
    AUTH = "auth"  # 401, 403 about the key
    LOGIN = "login"  # the same about the client's own key, which was passed on
    MODEL_ACCESS = "model_access"  # 403 about region or model, 451
    MODEL_NOT_FOUND = "model_not_found"  # 404 about the model or deployment
    MISCONFIGURED = "misconfigured"  # 404 on the path, 405, 3xx
    BAD_REQUEST = "bad_request"  # 400, 422: the client's fault
    CONTENT_POLICY = "content_policy"
    CONTEXT_OVERFLOW = "context_overflow"  # the prompt does not fit
    OUTPUT_OVERFLOW = "output_overflow"  # the prompt fits, prompt + max_tokens does not
    UNSUPPORTED_PARAMETER = "unsupported_parameter"  # a 400 that names one of our optional parameters
    REQUEST_TIMEOUT = "request_timeout"  # 408
    CONFLICT = "conflict"  # 409, 425
    EMPTY = "empty"  # a proper end with nothing in it
    UPSTREAM_ERROR = "upstream_error"  # an error object inside a 200 stream without a status of its own
    CONFIG = "config"  # the request could not be built from the configuration (bad header value)
    CLIENT_STALLED = "client_stalled"  # the client stopped reading
    INTERNAL = "internal"  # our bug


class Overflow(msgspec.Struct, frozen=True):
    """The numbers of a context overflow, in tokens, as far as the provider told them."""

    prompt: int | None = None
    limit: int | None = None
    completion: int | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a request that the provider said it does not take.

    `parameter` is its name or path as the provider wrote it (`stream_options.include_usage`); where it named
    none, the path in the request that its words are about (`messages.role`). `objection` is to the parameter
    as such, to its value, to its company (`tools`), to its not being there (`absence`), or not said.
    `allowed` are the words among which the provider lists the values that it takes, if it does.
    """

    parameter: str
    objection: Literal["parameter", "value", "tools", "absence", "unsaid"] = "unsaid"
    allowed: tuple[str, ...] = ()


class UpstreamFault(Exception):
    """One attempt failed. Carries facts, never a key, a URL or a body.

    `message` is the provider's own text after `translate.errors.sanitise`, or ours; it may be shown to the
    client. `status` is the upstream HTTP status where there was one. `retry_after` is in seconds, as the
    provider asked (not clamped). `refused` are the optional parameters that a 400 complained of.
    `whole_provider` says that a rate limit speaks of the account rather than of one model.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        refused: tuple[Refused, ...] = (),
        overflow: Overflow | None = None,
        whole_provider: bool = False,
    ) -> None:
        super().__init__(f"{kind}: {message}" if message else str(kind))
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.refused = refused
        self.overflow = overflow
        self.whole_provider = whole_provider


class Untranslatable(Exception):
    """This provider's dialect cannot express the request; another's may."""


class RequestRefused(Exception):
    """The client's request cannot be served as it stands; told to the client as it is.

    `kind` is an Anthropic error type (`invalid_request_error`, `not_found_error`, ...).
    """

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
