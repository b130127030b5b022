"""The headers of a response: the provider's that the client gets, and who answered under which name."""

from quart import Response

from ccproxy_trio.translate.question import Headers

REQUEST_ID = "request-id"
OUR_REQUEST_ID = "x-ccproxy-request-id"
_OF_OUR_BODY = "content-type"


def with_theirs(response: Response, headers: Headers) -> Response:
    """The response with the provider's headers. What the body is, is ours to say."""
    for name, value in headers:
        if name != _OF_OUR_BODY:
            response.headers[name] = value
    return response


def with_ids(response: Response, request_id: str) -> Response:
    """The response with its id: the provider's where there is one, since only that means something to it.

    Ours stands beside it then; it is the one in the log.
    """
    name = OUR_REQUEST_ID if REQUEST_ID in response.headers else REQUEST_ID
    response.headers[name] = request_id
    return response
