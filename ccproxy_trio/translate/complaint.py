"""Reading an upstream error, in whatever shape it comes, into one.

Seen in the field: OpenAI's `{"error": {...}}`, a bare string, FastAPI's `detail`, Gemini's list around it,
Azure's nulls and inner errors, llama.cpp's counts, JSON inside a message, a provider's own answer inside
OpenRouter's metadata, HTML.
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.sanitise import looks_like_html, sanitise
from ccproxy_trio.translate.waits import duration, wait_in_text

_MOST_TEXT = 4000  # characters of a message that are looked at
_MOST_PLAIN = 200  # characters of a body that is not JSON
_MOST_NESTED = 8  # layers of wrapping and of JSON inside text
_MOST_LISTED = 5  # complaints of one list that are quoted
_MOST_PLACES = 50  # complaints of one list whose parameters are read


class Complaint(Struct, frozen=True, kw_only=True):
    """What an error says. `message` is as the provider wrote it; `codes` are its codes and types, lower case.

    `status` is the HTTP status named inside the body. `parameters` are those complained of, each a name or a
    path (`tools[0].strict`). `prompt` and `limit` are tokens. `retry_after` is in seconds.
    """

    message: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None
    parameters: tuple[str, ...] = ()
    prompt: int | None = None
    limit: int | None = None
    retry_after: float | None = None


def read_body(body: bytes) -> Complaint:
    """Read the body of an error response. Never fails: what cannot be understood is quoted."""
    try:
        document: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _plain(body.decode("utf-8", "replace"))
    return read(document)


def read(document: object) -> Complaint:
    """Read an error that has been decoded already, or a `Raw` that has not."""
    match document:
        case Raw():
            return read_body(bytes(document))
        case bytes():
            return read_body(document)
        case str():
            return _nested(document, _MOST_NESTED) or _plain(document)
        case _:
            return _read(document, _MOST_NESTED)


def _plain(text: str) -> Complaint:
    text = text.strip()
    shown = sanitise(text) if looks_like_html(text) else text
    return Complaint(message=shown[:_MOST_PLAIN], retry_after=wait_in_text(shown[:_MOST_PLAIN]))


# -- unwrapping ----------------------------------------------------------------------------------------


def _read(document: object, depth: int) -> Complaint:
    fields = _fields(document, depth)
    message = next((text for text in map(_text, _candidates(fields)) if text), "")[:_MOST_TEXT]
    parameters, unknown = _parameters(fields)
    own = Complaint(
        message=message,
        codes=frozenset(_codes(fields)) | unknown,
        status=_status(fields),
        parameters=parameters,
        prompt=_count(fields.get("n_prompt_tokens")),
        limit=_count(fields.get("n_ctx")),
        retry_after=_delay(fields) or wait_in_text(message),
    )
    inner = _nested(message, depth - 1)
    if inner is not None:
        own = _joined(own, inner, inner.message or message)
    behind = _behind(fields, depth - 1)
    return own if behind is None else _joined(own, behind, f"{own.message}: {behind.message}".strip(": "))


def _fields(document: object, depth: int) -> dict[str, object]:
    """The object that holds the error, whatever is around it."""
    match document:
        case _ if depth <= 0:
            return {}
        case [first, *_]:
            return _fields(first, depth - 1)
        case {"error": dict(error)} if error:
            return _fields(error, depth - 1)
        case {"response": {"error": dict(error)}} if error:  # an event of OpenAI's Responses API
            return _fields(error, depth - 1)
        case {"error": [first, *_]} | {"errors": [first, *_]}:
            return _fields(first, depth - 1)
        case dict():
            return document
        case str():
            return {"message": document}
        case _:
            return {}


def _candidates(fields: dict[str, object]) -> Iterator[object]:
    return (fields.get(name) for name in ("message", "error", "detail", "msg", "error_message", "title"))


def _text(value: object) -> str:
    """Whatever of it a human would read."""
    match value:
        case str():
            return value.strip()
        case {"loc": list(path), "msg": str(message)}:
            return ".".join(map(str, path)) + ": " + message
        case {"message": inner} | {"detail": inner} | {"msg": inner}:
            return _text(inner)
        case list():
            return "; ".join(filter(None, map(_text, value[:_MOST_LISTED])))
        case _:
            return ""


def _nested(text: str, depth: int) -> Complaint | None:
    """The error inside a message such as `BadRequestError: {"error": ...}`."""
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0 or depth <= 0:
        return None
    try:
        document: object = msgspec.json.decode(text[start:])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    complaint = _read(document, depth)
    return complaint if complaint.message or complaint.codes else None


def _behind(fields: dict[str, object], depth: int) -> Complaint | None:
    """What the provider behind a router said (OpenRouter: `metadata.raw`)."""
    match fields.get("metadata"):
        case {"raw": str(text)}:
            return _nested(text, depth) or _plain(text)
        case {"raw": dict() as document}:
            return _read(document, depth)
        case _:
            return None


def _joined(outer: Complaint, inner: Complaint, message: str) -> Complaint:
    """Both: the inner one is nearer to the cause."""
    return Complaint(
        message=message[:_MOST_TEXT],
        codes=outer.codes | inner.codes,
        status=inner.status or outer.status,
        parameters=inner.parameters or outer.parameters,
        prompt=inner.prompt or outer.prompt,
        limit=inner.limit or outer.limit,
        retry_after=inner.retry_after or outer.retry_after,
    )


# -- particulars ---------------------------------------------------------------------------------------


def _codes(fields: dict[str, object]) -> Iterator[str]:
    for name in ("code", "type", "status", "reason"):
        match fields.get(name):
            case str(word):
                yield word.lower()
    for name in ("innererror", "inner_error"):
        match fields.get(name):
            case {"code": str(word)}:
                yield word.lower()
    match fields.get("metadata"):
        case {"reasons": list()}:  # OpenRouter's moderation
            yield "moderation"
    for detail in _details(fields):
        match detail:
            case {"reason": str(word)}:
                yield word.lower()


def _details(fields: dict[str, object]) -> list[object]:
    """Gemini's `details`, which may name a delay and a reason."""
    match fields.get("details"):
        case list(details):
            return details
        case _:
            return []


