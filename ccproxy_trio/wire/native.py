"""What Anthropic-shaped servers answer, as little of it as has to be understood to pass it on.

An event is decoded to know where the answer stands; what the client reads are the bytes that came. So only
what is read here is declared, and as loosely as clients read it: an event is unreadable where Claude Code
would throw the stream away.

Source: the `anthropic` package's `RawMessageStreamEvent` types, its own and the beta ones.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.wire.chunks import mended
from ccproxy_trio.wire.events import OutputTokensDetails, Usage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

T = TypeVar("T")
ABSENT = Raw(b"")
_SAYS_NOTHING = (b"", b'""', b"null")
_MOST = 10**12  # beyond any real count
_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class DeltaKind(Struct, frozen=True):
    """A delta's type. Two that are alike are equal, whatever text they bring."""

    type: str = ""


class BlockDelta(Struct, frozen=True):
    """A `content_block_delta`: which block grows, and in which way."""

    index: int
    delta: DeltaKind


class DeltaText(Struct, frozen=True):
    """What a delta brings, in the member that its type has."""

    text: Raw = ABSENT
    thinking: Raw = ABSENT
    partial_json: Raw = ABSENT
    signature: Raw = ABSENT
    type: str = ""

    @property
    def says(self) -> bool:
        """Whether there is anything in it. Of a type that nobody knows there is."""
        if self.type not in EMPTY_DELTAS:
            return True
        pieces = (self.text, self.thinking, self.partial_json, self.signature)
        return any(bytes(piece) not in _SAYS_NOTHING for piece in pieces)

    @property
    def shows(self) -> bool:
        """Whether a reader gets to see something of it."""
        return any(bytes(piece) not in _SAYS_NOTHING for piece in (self.text, self.thinking))


class TextDelta(Struct, frozen=True):
    """The same event as `BlockDelta`, for whom its text matters."""

    index: int
    delta: DeltaText


class BlockStart(Struct, frozen=True):
    """A `content_block_start`; the block's members are not looked into."""

    index: int
    content_block: dict[str, Raw]


class BlockStop(Struct, frozen=True):
    """A `content_block_stop`."""

    index: int


class AnswerStart(Struct, frozen=True):
    """A `message_start`; the message's members are not looked into."""

    message: dict[str, Raw]


class AnswerEnd(Struct, frozen=True):
    """A `message_delta`: how the answer ended, and its totals."""

    delta: dict[str, Raw] = {}
    usage: Raw = ABSENT


class Counts(Struct, frozen=True):
    """A `usage` object. Counts are read one by one: a wrong one spoils no other."""

    input_tokens: Raw = ABSENT
    output_tokens: Raw = ABSENT
    cache_creation_input_tokens: Raw = ABSENT
    cache_read_input_tokens: Raw = ABSENT
    output_tokens_details: dict[str, Raw] | None = None


EMPTY_DELTAS = frozenset({"text_delta", "thinking_delta", "input_json_delta", "signature_delta"})
"""The types of deltas that may come with nothing in them."""

_delta = msgspec.json.Decoder(BlockDelta)
_text = msgspec.json.Decoder(TextDelta)
_start = msgspec.json.Decoder(BlockStart)
_stop = msgspec.json.Decoder(BlockStop)
_answer_start = msgspec.json.Decoder(AnswerStart)
_answer_end = msgspec.json.Decoder(AnswerEnd)
_counts = msgspec.json.Decoder(Counts)
_string = msgspec.json.Decoder(str)
_members = msgspec.json.Decoder(dict[str, Raw])


def decode_deltas(payloads: bytes) -> list[BlockDelta]:
    """What the `content_block_delta` events say that are in `payloads`, one JSON text a line.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_delta.decode_lines, payloads)


def decode_texts(payloads: bytes) -> list[TextDelta]:
    """What the same events bring.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_text.decode_lines, payloads)


def decode_delta(payload: bytes) -> BlockDelta:
    """What a `content_block_delta` says.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    if payload.isascii():  # nearly always, so without another call
        try:
            return _delta.decode(payload)
        except (ValueError, RecursionError):
            return _read(_delta.decode, payload)
    return _read(_delta.decode, payload)


def decode_text(payload: bytes) -> TextDelta:
    """What a `content_block_delta` brings.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_text.decode, payload)


def decode_start(payload: bytes) -> BlockStart:
    """A `content_block_start`.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_start.decode, payload)


def decode_stop(payload: bytes) -> int:
    """The index that a `content_block_stop` names.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_stop.decode, payload).index


def decode_answer_start(payload: bytes) -> dict[str, Raw]:
    """The message of a `message_start`.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_answer_start.decode, payload).message


def decode_answer_end(payload: bytes) -> AnswerEnd:
    """A `message_delta`.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_answer_end.decode, payload)


def decode_members(payload: bytes) -> dict[str, Raw]:
    """Any object, one layer of it.

    Raises:
        UpstreamFault: PROTOCOL.
    """
    return _read(_members.decode, payload)


def text_of(value: Raw | None) -> str | None:
    """What a JSON string says; None where it is none."""
    if value is None:
        return None
    try:
        return _string.decode(mended(bytes(value)))
    except (ValueError, RecursionError):
        return None


def usage_of(value: Raw, before: Usage | None) -> Usage | None:
    """What is known of the tokens once `value`, a `usage` object, has been read: its totals overwrite others.

    None as long as nothing was told. What is no number tells nothing.
    """
    try:
        counts = _counts.decode(value)
    except (ValueError, RecursionError):
        return before
    known = before or Usage()
    thought = (counts.output_tokens_details or {}).get("thinking_tokens")
    usage = Usage(
        input_tokens=_count(counts.input_tokens, known.input_tokens),
        output_tokens=_count(counts.output_tokens, known.output_tokens),
        cache_creation_input_tokens=_count(
            counts.cache_creation_input_tokens, known.cache_creation_input_tokens
        ),
        cache_read_input_tokens=_count(counts.cache_read_input_tokens, known.cache_read_input_tokens),
        output_tokens_details=known.output_tokens_details
        if thought is None
        else OutputTokensDetails(_count(thought, 0)),
    )
    return before if usage == Usage() else usage


def _count(value: Raw, otherwise: int) -> int:
    number = _NUMBER.fullmatch(bytes(value))
    return otherwise if number is None else int(min(float(number[0]), _MOST))


def _read(decode: Callable[[bytes], T], payload: bytes) -> T:
    try:
        if not payload.isascii():
            payload.decode()  # strings that are passed on unread would otherwise never be looked at
        try:
            return decode(payload)
        except msgspec.DecodeError:
            return decode(mended(payload))
    except (ValueError, RecursionError) as error:
        raise UpstreamFault(FaultKind.PROTOCOL, "an event of the answer cannot be read") from error
