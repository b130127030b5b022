"""What Chat Completions servers answer, as tolerant types: one shape for stream chunks and whole completions.

Only what is read is declared; everything else is skipped. Where servers are known to disagree about a type
the field takes any JSON value (`Loose`) and its reader looks; elsewhere a wrong type means that this is no
answer of the protocol.

Source: OpenAI's API reference (chat completion object and chunk object); what OpenRouter, vLLM, SGLang,
DeepSeek, Moonshot, Groq, Mistral and Gemini add to it is noted at the field.
"""

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

Loose = str | dict[str, Raw] | list[Raw] | int | float | bool | None

ABSENT = Raw(b"")
_NOTHING = (b"null", b"{}", b"[]", b'""', b"false")


class FunctionPiece(Struct, frozen=True):
    """A function's name and the JSON text of its arguments, or pieces of both. Some send an object."""

    name: str | None = None
    arguments: Loose = None


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

    index: int | None = None
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
    x_groq: GroqExtras | None = None


class TokenDetails(Struct, frozen=True):
    """A breakdown of prompt or completion tokens."""

    cached_tokens: Loose = None
    cache_write_tokens: Loose = None
    reasoning_tokens: Loose = None


class TokenCounts(Struct, frozen=True):
    """A `usage` object. The last two are DeepSeek's and Moonshot's words for cached prompt tokens."""

    prompt_tokens: Loose = None
    completion_tokens: Loose = None
    total_tokens: Loose = None
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None
    prompt_cache_hit_tokens: Loose = None
    cached_tokens: Loose = None


_chunk_decoder = msgspec.json.Decoder(Chunk)
_chunks_decoder = msgspec.json.Decoder(list[Chunk])
_counts_decoder = msgspec.json.Decoder(TokenCounts)


def present(value: Raw) -> bool:
    """Whether a field was there with something in it: null, "", {}, [] and false say nothing."""
    return bool(value) and bytes(value) not in _NOTHING


def decode_chunk(payload: bytes) -> Chunk:
    """The chunk or completion in `payload`; of a list (Gemini wraps its errors in one) the first.

    Raises:
        UpstreamFault: PROTOCOL, for anything else: skipping it would make a cut answer look whole.
    """
    try:
        if not payload.isascii():
            payload.decode()  # what is passed on unread would otherwise never be looked at
        if payload.startswith(b"["):
            return _chunks_decoder.decode(payload)[0]
        return _chunk_decoder.decode(payload)
    except (ValueError, RecursionError, IndexError) as error:
        raise UpstreamFault(FaultKind.PROTOCOL, "the answer is not a chat completion") from error


def decode_counts(usage: Raw) -> TokenCounts | None:
    """The counts in a `usage` value; None where it is not such an object."""
    try:
        return _counts_decoder.decode(usage)
    except (ValueError, RecursionError):
        return None
