"""An Anthropic Messages request as a Chat Completions request, and what reading its answer takes."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.effort import reasoning
from ccproxy_trio.translate.messages import chat_messages
from ccproxy_trio.translate.pdf import NO_TEXTS, PdfText
from ccproxy_trio.translate.tools import choice, functions, offered
from ccproxy_trio.translate.wishes import note_prefill, note_what_is_left_out, wishes
from ccproxy_trio.wire.anthropic import CountRequest, MessagesRequest, UserMessage
from ccproxy_trio.wire.blocks import ContentSource, DocumentBlock, ImageBlock, ToolResultBlock
from ccproxy_trio.wire.openai import AssistantMessage, ChatMessage, ChatRequest, StreamOptions

_STOPS_AT_MOST = 4


class Target(Struct, frozen=True, kw_only=True):
    """Where a request goes. `model` is the upstream's name; `session` the client's, from its header.

    `pdf_texts`: what was read out of PDFs, by their base64, for a model that cannot read them itself.
    `rewrite` does `schema.parameters`, or remembers what it did.
    """

    provider: str
    model: str
    dialect: Dialect
    session: str | None = None
    pdf_texts: Mapping[str, PdfText] = NO_TEXTS
    rewrite: schema.Rewrite = schema.parameters


class Translated(Struct, frozen=True, kw_only=True):
    """A request for the upstream, and what reading its answer takes."""

    chat: ChatRequest
    names: dict[str, str]  # upstream tool name -> the client's, only where they differ
    stop_sequences: tuple[str, ...]  # those that we must find in the answer ourselves
    show_thinking: bool  # the client wants to see thinking
    notes: tuple[str, ...] = ()  # what was left out or changed, a sentence each


def translate(request: MessagesRequest, target: Target) -> Translated:
    """The request in the words of the target.

    Raises:
        RequestRefused: it needs something that none but Anthropic can give.
        Untranslatable: it needs more than this upstream takes.
    """
    dialect = target.dialect
    asked = wishes(request, dialect, session=target.session)
    context = context_of(target)
    tools = functions(offered(request), context)
    chosen = choice(request, tools, context)
    messages = chat_messages(request, context, also=asked.also)
    note_what_is_left_out(request, context)
    if _is_prefill(messages) and dialect.prefill == "none":
        note_prefill(context)
    effort = reasoning(request, dialect, tools_offered=bool(tools))
    sent_stops = asked.stops[:_STOPS_AT_MOST] if dialect.stop else ()
    continued = _is_prefill(messages) and dialect.prefill == "continue"
    chat = ChatRequest(
        model=target.model,
        messages=_with_prefix(messages) if dialect.prefill == "prefix" else messages,
        stream=dialect.streaming,
        stream_options=StreamOptions(include_usage=True)
        if dialect.streaming and dialect.stream_usage
        else None,
        max_tokens=asked.limit if dialect.max_tokens_field == "max_tokens" else None,
        max_completion_tokens=asked.limit if dialect.max_tokens_field == "max_completion_tokens" else None,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=request.top_k if dialect.top_k else None,
        stop=sent_stops or None,
        tools=tools or None,
        tool_choice=chosen.tool_choice,
        parallel_tool_calls=chosen.parallel,
        response_format=asked.form,
        reasoning_effort=effort.reasoning_effort,
        reasoning=effort.reasoning,
        thinking=effort.thinking,
        enable_thinking=effort.enable_thinking,
        chat_template_kwargs=effort.chat_template_kwargs,
        safety_identifier=asked.user if dialect.user_field == "safety_identifier" else None,
        user=asked.user if dialect.user_field == "user" else None,
        prompt_cache_key=asked.cache_key,
        service_tier=asked.service_tier,
        add_generation_prompt=False if continued else None,
        continue_final_message=True if continued else None,
    )
    return Translated(
        chat=chat,
        names=context.names.changed(),
        stop_sequences=asked.stops[len(sent_stops) :],
        show_thinking=asked.show_thinking,
        notes=context.notes,
    )


def context_of(target: Target) -> Context:
    """A fresh translation for the target."""
    return Context(
        provider=target.provider,
        model=target.model,
        dialect=target.dialect,
        pdf_texts=target.pdf_texts,
        rewrite=target.rewrite,
    )


def needs(request: CountRequest) -> frozenset[str]:
    """What a model must be able to do for the whole request to reach it: "vision" when there are images."""
    return (
        frozenset({"vision"})
        if any(_has_images(message) for message in _user_blocks(request))
        else frozenset()
    )


def _user_blocks(request: CountRequest) -> Iterator[object]:
    for message in request.messages:
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            yield from message.content


def _has_images(block: object) -> bool:
    match block:
        case ImageBlock():
            return True
        case (
            ToolResultBlock(content=tuple(items)) | DocumentBlock(source=ContentSource(content=tuple(items)))
        ):
            return any(_has_images(item) for item in items)
        case _:
            return False


def _is_prefill(messages: tuple[ChatMessage, ...]) -> bool:
    last = messages[-1]
    return isinstance(last, AssistantMessage) and not last.tool_calls


def _with_prefix(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    last = messages[-1]
    if not isinstance(last, AssistantMessage) or last.tool_calls:
        return messages
    return (*messages[:-1], msgspec.structs.replace(last, prefix=True))