def _delay(fields: dict[str, object]) -> float | None:
    for detail in _details(fields):
        match detail:
            case {"retryDelay": str(delay)}:
                return duration(delay)
    return None


def _status(fields: dict[str, object]) -> int | None:
    """An HTTP status written as a number or as digits."""
    for name in ("code", "status", "status_code", "statusCode"):
        match fields.get(name):
            case bool():
                continue
            case int(number) if 400 <= number <= 599:
                return number
            case str(digits) if re.fullmatch(r"[45]\d\d", digits):
                return int(digits)
    return None


def _parameters(fields: dict[str, object]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The parameters that are complained of, and the code which that complaint stands for."""
    match fields:
        case {"param": str(name)} if name:
            return (name,), frozenset()
    for value in _candidates(fields):
        match value:
            case list(entries) | {"detail": list(entries)}:
                named = [place for place in map(_place, entries[:_MOST_PLACES]) if place is not None]
                unknown = (
                    frozenset({"unknown_parameter"}) if any(extra for _, extra in named) else frozenset()
                )
                return tuple(dict.fromkeys(path for path, _ in named)), unknown
    return (), frozenset()


def _place(entry: object) -> tuple[str, bool] | None:
    """Where in the body an entry of FastAPI's list points, and whether to something that may not be there."""
    match entry:
        case {"loc": ["body", str(first), *rest], "type": str(kind)}:
            return ".".join(map(str, (first, *rest))), kind == "extra_forbidden"
        case _:
            return None


def _count(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value
        case _:
            return None
