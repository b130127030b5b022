"""Requests that are answered here, without any upstream."""

import hashlib

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.tools import WEB_SEARCH
from ccproxy_trio.wire.anthropic import (
    AnyChoice,
    AutoChoice,
    MessagesRequest,
    NamedChoice,
    Tool,
    UserMessage,
)
from ccproxy_trio.wire.blocks import TextBlock
from ccproxy_trio.wire.events import (
    ContentBlock,
    ServerToolUseBlock,
    StopReason,
    WebSearchError,
    WebSearchToolResultBlock,
)

# How Claude Code words its search sub-request; it does not force the tool for models that it does not know.
_SEARCH_ORDER = "Perform a web search for the query:"


class LocalAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer: its blocks and how it ended."""

    content: tuple[ContentBlock, ...]
    stop_reason: StopReason


class _Query(Struct, frozen=True):
    """The input of a web search."""

    query: str


def local_answer(request: MessagesRequest) -> LocalAnswer | None:
    """The answer to a request that no upstream should see; None for every other request.

    `max_tokens: 0` only warms a cache. A web search that the client forces would be invented by a model that
    has no search, so it is told that searching is unavailable.
    """
    if request.max_tokens == 0:
        return LocalAnswer(content=(), stop_reason="max_tokens")
    if not _is_web_search(request):
        return None
    query = _last_text(request).removeprefix(_SEARCH_ORDER).strip()
    # Any id will do that another search of the session does not have.
    call = f"srvtoolu_{hashlib.sha256(f'{len(request.messages)} {query}'.encode()).hexdigest()[:24]}"
    return LocalAnswer(
        content=(
            ServerToolUseBlock(call, "web_search", Raw(msgspec.json.encode(_Query(query)))),
            WebSearchToolResultBlock(call, WebSearchError("unavailable")),
        ),
        stop_reason="end_turn",
    )


def _is_web_search(request: MessagesRequest) -> bool:
    tools = request.tools or ()
    searches = [tool for tool in tools if _is_search(tool)]
    alone = bool(searches) and len(searches) == len(tools)
    match request.tool_choice:
        case NamedChoice(name=name):
            return any(tool.name == name for tool in searches)
        case AnyChoice():
            return alone
        case AutoChoice() | None:
            return alone and _last_text(request).startswith(_SEARCH_ORDER)
        case _:
            return False


def _is_search(tool: Tool) -> bool:
    return tool.type is not None and WEB_SEARCH.fullmatch(tool.type) is not None


def _last_text(request: MessagesRequest) -> str:
    """The last text of the last user message."""
    users = [message for message in request.messages if isinstance(message, UserMessage)]
    if not users:
        return ""
    content = users[-1].content
    if isinstance(content, str):
        return content
    return next((block.text for block in reversed(content) if isinstance(block, TextBlock)), "")
