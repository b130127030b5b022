"""What a refusal teaches: the switches of the dialect with which the same request may pass.

A refused request is never edited. Its dialect is, and the request is translated again; so whatever is left
out is left out as the translation does it (stop sequences are then found by us, a schema is told in words),
and messages and tools stay what they are.
"""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.health.lessons import Lesson
from ccproxy_trio.settings.model import DialectOptions as Switches
from ccproxy_trio.translate.dialect import Dialect, Effort, with_lessons
from ccproxy_trio.translate.effort import OFF, SCALE
from ccproxy_trio.translate.refusals import CONTENT, ORDER, PLACE, ROLE, subject
from ccproxy_trio.wire.faults import FaultKind, Refused, UpstreamFault
from ccproxy_trio.wire.openai import AssistantMessage, ChatRequest, JsonSchemaFormat

_SPARE_TOKENS = 64  # providers count a little differently from one moment to the next
_WORTH_ASKING_FOR = 256  # tokens; an answer shorter than this helps nobody
_USUAL_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")


class Repair(Struct, frozen=True):
    """Another dialect to try. Without `lessons` it is good for this request alone."""

    dialect: Dialect
    lessons: tuple[Lesson, ...] = ()


def repair(fault: UpstreamFault, dialect: Dialect, chat: ChatRequest) -> Repair | None:
    """How `chat`, refused with `fault`, may be put instead. None: what was refused is not ours to change."""
    match fault.kind:
        case FaultKind.OUTPUT_OVERFLOW:
            return _shorter_answer(fault, dialect, chat)
        case FaultKind.UNSUPPORTED_PARAMETER:
            lessons = tuple(_lessons(fault.refused, dialect, chat))
            return Repair(with_lessons(dialect, lessons), lessons) if lessons else None
        case _:
            return None


def established(lessons: tuple[Lesson, ...], fault: UpstreamFault) -> tuple[Lesson, ...]:
    """Those of the lessons that an attempt made with them has borne out, although it failed with `fault`.

    A provider that finds something else wrong with the request has taken what was changed. One that is
    overloaded, limits us or breaks down may not have looked at the request at all.
    """
    if fault.kind not in _READ_THE_REQUEST:
        return ()
    again = {subject(refused.parameter) for refused in fault.refused}
    if fault.kind is FaultKind.OUTPUT_OVERFLOW or again & _LIMITS:
        again |= _LIMITS
    return tuple(lesson for lesson in lessons if lesson.parameter not in again)


_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})  # two names for one thing
_READ_THE_REQUEST = frozenset(
    {
        FaultKind.UNSUPPORTED_PARAMETER,
        FaultKind.OUTPUT_OVERFLOW,
        FaultKind.CONTEXT_OVERFLOW,
        FaultKind.CONTENT_POLICY,
    }
)


# -- the length of the answer --------------------------------------------------------------------------


def _shorter_answer(fault: UpstreamFault, dialect: Dialect, chat: ChatRequest) -> Repair | None:
    wished, overflow = _limit(chat), fault.overflow
    if wished is None or overflow is None or overflow.limit is None:
        return None
    # Without a prompt the limit is one on the answer alone ("supports at most N completion tokens"). It is
    # the same for every request; the room beside a prompt is not.
    lasts = overflow.prompt is None
    room = overflow.limit if overflow.prompt is None else overflow.limit - overflow.prompt - _SPARE_TOKENS
    if room < _WORTH_ASKING_FOR or room >= wished:
        return None
    lessons = (Lesson(_limit_name(chat), Switches(output_cap=room)),) if lasts else ()
    return Repair(replace(dialect, output_cap=room), lessons)


def _limit(chat: ChatRequest) -> int | None:
    return chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens


def _limit_name(chat: ChatRequest) -> str:
    return "max_tokens" if chat.max_completion_tokens is None else "max_completion_tokens"


# -- parameters ----------------------------------------------------------------------------------------


class _Case(Struct, frozen=True):
    refused: Refused
    dialect: Dialect
    chat: ChatRequest


def _lessons(refused: Iterable[Refused], dialect: Dialect, chat: ChatRequest) -> Iterable[Lesson]:
    for one in refused:
        part = subject(one.parameter)
        choose = _CHOICES.get(part)
        switches = _ROWS.get(part) if choose is None else choose(_Case(one, dialect, chat))
        if switches is None:
            continue
        lesson = Lesson(part, switches)
        changed = with_lessons(dialect, (lesson,))
        if changed != dialect:
            yield lesson
        dialect = changed


_SILENT = Switches(reasoning="none")  # says nothing of reasoning
_NO_REPLAY = Switches(replay="none")
_NO_PREFILL = Switches(prefill="none")
_NO_USER = Switches(user_field="none")
_NO_MARKS = Switches(cache="none")

