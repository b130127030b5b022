"""A conversation as a list of Chat messages; `walk.py` has put it in order."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from ccproxy_trio.translate.blocks import joined
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.replay import replay
from ccproxy_trio.translate.walk import Instruction, Item, Result, Spoken, Turn, User, conversation
from ccproxy_trio.wire import openai
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import ChatMessage, TextPart


def chat_messages(
    request: MessagesRequest, context: Context, *, also: Sequence[str] = ()
) -> tuple[ChatMessage, ...]:
    """The request's system prompt and messages. `also` is said at the end of the system prompt.

    Raises:
        RequestRefused: a block that cannot be said to this provider, or nothing to say at all.
    """
    told = conversation(request, context, also=also)
    said = [_message(item, context) for item in told.items]
    if context.dialect.leading_user and said and isinstance(said[0], openai.AssistantMessage):
        said.insert(0, openai.UserMessage("."))
    if told.prompt:
        said.insert(0, _instruction(told.prompt, context))
    if not said:
        raise RequestRefused("messages: at least one message must have content")
    return tuple(said)


def _message(item: Item, context: Context) -> ChatMessage:
    match item:
        case User(parts=parts):
            return openai.UserMessage(joined(parts))
        case Result(call=call, parts=parts):
            return openai.ToolMessage(call, joined(parts))
        case Instruction(parts=parts):
            return _instruction(parts, context)
        case Spoken(turns=[turn]):
            return _assistant(turn, context)
        case Spoken(turns=turns):
            return _merged([_assistant(turn, context) for turn in turns])
        case _:
            assert_never(item)


def _instruction(parts: list[TextPart], context: Context) -> openai.SystemMessage | openai.DeveloperMessage:
    content = joined(parts)
    texts = content if isinstance(content, str) else tuple(parts)
    if context.dialect.system_role == "developer":
        return openai.DeveloperMessage(texts)
    return openai.SystemMessage(texts)


def _assistant(turn: Turn, context: Context) -> openai.AssistantMessage:
    again = replay(turn.blocks, context)
    calls = [
        openai.ToolCall(
            id=call.id,
            function=openai.FunctionCall(call.name, call.arguments),
            extra_content=again.extras.get(client_id, msgspec.UNSET),
        )
        for client_id, call in turn.calls
    ]
    return openai.AssistantMessage(
        content=turn.text or (None if context.dialect.null_content else ""),
        tool_calls=tuple(calls),
        reasoning_content=again.content,
        reasoning_details=again.details,
    )


def _merged(messages: Sequence[openai.AssistantMessage]) -> openai.AssistantMessage:
    """Messages that all have text, and no calls, as one."""
    reasoning = [message.reasoning_content for message in messages if message.reasoning_content]
    return openai.AssistantMessage(
        content="\n\n".join(message.content for message in messages if message.content),
        reasoning_content="\n\n".join(reasoning) if reasoning else None,
        reasoning_details=tuple(detail for message in messages for detail in message.reasoning_details),
    )
