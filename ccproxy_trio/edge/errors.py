"""Everything that can go wrong, in the words of Anthropic's API: envelope, status, headers."""

import msgspec
from quart import Response
from werkzeug.exceptions import HTTPException

from ccproxy_trio.errand import NothingLeft
from ccproxy_trio.routing.telling import Told
from ccproxy_trio.wire.faults import RequestRefused

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Body(msgspec.Struct, frozen=True):
    type: str
    message: str


class _Envelope(msgspec.Struct, frozen=True):
    error: _Body
    request_id: str
    type: str = "error"


def error_response(told: Told, *, request_id: str) -> Response:
    """An error as the client reads it.

    `x-should-retry: false` makes Claude Code show the text at once instead of after three minutes of trying.
    """
    envelope = _Envelope(error=_Body(type=told.kind, message=told.message), request_id=request_id)
    response = Response(msgspec.json.encode(envelope), status=told.status, content_type="application/json")
    if told.retry_after is not None:
        response.headers["retry-after"] = str(told.retry_after)
    if told.should_retry is not None:
        response.headers["x-should-retry"] = "true" if told.should_retry else "false"
    return response


def told_of(error: Exception) -> Told:
    """What a client is told of one of our errors or of Quart's."""
    match error:
        case NothingLeft():
            return error.told
        case RequestRefused():
            return refusal(error.status, error.message, kind=error.kind)
        case MemoryError():
            return NO_ROOM
        case HTTPException() if error.code == 413:
            return refusal(413, "The request is larger than 32 MB.")
        case HTTPException() if error.code == 408:
            return refusal(408, "The request's body did not arrive in time.")
        case HTTPException() if error.code == 404:
            return refusal(404, "There is no such endpoint here.")
        case HTTPException():
            return refusal(error.code or 500, error.description or error.name)
        case _:
            return OUR_FAULT


def refusal(status: int, message: str, *, kind: str | None = None) -> Told:
    """An error of our own making; repeating the request would not help.

    Claude Code repeats a 401 for three minutes, and shows nothing meanwhile, unless it is told not to.
    """
    return Told(
        status=status,
        kind=kind or _KINDS.get(status, "api_error"),
        message=message,
        retry_after=None,
        should_retry=False if status >= 500 or status in (401, 403) else None,
    )


OUR_FAULT = refusal(500, "The proxy failed on this request. Its log says more.")
NO_ROOM = Told(
    status=529,
    kind="overloaded_error",
    message="The proxy has no memory left for a request of this size. Try again in a moment.",
    retry_after=5,
    should_retry=None,
)
