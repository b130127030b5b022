"""System messages between the turns, for those who take none: as the user's words, or in the system prompt.

What a user's turn says stands behind its tool results, or the provider takes the calls for unanswered. So a
reminder that comes between a call and its result waits for the last of the results.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import Raw

from ccproxy_trio.translate import system
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.native.raws import (
    begins_with,
    blocks,
    content_of,
    items,
    listed,
    made,
    text_block,
    with_content,
)
from ccproxy_trio.wire.anthropic import AssistantMessage, Message, MessagesRequest, SystemMessage, UserMessage
from ccproxy_trio.wire.blocks import ToolResultBlock, ToolUseBlock


class _Turn:
    """A message on its way out. It is taken apart only when something has to be put into it."""

    __slots__ = ("_content", "_raw", "is_user", "results")

    def __init__(self, raw: Raw, *, is_user: bool, results: int = 0) -> None:
        self._raw = raw
        self._content: list[Raw] | None = None
        self.is_user = is_user
        self.results = results  # blocks up to the last tool result

    @property
    def content(self) -> list[Raw]:
        """Its blocks, to be changed."""
        if self._content is None:
            self._content = content_of(self._raw)
        return self._content

    def written(self) -> Raw:
        """The message as it goes out."""
        return self._raw if self._content is None else with_content(self._raw, self._content)


class Instructions:
    """The messages without system messages between them; `hoisted` are texts for the system prompt."""

    def __init__(self, context: Context) -> None:
        self.hoisted: list[str] = []
        self._context = context
        self._turns: list[_Turn] = []
        self._reminders: list[str] = []  # of the system messages just passed, which may be several
        self._late: list[Raw] = []  # reminders that wait for the last tool result
        self._pending: set[str] = set()

    def follow(self, messages: Sequence[Message], raws: Sequence[Raw]) -> list[Raw]:
        """The messages as they are to be sent. Once, for one request.

        Raises:
            RequestRefused: a system message holds a block of an unknown type.
        """
        messages = system.current(messages)
        first = len(system.leading(messages))
        for place, (message, raw) in enumerate(zip(messages, raws, strict=True)):
            match message:
                case SystemMessage() if place < first:
                    self.hoisted += system.texts(message, f"messages.{place}", self._context)
                case SystemMessage():
                    self._reminders += system.texts(message, f"messages.{place}", self._context)
                case UserMessage():
                    self._user(message, raw)
                case AssistantMessage():
                    self._assistant(message, raw)
                case _:
                    assert_never(message)
        self._say()
        return [turn.written() for turn in self._turns]

    def _user(self, message: UserMessage, raw: Raw) -> None:
        asked = bool(self._pending)
        content = () if isinstance(message.content, str) else message.content
        answers = [block.tool_use_id for block in content if isinstance(block, ToolResultBlock)]
        self._pending = self._pending.difference(answers) if answers else set()
        turn = _Turn(raw, is_user=True, results=_behind_results(message))
        before = self._turns[-1] if self._turns else None
        if not asked and before is not None and before.is_user:
            self._say()
        self._late += self._reminder()
        # Results of one turn's calls belong together, or what waits for the last comes before it.
        if before is not None and before.is_user and (asked or self._context.dialect.merge_users):
            results = len(before.content) + turn.results if turn.results else before.results
            before.content.extend(turn.content)
            before.results = results
            turn = before
        else:
            self._turns.append(turn)
        if not self._pending and self._late:
            turn.content[turn.results : turn.results] = self._late
            self._late = []

    def _assistant(self, message: AssistantMessage, raw: Raw) -> None:
        self._say()
        content = () if isinstance(message.content, str) else message.content
        self._pending = {block.id for block in content if isinstance(block, ToolUseBlock)}
        self._turns.append(_Turn(raw, is_user=False))

    def _say(self) -> None:
        """Say what there is to say now, at the end of the user's turn before, or as one of its own."""
        said = [*self._late, *self._reminder()]
        self._late = []
        if not said:
            return
        if self._turns and self._turns[-1].is_user:
            self._turns[-1].content.extend(said)
        else:
            self._turns.append(_Turn(made({"role": "user", "content": said}), is_user=True))

    def _reminder(self) -> list[Raw]:
        """The texts of the system messages just passed, as a block for the user's turn."""
        if not self._reminders:
            return []
        texts, self._reminders = self._reminders, []
        if self._context.dialect.mid_system == "hoist":
            self.hoisted += texts
            return []
        return [text_block(system.as_reminder("\n\n".join(texts)))]


def _behind_results(message: UserMessage) -> int:
    content = () if isinstance(message.content, str) else message.content
    places = [place for place, block in enumerate(content, 1) if isinstance(block, ToolResultBlock)]
    return places[-1] if places else 0


def prompt(request: MessagesRequest, asked: Raw | None, also: Sequence[str], context: Context) -> Raw | None:
    """The system prompt with more said at its end, and without what is for Anthropic alone.

    The same object where nothing changes; None where there is none.
    """
    kept = asked if context.dialect.billing_header else _without_billing(request, asked)
    said = None if kept is None or begins_with(kept, b"n") else kept
    if not also:
        return kept
    return listed([*(blocks(said) if said is not None else ()), *map(text_block, also)])


def _without_billing(request: MessagesRequest, asked: Raw | None) -> Raw | None:
    match request.system, asked:
        case str() as text, Raw() if text.startswith(system.BILLING):
            return Raw(msgspec.json.encode(system.BILLING_LINE.sub("", text, count=1)))
        case tuple(texts), Raw():
            kept = [
                raw
                for block, raw in zip(texts, items(asked), strict=True)
                if not block.text.startswith(system.BILLING)
            ]
            return asked if len(kept) == len(texts) else listed(kept)
        case _:
            return asked
