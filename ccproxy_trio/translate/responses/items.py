"""A conversation as the instructions and the input items of a Responses request.

`walk.py` has put it in order. What the model said keeps the order of its blocks: each piece of reasoning is
put back in front of the words or the call that it led to.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from msgspec import Struct

from ccproxy_trio.translate.blocks import joined
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.responses.reasoning import Carried, Phase
from ccproxy_trio.translate.walk import Call, Instruction, Item, Result, Spoken, Turn, User, conversation
from ccproxy_trio.wire import openai
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.responses import (
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputItem,
    InputPart,
    InputText,
    Message,
    ReasoningItem,
)


class Told(Struct, frozen=True):
    """`instructions`: the system prompt, where it is nothing but text."""

    instructions: str | None
    items: tuple[InputItem, ...]


def told(request: MessagesRequest, context: Context, *, also: Sequence[str] = ()) -> Told:
    """The request's system prompt and messages. `also` is said at the end of the system prompt.

    Raises:
        RequestRefused: a block that cannot be said to this provider, or nothing to say at all.
    """
    said = conversation(request, context, also=also)
    items = [input_item for item in said.items for input_item in _items(item, context)]
    prompt = joined(said.prompt) if said.prompt else None
    if not items and prompt is None:
        raise RequestRefused("messages: at least one message must have content")
    if isinstance(prompt, str) and items:
        return Told(prompt, tuple(items))
    # Marked parts have no room in `instructions`; and without any input there is no request.
    first = () if prompt is None else (_instruction(said.prompt, context),)
    return Told(None, (*first, *items))


def _items(item: Item, context: Context) -> Iterator[InputItem]:
    match item:
        case User(parts=parts):
            yield Message(role="user", content=_content(parts))
        case Result(call=call, parts=parts):
            yield FunctionCallOutput(call, _content(parts))
        case Instruction(parts=parts):
            yield _instruction(parts, context)
        case Spoken(turns=turns):
            for turn in turns:
                yield from _turn(turn, Carried(turn, context))
        case _:
            assert_never(item)


def _turn(turn: Turn, carried: Carried) -> Iterator[InputItem]:
    """The blocks of a turn as items. Reasoning whose follower was lost is left out: it would be refused."""
    waiting: list[ReasoningItem | Phase] = []  # for words
    for place, (block, said) in enumerate(zip(turn.blocks, turn.said, strict=True)):
        waiting += carried.at(place)
        if isinstance(said, Call):
            yield from carried.in_front_of(block)
            yield FunctionCall(said.id, said.name, said.arguments)
        elif said:
            yield from (item for item in waiting if isinstance(item, ReasoningItem))
            phases = [item.phase for item in waiting if isinstance(item, Phase)]
            yield Message(role="assistant", content=said, phase=phases[-1] if phases else None)
            waiting = []


def _instruction(parts: Sequence[openai.TextPart], context: Context) -> Message:
    return Message(role=context.dialect.system_role, content=_content(parts))


def _content(parts: Sequence[openai.Part]) -> str | tuple[InputPart, ...]:
    content = joined(parts)
    return content if isinstance(content, str) else tuple(map(_part, content))


def _part(part: openai.Part) -> InputPart:
    mark = part.prompt_cache_breakpoint
    match part:
        case openai.TextPart(text=text):
            return InputText(text=text, prompt_cache_breakpoint=mark)
        case openai.ImagePart(image_url=image):
            return InputImage(image_url=image.url, detail="auto", prompt_cache_breakpoint=mark)
        case openai.FilePart(file=file) if file.file_data.startswith("data:"):
            return InputFile(filename=file.filename, file_data=file.file_data, prompt_cache_breakpoint=mark)
        case openai.FilePart(file=file):
            return InputFile(file_url=file.file_data, prompt_cache_breakpoint=mark)
        case _:
            assert_never(part)
