"""Tools as clients declare them, at once or in the middle of a conversation. Shapes only.

Source: Anthropic's Messages API reference and the `anthropic` package's beta types.
"""

from msgspec import Raw, Struct


class Tool(Struct, frozen=True):
    """One entry of `tools`. `type` absent or `custom`: the client runs it and `input_schema` describes it.

    Any other type is one of Anthropic's own (`bash_20250124`, `web_search_20250305`, `mcp_toolset`, ...).
    The last three belong to a web search.
    """

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = Raw(b"")
    strict: bool | None = None
    max_uses: int | None = None
    allowed_domains: tuple[str, ...] | None = None
    blocked_domains: tuple[str, ...] | None = None


class ToolChange(Struct, frozen=True):
    """Which tool a `tool_addition` or `tool_removal` speaks of: by name, or with its whole definition."""

    type: str = "tool_reference"
    name: str = ""
    definition: Tool | None = None
    description: str | None = None
    input_schema: Raw = Raw(b"")


class ToolAdditionBlock(Struct, frozen=True, tag="tool_addition"):
    """From here on the model may call this tool."""

    tool: ToolChange


class ToolRemovalBlock(Struct, frozen=True, tag="tool_removal"):
    """From here on the model may not call this tool."""

    tool: ToolChange
