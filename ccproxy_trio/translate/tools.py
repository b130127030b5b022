"""Tools: what the client offers, as functions that the upstream may call."""

import re

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.context import Context
from ccproxy_trio.wire.anthropic import (
    AnyChoice,
    AutoChoice,
    CountRequest,
    MessagesRequest,
    NamedChoice,
    NoChoice,
)
from ccproxy_trio.wire.blocks import CompactionBlock
from ccproxy_trio.wire.faults import RequestRefused, Untranslatable
from ccproxy_trio.wire.openai import ChatTool, FunctionDefinition, FunctionName, NamedToolChoice
from ccproxy_trio.wire.tools import Tool, ToolAdditionBlock, ToolRemovalBlock

WEB_SEARCH = re.compile(r"web_search_\d+")
_NEEDS_A_SCREEN = re.compile(r"(computer|computer_toolset|browser_toolset)_\d+")
RUN_BY_ANTHROPIC = re.compile(
    r"(web_search|web_fetch|code_execution|tool_search_tool_(regex|bm25)|advisor)_\d+"
    r"|tool_search_tool_(regex|bm25)|mcp_toolset"
)
# Nothing is lost by leaving these out while the model can still answer by itself.
MAY_BE_MISSED = re.compile(r"(web_search|web_fetch)_\d+")


_CHANGING = (ToolAdditionBlock, ToolRemovalBlock, CompactionBlock)


class Known(Struct, frozen=True):
    """A tool that clients run themselves and Anthropic's models know without a schema."""

    type: re.Pattern[str]
    description: str
    properties: dict[str, dict[str, object]]
    required: tuple[str, ...] = ()


_TEXT: dict[str, object] = {"type": "string"}
_NUMBER: dict[str, object] = {"type": "integer"}
_EDITOR: dict[str, dict[str, object]] = {
    "path": {**_TEXT, "description": "Absolute path of the file or directory."},
    "view_range": {
        "type": "array",
        "items": _NUMBER,
        "description": "view: first and last line, -1 for the end.",
    },
    "file_text": {**_TEXT, "description": "create: the content of the new file."},
    "old_str": {**_TEXT, "description": "str_replace: the exact text to replace; it must occur once."},
    "new_str": {**_TEXT, "description": "str_replace: the text to put in its place."},
    "insert_line": {**_NUMBER, "description": "insert: the line after which to insert, 0 for the beginning."},
    "insert_text": {**_TEXT, "description": "insert: the text to insert."},
}
_EDITOR_COMMANDS = ["view", "create", "str_replace", "insert"]

KNOWN: tuple[Known, ...] = (
    Known(
        re.compile(r"bash_\d+"),
        "Run a command in a persistent bash session.",
        {
            "command": {**_TEXT, "description": "The command to run. Not needed when restarting."},
            "restart": {"type": "boolean", "description": "Start the session anew."},
        },
    ),
    Known(
        re.compile(r"text_editor_\d+"),
        "View, create and edit text files.",
        {"command": {**_TEXT, "enum": _EDITOR_COMMANDS}, **_EDITOR},
        ("command", "path"),
    ),
    Known(
        re.compile(r"memory_\d+"),
        "Keep notes in files below /memories that outlive this conversation.",
        {
            "command": {**_TEXT, "enum": [*_EDITOR_COMMANDS, "delete", "rename"]},
            **_EDITOR,
            "old_path": {**_TEXT, "description": "rename: the path now."},
            "new_path": {**_TEXT, "description": "rename: the path to be."},
        },
        ("command",),
    ),
)


def offered(request: CountRequest) -> tuple[Tool, ...]:
    """The request's tools after what the messages add and remove on the way.

    Raises:
        RequestRefused: a tool without a name, or two of one name in `tools`.
    """
    tools: dict[str, Tool] = {}
    for place, tool in enumerate(request.tools or ()):
        name = tool.name or (tool.type if tool.type == "mcp_toolset" else "")
        if not name:
            raise RequestRefused(f"tools.{place}.name: field required")
        if name in tools and tool.type != "mcp_toolset":
            raise RequestRefused(f"tools.{place}.name: tool names must be unique, {name!r} occurs twice")
        tools[name] = tool
    declared = dict(tools)
    for place, message in enumerate(request.messages):
        blocks = () if isinstance(message.content, str) else message.content
        for number, block in enumerate(blocks):
            if isinstance(block, _CHANGING):  # hardly any, so without a call for the others
                _follow(block, tools, declared, where=f"messages.{place}.content.{number}")
    return tuple(tools.values())


def _follow(
    block: ToolAdditionBlock | ToolRemovalBlock | CompactionBlock,
    tools: dict[str, Tool],
    declared: dict[str, Tool],
    *,
    where: str,
) -> None:
    """Apply what a block changes about the tools; a summary what the history it stands for changed."""
    changes = block.tool_changes or () if isinstance(block, CompactionBlock) else (block,)
    for change in changes:
        _apply(change, tools, declared, where=where)


