"""Blocks of messages that a provider does not take, as others that it does. All others keep their bytes."""

import re
from collections.abc import Iterable, Sequence
from typing import get_args

from msgspec import Raw

from ccproxy_trio.translate.blocks import assistant_text, user_parts
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.native.raws import content_of, items, made, text_block, with_content
from ccproxy_trio.translate.native.thoughts import REMOVED, may_stay
from ccproxy_trio.translate.raw import members
from ccproxy_trio.wire.anthropic import AssistantMessage, Message, UserMessage
from ccproxy_trio.wire.blocks import (
    AssistantBlock,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    McpToolListingBlock,
    McpToolUseBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    ServerResultBlock,
    ServerToolUseBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    UrlSource,
    UserBlock,
    WebSearchResultBlock,
)
from ccproxy_trio.wire.openai import FilePart, ImagePart, TextPart
from ccproxy_trio.wire.tools import ToolAdditionBlock, ToolRemovalBlock

_BY_ANTHROPIC = ServerToolUseBlock | ServerResultBlock | McpToolUseBlock | McpToolListingBlock
_CHANGES = ToolAdditionBlock | ToolRemovalBlock
_NOTHING_LEFT = "[left out]"
# Of searches that this proxy answered itself: Anthropic seals what it finds, and refuses what bears no seal.
_UNSEALED = re.compile(rb'"encrypted_content"\s*:\s*""')


def cleaned(messages: Sequence[Message], raws: Sequence[Raw], context: Context) -> list[Raw]:
    """The messages as this provider takes them, each the same object where nothing had to be changed.

    Raises:
        RequestRefused: an image or a document is none.
    """
    suspects = _suspects(context.dialect)
    return [
        _message(message, raw, f"messages.{place}", context) if _has_any(message, suspects) else raw
        for place, (message, raw) in enumerate(zip(messages, raws, strict=True))
    ]


def _suspects(dialect: Dialect) -> frozenset[type]:
    """The types of blocks that have to be looked at, by far not all in a long history."""
    found: set[type] = {ThinkingBlock, RedactedThinkingBlock, WebSearchResultBlock}
    if dialect.mid_system != "keep":
        found |= set(get_args(_CHANGES))
    if not dialect.server_tools:
        found |= {
            ServerToolUseBlock,
            McpToolUseBlock,
            McpToolListingBlock,
            *ServerResultBlock.__subclasses__(),
        }
    by_switch: tuple[tuple[bool, tuple[type, ...]], ...] = (
        (dialect.vision, (ImageBlock, DocumentBlock, ToolResultBlock)),
        (dialect.files, (DocumentBlock, SearchResultBlock, ToolResultBlock)),
        (dialect.file_urls, (DocumentBlock, ToolResultBlock)),
        (dialect.tool_references, (ToolReferenceBlock, ToolResultBlock)),
    )
    return frozenset(found.union(*(types for taken, types in by_switch if not taken)))


def _has_any(message: Message, suspects: frozenset[type]) -> bool:
    return not isinstance(message.content, str) and any(type(block) in suspects for block in message.content)


def _message(message: Message, raw: Raw, where: str, context: Context) -> Raw:
    match message:
        case UserMessage(content=tuple(blocks)) if _concern(blocks, context.dialect):
            content = _user_blocks(blocks, content_of(raw), f"{where}.content", context)
        case AssistantMessage(content=tuple(said)) if _to_change(said, context.dialect):
            content = _assistant_blocks(said, content_of(raw), f"{where}.content", context)
        case _:
            return raw
    return with_content(raw, content)


# -- the user's blocks ---------------------------------------------------------------------------------


def _concern(blocks: Iterable[object], dialect: Dialect) -> bool:
    return any(_concerns(block, dialect) for block in blocks)


