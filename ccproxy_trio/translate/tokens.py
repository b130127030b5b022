"""How many tokens a request is: one walk that gathers what is sent, and an estimate where nobody counts.

UTF-8 bytes / 4.2 is within ten per cent for English, code and JSON with the vocabularies in use; dense data
(hex, base64 in text) counts up to twice as much in truth.
"""

import math
from collections.abc import Callable, Sequence
from typing import assert_never

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
    ContainerUploadBlock,
    ContentSource,
    DocumentBlock,
    FallbackBlock,
    FileSource,
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
    UrlSource,
    UserBlock,
)
from ccproxy_trio.wire.tools import ToolAdditionBlock, ToolRemovalBlock

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
    walk = _Walk()
    for text in system.prompt(request):
        walk.take(text)
    for message in request.messages:
        if isinstance(message.content, str):
            walk.say(message.content)
        else:
            for block in message.content:
                walk.take(block)
    declared = (text for tool in tools for text in (tool.name, tool.description, tool.input_schema) if text)
    return Prompt(
        texts=(*walk.texts, *declared),
        thinking=tuple(walk.thinking),
        framing=PER_MESSAGE * len(request.messages) + PER_TOOL * len(tools),
        media=walk.media,
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
    return math.ceil(sum(map(_bytes_of, texts)) / BYTES_PER_TOKEN)


def _bytes_of(text: Text) -> int:
    """Length in UTF-8."""
    if isinstance(text, str):
        return len(text) if text.isascii() else len(text.encode())
    return len(memoryview(text))


class _Walk:
    """What the blocks of a request weigh, gathered one by one with whatever they contain."""

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.thinking: list[Thought] = []
        self.media = 0

    def say(self, *texts: Text | None) -> None:
        self.texts += [text for text in texts if text]

    def take(self, block: _Block) -> None:
        """Note the block's own text, thinking and media. What only tells of tools has none that is sent."""
        match block:
            case TextBlock():
                self.say(block.text)
            case ToolUseBlock() | ServerToolUseBlock() | McpToolUseBlock():
                self.say(block.name, block.input)
            case ToolResultBlock():
                self._result(block)
            case ThinkingBlock() | RedactedThinkingBlock():
                self.thinking.append(block)
            case ImageBlock():
                self.media += image_tokens(block)
            case DocumentBlock():
                self._document(block)
            case SearchResultBlock():
                self.say(block.source, block.title, *(item.text for item in block.content))
            case ToolReferenceBlock(tool_name=text) | CompactionBlock(content=text):
                self.say(text)
            case UnknownBlock():
                self.say(block.name, block.raw)
            case ServerResultBlock(content=raw) | BrowserStateBlock(tabs=raw):
                self.say(raw)
            case (
                ContainerUploadBlock()
                | ToolAdditionBlock()
                | ToolRemovalBlock()
                | McpToolListingBlock()
                | FallbackBlock()
            ):
                pass
            case _:
                assert_never(block)

    def _result(self, block: ToolResultBlock) -> None:
        if isinstance(block.content, tuple):
            for item in block.content:
                self.take(item)
        else:
            self.say(block.content)

    def _content(self, content: str | Sequence[TextBlock | ImageBlock]) -> None:
        if isinstance(content, str):
            self.say(content)
        else:
            for item in content:
                self.take(item)

    def _document(self, block: DocumentBlock) -> None:
        self.say(block.title, block.context)
        match block.source:
            case TextSource(data=str(content)) | ContentSource(content=content):
                self._content(content)
            case Base64Source() as source:
                self.media += pdf_tokens(source)
            case UrlSource() | FileSource():
                pass  # not fetched: nobody knows how much it is
            case _:
                assert_never(block.source)
