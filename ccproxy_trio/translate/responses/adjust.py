"""What a refusal on the Responses wire teaches: as everywhere, the dialect changes and never the request."""

from msgspec.structs import replace

from ccproxy_trio.health.lessons import Lesson
from ccproxy_trio.settings.model import DialectOptions as Switches
from ccproxy_trio.translate.adjust import (
    ROWS,
    Case,
    Repair,
    fewer_efforts,
    lessons_of,
    shorter_answer,
    thoughtless_beside_tools,
)
from ccproxy_trio.translate.dialect import Dialect, with_lessons
from ccproxy_trio.translate.profiles import ON_CHAT
from ccproxy_trio.translate.refusals import ORDER, PLACE, ROLE, WIRE
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.responses import ObjectFormat, ResponsesRequest

_NO_ENCRYPTED = Switches(encrypted_reasoning=False)
# What this wire has in common with Chat Completions, under the same names.
_ALIKE = frozenset(
    {
        *("temperature", "top_p", "parallel_tool_calls", "strict", "safety_identifier", "user", "stream"),
        *("prompt_cache_key", "service_tier", "prompt_cache_breakpoint", ROLE, PLACE, ORDER),
    }
)
PARTS = _ALIKE | {
    *("reasoning", "reasoning_effort", "summary", "include", "encrypted_content", "max_output_tokens"),
    *("text", "response_format", "tool_choice"),
}
"""Every part of a request that can be done without."""
_NO_SUCH_PATH = (404, 405)


def repair(fault: UpstreamFault, dialect: Dialect, asked: ResponsesRequest) -> Repair | None:
    """How `asked`, refused with `fault`, may be put instead. None: what was refused is not ours to change."""
    match fault.kind:
        case FaultKind.OUTPUT_OVERFLOW:
            return shorter_answer(fault, dialect, wished=asked.max_output_tokens, name="max_output_tokens")
        case FaultKind.MISCONFIGURED if fault.status in _NO_SUCH_PATH:
            return _back_to_chat(dialect)
        case FaultKind.UNSUPPORTED_PARAMETER:
            return _without(fault, dialect, asked)
        case _:
            return None


def _back_to_chat(dialect: Dialect) -> Repair | None:
    """Chat Completions after all, without reasoning beside tools: nobody but us said that there was more."""
    if dialect.wire_told:
        return None
    # In one lesson, so that it takes the place of the one that led here.
    thoughtless = thoughtless_beside_tools(dialect)
    there = ON_CHAT.get(dialect.profile, Switches())
    switches = replace(
        there,
        wire="chat",
        reasoning=thoughtless.reasoning,
        reasoning_with_tools=thoughtless.reasoning_with_tools,
        efforts=thoughtless.efforts,
    )
    lessons = (Lesson(WIRE, switches),)
    return Repair(with_lessons(dialect, lessons), lessons)


def _without(fault: UpstreamFault, dialect: Dialect, asked: ResponsesRequest) -> Repair | None:
    if any(refused.parameter == WIRE and "chat" in refused.allowed for refused in fault.refused):
        return _back_to_chat(dialect)
    if any(_is_of_this_history(Case(refused, dialect)) for refused in fault.refused):
        # The next request may have a history that is all the provider's own.
        return Repair(replace(dialect, thinking_blocks="none"))
    lessons = tuple(lessons_of(fault.refused, dialect, lambda case: _switches(case, asked)))
    return Repair(with_lessons(dialect, lessons), lessons) if lessons else None


def _is_of_this_history(case: Case) -> bool:
    """Whether reasoning that was sent back cannot be read, rather than is not taken."""
    return case.part == "encrypted_content" and case.refused.objection != "parameter"


def _switches(case: Case, asked: ResponsesRequest) -> Switches | None:
    match case.part:
        case "reasoning" | "reasoning_effort":
            sent = asked.reasoning.effort if asked.reasoning else None
            return None if sent is None else fewer_efforts(case, sent)
        case "summary":
            return Switches(reasoning_summary=False)
        case "include" | "encrypted_content":
            return _NO_ENCRYPTED
        case "max_output_tokens" if case.refused.objection != "value":
            return Switches(max_tokens_field="none")
        case "text" | "response_format":
            return _format(asked)
        case "tool_choice":
            return _choice(asked)
        case part:
            return ROWS.get(part) if part in _ALIKE else None


def _format(asked: ResponsesRequest) -> Switches | None:
    if asked.text is None:
        return None
    is_object = isinstance(asked.text.format, ObjectFormat)
    return Switches(json_object=False) if is_object else Switches(json_schema=False)


def _choice(asked: ResponsesRequest) -> Switches | None:
    match asked.tool_choice:
        case None | "none":  # leaving `none` out would let the model call what it was told not to
            return None
        case "auto":
            return Switches(auto_choice=False)
        case _:
            return Switches(tool_choice=False)
