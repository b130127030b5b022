"""What a refusal teaches: the switches of the dialect with which the same request may pass.

A refused request is never edited. Its dialect is, and the request is translated again; so whatever is left
out is left out as the translation does it (stop sequences are then found by us, a schema is told in words),
and messages and tools stay what they are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.health.lessons import Lesson
from ccproxy_trio.settings.model import DialectOptions as Switches
from ccproxy_trio.translate.dialect import Dialect, Effort, with_lessons
from ccproxy_trio.translate.effort import OFF, SCALE
from ccproxy_trio.translate.profiles import ON_RESPONSES
from ccproxy_trio.translate.refusals import CONTENT, ORDER, PLACE, ROLE, WIRE, subject
from ccproxy_trio.wire.faults import FaultKind, Refused, UpstreamFault
from ccproxy_trio.wire.openai import AssistantMessage, ChatRequest, JsonSchemaFormat

_SPARE_TOKENS = 64  # providers count a little differently from one moment to the next
_WORTH_ASKING_FOR = 256  # tokens; an answer shorter than this helps nobody
_USUAL_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")

Complaint = tuple[str, tuple[Refused, ...]]
"""The words of a refusal, and what they were understood to be about."""


class Repair(Struct, frozen=True):
    """Another dialect to try. Without `lessons` it is good for this request alone."""

    dialect: Dialect
    lessons: tuple[Lesson, ...] = ()


def repair(fault: UpstreamFault, dialect: Dialect, chat: ChatRequest) -> Repair | None:
    """How `chat`, refused with `fault`, may be put instead. None: what was refused is not ours to change."""
    match fault.kind:
        case FaultKind.OUTPUT_OVERFLOW:
            return shorter_answer(fault, dialect, wished=_limit(chat), name=_limit_name(chat))
        case FaultKind.UNSUPPORTED_PARAMETER:
            lessons = _another_wire(fault, dialect) or tuple(
                lessons_of(fault.refused, dialect, lambda case: _switches(case, chat))
            )
            return Repair(with_lessons(dialect, lessons), lessons) if lessons else None
        case _:
            return None


def _another_wire(fault: UpstreamFault, dialect: Dialect) -> tuple[Lesson, ...]:
    """What to do where a model is to be asked on the Responses API, unless the operator said otherwise."""
    wanted = any(refused.parameter == WIRE and "responses" in refused.allowed for refused in fault.refused)
    if not wanted or dialect.wire_told:
        return ()
    there = ON_RESPONSES.get(dialect.profile, Switches())
    return (Lesson(WIRE, replace(there, wire="responses")),)


def complaint(fault: UpstreamFault) -> Complaint:
    """What a refusal says, to be told from others by."""
    return fault.message, fault.refused


def established(
    lessons: tuple[Lesson, ...], fault: UpstreamFault, *, before: Complaint | None = None
) -> tuple[Lesson, ...]:
    """Those of the lessons that an attempt made with them has borne out, although it failed with `fault`.

    A provider that finds something else wrong with the request has taken what was changed. One that is
    overloaded, limits us or breaks down may not have looked at the request at all, and one that says the
    same again, word for word, as it did `before` was not listening.
    """
    if fault.kind not in _READ_THE_REQUEST or complaint(fault) == before:
        return ()
    again = {subject(refused.parameter) for refused in fault.refused}
    if fault.kind is FaultKind.OUTPUT_OVERFLOW or again & _LIMITS:
        again |= _LIMITS
    return tuple(lesson for lesson in lessons if subject(lesson.parameter) not in again)


_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})  # names for one thing
_READ_THE_REQUEST = frozenset(
    {
        FaultKind.UNSUPPORTED_PARAMETER,
        FaultKind.OUTPUT_OVERFLOW,
        FaultKind.CONTEXT_OVERFLOW,
        FaultKind.CONTENT_POLICY,
    }
)


# -- the length of the answer --------------------------------------------------------------------------


def shorter_answer(fault: UpstreamFault, dialect: Dialect, *, wished: int | None, name: str) -> Repair | None:
    """How an answer of at most `wished` tokens may be asked for instead, in the member called `name`."""
    overflow = fault.overflow
    if wished is None or overflow is None or overflow.limit is None:
        return None
    # Without a prompt the limit is one on the answer alone ("supports at most N completion tokens"). It is
    # the same for every request; the room beside a prompt is not.
    lasts = overflow.prompt is None
    room = overflow.limit if overflow.prompt is None else overflow.limit - overflow.prompt - _SPARE_TOKENS
    if room < _WORTH_ASKING_FOR or room >= wished:
        return None
    lessons = (Lesson(name, Switches(output_cap=room)),) if lasts else ()
    return Repair(replace(dialect, output_cap=room), lessons)


def _limit(chat: ChatRequest) -> int | None:
    return chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens


def _limit_name(chat: ChatRequest) -> str:
    return "max_tokens" if chat.max_completion_tokens is None else "max_completion_tokens"


# -- parameters ----------------------------------------------------------------------------------------


class Case(Struct, frozen=True):
    """One part of a request that was refused, in this dialect."""

    refused: Refused
    dialect: Dialect

    @property
    def part(self) -> str:
        """The part of the request."""
        return subject(self.refused.parameter)


def lessons_of(
    refused: Iterable[Refused], dialect: Dialect, choose: Callable[[Case], Switches | None]
) -> Iterator[Lesson]:
    """What is learned, one lesson a part that `choose` knows to do without; only such as change something."""
    for one in refused:
        case = Case(one, dialect)
        switches = choose(case)
        if switches is None:
            continue
        lesson = Lesson(case.part, switches)
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
ROWS: Mapping[str, Switches] = {
    "stream": Switches(streaming=False),
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


def _switches(case: Case, chat: ChatRequest) -> Switches | None:
    choose = _CHOICES.get(case.part)
    return ROWS.get(case.part) if choose is None else choose(case, chat)


def _renamed(case: Case, chat: ChatRequest) -> Switches | None:
    """The other name of the output limit; a refused value would be refused under any name."""
    name = _limit_name(chat)
    if case.part != name or case.refused.objection == "value":
        return None
    return Switches(max_tokens_field="max_completion_tokens" if name == "max_tokens" else "max_tokens")


def _effort(case: Case, chat: ChatRequest) -> Switches | None:
    """No reasoning beside tools, a lower effort, or none of it said: whichever the objection leaves."""
    sent = chat.reasoning_effort
    if case.refused.objection == "tools":
        return thoughtless_beside_tools(case.dialect) if sent != OFF else None
    if sent is None:
        return None
    return _fewer_efforts(case, chat, sent)


def thoughtless_beside_tools(dialect: Dialect) -> Switches:
    """No reasoning beside tools: also if nothing was said, since some models refuse them by default."""
    efforts = (OFF, *(effort for effort in dialect.efforts if effort != OFF))
    return Switches(reasoning="effort", reasoning_with_tools=False, efforts=efforts)


def _openrouter(case: Case, chat: ChatRequest) -> Switches | None:
    sent = chat.reasoning
    return None if sent is None else _fewer_efforts(case, chat, sent.effort or "")


def _fewer_efforts(case: Case, chat: ChatRequest, sent: str) -> Switches:
    must_be_off = chat.tools is not None and not case.dialect.reasoning_with_tools
    return _SILENT if must_be_off else fewer_efforts(case, sent)


def fewer_efforts(case: Case, sent: str) -> Switches:
    """The efforts that are left after `sent` was refused; where none is, nothing is said of reasoning."""
    refused, dialect = case.refused, case.dialect
    allowed = tuple(effort for effort in SCALE if effort in refused.allowed and effort != sent)
    if refused.objection == "parameter" and not allowed:
        return _SILENT
    if allowed not in ((), (OFF,)):  # one that can only be switched off thinks by itself
        return Switches(efforts=allowed)
    usual = tuple(effort for effort in _USUAL_EFFORTS if effort in dialect.efforts) or _USUAL_EFFORTS
    return _SILENT if sent in _USUAL_EFFORTS or not sent else Switches(efforts=usual)


def _format(case: Case, chat: ChatRequest) -> Switches | None:
    match chat.response_format:
        case None:
            return None
        case JsonSchemaFormat():
            return Switches(json_schema=False)
        case _:
            return Switches(json_object=False)


def _choice(case: Case, chat: ChatRequest) -> Switches | None:
    match chat.tool_choice:
        case None | "none":  # leaving `none` out would let the model call what it was told not to
            return None
        case "auto":
            return Switches(auto_choice=False)
        case _:
            return Switches(tool_choice=False)


def _replay(case: Case, chat: ChatRequest) -> Switches:
    """Reasoning sent back that is not taken, or not sent back although it is wanted."""
    if case.refused.objection == "absence":
        return Switches(replay="reasoning_content", empty_reasoning=" ")  # Kimi takes "" for missing
    return _NO_REPLAY


def _content(case: Case, chat: ChatRequest) -> Switches:
    """Content that is null, or a list of nothing but texts because of the marks on them."""
    messages = chat.messages
    if any(isinstance(message, AssistantMessage) and message.content is None for message in messages):
        return Switches(null_content=False)
    return _NO_MARKS


_CHOICES: Mapping[str, Callable[[Case, ChatRequest], Switches | None]] = {
    "max_tokens": _renamed,
    "max_completion_tokens": _renamed,
    "reasoning_effort": _effort,
    "reasoning": _openrouter,
    "response_format": _format,
    "tool_choice": _choice,
    "reasoning_content": _replay,
    CONTENT: _content,
}

PARTS = frozenset({*ROWS, *_CHOICES, WIRE})
"""Every part of a request that can be done without."""
