"""How many tokens a request is: one walk that gathers what is sent, and an estimate where nobody counts.

UTF-8 bytes / 4.2 is within ten per cent for English, code and JSON with the vocabularies in use; dense data
(hex, base64 in text) counts up to twice as much in truth.
"""

import math
from collections.abc import Callable, Iterator, Sequence

from msgspec import Raw, Struct
from msgspec.structs import replace

from ccproxy_trio.translate import system
from ccproxy_trio.translate.carry import detail_text
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.media import image_tokens, pdf_tokens
from ccproxy_trio.translate.replay import replay
from ccproxy_trio.translate.tools import offered
from ccproxy_trio.wire.anthropic import (
    CountRequest,
    SystemBlock,
)
from ccproxy_trio.wire.blocks import (
    AssistantBlock,
    Base64Source,
    BrowserStateBlock,
    CompactionBlock,
    ContentSource,
    DocumentBlock,
    ImageBlock,
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

BYTES_PER_TOKEN = 4.2
PER_MESSAGE = 4
PER_TOOL = 8

Thought = ThinkingBlock | RedactedThinkingBlock
_Block = UserBlock | AssistantBlock | SystemBlock | ResultItem


Text = str | Raw  # Raw: JSON that is sent as it came
Measure = Callable[[Sequence[Text]], int]  # tokens of several texts


class Prompt(Struct, frozen=True, kw_only=True):
    """What a request weighs, gathered in one walk.

    `texts` are counted by whatever measure there is; `thinking` is what may be sent again, to those who want
    it (see `seen_by`). `framing` is what messages and tools cost beside their text, `media` what images and
    PDFs do: both in tokens, and `media` a guess, since every provider has its own way to weigh them.
    """

    texts: tuple[Text, ...] = ()
    thinking: tuple[Thought, ...] = ()
    framing: int = 0
    media: int = 0

    def tokens(self, measure: Measure) -> int:
        """The whole, with its texts counted by `measure`."""
        return measure(self.texts) + self.framing + self.media


def gather(request: CountRequest) -> Prompt:
    """All of the prompt: system, messages, tools and media.

    Raises:
        RequestRefused: two tools of one name, or one without any.
    """
    tools = offered(request)
    blocks: list[_Block] = [*system.prompt(request)]
    for message in request.messages:
        content = message.content
        top = (TextBlock(content),) if isinstance(content, str) else content
        blocks += [inner for block in top for inner in _flat(block)]
    texts: list[Text] = [text for block in blocks for text in _texts(block)]
    for tool in tools:
        texts += (tool.name, tool.description or "", tool.input_schema)
    return Prompt(
        texts=tuple(text for text in texts if text),
        thinking=tuple(block for block in blocks if isinstance(block, ThinkingBlock | RedactedThinkingBlock)),
        framing=PER_MESSAGE * len(request.messages) + PER_TOOL * len(tools),
        media=sum(_media_tokens(block) for block in blocks),
    )


def seen_by(prompt: Prompt, *, provider: str, model: str, dialect: Dialect) -> Prompt:
    """The prompt with as much of its thinking as this candidate is sent again.

    Of opaque state (encrypted reasoning, thought signatures) nobody knows the weight; it counts nothing.
    """
    if not prompt.thinking or dialect.replay in ("none", "gemini_extra"):
        return prompt
    again = replay(prompt.thinking, Context(provider=provider, model=model, dialect=dialect))
    told = (again.content or "", *(detail_text(detail) for detail in again.details))
    return replace(prompt, texts=(*prompt.texts, *(text for text in told if text)))


def count_request(request: CountRequest) -> int:
    """The estimate of a request's prompt, without thinking.

    Raises:
        RequestRefused: two tools of one name, or one without any.
    """
    return gather(request).tokens(by_bytes)


def by_bytes(texts: Sequence[Text]) -> int:
    """The measure that needs no vocabulary."""
    whole = sum(len_bytes(text) if isinstance(text, str) else len(memoryview(text)) for text in texts)
    return math.ceil(whole / BYTES_PER_TOKEN)


def len_bytes(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _flat(block: _Block) -> Iterator[_Block]:
    """The block and whatever it contains."""
    yield block
    match block:
        case (
            ToolResultBlock(content=tuple(items))
            | DocumentBlock(source=ContentSource(content=tuple(items)))
            | SearchResultBlock(content=items)
        ):
            for item in items:
                yield from _flat(item)


def _texts(block: _Block) -> tuple[Text, ...]:
    """The block's own text. What only tells of tools has none that is sent."""
    match block:
        case (
            TextBlock(text=text)
            | ToolReferenceBlock(tool_name=text)
            | ToolResultBlock(content=str(text))
            | CompactionBlock(content=str(text))
        ):
            return (text,)
        case (
            ToolUseBlock(name=name, input=raw)
            | ServerToolUseBlock(name=name, input=raw)
            | McpToolUseBlock(name=name, input=raw)
            | UnknownBlock(name=name, raw=raw)
        ):
            return name, raw
        case ServerResultBlock(content=raw) | BrowserStateBlock(tabs=raw):
            return (raw,)
        case SearchResultBlock(source=source, title=title):
            return source, title
        case DocumentBlock(source=source, title=title, context=context):
            body = source.data if isinstance(source, TextSource) else ""
            if isinstance(source, ContentSource) and isinstance(source.content, str):
                body = source.content
            return title or "", context or "", body
        case _:
            return ()


def _media_tokens(block: _Block) -> int:
    match block:
        case ImageBlock():
            return image_tokens(block)
        case DocumentBlock(source=Base64Source() as source):
            return pdf_tokens(source)
        case _:
            return 0
