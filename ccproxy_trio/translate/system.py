"""Instructions: the system prompt, and system messages between the turns."""

import itertools
import re
from collections.abc import Sequence
from typing import assert_never

import msgspec

from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.raw import compact
from ccproxy_trio.wire.anthropic import (
    CountRequest,
    Message,
    SystemMessage,
    UserMessage,
)
from ccproxy_trio.wire.blocks import TextBlock, UnknownBlock
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.tools import ToolAdditionBlock, ToolRemovalBlock

# Claude Code's first system block holds a build hash, which would spoil prompt caching.
BILLING = "x-anthropic-billing-header"
BILLING_LINE = re.compile(r"x-anthropic-billing-header[^\n]*\n*")


def prompt(request: CountRequest) -> tuple[TextBlock, ...]:
    """The non-empty texts of the request's `system`, without Claude Code's billing header."""
    match request.system:
        case None:
            return ()
        case str() as text:
            kept = BILLING_LINE.sub("", text, count=1) if text.startswith(BILLING) else text
            return (TextBlock(kept),) if kept else ()
        case blocks:
            return tuple(block for block in blocks if block.text and not block.text.startswith(BILLING))


def leading(messages: Sequence[Message]) -> tuple[SystemMessage, ...]:
    """The system messages before the first turn: they belong to the prompt."""
    return tuple(
        message
        for message in itertools.takewhile(lambda message: isinstance(message, SystemMessage), messages)
        if isinstance(message, SystemMessage)
    )


def current(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages without the system messages whose time is over (`clear_at`)."""
    users = [place for place, message in enumerate(messages) if isinstance(message, UserMessage)]
    last_user = users[-1] if users else -1
    return tuple(
        msgspec.structs.replace(message, content="")
        if isinstance(message, SystemMessage)
        and message.clear_at == "next_user_message"
        and place < last_user
        else message
        for place, message in enumerate(messages)
    )


def texts(message: SystemMessage, where: str, context: Context) -> list[str]:
    """What a system message says, its changes of tools aside.

    Raises:
        RequestRefused: a block of an unknown type, unless the dialect is lenient.
    """
    if isinstance(message.content, str):
        return [message.content] if message.content else []
    found: list[str] = []
    for number, block in enumerate(message.content):
        match block:
            case TextBlock(text=text):
                found.append(text)
            case UnknownBlock():
                found.append(unknown_text(block, f"{where}.content.{number}", context))
            case ToolAdditionBlock() | ToolRemovalBlock():
                pass  # `tools.offered` has followed it
            case _:
                assert_never(block)
    return [text for text in found if text]


def unknown_text(block: UnknownBlock, where: str, context: Context) -> str:
    """A block of an unknown type as its JSON text, where the dialect is lenient.

    Raises:
        RequestRefused: it is not.
    """
    if not context.dialect.lenient:
        raise RequestRefused(f"{where}.type: unknown content block type {block.name!r}")
    context.note(f"content block of unknown type {block.name!r} sent as text")
    return compact(block.raw, where)


def as_reminder(text: str) -> str:
    """The form in which Claude Code itself puts system text into a user message."""
    return f"<system-reminder>\n{text}\n</system-reminder>"
