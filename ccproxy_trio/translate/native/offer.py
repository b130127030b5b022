"""The tools, for those who do not run Anthropic's own, and do not follow changes between the turns."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.native.raws import content_of, items, listed, made
from ccproxy_trio.translate.raw import members
from ccproxy_trio.translate.tools import MAY_BE_MISSED, RUN_BY_ANTHROPIC, offered
from ccproxy_trio.wire.anthropic import MessagesRequest, NamedChoice
from ccproxy_trio.wire.blocks import CompactionBlock
from ccproxy_trio.wire.faults import Untranslatable
from ccproxy_trio.wire.tools import Tool, ToolAdditionBlock, ToolRemovalBlock

_Pair = tuple[Tool, Raw]
_CHANGING = (ToolAdditionBlock, ToolRemovalBlock, CompactionBlock)


class Offer(Struct, frozen=True):
    """`tools` and `tool_choice` as they are to be sent; None: left out."""

    tools: Raw | None
    choice: Raw | None


def offer(request: MessagesRequest, body: Mapping[str, Raw], context: Context) -> Offer:
    """The tools that are left, and what the model is told about having to call one.

    Raises:
        RequestRefused: a tool without a name.
        Untranslatable: nothing useful would be left of the request, or too many tools are.
    """
    asked = request.tools or ()
    moved = context.dialect.mid_system != "keep" and _are_changed(request)
    foreign = not context.dialect.server_tools and any(map(is_run_by_anthropic, asked))
    if not moved and not foreign:
        _count(len(asked), context)
        return Offer(body.get("tools"), body.get("tool_choice"))
    there = list(zip(asked, items(body["tools"]) if asked else (), strict=True))
    kept = _without_anthropics(_after_changes(request, body, there) if moved else there, context)
    _count(len(kept), context)
    return Offer(listed(raw for _, raw in kept) if kept else None, _choice(request, body, kept))


def is_run_by_anthropic(tool: Tool) -> bool:
    """Whether Anthropic itself runs it."""
    return RUN_BY_ANTHROPIC.fullmatch(tool.type or "") is not None


def _count(tools: int, context: Context) -> None:
    at_most = context.dialect.max_tools
    if at_most is not None and tools > at_most:
        raise Untranslatable(f"tools: {tools} tools, but this provider takes at most {at_most}")


def _choice(request: MessagesRequest, body: Mapping[str, Raw], kept: list[_Pair]) -> Raw | None:
    """What is said of having to call a tool, unless that tool is not there."""
    asked = request.tool_choice
    if not kept or (isinstance(asked, NamedChoice) and all(tool.name != asked.name for tool, _ in kept)):
        return None
    return body.get("tool_choice")


def _without_anthropics(tools: list[_Pair], context: Context) -> list[_Pair]:
    if context.dialect.server_tools:
        return tools
    kept = [(tool, raw) for tool, raw in tools if not is_run_by_anthropic(tool)]
    gone = [tool for tool, _ in tools if is_run_by_anthropic(tool)]
    for tool in gone:
        context.note(f"tool {tool.name or tool.type} left out: it is run by Anthropic")
    if not kept and not all(MAY_BE_MISSED.fullmatch(tool.type or "") for tool in gone):
        raise Untranslatable(f"tools: {gone[0].type} is run by Anthropic and is not available here")
    return kept


# -- changes between the turns -------------------------------------------------------------------------


def _are_changed(request: MessagesRequest) -> bool:
    return any(isinstance(block, _CHANGING) for _, block in _blocks(request))


def _blocks(request: MessagesRequest) -> Iterator[tuple[int, object]]:
    """Every block of a list, with the place of its message."""
    for place, message in enumerate(request.messages):
        if not isinstance(message.content, str):
            yield from ((place, block) for block in message.content)


def _after_changes(request: MessagesRequest, body: Mapping[str, Raw], there: list[_Pair]) -> list[_Pair]:
    """The tools after what the messages add and remove, each in the bytes of its last definition."""
    known = {_name(tool): raw for tool, raw in there}
    messages = items(body["messages"])
    for place in dict.fromkeys(place for place, block in _blocks(request) if isinstance(block, _CHANGING)):
        known.update(_definitions(content_of(messages[place])))
    return [(tool, known[_name(tool)]) for tool in offered(request) if _name(tool) in known]


def _definitions(blocks: list[Raw]) -> Iterator[tuple[str, Raw]]:
    for block in blocks:
        inside = members(block, "messages")
        changes = items(inside["tool_changes"]) if "tool_changes" in inside else [block]
        for change in changes:
            yield from _definition(members(change, "messages").get("tool", Raw(b"{}")))


def _definition(change: Raw) -> Iterator[tuple[str, Raw]]:
    told = members(change, "messages")
    if "definition" in told:
        definition = told["definition"]
    elif "input_schema" in told:
        definition = made({name: value for name, value in told.items() if name != "type"})
    else:
        return
    yield _name(msgspec.json.decode(definition, type=Tool)), definition


def _name(tool: Tool) -> str:
    return tool.name or tool.type or ""
