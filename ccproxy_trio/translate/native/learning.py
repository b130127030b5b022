"""What a refusal on Anthropic's wire teaches: the switches with which the same request may pass.

As everywhere, a refused request is never edited: its dialect is, and it is put anew. What the client said and
which tools it offers stays; a complaint about these is the client's to hear.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict, replace

from ccproxy_trio.health.lessons import GROWING, Lesson, chosen
from ccproxy_trio.settings.model import DialectOptions as Switches
from ccproxy_trio.translate.adjust import Repair, shorter_answer
from ccproxy_trio.translate.dialect import Dialect, with_lessons
from ccproxy_trio.translate.effort import SCALE
from ccproxy_trio.translate.native.headers import betas_in
from ccproxy_trio.translate.native.offer import is_run_by_anthropic
from ccproxy_trio.translate.native.paths import ESSENTIAL, chains_to, may_go, path_of
from ccproxy_trio.translate.native.places import place_of, steps, type_of
from ccproxy_trio.translate.native.refusals import About, efforts, extra, is_unfit, places, said
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.translate.refusals import subject
from ccproxy_trio.wire.anthropic import NoChoice, SystemMessage
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.tools import Tool

MOST_LEFT_OUT = 64  # paths that a model can teach; clients may make up as many members as they like

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
# Of the request's own members, those that are left out whatever the complaint about them is.
_OPTIONAL = frozenset(
    {
        *("temperature", "top_p", "top_k", "tool_choice", "metadata", "service_tier", "speed", "strict"),
        *("context_management", "output_config", "output_format"),
    }
)
_OF_REQUESTS = frozenset({FaultKind.BAD_REQUEST, FaultKind.UNSUPPORTED_PARAMETER})
# Leaving one of these out changes what the client gets, or would be a different request.
_THE_CLIENTS = ESSENTIAL | {"stop_sequences", "mcp_servers", "container", "thread", "compaction"}


class Refusal(Struct, frozen=True):
    """A request that was refused: what was asked, the body that was sent, and how it had been put."""

    fault: UpstreamFault
    asked: Asked
    sent: bytes
    dialect: Dialect


def repair(refusal: Refusal) -> Repair | None:
    """How it may be put instead. None: what was refused is not ours to change."""
    fault, dialect = refusal.fault, refusal.dialect
    if fault.kind is FaultKind.OUTPUT_OVERFLOW:
        sent = dialect.capped(refusal.asked.request.max_tokens)
        return shorter_answer(fault, dialect, wished=sent, name="max_tokens")
    told = said(fault.message)
    if fault.kind is FaultKind.SERVER_ERROR and fault.status == 500:
        # A template that fails is an error of theirs, but it fails for this every time.
        told = [about for about in told if about in (About.ROLE, About.ORDER)]
        return _repaired(dialect, _about(told, refusal))
    if fault.kind not in _OF_REQUESTS:
        return None
    found = [*_about(told, refusal), *_blocks(refusal), *_server_tools(refusal), *_extra(refusal)]
    return _this_time(told, dialect) or _repaired(dialect, found)


def _this_time(told: Iterable[About], dialect: Dialect) -> Repair | None:
    """What is good for this request alone: the next one may have a history that is all the provider's own."""
    if About.SIGNATURE in told and dialect.thinking_blocks != "none":
        return Repair(replace(dialect, thinking_blocks="none"))
    if About.THOUGHTLESS in told and dialect.thinking_style not in ("none", "off"):
        return Repair(replace(dialect, thinking_style="off"))  # some think unless they are told not to
    return None


def _repaired(dialect: Dialect, lessons: Iterable[Lesson]) -> Repair | None:
    kept: list[Lesson] = []
    changed = dialect
    for lesson in lessons:
        after = with_lessons(changed, (lesson,))
        if after != changed:
            kept.append(Lesson(lesson.parameter, _whole(lesson.switches, after)))
        changed = after
    return Repair(changed, tuple(kept)) if kept else None


def _whole(switches: Switches, dialect: Dialect) -> Switches:
    """With all that is left out beside it, so that the line for `options` stands for itself."""
    now = asdict(dialect)
    return replace(switches, **{name: now[name] for name in chosen(switches).keys() & GROWING})


# -- what has a name of its own ------------------------------------------------------------------------


def _about(told: Iterable[About], refusal: Refusal) -> Iterator[Lesson]:
    for about in told:
        follow = _FOLLOWS.get(about)
        if follow is not None:
            yield from follow(refusal)


def _betas(refusal: Refusal) -> Iterator[Lesson]:
    sent = betas_in(refusal.asked.sender.headers)
    named = tuple(beta for beta in sent if beta in refusal.fault.message)
    if named:
        yield Lesson("anthropic-beta", Switches(refused_betas=named))
    elif sent:
        yield Lesson("anthropic-beta", Switches(betas="none"))


def _role(refusal: Refusal) -> Iterator[Lesson]:
    said = any(isinstance(message, SystemMessage) for message in refusal.asked.request.messages)
    if said and refusal.dialect.mid_system == "keep":
        yield Lesson("messages.role", Switches(mid_system="user"))


def _order(_refusal: Refusal) -> Iterator[Lesson]:
    yield Lesson("messages.order", Switches(merge_users=True))


def _style(refusal: Refusal, refused: frozenset[str], style: Switches) -> Iterator[Lesson]:
    """Thinking asked for in another form, where it was asked for in one of those that are refused."""
    asked = _MEMBERS.decode(refusal.sent).get("thinking")
    if asked is not None and type_of(asked) in refused:
        yield Lesson("thinking", style)


