"""Images and documents: the parts they become upstream, and what they weigh in tokens.

Nothing is fetched and nothing is decoded but the few bytes of a header that tell an image's size.
"""

import base64
import re
import struct
from typing import assert_never

from ccproxy_trio.wire.blocks import (
    Base64Source,
    DocumentBlock,
    FileSource,
    ImageBlock,
    UrlSource,
)
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import FileData, FilePart, ImagePart, ImageUrl

_IMAGE_TYPE = re.compile(r"image/[a-z0-9.+-]+")
_WEB_URL = re.compile(r"https?://[^\s\x00-\x1f]+", re.IGNORECASE)
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

IMAGE_TOKENS_AT_MOST = 1_600
PDF_PAGE_TOKENS = 2_000
_HEADER_CHARACTERS = 400_000  # of base64; a JPEG's size may stand behind a large EXIF block
_PDF_CHARACTERS = 8_000_000
_PDF_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


def image_part(block: ImageBlock, where: str) -> ImagePart | str:
    """The image as a part, or a text note where the provider cannot get at it.

    Raises:
        RequestRefused: not an image. The wording makes Claude Code repeat its request without images.
    """
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            if not _IMAGE_TYPE.fullmatch(media_type) or not _is_base64(data):
                raise RequestRefused(f"{where}.source: Could not process image: it is not base64 of an image")
            return ImagePart(image_url=ImageUrl(f"data:{media_type};base64,{data}"))
        case UrlSource(url=url):
            if not _WEB_URL.fullmatch(url):
                raise RequestRefused(f"{where}.source.url: Could not process image: not an http or https URL")
            return ImagePart(image_url=ImageUrl(url))
        case FileSource(file_id=file_id):
            return f"[image {file_id}: not available here]"
        case _:
            assert_never(block.source)


def unseen(block: ImageBlock) -> str:
    """The note that stands for an image where the model cannot see."""
    kind = block.source.media_type if isinstance(block.source, Base64Source) else "image"
    return f"[{kind}: not shown, this model cannot see images]"


def document_text(block: DocumentBlock, body: str) -> str:
    """A document as text: its title and context as lines before the body."""
    title = f"title: {block.title}" if block.title else ""
    context = f"context: {block.context}" if block.context else ""
    return "\n".join(line for line in (title, context, body) if line)


def pdf_part(block: DocumentBlock, source: Base64Source, where: str) -> FilePart:
    """An inline PDF as a part.

    Raises:
        RequestRefused: not base64 of a PDF.
    """
    if source.media_type != "application/pdf" or not _is_base64(source.data):
        raise RequestRefused(f"{where}.source: Could not process PDF: it is not base64 of a PDF")
    return FilePart(file=FileData(_file_name(block), f"data:application/pdf;base64,{source.data}"))


def pdf_link(block: DocumentBlock, url: str, where: str) -> FilePart:
    """A PDF on the web as a part, for providers that fetch it.

    Raises:
        RequestRefused: not an http or https URL.
    """
    if not _WEB_URL.fullmatch(url):
        raise RequestRefused(f"{where}.source.url: Could not process PDF: not an http or https URL")
    return FilePart(file=FileData(_file_name(block), url))


def _file_name(block: DocumentBlock) -> str:
    return (block.title or "document.pdf").replace("\n", " ")


def absent_document(block: DocumentBlock, why: str = "") -> str:
    """The note that stands for a document the provider cannot read; `why` is how its sentence ends."""
    match block.source:
        case UrlSource(url=url):
            what = url
        case FileSource(file_id=file_id):
            what = file_id
        case _:
            what = "PDF"
    return document_text(block, f"[document {what}: not available here{why}]")


def image_tokens(block: ImageBlock) -> int:
    """What an image weighs: its area in pixels / 750, at most 1,600; that too where the size is unknown."""
    size = _size(block.source.data) if isinstance(block.source, Base64Source) else None
    if size is None:
        return IMAGE_TOKENS_AT_MOST
    width, height = size
    return min(-(-width * height // 750), IMAGE_TOKENS_AT_MOST)


def pdf_tokens(source: Base64Source) -> int:
    """What a PDF weighs: 2,000 a page, and never less than a hundredth of its bytes."""
    pages = len(_PDF_PAGE.findall(_beginning(source.data, _PDF_CHARACTERS)))
    return max(pages * PDF_PAGE_TOKENS, len(source.data) * 3 // 4 // 100)


def _is_base64(data: str) -> bool:
    """Whether it could be: alphabet and length fit. Cheap for megabytes, since nothing is decoded."""
    return bool(data) and data.isascii() and len(data) % 4 == 0 and not data.encode().translate(None, _BASE64)


def _beginning(data: str, characters: int) -> bytes:
    cut = data[: min(len(data), characters) // 4 * 4]
    try:
        return base64.b64decode(cut)
    except ValueError:
        return b""


def _size(data: str) -> tuple[int, int] | None:
    """Width and height from the header of a PNG, GIF, WebP or JPEG."""
    head = _beginning(data, 64)
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack("<HH", head[6:10].ljust(4, b"\x00"))
        return width, height
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp_size(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg_size(_beginning(data, _HEADER_CHARACTERS))
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack("<HH", head[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the segments up to the frame header, which alone knows the size."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
