"""What providers of Anthropic's wire say of a request that they do not take: their words, as data.

A new wording is a new pattern here; `learning.py` says what follows from each. Case does not matter.
"""

import re
from enum import Enum

from msgspec import Struct

_NO = (
    r"(?:not (?:yet |currently )?(?:be )?(?:supported|permitted|allowed|available|valid)|unsupported|invalid)"
)


class About(Enum):
    """What a refusal is about, where it is not just a member too many."""

    SIGNATURE = "thinking of the history that is not its own, or was changed"
    THOUGHTLESS = "a turn that calls tools without having thought"
    BETA = "a value of `anthropic-beta`"
    ROLE = "system messages between the turns"
    ORDER = "neighbouring messages of one role"
    ALWAYS_THINKS = "switching thinking off"
    ADAPTIVE = "adaptive thinking"
    BUDGET = "thinking with a budget"
    THINKING = "thinking in any form"
    EFFORT = "an effort"
    REFERENCE = "tool_reference blocks"
    THOUGHTS = "thinking blocks, as something unknown"


class Words(Struct, frozen=True):
    """One way of saying it."""

    source: str
    about: About
    pattern: str


WORDS: tuple[Words, ...] = (
    Words(
        "Anthropic",
        About.SIGNATURE,
        r"\binvalid\W{1,3}(?:signature|data)\W{1,3}in\W{1,3}(?:redacted_)?thinking\b",
    ),
    Words("Anthropic", About.SIGNATURE, r"\bthinking\b.{0,80}\bblocks?\b.{0,80}\bcannot be modified\b"),
    Words("Anthropic, gateways", About.SIGNATURE, r"\bsignature\b\W{1,4}field required\b"),
    Words(
        "Anthropic",
        About.THOUGHTLESS,
        r"\bexpected\W{1,3}(?:redacted_)?thinking\b.{0,40}\bbut found\b|\bmust start with a thinking block\b",
    ),
    Words("DeepSeek", About.THOUGHTLESS, r"\bthinking mode must be passed back\b"),
    Words("Kimi", About.THOUGHTLESS, r"\bthinking is enabled but reasoning_content is missing\b"),
    Words("Anthropic, Vertex", About.BETA, r"\bunexpected value\(s\).{1,400}\banthropic-beta\b"),
    Words("Bedrock", About.BETA, r"\binvalid beta flag\b"),
    Words("gateways", About.BETA, rf"\banthropic-beta\b.{{0,120}}?\b{_NO}"),
    Words("Anthropic", About.ROLE, r"\bunexpected role\W{1,4}system\b"),
    Words(
        "gateways",
        About.ROLE,
        rf"\brole\W{{1,5}}system\b.{{0,40}}?(?:\b{_NO}|不支持)|(?:不支持|\b{_NO})\W{{0,3}}role\W{{1,5}}system\b"
        rf"|\b{_NO} role\W{{1,5}}system\b|不支持\s*role\W{{1,5}}system",
    ),
    Words("Anthropic", About.ROLE, r"\bmid-conversation-system\b"),
    Words(
        "vLLM, FastAPI and pydantic servers",
        About.ROLE,
        r"\brole\b.{0,60}?\binput should be\W{1,4}(?:user|assistant)\W{1,4}or\W{1,4}(?:user|assistant)\b",
    ),
    Words(
        "Qwen, Ollama",
        About.ROLE,
        r"\bunknown variant\W{1,4}system\b|\bexpected\W{1,4}user\W{1,4}or\W{1,4}assistant\b",
    ),
    Words(
        "Qwen's templates behind Ollama, vLLM and llama.cpp",
        About.ROLE,
        r"\bsystem message must (?:be )?(?:at the beginning|(?:the )?first|come first)\b"
        r"|\bwith the exception of an initial optional system message\b",
    ),
    Words("llama.cpp", About.ROLE, r"\bunexpected message role\b|\bonly user and assistant roles\b"),
    Words(
        "strict templates", About.ORDER, r"\broles must alternate\b|\bmust alternate between (?:user|human)\b"
    ),
    Words("Kimi", About.ALWAYS_THINKS, r"\bonly type\W{1,2}enabled is allowed\b"),
    Words(
        "Anthropic",
        About.ALWAYS_THINKS,
        rf"\bthinking\.type\.disabled\W{{0,4}}\s?(?:is )?{_NO}|\bthinking cannot be disabled\b",
    ),
    Words("Anthropic", About.BUDGET, rf"\bthinking\.type\.enabled\W{{0,4}}\s?(?:is )?{_NO}"),
    Words("Anthropic", About.BUDGET, r"\buse\W{1,4}thinking\.type\.adaptive\b"),
    Words("Anthropic", About.ADAPTIVE, rf"\badaptive\b(?:\W{{1,3}}thinking)?\W.{{0,20}}?\b{_NO}"),
    Words(
        "Anthropic, pydantic servers",
        About.ADAPTIVE,
        r"\binput tag\W{1,3}adaptive\b|\bthinking\.type\b.{0,40}\binput should be\W{1,4}(?:en|dis)abled\b"
        r"|\bunknown variant\W{1,4}adaptive\b",
    ),
    Words(
        "Anthropic",
        About.THINKING,
        rf"\bmodel does(?: not|n't) support (?:extended )?thinking\b|\bextended thinking (?:is )?{_NO}"
        rf"|(?:^|\W)thinking\W{{1,3}}(?:is )?{_NO}|(?:^|\s)thinking\W{{1,3}}extra inputs\b",
    ),
    Words(
        "Anthropic",
        About.EFFORT,
        rf"\bdoes(?: not|n't) support (?:the )?effort\b|\beffort\b.{{0,60}}?\b{_NO}"
        r"|\boutput_config\.effort\b\W{1,3}(?:input should be|extra inputs)\b",
    ),
    Words("Moonshot, pydantic servers", About.REFERENCE, r"\btool_reference\b"),
    Words(
        "pydantic servers",
        About.THOUGHTS,
        r"\binput tag\W{1,3}(?:redacted_)?thinking\b|\bunknown variant\W{1,4}(?:redacted_)?thinking\b"
        r"|\bunsupported content type\b.{0,80}\b(?:redacted_)?thinking\b",
    ),
)
_COMPILED = tuple((words.about, re.compile(words.pattern, re.IGNORECASE | re.DOTALL)) for words in WORDS)

