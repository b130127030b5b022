"""Content blocks of Anthropic messages, as clients send them. Shapes only, no behaviour.

Unknown keys are accepted everywhere; an unknown `type` becomes `UnknownBlock` (see `anthropic.py`).
A tool's input and results of Anthropic's own server tools are only passed on, so they stay `msgspec.Raw`.

Source: Anthropic's Messages API reference and the `anthropic` package's beta types.
"""

from msgspec import Raw, Struct

from ccproxy_trio.wire.tools import ToolAdditionBlock, ToolRemovalBlock


class CacheControl(Struct, frozen=True):
    """A prompt-cache breakpoint after the block that carries it. `ttl` is `5m` or `1h`."""

    type: str = "ephemeral"
    ttl: str | None = None


class Base64Source(Struct, frozen=True, tag="base64"):
    """Media inline. `data` is standard base64 without line breaks."""

    media_type: str
    data: str


class UrlSource(Struct, frozen=True, tag="url"):
    """Media somewhere on the web. The proxy never fetches it."""

    url: str


class FileSource(Struct, frozen=True, tag="file"):
    """A file uploaded to Anthropic, which no other provider can see."""

    file_id: str


class TextSource(Struct, frozen=True, tag="text"):
    """A document that is plain text."""

    data: str


class TextBlock(Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str
    cache_control: CacheControl | None = None


class ImageBlock(Struct, frozen=True, tag="image"):
    """An image."""

    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class ContentSource(Struct, frozen=True, tag="content"):
    """A document made of blocks."""

    content: str | tuple[TextBlock | ImageBlock, ...]


class DocumentBlock(Struct, frozen=True, tag="document"):
    """A PDF, a text, or a list of blocks that belong together."""

    source: Base64Source | UrlSource | FileSource | TextSource | ContentSource
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(Struct, frozen=True, tag="search_result"):
    """One hit of a client-side search."""

    source: str
    title: str
    content: tuple[TextBlock, ...]
    cache_control: CacheControl | None = None


class ToolReferenceBlock(Struct, frozen=True, tag="tool_reference"):
    """Inside a tool result: a deferred tool became available."""

    tool_name: str


class BrowserStateBlock(Struct, frozen=True, omit_defaults=True, tag="browser_state"):
    """Inside a tool result: the tabs of a browser after the call."""

    tabs: Raw = Raw(b"[]")
    state_changes: Raw = Raw(b"null")


class UnknownBlock(Struct, frozen=True, tag="unknown", kw_only=True):
    """A block of a type that was not known when this was written. `raw` is the whole block."""

    name: str
    raw: Raw


ResultItem = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolReferenceBlock
    | BrowserStateBlock
    | UnknownBlock
)


class ToolResultBlock(Struct, frozen=True, tag="tool_result"):
    """What a tool gave back. Missing content means that it printed nothing."""

    tool_use_id: str
    content: str | tuple[ResultItem, ...] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ContainerUploadBlock(Struct, frozen=True, tag="container_upload"):
    """A file for Anthropic's own code execution."""

    file_id: str = ""


class CompactionBlock(Struct, frozen=True, tag="compaction"):
    """A summary that stands for the history before it."""

    content: str | None = None
    encrypted_content: str | None = None
    cache_control: CacheControl | None = None
    tool_changes: tuple[ToolAdditionBlock | ToolRemovalBlock, ...] | None = None  # of that history


class ThinkingBlock(Struct, frozen=True, tag="thinking"):
    """The model's reasoning. `signature` proves where it came from; ours also carries provider state."""

    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(Struct, frozen=True, tag="redacted_thinking"):
    """Reasoning nobody may read. Ours carries provider state."""

    data: str


class ToolUseBlock(Struct, frozen=True, tag="tool_use"):
    """The model called a tool. `input` is JSON, normally an object, but a model can spoil it."""

    id: str
    name: str
    input: Raw = Raw(b"{}")


class ServerToolUseBlock(Struct, frozen=True, tag="server_tool_use"):
    """The model called a tool that Anthropic ran."""

    name: str
    input: Raw = Raw(b"{}")


class McpToolUseBlock(Struct, frozen=True, tag="mcp_tool_use"):
    """The model called a tool of an MCP server that Anthropic reached."""

    name: str
    server_name: str = ""
    input: Raw = Raw(b"{}")


class ServerResultBlock(Struct, frozen=True):
    """What a tool that Anthropic ran gave back; the subclasses differ by their tag only."""

    content: Raw = Raw(b"null")


class WebSearchResultBlock(ServerResultBlock, frozen=True, tag="web_search_tool_result"):
    """Of `web_search`."""


class WebFetchResultBlock(ServerResultBlock, frozen=True, tag="web_fetch_tool_result"):
    """Of `web_fetch`."""


class CodeResultBlock(ServerResultBlock, frozen=True, tag="code_execution_tool_result"):
    """Of `code_execution`."""


class BashCodeResultBlock(ServerResultBlock, frozen=True, tag="bash_code_execution_tool_result"):
    """Of `bash_code_execution`."""


class EditorCodeResultBlock(ServerResultBlock, frozen=True, tag="text_editor_code_execution_tool_result"):
    """Of `text_editor_code_execution`."""


class ToolSearchResultBlock(ServerResultBlock, frozen=True, tag="tool_search_tool_result"):
    """Of `tool_search_tool_regex` and `tool_search_tool_bm25`."""


class AdvisorResultBlock(ServerResultBlock, frozen=True, tag="advisor_tool_result"):
    """Of `advisor`."""


class McpResultBlock(ServerResultBlock, frozen=True, tag="mcp_tool_result"):
    """Of a tool behind an MCP server."""

    is_error: bool | None = None


class McpToolListingBlock(Struct, frozen=True, tag="mcp_tool_listing"):
    """The tools of an MCP server; nothing a model has to read again."""


class FallbackBlock(Struct, frozen=True, tag="fallback"):
    """Anthropic went on with another model here; nothing a model has to read again."""


UserBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolResultBlock
    | ContainerUploadBlock
    | CompactionBlock
    | ToolAdditionBlock
    | ToolRemovalBlock
    | UnknownBlock
)
AssistantBlock = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ServerToolUseBlock
    | McpToolUseBlock
    | WebSearchResultBlock
    | WebFetchResultBlock
    | CodeResultBlock
    | BashCodeResultBlock
    | EditorCodeResultBlock
    | ToolSearchResultBlock
    | AdvisorResultBlock
    | McpResultBlock
    | McpToolListingBlock
    | FallbackBlock
    | ContainerUploadBlock
    | ToolAdditionBlock
    | ToolRemovalBlock
    | CompactionBlock
    | ImageBlock
    | DocumentBlock
    | UnknownBlock
)
