"""A conversation of content blocks in an order that every server accepts, whatever its wire.

OpenAI's wires want each call answered exactly once, and Chat wants it at once, before anything else is said.
Anthropic's clients answer in several messages, in any order, with text and images in between, or not at all.
So the walk keeps the calls that are still `pending`, and `late`: what may be said only after the last of them
is answered. When somebody else speaks while calls are pending, they are settled with a note that they were
interrupted.
"""

from collections import deque
from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

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
from ccproxy_trio.wire.anthropic import AssistantMessage, Message, MessagesRequest, SystemMessage, UserMessage
from ccproxy_trio.wire.blocks import AssistantBlock, CacheControl, TextBlock, ToolResultBlock, ToolUseBlock
from ccproxy_trio.wire.openai import Part, TextPart

INTERRUPTED = "[no result: the tool call was interrupted]"


class Call(Struct, frozen=True):
    """A call in the upstream's words: its id, the function's name, the arguments' JSON text."""

    id: str
    name: str
    arguments: str


class Turn(Struct, frozen=True):
    """An assistant message: its blocks, and what each of them comes to: words ("": none) or a call."""

    blocks: Sequence[AssistantBlock]
    said: Sequence[str | Call]

    @property
    def text(self) -> str:
        """All of its words."""
        return "\n\n".join(words for words in self.said if isinstance(words, str) and words)

    @property
    def calls(self) -> list[tuple[str, Call]]:
        """Its calls, each with the client's id."""
        return [
            (block.id, call)
            for block, call in zip(self.blocks, self.said, strict=True)
            if isinstance(block, ToolUseBlock) and isinstance(call, Call)
        ]


class Instruction(Struct, frozen=True):
    """System text between the turns."""

    parts: list[TextPart]


class Result(Struct, frozen=True):
    """The answer to a call, by the upstream's id."""

    call: str
    parts: list[Part]


class User:
    """A user message that may still grow. `reminder`: it holds nothing but system text."""

    __slots__ = ("parts", "reminder")

    def __init__(self, parts: list[Part], *, reminder: bool = False) -> None:
        self.parts = parts
        self.reminder = reminder


class Spoken:
    """What the model said. Without a call in it more may follow."""

    __slots__ = ("turns",)

    def __init__(self, turn: Turn) -> None:
        self.turns = [turn]


Item = Instruction | User | Spoken | Result


class Conversation(Struct, frozen=True):
    """A request's system prompt, in parts, and what follows it."""

    prompt: list[TextPart]
    items: list[Item]


def conversation(request: MessagesRequest, context: Context, *, also: Sequence[str] = ()) -> Conversation:
    """The request's system prompt and messages. `also` is said at the end of the system prompt.

    Raises:
        RequestRefused: a block that cannot be said to this provider.
    """
    messages = system.current(request.messages)
    first = system.leading(messages)
    parts = [marked(TextPart(text=each.text), each.cache_control, context) for each in system.prompt(request)]
    walk = _Walk(context)
    for place, message in enumerate(messages[len(first) :], start=len(first)):
        walk.step(message, f"messages.{place}")
    items = walk.end()
    for place, message in enumerate(first):
        parts += [TextPart(text=text) for text in system.texts(message, f"messages.{place}", context)]
    parts += [TextPart(text=text) for text in (*also, *walk.hoisted)]
    if items and request.cache_control is not None:
        _mark_the_end(items[-1], request.cache_control, context)
    return Conversation(parts, items)


def _mark_the_end(last: Item, control: CacheControl, context: Context) -> None:
    """The breakpoint of the whole request stands at the end of what is said."""
    if isinstance(last, User | Result):
        content = joined(last.parts)
        last.parts[:] = [TextPart(text=content)] if isinstance(content, str) else content
        last.parts[-1] = marked(last.parts[-1], control, context)


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


class _Walk:
    def __init__(self, context: Context) -> None:
        self.hoisted: list[str] = []
        self._context = context
        self._out: list[Item] = []
        self._pending = _Pending()
        self._late: list[User | Instruction] = []
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

    def end(self) -> list[Item]:
        self._remind()
        self._settle()
        return self._out

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
            self._say(User(parts))
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
        self._out.append(Result(call, parts))
        return () if in_place else result.media

    def _assistant(self, message: AssistantMessage, where: str) -> None:
        self._settle()
        blocks = (TextBlock(message.content),) if isinstance(message.content, str) else message.content
        words = [
            assistant_text(block, f"{where}.{place}", self._context) for place, block in enumerate(blocks)
        ]
        calls = {
            place: self._call(block, f"{where}.{place}.input")
            for place, block in enumerate(blocks)
            if isinstance(block, ToolUseBlock)
        }
        if not calls and not any(words):
            return
        turn = Turn(blocks, [calls.get(place, said) for place, said in enumerate(words)])
        before = self._out[-1] if self._out else None
        if isinstance(before, Spoken) and not calls and not before.turns[-1].calls:
            before.turns.append(turn)
        else:
            self._out.append(Spoken(turn))

    def _call(self, block: ToolUseBlock, where: str) -> Call:
        upstream_id = self._context.ids.of_call(block.id)
        self._pending.add(block.id, upstream_id)
        return Call(upstream_id, self._context.names.of(block.name), arguments(block.input, where))

    def _remind(self) -> None:
        """Say what the system messages just passed had to say, as the dialect wants it."""
        if not self._reminders:
            return
        text = "\n\n".join(self._reminders)
        self._reminders = []
        match self._context.dialect.mid_system:
            case "user":
                self._say(User([TextPart(text=system.as_reminder(text))], reminder=True))
            case "keep":
                self._say(Instruction([TextPart(text=text)]))
            case "hoist":
                self.hoisted.append(text)
            case _:
                assert_never(self._context.dialect.mid_system)

    def _settle(self) -> None:
        """Answer every pending call with a note, then say what had to wait."""
        if self._pending:
            self._out += [Result(call, [TextPart(text=INTERRUPTED)]) for call in self._pending.give_up()]
        self._release()

    def _release(self) -> None:
        if self._late:
            late, self._late = self._late, []
            for item in late:
                self._say(item)

    def _say(self, item: User | Instruction) -> None:
        if self._pending or self._late:
            self._late.append(item)
            return
        before = self._out[-1] if self._out else None
        if isinstance(item, User) and isinstance(before, User) and self._join(before, item):
            before.parts += item.parts
            before.reminder = before.reminder and item.reminder
        else:
            self._out.append(item)

    def _join(self, before: User, after: User) -> bool:
        return self._context.dialect.merge_users or before.reminder or after.reminder