_PATH = r"([a-z_]\w*(?:[.\[]+[\w]+\]?)*)"
_EXTRA = re.compile(rf"(?:^|[\s:;,'\"`(]){_PATH}\W{{1,3}}\s?extra (?:inputs|fields)\b", re.IGNORECASE)
_EXTRA_OF_FASTAPI = re.compile(r"'extra_forbidden', 'loc': [(\[]([^)\]]+)[)\]]")
_UNKNOWN = re.compile(
    r"\b(?:un(?:known|recognized|expected|supported)) (?:request )?"
    r"(?:field|argument|parameter|key|name|property)s?(?: supplied)?:?\s*[\"'`]?([a-z_][\w.]*)",
    re.IGNORECASE,
)
_DEPRECATED = re.compile(
    r"[\"'`](\w+)[\"'`] (?:is|are) (?:deprecated|not supported) (?:for|by|with|on)\b", re.IGNORECASE
)
_PLACE = re.compile(rf"(?:^|[\s:;,'\"`(]){_PATH}: ", re.IGNORECASE)
_PLACE_OF_FASTAPI = re.compile(r"'loc': [(\[]([^)\]]+)[)\]]")
_UNFIT = re.compile(
    r"\b(?:input tag|unknown (?:variant|tool|type)|input should be|field required|missing field"
    rf"|does not match|extra inputs|unsupported (?:content|tool) type|{_NO})",
    re.IGNORECASE,
)


def said(message: str) -> list[About]:
    """What a refusal is about, in the order of the rows above, each once."""
    return list(dict.fromkeys(about for about, pattern in _COMPILED if pattern.search(message)))


def extra(message: str) -> list[str]:
    """The members that are said to be too many, by their paths as they were written, or by name alone."""
    forbidden = map(_joined, _EXTRA_OF_FASTAPI.findall(message))
    found = [pattern.findall(message) for pattern in (_EXTRA, _UNKNOWN, _DEPRECATED)]
    return list(
        dict.fromkeys((*forbidden, *(path.removeprefix("body.") for paths in found for path in paths)))
    )


def places(message: str) -> list[str]:
    """The paths at which something is said to be wrong."""
    written = [path.removeprefix("body.") for path in _PLACE.findall(message) if "." in path or "[" in path]
    return [*written, *map(_joined, _PLACE_OF_FASTAPI.findall(message))]


def is_unfit(message: str) -> bool:
    """Whether something is said not to be of a kind that is known, rather than to be wrong in itself."""
    return _UNFIT.search(message) is not None


def _joined(place: str) -> str:
    """A path as Python writes it, with dots."""
    return ".".join(re.findall(r"[\w-]+", place)).removeprefix("body.")


def efforts(message: str) -> tuple[str, ...]:
    """The words among which the values that are taken are listed, if they are."""
    listed = re.search(
        r"(?:supported (?:values|levels)|allowed values|input should be|must be|one of)\b(.{0,200})",
        message,
        re.IGNORECASE,
    )
    return tuple(re.findall(r"[a-z]{3,}", listed[1].lower())) if listed else ()
