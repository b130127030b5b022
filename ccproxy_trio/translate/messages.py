"""A conversation of content blocks as a list of Chat messages that every server accepts.

Chat wants each call answered exactly once and at once, before anything else is said. Anthropic's clients
answer in several messages, in any order, with text and images in between, or not at all. So the walk keeps
the calls that are still `pending`, and `late`: what may be said only after the last of them is answered.
When somebody else speaks while calls are pending, they are settled with a note that they were interrupted.
"""

from collections import deque
from collections.abc import Sequence
from typing import assert_never

import msgspec

from ccproxy_trio.translate import system
from ccproxy_trio.translate.blocks import (
    FAILED,
    SEE_NEXT,
    arguments,
    assistant_text,
    joined,
    marked,
    tool_result,
    user_parts,
)
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.replay import replay
from ccproxy_trio.wire import openai
from ccproxy_trio.wire.anthropic import AssistantMessage, Message, MessagesRequest, SystemMessage, UserMessage
from ccproxy_trio.wire.blocks import AssistantBlock, CacheControl, TextBlock, ToolResultBlock, ToolUseBlock
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import ChatMessage, Part, TextPart

INTERRUPTED = "[no result: the tool call was interrupted]"


def chat_messages(
    request: MessagesRequest, context: Context, *, also: Sequence[str] = ()
) -> tuple[ChatMessage, ...]:
    """The request's system prompt and messages. `also` is said at the end of the system prompt.

    Raises:
        RequestRefused: a block that cannot be said to this provider, or nothing to say at all.
    """
    messages = system.current(request.messages)
    first = system.leading(messages)
    parts = [marked(TextPart(text=each.text), each.cache_control, context) for each in system.prompt(request)]
    walk = _Walk(context)
    for place, message in enumerate(messages[len(first) :], start=len(first)):
        walk.step(message, f"messages.{place}")
    said = walk.end()
    for place, message in enumerate(first):
        parts += [TextPart(text=text) for text in system.texts(message, f"messages.{place}", context)]
    parts += [TextPart(text=text) for text in (*also, *walk.hoisted)]
    if parts:
        said.insert(0, _instruction(parts, context))
    if not said:
        raise RequestRefused("messages: at least one message must have content")
    said[-1] = _end_marked(said[-1], request.cache_control, context)
    return tuple(said)


def _end_marked(last: ChatMessage, control: CacheControl | None, context: Context) -> ChatMessage:
    """The breakpoint of the whole request stands at the end of what is said."""
    match last:
        case openai.UserMessage(content) | openai.ToolMessage(content=content) if control is not None:
            parts: list[Part] = [TextPart(text=content)] if isinstance(content, str) else [*content]
            parts[-1] = marked(parts[-1], control, context)
            return msgspec.structs.replace(last, content=joined(parts))
        case _:
            return last


class _User:
    """A user message that may still grow. `reminder`: it holds nothing but system text."""

    __slots__ = ("parts", "reminder")

    def __init__(self, parts: list[Part], *, reminder: bool = False) -> None:
        self.parts = parts
        self.reminder = reminder


class _Spoken:
    """What the model said without calling a tool. More may follow, and all of it is joined at the end."""

    __slots__ = ("messages",)

    def __init__(self, message: openai.AssistantMessage) -> None:
        self.messages = [message]


class _Pending:
    """The calls that are not answered yet. A client may use an id twice: the first call is answered first."""

    def __init__(self) -> None:
        self._by_client: dict[str, deque[str]] = {}
        self._in_order: dict[str, None] = {}  # of the upstream's ids, of which no two are alike

    def __bool__(self) -> bool:
        return bool(self._in_order)

    def add(self, client_id: str, upstream_id: str) -> None:
        self._by_client.setdefault(client_id, deque()).append(upstream_id)
        self._in_order[upstream_id] = None

    def answer(self, client_id: str) -> str | None:
        """The upstream's id of the call, which is no longer pending; None: there is no such call."""
        waiting = self._by_client.get(client_id)
        if not waiting:
            return None
        upstream_id = waiting.popleft()
        del self._in_order[upstream_id]
        return upstream_id

    def give_up(self) -> Sequence[str]:
        """The upstream's ids of all that are left, in the order of the calls."""
        left = tuple(self._in_order)
        self._by_client.clear()
        self._in_order.clear()
        return left


_Instruction = openai.SystemMessage | openai.DeveloperMessage


