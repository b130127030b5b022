"""Which optional parameter a provider says it does not take, so that it can be left out."""

import re

from ccproxy_trio.translate.complaint import Complaint

_NAME = r"[\"'`]?([A-Za-z_][\w.]*)[\"'`]?"
_QUOTED = r"[\"'`]([A-Za-z_][\w.]*)[\"'`]"
_NOT = r"(?:not (?:supported|permitted|allowed)|unsupported|unknown)"
_WORDINGS = (
    r"\bun(?:supported|known|recognized|expected) (?:request )?(?:parameter|value|argument|field|name|key)s?"
    rf"(?: supplied)?:? \[?{_NAME}",
    rf"\bunexpected keyword argument {_NAME}",
    rf"\bdoes not support (?:the )?(?:following )?parameters?:? \[?{_NAME}",
    rf"\b(?:property|parameter|argument|field) {_NAME} is {_NOT}",
    rf"(?<!model )(?<!deployment ){_QUOTED} (?:is|are) {_NOT}",
)
_COMPILED = tuple(re.compile(wording, re.IGNORECASE) for wording in _WORDINGS)

_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
# A request is nothing without these, so a complaint about them is one about the request.
_ESSENTIAL = frozenset({"messages", "model", "tools", "stream", "input", "body", "image", "image_url"})
# Any complaint about one of these ("too large", "must be 1") is answered by leaving it out.
_OPTIONAL = frozenset(
    {
        "cache_control",
        "enable_thinking",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
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


def refused_parameter(complaint: Complaint) -> str | None:
    """The parameter's name or path (`stream_options.include_usage`); None if that is not the complaint."""
    named = complaint.parameter
    if named is not None and (_root(named) in _OPTIONAL or complaint.codes & _CODES):
        return None if _root(named) in _ESSENTIAL else named
    found = (pattern.search(complaint.message) for pattern in _COMPILED)
    names = (match.group(1).rstrip(".") for match in found if match is not None)
    return next((name for name in names if _root(name) not in _ESSENTIAL), None)


def _root(parameter: str) -> str:
    return re.split(r"[.\[]", parameter, maxsplit=1)[0]