def _apply(
    block: ToolAdditionBlock | ToolRemovalBlock,
    tools: dict[str, Tool],
    declared: dict[str, Tool],
    *,
    where: str,
) -> None:
    change = block.tool
    if change.type.startswith("mcp_"):
        return  # of an MCP server at Anthropic: one of ours may bear the same name
    if isinstance(block, ToolRemovalBlock):
        tools.pop(change.name, None)
        return
    defined = change.definition or Tool(
        name=change.name, description=change.description, input_schema=change.input_schema
    )
    name = defined.name or (defined.type if defined.type == "mcp_toolset" else "")
    if not name:
        raise RequestRefused(f"{where}.tool.name: field required")
    if change.definition or bytes(change.input_schema):
        declared[name] = defined
    if name in declared:  # else a reference to a tool that only Anthropic knows
        tools[name] = declared[name]


def functions(tools: tuple[Tool, ...], context: Context) -> tuple[ChatTool, ...]:
    """The tools as functions. Those that Anthropic would run are left out, with a note.

    Raises:
        RequestRefused: a tool that cannot work here, or only such as Anthropic runs.
        Untranslatable: more tools than this provider takes.
    """
    kept = [_function(tool, context) for tool in tools]
    made = tuple(function for function in kept if function is not None)
    if tools and not made and not all(MAY_BE_MISSED.fullmatch(tool.type or "") for tool in tools):
        raise RequestRefused(f"tools: {tools[0].type} is run by Anthropic and is not available here")
    at_most = context.dialect.max_tools
    if at_most is not None and len(made) > at_most:
        raise Untranslatable(f"tools: {len(made)} tools, but this provider takes at most {at_most}")
    return made


def _function(tool: Tool, context: Context) -> ChatTool | None:
    kind = tool.type
    if kind is None or kind == "custom":
        return ChatTool(_own_function(tool, context))
    for known in KNOWN:
        if known.type.fullmatch(kind):
            return ChatTool(_known_function(tool, known, context))
    if _NEEDS_A_SCREEN.fullmatch(kind):
        raise RequestRefused(f"tools.{tool.name}.type: {kind} is not available with this provider")
    if RUN_BY_ANTHROPIC.fullmatch(kind):
        context.note(f"tool {tool.name or kind} left out: it is run by Anthropic")
        return None
    if not bytes(tool.input_schema):
        raise RequestRefused(f"tools.{tool.name}.type: unknown tool type {kind!r}")
    return ChatTool(_own_function(tool, context))


def _own_function(tool: Tool, context: Context) -> FunctionDefinition:
    """A tool of the client's own, with the schema it gave."""
    dialect = context.dialect
    where = f"tools.{tool.name}.input_schema"
    parameters = context.rewrite(tool.input_schema, dialect.schema, where)
    strict = tool.strict and dialect.strict and schema.is_strict(parameters, where)
    return FunctionDefinition(
        name=context.names.of(tool.name),
        description=tool.description,
        parameters=parameters,
        strict=True if strict else None,
    )


def _known_function(tool: Tool, known: Known, context: Context) -> FunctionDefinition:
    described = {"type": "object", "properties": known.properties, "required": known.required}
    parameters = Raw(msgspec.json.encode(described if known.required else {**described, "required": []}))
    return FunctionDefinition(
        name=context.names.of(tool.name),
        description=tool.description or known.description,
        parameters=context.rewrite(parameters, context.dialect.schema, f"tools.{tool.name}"),
    )


class Choice(Struct, frozen=True):
    """`tool_choice` and `parallel_tool_calls`; None: not sent."""

    tool_choice: str | NamedToolChoice | None = None
    parallel: bool | None = None


def choice(request: MessagesRequest, tools: tuple[ChatTool, ...], context: Context) -> Choice:
    """What the upstream is told about having to call tools.

    Raises:
        RequestRefused: the tool that must be called is not among those offered.
    """
    asked = request.tool_choice
    if not tools or asked is None:
        return Choice()
    one_at_a_time = asked.disable_parallel_tool_use and context.dialect.parallel
    return Choice(_tool_choice(asked, tools, context), False if one_at_a_time else None)


def _tool_choice(
    asked: AutoChoice | AnyChoice | NamedChoice | NoChoice, tools: tuple[ChatTool, ...], context: Context
) -> str | NamedToolChoice | None:
    match asked:
        case AutoChoice():
            return _auto(context)
        case NoChoice():
            return "none"
        case AnyChoice() if context.dialect.tool_choice:
            return "required"
        case NamedChoice(name=name):
            function = context.names.of(name)
            if all(tool.function.name != function for tool in tools):
                raise RequestRefused(f"tool_choice.name: the tool {name!r} is not available")
            if context.dialect.tool_choice:
                return NamedToolChoice(FunctionName(function))
    context.note("tool_choice lowered to auto: this provider cannot be made to call a tool")
    return _auto(context)


def _auto(context: Context) -> str | None:
    return "auto" if context.dialect.auto_choice else None
