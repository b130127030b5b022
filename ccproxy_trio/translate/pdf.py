"""PDFs for models that cannot read them: which there are in a request, and their text with its page marks.

Nothing is read out of a PDF here; that is long and dangerous work (see `documents`).
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from ccproxy_trio.wire.anthropic import CountRequest, UserMessage
from ccproxy_trio.wire.blocks import Base64Source, DocumentBlock, ToolResultBlock

PDF = "application/pdf"
Problem = Literal["missing", "broken", "encrypted", "slow"]

_WHY: dict[Problem, str] = {
    "missing": "",
    "broken": ", the PDF is damaged",
    "encrypted": ", the PDF is encrypted",
    "slow": ", reading the PDF took too long",
}
_LEFT_OUT: dict[Problem, str] = {
    "missing": "a PDF was left out: this provider takes none; with the extra ccproxy-trio[pdf] installed, it "
    "would be sent the text",
    "broken": "a PDF was left out: it is damaged, or not a PDF",
    "encrypted": "a PDF was left out: it is encrypted",
    "slow": "a PDF was left out: reading it took too long",
}


class PdfText(Struct, frozen=True, kw_only=True):
    """What was read out of a PDF.

    `pages` is how many it has, `texts` has one for each page from the first on (None: that page is damaged),
    and ends where the proxy had enough. `is_cut`: the last of them is not whole.
    """

    pages: int = 0
    texts: tuple[str | None, ...] = ()
    is_cut: bool = False
    problem: Problem | None = None


NO_TEXTS: Mapping[str, PdfText] = MappingProxyType({})


def pdfs(request: CountRequest) -> tuple[str, ...]:
    """The PDFs of the user's messages and of tool results, each once, as the base64 they came in."""
    return tuple(dict.fromkeys(_pdfs(request)))


def without_text(pdf: PdfText) -> str:
    """The note's ending that says why there is no text."""
    if pdf.problem is None and None not in pdf.texts:
        return ", the PDF has no text (a scan?)"
    return _WHY[pdf.problem or "broken"]


def left_out(pdf: PdfText) -> str:
    """The sentence for the operator that says why there is no text."""
    if pdf.problem is None and None not in pdf.texts:
        return "a PDF was left out: it has no text, so it may be a scan"
    return _LEFT_OUT[pdf.problem or "broken"]


def has_text(pdf: PdfText) -> bool:
    """Whether there is anything to tell a model."""
    return any(pdf.texts)


def in_words(pdf: PdfText) -> str:
    """The text, each page under its number, and what was left out."""
    pages = [f"[page {number}]\n{_page(text)}" for number, text in enumerate(pdf.texts, start=1)]
    return "\n\n".join([f"[PDF as text, {_count(pdf.pages)}]", *pages, *_rest(pdf)])


def _pdfs(request: CountRequest) -> Iterator[str]:
    for message in request.messages:
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            for block in message.content:
                yield from _inside(block)


def _inside(block: object) -> Iterator[str]:
    match block:
        case DocumentBlock(source=Base64Source(media_type=media_type, data=data)) if media_type == PDF:
            yield data
        case ToolResultBlock(content=tuple(items)):
            for item in items:
                yield from _inside(item)


def _page(text: str | None) -> str:
    return "[this page could not be read]" if text is None else text or "[no text on this page]"


def _rest(pdf: PdfText) -> list[str]:
    left = pdf.pages - len(pdf.texts)
    told = [f"the rest of page {len(pdf.texts)}"] if pdf.is_cut else []
    told += [_count(left)] if left > 0 else []
    return [f"[left out, too long: {' and '.join(told)}]"] if told else []


def _count(pages: int) -> str:
    return "1 page" if pages == 1 else f"{pages} pages"
