"""Content blocks as text and parts of Chat messages."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, assert_never

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate import media, pdf
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
    McpResultBlock,
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
    UrlSource,
    UserBlock,
)
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import CacheBreakpoint, CacheMark, FilePart, ImagePart, Part, TextPart
from ccproxy_trio.wire.tools import ToolAdditionBlock, ToolRemovalBlock

Piece = str | ImagePart | FilePart  # what a block becomes before it is known where it will stand
_Part = TypeVar("_Part", bound=TextPart | ImagePart | FilePart)

SEE_NEXT = "[see attached media in the next message]"
FAILED = "[tool error] "
_LEFT_OUT = "a document was left out: this provider cannot read it"


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
    texts = [part.text for part in parts if isinstance(part, TextPart) and _is_unmarked(part)]
    return "\n\n".join(texts) if len(texts) == len(parts) else tuple(parts)


def _is_unmarked(part: TextPart) -> bool:
    return part.cache_control is None and part.prompt_cache_breakpoint is None


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
        case ToolAdditionBlock() | ToolRemovalBlock():
            pieces = []  # `tools.offered` has followed it
        case _:
            pieces = list(_pieces(block, where, context))
    parts: list[Part] = [
        TextPart(text=piece) if isinstance(piece, str) else piece for piece in pieces if piece
    ]
    if parts and not isinstance(block, UnknownBlock | ToolAdditionBlock | ToolRemovalBlock):
        parts[-1] = marked(parts[-1], block.cache_control, context)
    return parts


def tool_result(block: ToolResultBlock, where: str, context: Context) -> Result:
    """What a tool gave back. Text keeps every byte; items of a list are put on lines of their own.

    Raises:
        RequestRefused: as `user_parts`.
    """
    shown: tuple[ImagePart | FilePart, ...] = ()
    if block.content is None or isinstance(block.content, str):
        text = block.content or ""
    else:
        pieces = [
            piece
            for place, item in enumerate(block.content)
            for piece in _pieces(item, f"{where}.content.{place}", context)
        ]
        text = "\n".join(piece for piece in pieces if isinstance(piece, str))
        shown = tuple(piece for piece in pieces if not isinstance(piece, str))
    # Chat has no flag for failure, and without one the model takes an error message for success.
    return Result(FAILED + text if block.is_error else text, shown)


def assistant_text(block: AssistantBlock, where: str, context: Context) -> str:
    """What a block of an assistant message says in words; "" where it says nothing.

    Raises:
        RequestRefused: it is of an unknown type.
    """
    match block:
        case TextBlock():
            return block.text
        case (
            ToolUseBlock()
            | ThinkingBlock()
            | RedactedThinkingBlock()
            | McpToolListingBlock()
            | FallbackBlock()
            | ToolAdditionBlock()
            | ToolRemovalBlock()
        ):
            return ""
        case ServerToolUseBlock(name=name, input=value):
            return f"[used {name}: {compact(value, where)}]"
        case McpToolUseBlock(name=name, server_name=server, input=value):
            return f"[used {name} of {server}: {compact(value, where)}]"
        case McpResultBlock(content=content, is_error=True):
            return FAILED + _gist(plain(content, where))
        case ServerResultBlock(content=content):
            return _gist(plain(content, where))
        case CompactionBlock():
            return _compaction_text(block, where)
        case ImageBlock():
            return "[image]"  # an assistant's message takes text only
        case DocumentBlock():
            return _document_in_words(block, where, context)
        case ContainerUploadBlock(file_id=file_id):
            return f"[file {file_id}: made by Anthropic's code execution, not available here]"
        case UnknownBlock():
            return unknown_text(block, where, context)
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
            return [f"[tool now available: {context.names.of(name)}]"]
        case BrowserStateBlock():
            return [compact(Raw(msgspec.json.encode(block)), where)]
        case UnknownBlock():
            return [unknown_text(block, where, context)]
        case _:
            assert_never(block)


def _image(block: ImageBlock, where: str, context: Context) -> Piece:
    piece = media.image_part(block, where)
    if not context.dialect.vision:
        context.note("an image was left out: this model cannot see images")
        return media.unseen(block)
    if isinstance(piece, str):
        context.note("an image was left out: only Anthropic has the file")
    return piece


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
            return _file(block, piece) if context.dialect.files else [_pdf_in_words(block, source, context)]
        case UrlSource(url=url) if context.dialect.files and context.dialect.file_urls:
            return _file(block, media.pdf_link(block, url, where))
    context.note(_LEFT_OUT)
    return [media.absent_document(block)]


def _document_in_words(block: DocumentBlock, where: str, context: Context) -> str:
    if not isinstance(block.source, TextSource | ContentSource):
        return media.absent_document(block)
    pieces = _document(block, where, context)
    return "\n\n".join(piece if isinstance(piece, str) else "[image]" for piece in pieces)


def _file(block: DocumentBlock, piece: FilePart) -> list[Piece]:
    """A file, after the words that go with it: a part has room for the title alone."""
    return [media.document_text(block, ""), piece] if block.context else [piece]


def _pdf_in_words(block: DocumentBlock, source: Base64Source, context: Context) -> str:
    text = context.pdf_texts.get(source.data)
    if text is None:
        context.note(_LEFT_OUT)
        return media.absent_document(block)
    if pdf.has_text(text):
        return media.document_text(block, pdf.in_words(text))
    context.note(pdf.left_out(text))
    return media.absent_document(block, pdf.without_text(text))


def _compaction_text(block: CompactionBlock, where: str) -> str:
    if not block.content and block.encrypted_content:
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
    own = [value[name] for name in _TELLING if isinstance(value.get(name), str) and value[name]]
    inside = [_gist(value[name], depth - 1) for name in ("content", "tool_references") if name in value]
    return "\n".join(line for line in (*own, *inside) if line)
