"""What servers of the Responses API answer, as tolerant types: stream events, items, the whole response.

Only what is read is declared. Of an event everything but its type stays raw until it is known to matter:
there are half a hundred kinds of events, and more every year.

Source: the `openai` package's `responses.response_stream_event` and `responses.response`.
"""

from typing import Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.wire.chunks import ABSENT, Loose, mended, present
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

_NULL = b"null"

ItemKind = Literal["message", "reasoning", "function_call"]


class ResponseEvent(Struct, frozen=True):
    """One event. Which members it has depends on its type."""

    type: Loose = None
    output_index: Loose = None
    item_id: Loose = None
    content_index: Loose = None
    summary_index: Loose = None
    item: Raw = ABSENT
    response: Raw = ABSENT
    delta: Raw = ABSENT
    text: Raw = ABSENT
    refusal: Raw = ABSENT
    arguments: Raw = ABSENT
    error: Raw = ABSENT


class _Kind(Struct, frozen=True):
    """What an item is."""

    type: Loose = None


class TextPart(Struct, frozen=True):
    """A part of a message's content, of a summary or of reasoning."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


Parts = list[TextPart] | str | None


class OutputItem(Struct, frozen=True):
    """A member of `output`. `arguments` is JSON text; some send an object."""

    type: ItemKind
    id: Loose = None
    name: str | None = None
    arguments: Raw = ABSENT
    content: Parts = None
    summary: Parts = None
    encrypted_content: str | None = None
    phase: Loose = None


class Incomplete(Struct, frozen=True):
    """Why a response is incomplete."""

    reason: str | None = None


class Response(Struct, frozen=True):
    """The response object, whole or as far as it has come."""

    object: Loose = None
    status: Loose = None
    error: Raw = ABSENT
    incomplete_details: Incomplete | None = None
    output: list[Raw] | None = None
    usage: Raw = ABSENT
    message: Raw = ABSENT  # of an error that is not wrapped in `error`
    detail: Raw = ABSENT  # the same, from FastAPI
    errors: Raw = ABSENT  # the same, from gateways that list them


class ResponseCounts(Struct, frozen=True):
    """A response's `usage`. The details are objects, but for servers that write an empty one as a list."""

    input_tokens: Raw = ABSENT
    output_tokens: Raw = ABSENT
    total_tokens: Raw = ABSENT
    input_tokens_details: Raw = ABSENT
    output_tokens_details: Raw = ABSENT


_Decoded = TypeVar("_Decoded")

_event_decoder = msgspec.json.Decoder(ResponseEvent)
_item_decoder = msgspec.json.Decoder(OutputItem)
_kind_decoder = msgspec.json.Decoder(_Kind)
_response_decoder = msgspec.json.Decoder(Response)
_counts_decoder = msgspec.json.Decoder(ResponseCounts)
_text_decoder = msgspec.json.Decoder(str)


def decode_event(payload: bytes) -> ResponseEvent:
    """The event in `payload`.

    Raises:
        UpstreamFault: PROTOCOL, for anything else: skipping it would make a cut answer look whole.
    """
    return _decoded(_event_decoder, _in_unicode(payload))


def decode_response(payload: bytes) -> Response:
    """The response object in `payload`.

    Raises:
        UpstreamFault: PROTOCOL, for anything else.
    """
    return _decoded(_response_decoder, _in_unicode(payload))


def decode_item(raw: Raw) -> OutputItem | None:
    """The item; None where it is of a kind that is not read, whatever its members.

    Raises:
        UpstreamFault: PROTOCOL, it is no item, or a member that is read is of a wrong type.
    """
    kind = _decoded(_kind_decoder, raw).type if present(raw) else None
    return _decoded(_item_decoder, raw) if kind in _READ_ITEMS else None


_READ_ITEMS = ("message", "reasoning", "function_call")


def decode_text(raw: Raw) -> str:
    """The text; "" where there is none.

    Raises:
        UpstreamFault: PROTOCOL, it is something else.
    """
    return _decoded(_text_decoder, raw) if raw and bytes(raw) != _NULL else ""


def decode_response_counts(usage: Raw) -> ResponseCounts | None:
    """The counts in a `usage` value; None where it is not such an object."""
    try:
        return _counts_decoder.decode(usage)
    except (ValueError, RecursionError):
        return None


def _in_unicode(payload: bytes) -> bytes:
    """The payload itself: what of it is passed on unread would otherwise never be looked at."""
    try:
        if not payload.isascii():
            payload.decode()
    except ValueError as error:
        raise _no_response() from error
    return payload


def _decoded(decoder: msgspec.json.Decoder[_Decoded], payload: bytes | Raw) -> _Decoded:
    try:
        try:
            return decoder.decode(payload)
        except msgspec.DecodeError:
            # Servers that cut text between two code units send half characters: see `mended`.
            return decoder.decode(mended(bytes(payload)))
    except (ValueError, RecursionError) as error:
        raise _no_response() from error


def _no_response() -> UpstreamFault:
    return UpstreamFault(FaultKind.PROTOCOL, "the answer is not a response of the Responses API")
