"""What Chat Completions servers answer, as tolerant types: one shape for stream chunks and whole completions.

Only what is read is declared; everything else is skipped. Where servers are known to disagree about a type
the field takes any JSON value (`Loose`) and its reader looks; elsewhere a wrong type means that this is no
answer of the protocol.

Source: OpenAI's API reference (chat completion object and chunk object); what OpenRouter, vLLM, SGLang,
DeepSeek, Moonshot, Groq, Mistral and Gemini add to it is noted at the field.
"""

import re

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

Loose = str | dict[str, Raw] | list[Raw] | int | float | bool | None

ABSENT = Raw(b"")
_NOTHING = (b"null", b"{}", b"[]", b'""', b"false")


class FunctionPiece(Struct, frozen=True):
    """A function's name and the JSON text of its arguments, or pieces of both. Some send an object.

    `arguments` is not decoded: numbers of any size and keys that occur twice come out as they went in.
    """

    name: str | None = None
    arguments: Raw = ABSENT


class CallPiece(Struct, frozen=True):
    """One item of `tool_calls`. Gemini puts its thought signature into `extra_content`."""

    index: int | str | None = None
    id: str | int | None = None
    function: FunctionPiece | None = None
    extra_content: Raw = ABSENT


class ContentPart(Struct, frozen=True):
    """One item of a content list. Mistral nests reasoning in parts of type "thinking"."""

    type: str = "text"
    text: str | None = None
    refusal: str | None = None
    thinking: "str | list[ContentPart] | None" = None


class Delta(Struct, frozen=True):
    """A chunk's `delta` or a completion's `message`."""

    content: str | list[ContentPart | str] | None = None
    tool_calls: list[CallPiece] | None = None
    reasoning_content: Loose = None  # DeepSeek, vLLM, SGLang, Qwen, Kimi, GLM
    reasoning: Loose = None  # OpenRouter, Ollama, newer vLLM, Groq
    reasoning_details: list[Raw] | None = None  # OpenRouter
    refusal: str | None = None
    function_call: FunctionPiece | None = None  # the predecessor of tool_calls


class Choice(Struct, frozen=True):
    """One of `choices`. `stop_reason` (vLLM) and `matched_stop` (SGLang) tell the stop sequence."""

    index: int | float | str | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Loose = None
    stop_reason: Loose = None
    matched_stop: Loose = None
    usage: Raw = ABSENT  # Moonshot


class GroqExtras(Struct, frozen=True):
    """Groq's own corner of a chunk."""

    usage: Raw = ABSENT


class Chunk(Struct, frozen=True):
    """One stream chunk or one whole completion."""

    choices: list[Choice] | None = None
    usage: Raw = ABSENT
    error: Raw = ABSENT
    object: Loose = None
    message: Raw = ABSENT  # of an error that is not wrapped in `error`
    detail: Raw = ABSENT  # the same, from FastAPI
    errors: Raw = ABSENT  # the same, from gateways that list them
    x_groq: GroqExtras | None = None


class TokenDetails(Struct, frozen=True):
    """A breakdown of prompt or completion tokens. Counts are read one by one: a wrong one spoils no other."""

    cached_tokens: Raw = ABSENT
    cache_write_tokens: Raw = ABSENT
    reasoning_tokens: Raw = ABSENT


class TokenCounts(Struct, frozen=True):
    """A `usage` object. The last two are DeepSeek's and Moonshot's words for cached prompt tokens.

    The details are objects, but for servers written in languages where an empty object is an empty list.
    """

    prompt_tokens: Raw = ABSENT
    completion_tokens: Raw = ABSENT
    total_tokens: Raw = ABSENT
    prompt_tokens_details: Raw = ABSENT
    completion_tokens_details: Raw = ABSENT
    prompt_cache_hit_tokens: Raw = ABSENT
    cached_tokens: Raw = ABSENT


_chunk_decoder = msgspec.json.Decoder(Chunk)
_chunks_decoder = msgspec.json.Decoder(list[Chunk])
_counts_decoder = msgspec.json.Decoder(TokenCounts)
_details_decoder = msgspec.json.Decoder(TokenDetails)
_members_decoder = msgspec.json.Decoder(dict[str, Raw])

_NO_DETAILS = TokenDetails()
# Escapes of characters beyond U+FFFF, which have two halves, and (the last) of a half that stands alone.
_HALVES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def present(value: Raw) -> bool:
    """Whether a field was there with something in it: null, "", {}, [] and false say nothing."""
    return bool(value) and bytes(value) not in _NOTHING


def complains(error: Raw) -> bool:
    """Whether an `error` field tells of an error. Some gateways send one full of blanks with every answer."""
    if not present(error):
        return False
    try:
        members = _members_decoder.decode(error)
    except (ValueError, RecursionError):
        return True
    return any(map(present, members.values()))


def decode_chunk(payload: bytes) -> Chunk:
    """The chunk or completion in `payload`; of a list (Gemini wraps its errors in one) the first.

    Raises:
        UpstreamFault: PROTOCOL, for anything else: skipping it would make a cut answer look whole.
    """
    try:
        if not payload.isascii():
            payload.decode()  # what is passed on unread would otherwise never be looked at
        try:
            return _decode(payload)
        except msgspec.DecodeError:
            return _decode(mended(payload))
    except (ValueError, RecursionError, IndexError) as error:
        raise UpstreamFault(FaultKind.PROTOCOL, "the answer is not a chat completion") from error


def _decode(payload: bytes) -> Chunk:
    if payload.startswith(b"["):
        return _chunks_decoder.decode(payload)[0]
    return _chunk_decoder.decode(payload)


def mended(payload: bytes) -> bytes:
    """The JSON with a replacement character for every half character.

    Servers that cut text between two code units send such. JSON allows the escape, and a replacement
    character costs less than the answer.
    """
    return _HALVES.sub(_replacement, payload)


def _replacement(found: re.Match[bytes]) -> bytes:
    return found[0] if found[1] is None else rb"\ufffd"


def decode_counts(usage: Raw) -> TokenCounts | None:
    """The counts in a `usage` value; None where it is not such an object."""
    try:
        return _counts_decoder.decode(usage)
    except (ValueError, RecursionError):
        return None


def decode_details(details: Raw) -> TokenDetails:
    """The breakdown in a `..._details` value; an empty one where it is not such an object."""
    try:
        return _details_decoder.decode(details)
    except (ValueError, RecursionError):
        return _NO_DETAILS