_BUDGET, _ADAPTIVE = Switches(thinking_style="budget"), Switches(thinking_style="adaptive")
_NO_THINKING, _NEVER_OFF = Switches(thinking_style="none"), Switches(thinking_style="always")
_MEASURED = frozenset({"adaptive", "between_tools"})


def _always(refusal: Refusal) -> Iterator[Lesson]:
    yield from _style(refusal, frozenset({"disabled"}), _NEVER_OFF)
    yield from _style(refusal, _MEASURED, _BUDGET)


def _adaptive(refusal: Refusal) -> Iterator[Lesson]:
    return _style(refusal, _MEASURED, _BUDGET)


def _budget(refusal: Refusal) -> Iterator[Lesson]:
    return _style(refusal, frozenset({"enabled"}), _ADAPTIVE)


def _thinking(refusal: Refusal) -> Iterator[Lesson]:
    if not {About.ADAPTIVE, About.BUDGET, About.ALWAYS_THINKS} & set(said(refusal.fault.message)):
        yield from _style(refusal, frozenset({"enabled", "disabled", *_MEASURED}), _NO_THINKING)


def _effort(refusal: Refusal) -> Iterator[Lesson]:
    named = place_of("output_config.effort", refusal.sent)
    if not named.is_there:
        return
    sent = msgspec.json.decode(named.value)
    listed = efforts(refusal.fault.message)
    allowed = tuple(effort for effort in SCALE if effort in listed and effort != sent)
    switches = Switches(efforts=allowed) if allowed else Switches(leave_out=("output_config.effort",))
    yield Lesson("output_config.effort", switches)


def _references(refusal: Refusal) -> Iterator[Lesson]:
    if b'"tool_reference"' in refusal.sent:
        yield Lesson("messages.tool_reference", Switches(tool_references=False))


def _thoughts(_refusal: Refusal) -> Iterator[Lesson]:
    yield Lesson("messages.thinking", Switches(thinking_blocks="none"))


_FOLLOWS: Mapping[About, Callable[[Refusal], Iterator[Lesson]]] = {
    About.BETA: _betas,
    About.ROLE: _role,
    About.ORDER: _order,
    About.ALWAYS_THINKS: _always,
    About.ADAPTIVE: _adaptive,
    About.BUDGET: _budget,
    About.THINKING: _thinking,
    About.EFFORT: _effort,
    About.REFERENCE: _references,
    About.THOUGHTS: _thoughts,
}


# -- what is named by its place ------------------------------------------------------------------------

_BY_TYPE: Mapping[str, About] = {
    "tool_reference": About.REFERENCE,
    "thinking": About.THOUGHTS,
    "redacted_thinking": About.THOUGHTS,
}
_WHAT_A_TOOL_IS = frozenset({"type", "custom", "name", "input_schema"})
_NO_SERVER_TOOLS = Lesson("tools.type", Switches(server_tools=False))


def _blocks(refusal: Refusal) -> Iterator[Lesson]:
    """A block of a type that is not known is complained of by its place, or by a member that it must have."""
    if not is_unfit(refusal.fault.message):
        return
    for path in places(refusal.fault.message):
        place = place_of(path, refusal.sent)
        if place.chain[:1] != ("messages",) or not place.is_element:
            continue
        kind = type_of(place.value)
        if kind in _BY_TYPE:
            yield from _about([_BY_TYPE[kind]], refusal)
        elif kind == "server_tool_use" or kind.endswith("_tool_result"):
            yield _NO_SERVER_TOOLS


def _server_tools(refusal: Refusal) -> Iterator[Lesson]:
    """A tool that Anthropic would run, taken for one that is not described."""
    message = refusal.fault.message
    foreign = [tool for tool in refusal.asked.request.tools or () if is_run_by_anthropic(tool)]
    if not foreign or not is_unfit(message):
        return
    named = places(message)
    if any(_is_foreign(path, refusal.sent) for path in named) or (
        not named and any((tool.type or "") in message for tool in foreign)
    ):
        yield _NO_SERVER_TOOLS


def _is_foreign(path: str, sent: bytes) -> bool:
    """Whether a path leads to such a tool, or to what says what it is."""
    place, last = place_of(path, sent), steps(path)[-1]
    if place.chain[:1] != ("tools",) or not (last.isdigit() or last in _WHAT_A_TOOL_IS):
        return False
    return is_run_by_anthropic(msgspec.json.decode(place.element, type=Tool))


def _extra(refusal: Refusal) -> Iterator[Lesson]:
    """Members that are said to be too many, or that can be done without."""
    fault = refusal.fault
    named = [*extra(fault.message), *(one.parameter for one in fault.refused if _is_optional(one.parameter))]
    for path in dict.fromkeys(path for name in named for path in _paths(name, refusal)):
        if len(refusal.dialect.leave_out) < MOST_LEFT_OUT:
            yield Lesson(path, Switches(leave_out=(path,)))


def _is_optional(parameter: str) -> bool:
    return subject(parameter) in _OPTIONAL


def _paths(name: str, refusal: Refusal) -> Iterator[str]:
    """The paths that may be left out for a member that is complained of by its path, or by its name alone."""
    place = place_of(name, refusal.sent)
    chains = [place.chain] if place.is_there else chains_to(Raw(refusal.sent), name.split(".")[-1])
    for chain in chains:
        path = path_of(chain)
        if path != "thinking" and chain[0] not in _kept_of(refusal, chain) and may_go(path):
            yield path


def _kept_of(refusal: Refusal, chain: tuple[str, ...]) -> frozenset[str]:
    """What stays of a request's own members. Without a `none` the model would call what it must not."""
    if len(chain) > 1:
        return frozenset()
    forbids = isinstance(refusal.asked.request.tool_choice, NoChoice)
    return _THE_CLIENTS | ({"tool_choice"} if forbids else frozenset())
