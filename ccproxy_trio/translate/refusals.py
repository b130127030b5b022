"""Which optional parts of a request a provider says it does not take, so that they can be done without.

Some name the parameter in a field, some in a list (FastAPI), most only in words, and a few speak of something
else altogether (a template's "roles must alternate"). `_SAYINGS` are the words that stand for a part of the
request; `_NAMING` are the forms of sentences that name one.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from ccproxy_trio.translate.complaint import Complaint
from ccproxy_trio.wire.faults import Refused


class Saying(Struct, frozen=True):
    """Words that are about one part of the request, whatever they name."""

    source: str
    pattern: str
    means: Refused


ROLE = "messages.role"
ORDER = "messages.order"
PLACE = "messages.place"
CONTENT = "messages.content"
WIRE = "wire"  # the API itself; `allowed` names the one that is wanted

_NO = r"(?:not (?:yet |currently )?(?:be )?(?:supported|permitted|allowed|available)|unsupported|unavailable)"

SAYINGS: tuple[Saying, ...] = (
    Saying(
        "OpenAI, Azure (models of the Responses API)",
        r"\buse (?:the )?`?/?v1/responses\b|\bchatcompletion operation does not work with\b"
        r"|\bonly (?:be )?(?:supported|available|accessible|used) (?:in|on|at|with|via|through) (?:the )?"
        r"`?(?:/?v1/responses\b|responses api\b)",
        Refused(parameter=WIRE, objection="value", allowed=("responses",)),
    ),
    Saying(
        "Azure (older versions of its API)",
        r"\bresponses api is (?:enabled only|not (?:enabled|supported|available))\b",
        Refused(parameter=WIRE, objection="value", allowed=("chat",)),
    ),
    Saying(
        "OpenAI, Azure (models that do not reason)",
        r"\bencrypted content is not supported\b",
        Refused(parameter="include", objection="parameter"),
    ),
    Saying(
        "OpenAI, Azure (reasoning of another account, or that nothing follows)",
        r"\bencrypted[_ ]content\b.*?\bcould not be (?:verified|decrypted|parsed)\b"
        r"|\bof type ['\"`]reasoning['\"`] was provided without its required following item\b"
        r"|\binvalid_encrypted_content\b",
        Refused(parameter="encrypted_content", objection="value"),
    ),
    Saying(
        "OpenAI (accounts that are not verified)",
        r"\bmust be verified to (?:generate|use|see) reasoning summar(?:y|ies)\b",
        Refused(parameter="reasoning.summary", objection="parameter"),
    ),
    Saying(
        "OpenAI (accounts that are not verified)",
        r"\bmust be verified to stream\b",
        Refused(parameter="stream", objection="parameter"),
    ),
    Saying(
        "OpenAI, Azure (gpt-5.4 and later)",
        r"\btools with `?reasoning_effort`? (?:are|is) not supported"
        r"|\bset `?reasoning_effort`? to [\"'`]?none\b"
        r"|\b`?reasoning_effort`? (?:is|are) not supported "
        r"(?:when using|with|together with) (?:function )?tools",
        Refused(parameter="reasoning_effort", objection="tools"),
    ),
    Saying(
        "OpenAI, DeepSeek, Mistral, gateways",
        r"\b(?:role|roles|variant|tag|support|value)\b\W{0,6}developer\b"
        r"|\bdeveloper\b\W{0,3} (?:is not one of|role\b.{0,20}\bnot|is not (?:a valid|supported|allowed))"
        r"|\bunexpected message role\b",
        Refused(parameter=ROLE, objection="value"),
    ),
    Saying(
        "vLLM, llama.cpp (strict templates)",
        r"\broles must alternate\b|\bmust alternate between (?:user|human)\b",
        Refused(parameter=ORDER),
    ),
    Saying(
        "Qwen's and Mistral's templates",
        r"\bsystem message must (?:be )?(?:at the beginning|(?:the )?first|come first)\b"
        r"|\bwith the exception of an initial optional system message\b",
        Refused(parameter=PLACE),
    ),
    Saying(
        "OpenAI, Ollama, LM Studio, FastAPI servers",
        r"\bcontent\b\W.{0,60}?(?:<nil>|\bgot (?:null|none)\b|\b(?:must|should) be a (?:valid )?string\b)",
        Refused(parameter=CONTENT),
    ),
    Saying(
        "DeepSeek, Kimi",
        r"\bmissing [\"'`]?reasoning_content\b"
        r"|\breasoning_content\b.{0,40}\b(?:is missing|must be (?:passed|sent) back|is required)\b",
        Refused(parameter="reasoning_content", objection="absence"),
    ),
    Saying(
        "DeepSeek, OpenRouter",
        r"\bdoes not support this tool_choice\b|\bsupport the provided [\"'`]?tool_choice\b",
        Refused(parameter="tool_choice", objection="value"),
    ),
    Saying(
        "Gemini", rf"^parallel tool calls are {_NO}", Refused(parameter="parallel_tool_calls")
    ),
    Saying(
        "Anthropic behind a gateway",
        r"\btemperature\b.{0,10}\band\b.{0,10}\btop_p\b.{0,30}\b(?:both|same time|together)\b",
        Refused(parameter="temperature"),
    ),
)  # fmt: skip
_SAYINGS = tuple((re.compile(one.pattern, re.IGNORECASE | re.DOTALL), one.means) for one in SAYINGS)

_NAME = r"[\"'`]?([A-Za-z_][\w.\[\]]*)[\"'`]?"
_QUOTED = r"[\"'`]([A-Za-z_][\w.\[\]]*)[\"'`]"
_NOT = rf"(?:{_NO}|unknown|unexpected)"
_LISTED = r"(?:[\"'`][A-Za-z_][\w.]*[\"'`](?:,\s*|\s+and\s+)?)+"
_NAMING = (
    r"\bun(?:supported|known|recognized|expected) (?:request )?(?:parameter|value|argument|field|name|key)s?"
    rf"(?: supplied)?:? \[?({_LISTED}|{_NAME})",
    rf"\bunexpected keyword argument {_NAME}",
    rf"\bdoes not support (?:the )?(?:following )?parameters?:? \[?({_LISTED}|{_NAME})",
    rf"\b(?:property|parameter|argument|field) {_NAME} is {_NOT}",
    rf"(?<!model )(?<!deployment ){_QUOTED} (?:is|are) {_NOT}",
    r"\b([A-Za-z_][\w.]*):? +extra inputs are not permitted",
    r"^([A-Za-z_][\w.]*)\n\s+extra inputs are not permitted",
    r"'type': 'extra_forbidden', 'loc': [(\[]'body', ([^)\]]+)[)\]]",
    rf"\b((?:[a-z]+_)+[a-z]+|temperature)\b[^.\n]{{0,60}}?\b{_NO}",
    r"\bdoes(?: not|n't) support (?:the )?[\"'`]?((?:[a-z]+_)+[a-z]+|temperature)\b",
)
_COMPILED = tuple(re.compile(form, re.IGNORECASE | re.MULTILINE) for form in _NAMING)
_LOOSE = frozenset(_COMPILED[-2:])  # they match names of anything, so only those that we send count

_UNKNOWN = frozenset({"unsupported_parameter", "unknown_parameter"})
_OF_VALUES = frozenset({"unsupported_value", "invalid_value"})
# A request is nothing without these, so a complaint about them is one about the request.
_ESSENTIAL = frozenset({"messages", "model", "tools", "stream", "input", "body", "image", "image_url"})
# What may be left out even there: it stands deep inside, and is ours.
_DEEP = frozenset(
    {
        "cache_control",
        "prompt_cache_breakpoint",
        "reasoning_content",
        "reasoning_details",
        "encrypted_content",
        "extra_content",
        "prefix",
        "strict",
        "summary",
    }
)
# Any complaint about one of these ("too large", "must be 1") is answered by leaving it out.
_OPTIONAL = _DEEP | frozenset(
    {
        "add_generation_prompt",
        "chat_template_kwargs",
        "continue_final_message",
        "enable_thinking",
        "include",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "service_tier",
        "stop",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "top_k",
        "top_p",
        "user",
        "verbosity",
    }
)
_VALUES = re.compile(
    r"(?:supported values (?:are|is)|allowed values(?: are|:)|must be(?: one of)?|expected one of"
    r"|should be(?: one of)?|is not one of)\b([^.\n]{0,200})",
    re.IGNORECASE,
)
# Efforts may be listed without a word of what they are values of.
_EFFORTS_LISTED = re.compile(
    r"\b(?:values (?:are|is)|one of|should be)\W+(?:none|minimal|low)\b\W.{0,40}\bmedium\b", re.IGNORECASE
)
_ABOUT_A_VALUE = re.compile(
    r"\b(?:unsupported|invalid) value\b|\bunknown variant\b|\bdoes not support ['\"`]", re.IGNORECASE
)


def refusals(complaint: Complaint) -> tuple[Refused, ...]:
    """What is refused, each once; () if the complaint is about something else."""
    named = [name for name in complaint.parameters if _may_go(name, complaint)]
    words = f"{complaint.message}\n{' '.join(sorted(complaint.codes))}"
    meant = [means for pattern, means in _SAYINGS if pattern.search(words)]
    if meant:
        return tuple(dict.fromkeys(meant))
    names = dict.fromkeys(named or _in_words(complaint.message))
    return tuple(_refused(name, complaint, said=not named) for name in names)


def of_a_wire(complaint: Complaint) -> bool:
    """Whether the refusal is one of the API itself, which some put as if the model did not exist."""
    return any(refused.parameter == WIRE for refused in refusals(complaint))


def subject(parameter: str) -> str:
    """The part of the request that a path is about: its first member, or the one deep inside that is ours."""
    members = [member for member in re.split(r"[.\[\]]+", parameter.removeprefix("body.")) if member]
    deep = next((member for member in reversed(members) if member in _DEEP), None)
    if deep is not None:
        return deep
    return parameter if parameter in (ROLE, ORDER, PLACE, CONTENT) else next(iter(members), "")


def _may_go(name: str, complaint: Complaint) -> bool:
    part = subject(name)
    return part in _OPTIONAL or (part not in _ESSENTIAL and bool(complaint.codes & (_UNKNOWN | _OF_VALUES)))


def _in_words(message: str) -> list[str]:
    """The names in it; where some are of what we send, those alone (the others may be values)."""
    named = list(_names_in(message))
    return [name for name in named if subject(name) in _OPTIONAL] or named


def _names_in(message: str) -> Iterator[str]:
    if _EFFORTS_LISTED.search(message):
        yield "reasoning_effort"
    for pattern in _COMPILED:
        found = [name for match in pattern.finditer(message) for name in _names(match.group(1))]
        for name in found:
            part = subject(name)
            if part in _OPTIONAL or (part not in _ESSENTIAL and pattern not in _LOOSE):
                yield name


def _names(found: str) -> list[str]:
    """The names in what a form of sentence has found: one, several in quotes, or a path in Python's words."""
    quoted = re.findall(r"[\"'`]([A-Za-z_][\w.\[\]]*)[\"'`]", found)
    return quoted or [found.strip("\"'`").rstrip(".")]


def _refused(name: str, complaint: Complaint, *, said: bool) -> Refused:
    listed = _VALUES.search(complaint.message)
    allowed = tuple(re.findall(r"[a-z_]{2,}", listed.group(1).lower())) if listed else ()
    if complaint.codes & _OF_VALUES or _ABOUT_A_VALUE.search(complaint.message):
        return Refused(parameter=name, objection="value", allowed=allowed)
    if said or complaint.codes & _UNKNOWN:
        return Refused(parameter=name, objection="parameter", allowed=allowed)
    return Refused(parameter=name, allowed=allowed)
