"""Requests that no provider answers: those without any tokens to make, and Claude Code's web searches."""

import hashlib

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.search import QUERY_CHARACTERS, in_words
from ccproxy_trio.translate.tools import WEB_SEARCH
from ccproxy_trio.wire import blocks
from ccproxy_trio.wire.anthropic import (
    AnyChoice,
    AutoChoice,
    MessagesRequest,
    NamedChoice,
    UserMessage,
)
from ccproxy_trio.wire.events import (
    ContentBlock,
    ServerToolUsage,
    ServerToolUseBlock,
    StopReason,
    TextBlock,
    Usage,
    WebSearchError,
    WebSearchResult,
    WebSearchToolResultBlock,
)
from ccproxy_trio.wire.search import Hit, SearchErrorCode, SearchQuestion
from ccproxy_trio.wire.tools import Tool

# How Claude Code words its search sub-request; it does not force the tool for models that it does not know.
_SEARCH_ORDER = "Perform a web search for the query:"


class LocalAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer: its blocks, how it ended, and what is known of its cost beside the tokens."""

    content: tuple[ContentBlock, ...]
    stop_reason: StopReason
    usage: Usage | None = None


class _Query(Struct, frozen=True):
    """The input of a web search."""

    query: str


def local_answer(request: MessagesRequest) -> LocalAnswer | None:
    """The answer to a request that nobody has to be asked for; None for every other request.

    `max_tokens: 0` only warms a cache.
    """
    if request.max_tokens == 0:
        return LocalAnswer(content=(), stop_reason="max_tokens")
    return None


def search_question(request: MessagesRequest) -> SearchQuestion | None:
    """The question of a request that is nothing but a web search; None for every other request.

    A search that the client forces would be invented by a model that has none, so it is never put to a model.
    """
    if not _is_web_search(request):
        return None
    query = _last_text(request).removeprefix(_SEARCH_ORDER).strip()
    # Any id will do that another search of the session does not have.
    call = f"srvtoolu_{hashlib.sha256(f'{len(request.messages)} {query}'.encode()).hexdigest()[:24]}"
    tool = next(tool for tool in request.tools or () if _is_search(tool))
    return SearchQuestion(
        call=call,
        query=query,
        allowed_domains=tool.allowed_domains or (),
        blocked_domains=tool.blocked_domains or (),
        max_uses=tool.max_uses,
    )


def found(question: SearchQuestion, hits: tuple[Hit, ...]) -> LocalAnswer:
    """The answer that tells what a search found: as Anthropic's own does, and in words for the model."""
    results = [WebSearchResult(url=hit.url, title=hit.title, page_age=hit.published) for hit in hits]
    return LocalAnswer(
        content=(
            _use(question),
            WebSearchToolResultBlock(question.call, results),
            TextBlock(in_words(question.query, hits)),
        ),
        stop_reason="end_turn",
        usage=Usage(server_tool_use=ServerToolUsage(web_search_requests=1)),
    )


def not_found(question: SearchQuestion, code: SearchErrorCode) -> LocalAnswer:
    """The answer that tells why there was no search."""
    return LocalAnswer(
        content=(_use(question), WebSearchToolResultBlock(question.call, WebSearchError(code))),
        stop_reason="end_turn",
    )


def _use(question: SearchQuestion) -> ServerToolUseBlock:
    return ServerToolUseBlock(
        question.call, "web_search", Raw(msgspec.json.encode(_Query(question.query[:QUERY_CHARACTERS])))
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
    return next((block.text for block in reversed(content) if isinstance(block, blocks.TextBlock)), "")
