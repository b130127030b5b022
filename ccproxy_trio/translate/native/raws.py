"""JSON that is passed on as it came: taken apart one layer at a time, and put together again.

Whatever is not taken apart keeps every byte, so a provider's prompt cache finds again what it has seen.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw

from ccproxy_trio.translate.raw import members

_items = msgspec.json.Decoder(list[Raw])


def items(raw: Raw) -> list[Raw]:
    """The elements of a list."""
    return _items.decode(raw)


def made(value: Mapping[str, object]) -> Raw:
    """An object, with what is raw in it as it is."""
    return Raw(msgspec.json.encode(value))


def listed(values: Iterable[Raw]) -> Raw:
    """A list of what is raw."""
    return Raw(msgspec.json.encode(list(values)))


def text_block(text: str) -> Raw:
    """A block of text."""
    return made({"type": "text", "text": text})


def blocks(content: Raw) -> list[Raw]:
    """The blocks of a message's content, or of `system`: one of text where it is a string."""
    if begins_with(content, b'"'):
        return [made({"type": "text", "text": content})]
    return items(content)


def begins_with(raw: Raw, character: bytes) -> bool:
    """Whether it is a string, a list, an object or something else, told by its first byte."""
    return memoryview(raw)[:1] == character


def content_of(message: Raw) -> list[Raw]:
    """The blocks of a message."""
    return blocks(members(message, "messages")["content"])


def with_content(message: Raw, content: list[Raw]) -> Raw:
    """The same object with other content, and all else as it was."""
    return made({**members(message, "messages"), "content": content})
