"""Content blocks as text and parts of Chat messages."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, assert_never

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate import media
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.raw import compact, plain
from ccproxy_trio.translate.system import unknown_text
from ccproxy_trio.wire.blocks import (
    AssistantBlock,
    Base64Source,
    BrowserStateBlock,
    CacheControl,
    CompactionBlock,
    ContainerUploadBlock,
    ContentSource,
    DocumentBlock,
    FallbackBlock,
    ImageBlock,
    McpToolListingBlock,
    McpToolUseBlock,
    RedactedThinkingBlock,
    ResultItem,
    SearchResultBlock,
    ServerResultBlock,
    ServerToolUseBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
    UnknownBlock,
    UserBlock,
)
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import CacheBreakpoint, CacheMark, FilePart, ImagePart, Part, TextPart

Piece = str | ImagePart | FilePart  # what a block becomes before it is known where it will stand
_Part = TypeVar("_Part", bound=TextPart | ImagePart | FilePart)

SEE_NEXT = "[see attached media in the next message]"
FAILED = "[tool error] "


class Result(Struct, frozen=True):
    """A tool result: its text, and the media that may have to go elsewhere."""

    text: str
    media: tuple[ImagePart | FilePart, ...]


def marked(part: _Part, control: CacheControl | None, context: Context) -> _Part:
    """The part with the client's cache breakpoint, in the words of the upstream, if it has any."""
    match context.dialect.cache:
        case "cache_control" if control:
            return msgspec.structs.replace(part, cache_control=CacheMark(control.ttl))
        case "openai_breakpoint" if control and context.take_breakpoint():
            ttl = "12h" if control.ttl == "1h" else None
            return msgspec.structs.replace(part, prompt_cache_breakpoint=CacheBreakpoint(ttl))
        case _:
            return part


def joined(parts: Sequence[Part]) -> str | tuple[Part, ...]:
    """Parts as a message's content: one string where there is only unmarked text."""
    texts = [part.text for part in parts if isinstance(part, TextPart) and part == TextPart(text=part.text)]
    return "\n\n".join(texts) if len(texts) == len(parts) else tuple(parts)


def user_parts(block: UserBlock, where: str, context: Context) -> list[Part]:
    """A block of a user message (other than a tool result) as parts.

    Raises:
        RequestRefused: it cannot be said to this provider, or is of an unknown type.
    """
    match block:
        case ToolResultBlock():
            result = tool_result(block, where, context)
            pieces: list[Piece] = [f"[result of a tool call that is not in this conversation]\n{result.text}"]
            pieces += result.media
        case ContainerUploadBlock():
            raise RequestRefused(f"{where}.type: container_upload needs Anthropic's code execution")
        case CompactionBlock():
            pieces = [_compaction_text(block, where)]
        case _:
            pieces = list(_pieces(block, where, context))
    parts: list[Part] = [
        TextPart(text=piece) if isinstance(piece, str) else piece for piece in pieces if piece
    ]
    if parts and not isinstance(block, CompactionBlock | UnknownBlock):
        parts[-1] = marked(parts[-1], block.cache_control, context)
    return parts


def tool_result(block: ToolResultBlock, where: str, context: Context) -> Result:
    """What a tool gave back. Text keeps every byte; items of a list are put on lines of their own.

    Raises:
        RequestRefused: as `user_parts`.
    """
    if block.content is None or isinstance(block.content, str):
        pieces: list[Piece] = [block.content or ""]
    else:
        pieces = [
            piece
            for place, item in enumerate(block.content)
            for piece in _pieces(item, f"{where}.content.{place}", context)
        ]
    text = "\n".join(piece for piece in pieces if isinstance(piece, str))
    # Chat has no flag for failure, and without one the model takes an error message for success.
    return Result(
        FAILED + text if block.is_error else text,
        tuple(piece for piece in pieces if not isinstance(piece, str)),
    )


def assistant_text(block: AssistantBlock, where: str, context: Context) -> str:
    """What a block of an assistant message says in words; "" where it says nothing.

    Raises:
        RequestRefused: it is of an unknown type.
    """
    match block:
        case TextBlock(text=text):
            return text
        case ServerToolUseBlock(name=name, input=value):
            return f"[used {name}: {compact(value, where)}]"
        case McpToolUseBlock(name=name, server_name=server, input=value):
            return f"[used {name} of {server}: {compact(value, where)}]"
        case ServerResultBlock(content=content):
            return _gist(plain(content, where))
        case CompactionBlock():
            return _compaction_text(block, where)
        case ImageBlock():
            return "[image]"  # an assistant's message takes text only
        case DocumentBlock():
            return media.absent_document(block)
        case UnknownBlock():
            return unknown_text(block, where, context)
        case (
            ToolUseBlock()
            | ThinkingBlock()
            | RedactedThinkingBlock()
            | McpToolListingBlock()
            | FallbackBlock()
        ):
            return ""
        case _:
            assert_never(block)


def arguments(value: Raw, where: str) -> str:
    """A tool call's input as the JSON object that providers insist on.

    Raises:
        RequestRefused: nested past the interpreter's limit.
    """
    text = compact(value, where)
    if text.startswith("{"):
        return text
    # A model's spoilt arguments come back through the client as a string or a list.
    return "{}" if text == "null" else f'{{"value":{text}}}'


def _pieces(block: ResultItem, where: str, context: Context) -> Iterable[Piece]:
    match block:
        case TextBlock(text=text):
            return [text]
        case ImageBlock():
            return [_image(block, where, context)]
        case DocumentBlock():
            return _document(block, where, context)
        case SearchResultBlock(source=source, title=title, content=content):
            return ["\n".join((title, source, *(item.text for item in content)))]
        case ToolReferenceBlock(tool_name=name):
            return [f"[tool now available: {name}]"]
        case BrowserStateBlock():
            return [msgspec.json.encode(block).decode()]
        case UnknownBlock():
            return [unknown_text(block, where, context)]
        case _:
            assert_never(block)


def _image(block: ImageBlock, where: str, context: Context) -> Piece:
    piece = media.image_part(block, where)
    return piece if context.dialect.vision else media.unseen(block)


def _document(block: DocumentBlock, where: str, context: Context) -> list[Piece]:
    match block.source:
        case TextSource(data=text) | ContentSource(content=str(text)):
            return [media.document_text(block, text)]
        case ContentSource(content=tuple(items)):
            head = media.document_text(block, "")
            inside = [
                piece
                for place, item in enumerate(items)
                for piece in _pieces(item, f"{where}.source.content.{place}", context)
            ]
            return [head, *inside] if head else inside
        case Base64Source() as source:
            piece = media.pdf_part(block, source, where)
            if context.dialect.files:
                return [piece]
    context.note("a document was left out: this provider cannot read it")
    return [media.absent_document(block)]


def _compaction_text(block: CompactionBlock, where: str) -> str:
    if block.content is None and block.encrypted_content is not None:
        raise RequestRefused(f"{where}.encrypted_content: only Anthropic can read this summary")
    return block.content or ""


_TELLING = ("title", "url", "text", "stdout", "stderr", "error_code", "tool_name")


def _gist(value: Any, depth: int = 8) -> str:
    """What is worth reading in the result of one of Anthropic's tools, a line each; nothing encrypted."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth:
        return "\n".join(line for line in (_gist(item, depth - 1) for item in value) if line)
    if not isinstance(value, dict) or not depth:
        return ""
    own = [str(value[name]) for name in _TELLING if value.get(name)]
    inside = [_gist(value[name], depth - 1) for name in ("content", "tool_references") if name in value]
    return "\n".join(line for line in (*own, *inside) if line)