class _Walk:
    def __init__(self, context: Context) -> None:
        self.hoisted: list[str] = []
        self._context = context
        self._out: list[ChatMessage | _User | _Spoken] = []
        self._pending = _Pending()
        self._late: list[_User | _Instruction] = []
        self._reminders: list[str] = []  # of the system messages just passed, which may be several

    def step(self, message: Message, where: str) -> None:
        match message:
            case SystemMessage():
                self._reminders += system.texts(message, where, self._context)
            case UserMessage():
                self._remind()
                self._user(message, f"{where}.content")
            case AssistantMessage():
                self._remind()
                self._assistant(message, f"{where}.content")
            case _:
                assert_never(message)

    def end(self) -> list[ChatMessage]:
        self._remind()
        self._settle()
        out = [_finished(item) for item in self._out]
        if self._context.dialect.leading_user and out and isinstance(out[0], openai.AssistantMessage):
            out.insert(0, openai.UserMessage("."))
        return out

    def _user(self, message: UserMessage, where: str) -> None:
        blocks = (TextBlock(message.content),) if isinstance(message.content, str) else message.content
        answers = any(isinstance(block, ToolResultBlock) for block in blocks)
        if not answers:
            self._settle()
        parts: list[Part] = []
        for place, block in enumerate(blocks):
            at = f"{where}.{place}"
            rest = self._answer(block, at) if isinstance(block, ToolResultBlock) else None
            parts += user_parts(block, at, self._context) if rest is None else rest
        if parts:
            self._say(_User(parts))
        if not self._pending:
            self._release()

    def _answer(self, block: ToolResultBlock, where: str) -> tuple[Part, ...] | None:
        """Answer a pending call; what of the result has to be said later. None: there is no such call."""
        call = self._pending.answer(block.tool_use_id)
        if call is None:
            return None
        result = tool_result(block, where, self._context)
        in_place = self._context.dialect.tool_media == "tool"
        text = result.text
        if text in ("", FAILED) and result.media and not in_place:
            text += SEE_NEXT
        parts: list[Part] = [TextPart(text=text)] if text or not in_place or not result.media else []
        parts += result.media if in_place else ()
        if block.cache_control and parts:
            parts[-1] = marked(parts[-1], block.cache_control, self._context)
        self._out.append(openai.ToolMessage(call, joined(parts)))
        return () if in_place else result.media

    def _assistant(self, message: AssistantMessage, where: str) -> None:
        self._settle()
        blocks = (TextBlock(message.content),) if isinstance(message.content, str) else message.content
        said = [
            assistant_text(block, f"{where}.{place}", self._context) for place, block in enumerate(blocks)
        ]
        text = "\n\n".join(words for words in said if words)
        chat = self._assistant_message(text, blocks, where)
        if not text and not chat.tool_calls:
            return
        before = self._out[-1] if self._out else None
        if chat.tool_calls:
            self._out.append(chat)
        elif isinstance(before, _Spoken):
            before.messages.append(chat)
        else:
            self._out.append(_Spoken(chat))

    def _assistant_message(
        self, text: str, blocks: Sequence[AssistantBlock], where: str
    ) -> openai.AssistantMessage:
        again = replay(blocks, self._context)
        calls: list[openai.ToolCall] = []
        for place, block in enumerate(blocks):
            if isinstance(block, ToolUseBlock):
                upstream_id = self._context.ids.of_call(block.id)
                self._pending.add(block.id, upstream_id)
                function = openai.FunctionCall(
                    self._context.names.of(block.name), arguments(block.input, f"{where}.{place}.input")
                )
                extra = again.extras.get(block.id, msgspec.UNSET)
                calls.append(openai.ToolCall(id=upstream_id, function=function, extra_content=extra))
        return openai.AssistantMessage(
            content=text or (None if self._context.dialect.null_content else ""),
            tool_calls=tuple(calls),
            reasoning_content=again.content,
            reasoning_details=again.details,
        )

    def _remind(self) -> None:
        """Say what the system messages just passed had to say, as the dialect wants it."""
        if not self._reminders:
            return
        text = "\n\n".join(self._reminders)
        self._reminders = []
        match self._context.dialect.mid_system:
            case "user":
                self._say(_User([TextPart(text=system.as_reminder(text))], reminder=True))
            case "keep":
                self._say(_instruction([TextPart(text=text)], self._context))
            case "hoist":
                self.hoisted.append(text)
            case _:
                assert_never(self._context.dialect.mid_system)

    def _settle(self) -> None:
        """Answer every pending call with a note, then say what had to wait."""
        if self._pending:
            self._out += [openai.ToolMessage(call, INTERRUPTED) for call in self._pending.give_up()]
        self._release()

    def _release(self) -> None:
        if self._late:
            late, self._late = self._late, []
            for item in late:
                self._say(item)

    def _say(self, item: _User | _Instruction) -> None:
        if self._pending or self._late:
            self._late.append(item)
            return
        before = self._out[-1] if self._out else None
        if isinstance(item, _User) and isinstance(before, _User) and self._join(before, item):
            before.parts += item.parts
            before.reminder = before.reminder and item.reminder
        else:
            self._out.append(item)

    def _join(self, before: _User, after: _User) -> bool:
        return self._context.dialect.merge_users or before.reminder or after.reminder


def _instruction(parts: list[TextPart], context: Context) -> _Instruction:
    content = joined(parts)
    texts = content if isinstance(content, str) else tuple(parts)
    if context.dialect.system_role == "developer":
        return openai.DeveloperMessage(texts)
    return openai.SystemMessage(texts)


def _finished(item: ChatMessage | _User | _Spoken) -> ChatMessage:
    match item:
        case _User():
            return openai.UserMessage(joined(item.parts))
        case _Spoken(messages=[message]):
            return message
        case _Spoken():
            return _merged(item.messages)
        case _:
            return item


def _merged(messages: Sequence[openai.AssistantMessage]) -> openai.AssistantMessage:
    """Messages that all have text, and no calls, as one."""
    reasoning = [message.reasoning_content for message in messages if message.reasoning_content]
    return openai.AssistantMessage(
        content="\n\n".join(message.content for message in messages if message.content),
        reasoning_content="\n\n".join(reasoning) if reasoning else None,
        reasoning_details=tuple(detail for message in messages for detail in message.reasoning_details),
    )