# part of a request -> the switches that do without it
_ROWS: Mapping[str, Switches] = {
    "temperature": Switches(temperature=False),
    "top_p": Switches(top_p=False),
    "top_k": Switches(top_k=False),
    "stop": Switches(stop=False),
    "parallel_tool_calls": Switches(parallel=False),
    "stream_options": Switches(stream_usage=False),
    "strict": Switches(strict=False),
    "safety_identifier": _NO_USER,
    "user": _NO_USER,
    "prompt_cache_key": Switches(prompt_cache_key=False),
    "service_tier": Switches(service_tier=False),
    "thinking": _SILENT,
    "enable_thinking": _SILENT,
    "chat_template_kwargs": _SILENT,
    "add_generation_prompt": _NO_PREFILL,
    "continue_final_message": _NO_PREFILL,
    "prefix": _NO_PREFILL,
    "cache_control": _NO_MARKS,
    "prompt_cache_breakpoint": _NO_MARKS,
    "reasoning_details": _NO_REPLAY,
    "extra_content": _NO_REPLAY,
    ROLE: Switches(system_role="system"),
    ORDER: Switches(merge_users=True),
    PLACE: Switches(mid_system="user"),
}


def _renamed(case: _Case) -> Switches | None:
    """The other name of the output limit; a refused value would be refused under any name."""
    name = _limit_name(case.chat)
    if subject(case.refused.parameter) != name or case.refused.objection == "value":
        return None
    return Switches(max_tokens_field="max_completion_tokens" if name == "max_tokens" else "max_tokens")


def _effort(case: _Case) -> Switches | None:
    """No reasoning beside tools, a lower effort, or none of it said: whichever the objection leaves."""
    refused, sent = case.refused, case.chat.reasoning_effort
    if refused.objection == "tools":
        # Said even if nothing was: some models refuse tools by their default effort.
        efforts = (OFF, *(effort for effort in case.dialect.efforts if effort != OFF))
        return (
            Switches(reasoning="effort", reasoning_with_tools=False, efforts=efforts) if sent != OFF else None
        )
    if sent is None:
        return None
    return _fewer_efforts(case, sent)


def _openrouter(case: _Case) -> Switches | None:
    sent = case.chat.reasoning
    return None if sent is None else _fewer_efforts(case, sent.effort or "")


def _fewer_efforts(case: _Case, sent: str) -> Switches:
    refused, dialect = case.refused, case.dialect
    allowed = tuple(effort for effort in SCALE if effort in refused.allowed and effort != sent)
    must_be_off = case.chat.tools is not None and not dialect.reasoning_with_tools
    if must_be_off or (refused.objection == "parameter" and not allowed):
        return _SILENT
    if allowed not in ((), (OFF,)):  # one that can only be switched off thinks by itself
        return Switches(efforts=allowed)
    usual = tuple(effort for effort in _USUAL_EFFORTS if effort in dialect.efforts) or _USUAL_EFFORTS
    return _SILENT if sent in _USUAL_EFFORTS or not sent else Switches(efforts=usual)


def _format(case: _Case) -> Switches | None:
    match case.chat.response_format:
        case None:
            return None
        case JsonSchemaFormat():
            return Switches(json_schema=False)
        case _:
            return Switches(json_object=False)


def _choice(case: _Case) -> Switches | None:
    match case.chat.tool_choice:
        case None | "none":  # leaving `none` out would let the model call what it was told not to
            return None
        case "auto":
            return Switches(auto_choice=False)
        case _:
            return Switches(tool_choice=False)


def _replay(case: _Case) -> Switches:
    """Reasoning sent back that is not taken, or not sent back although it is wanted."""
    if case.refused.objection == "absence":
        return Switches(replay="reasoning_content", empty_reasoning=" ")  # Kimi takes "" for missing
    return _NO_REPLAY


def _content(case: _Case) -> Switches:
    """Content that is null, or a list of nothing but texts because of the marks on them."""
    messages = case.chat.messages
    if any(isinstance(message, AssistantMessage) and message.content is None for message in messages):
        return Switches(null_content=False)
    return _NO_MARKS


_CHOICES: Mapping[str, Callable[[_Case], Switches | None]] = {
    "max_tokens": _renamed,
    "max_completion_tokens": _renamed,
    "reasoning_effort": _effort,
    "reasoning": _openrouter,
    "response_format": _format,
    "tool_choice": _choice,
    "reasoning_content": _replay,
    CONTENT: _content,
}

PARTS = frozenset({*_ROWS, *_CHOICES})
"""Every part of a request that can be done without."""