def _concerns(block: object, dialect: Dialect) -> bool:
    match block:
        case ImageBlock():
            return not dialect.vision
        case DocumentBlock(source=UrlSource()):
            return not (dialect.files and dialect.file_urls)
        case DocumentBlock(source=ContentSource(content=tuple(inside))):
            return not dialect.files or _concern(inside, dialect)
        case DocumentBlock() | SearchResultBlock():
            return not dialect.files
        case ToolReferenceBlock():
            return not dialect.tool_references
        case ToolAdditionBlock() | ToolRemovalBlock():
            return dialect.mid_system != "keep"
        case ToolResultBlock(content=tuple(inside)):
            return _concern(inside, dialect)
        case _:
            return False


def _user_blocks(blocks: Sequence[object], raws: list[Raw], where: str, context: Context) -> list[Raw]:
    content: list[Raw] = []
    for place, (block, raw) in enumerate(zip(blocks, raws, strict=True)):
        if _concerns(block, context.dialect):
            content += _instead(block, raw, f"{where}.{place}", context)
        else:
            content.append(raw)
    return content or [text_block(_NOTHING_LEFT)]


def _instead(block: object, raw: Raw, where: str, context: Context) -> list[Raw]:
    """What stands for a block that cannot stay."""
    match block:
        case ToolResultBlock(content=tuple(inside)):
            result = members(raw, where)
            content = _user_blocks(inside, items(result["content"]), f"{where}.content", context)
            return [made({**result, "content": content})]
        case ToolReferenceBlock(tool_name=name):
            return [text_block(f"[tool now available: {name}]")]
        case ImageBlock() | DocumentBlock() | SearchResultBlock():
            return _marked(_parts(block, where, context), raw)
        case _:
            return []  # changes of tools, which `offer.py` has followed


def _parts(block: UserBlock, where: str, context: Context) -> list[Raw]:
    # Nothing becomes a file: that is what such a block is not to be.
    return [_native(part) for part in user_parts(block, where, context) if not isinstance(part, FilePart)]


def _native(part: TextPart | ImagePart) -> Raw:
    if isinstance(part, TextPart):
        return text_block(part.text)
    return made({"type": "image", "source": _source(part.image_url.url)})


def _source(url: str) -> dict[str, str]:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url.partition(";base64,")
    return {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}


def _marked(content: list[Raw], original: Raw) -> list[Raw]:
    """The blocks, with the cache breakpoint of the one that they stand for."""
    control = members(original, "messages").get("cache_control")
    if control is None or not content:
        return content
    return [*content[:-1], made({**members(content[-1], "messages"), "cache_control": control})]


# -- the model's ---------------------------------------------------------------------------------------


def _to_change(blocks: Sequence[AssistantBlock], dialect: Dialect) -> bool:
    return any(
        not may_stay(block, dialect)
        or (isinstance(block, _BY_ANTHROPIC) and not dialect.server_tools)
        or (isinstance(block, WebSearchResultBlock) and _is_unsealed(block))
        or (isinstance(block, _CHANGES) and dialect.mid_system != "keep")
        for block in blocks
    )


def _assistant_blocks(
    blocks: Sequence[AssistantBlock], raws: list[Raw], where: str, context: Context
) -> list[Raw]:
    in_words = not context.dialect.server_tools or any(
        isinstance(block, WebSearchResultBlock) and _is_unsealed(block) for block in blocks
    )
    content: list[Raw] = []
    for place, (block, raw) in enumerate(zip(blocks, raws, strict=True)):
        if isinstance(block, _BY_ANTHROPIC) and in_words:
            text = assistant_text(block, f"{where}.{place}", context)
            content += [text_block(text)] if text else []
        elif isinstance(block, _CHANGES) and context.dialect.mid_system != "keep":
            continue
        elif may_stay(block, context.dialect):
            content.append(raw)
    thought = any(isinstance(block, ThinkingBlock | RedactedThinkingBlock) for block in blocks)
    return content or [text_block(REMOVED if thought else _NOTHING_LEFT)]


def _is_unsealed(block: WebSearchResultBlock) -> bool:
    return _UNSEALED.search(bytes(block.content)) is not None
