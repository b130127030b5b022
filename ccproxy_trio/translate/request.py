"""An Anthropic Messages request as a Chat Completions request, and what reading its answer takes."""

import hashlib
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.effort import reasoning
from ccproxy_trio.translate.messages import chat_messages
from ccproxy_trio.translate.pdf import NO_TEXTS, PdfText
from ccproxy_trio.translate.tools import choice, functions, offered
from ccproxy_trio.wire.anthropic import CountRequest, JsonFormat, MessagesRequest, UserMessage
from ccproxy_trio.wire.blocks import ContentSource, DocumentBlock, ImageBlock, ToolResultBlock
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
    StreamOptions,
)

_STOPS_AT_MOST = 4
_FORMAT = "output_config.format.schema"


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
    _refuse_what_only_anthropic_has(request)
    dialect = target.dialect
    context = _context(target)
    tools = functions(offered(request), context)
    chosen = choice(request, tools, context)
    form = _answer_format(request)
    messages = chat_messages(request, context, also=_schema_lines(form, dialect))
    _note_what_is_left_out(request, messages, context)
    effort = reasoning(request, dialect, tools_offered=bool(tools))
    stops = tuple(dict.fromkeys(stop for stop in request.stop_sequences or () if stop.strip()))
    sent_stops = stops[:_STOPS_AT_MOST] if dialect.stop else ()
    limit = request.max_tokens if dialect.output_cap is None else min(request.max_tokens, dialect.output_cap)
    completion = dialect.max_tokens_field == "max_completion_tokens"
    user = _hashed(request.metadata.user_id) if request.metadata and request.metadata.user_id else None
    continued = _is_prefill(messages) and dialect.prefill == "continue"
    chat = ChatRequest(
        model=target.model,
        messages=_with_prefix(messages) if dialect.prefill == "prefix" else messages,
        stream=dialect.streaming,
        stream_options=StreamOptions(include_usage=True)
        if dialect.streaming and dialect.stream_usage
        else None,
        max_tokens=None if completion else limit,
        max_completion_tokens=limit if completion else None,
        temperature=request.temperature if dialect.sampling and dialect.temperature else None,
        top_p=request.top_p if dialect.sampling and dialect.top_p else None,
        top_k=request.top_k if dialect.top_k else None,
        stop=sent_stops or None,
        tools=tools or None,
        tool_choice=chosen.tool_choice,
        parallel_tool_calls=chosen.parallel,
        response_format=_response_format(form, dialect),
        reasoning_effort=effort.reasoning_effort,
        reasoning=effort.reasoning,
        thinking=effort.thinking,
        enable_thinking=effort.enable_thinking,
        chat_template_kwargs=effort.chat_template_kwargs,
        safety_identifier=user if dialect.user_field == "safety_identifier" else None,
        user=user if dialect.user_field == "user" else None,
        prompt_cache_key=_cache_key(request, target),
        service_tier=_service_tier(request) if dialect.service_tier else None,
        add_generation_prompt=False if continued else None,
        continue_final_message=True if continued else None,
    )
    return Translated(
        chat=chat,
        names=context.names.changed(),
        stop_sequences=stops[len(sent_stops) :],
        show_thinking=_shows_thinking(request),
        notes=context.notes,
    )


def _context(target: Target) -> Context:
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


def _refuse_what_only_anthropic_has(request: MessagesRequest) -> None:
    """Leaving one of these out would silently change what the client gets."""
    if request.mcp_servers:
        raise RequestRefused(
            "mcp_servers: MCP servers are reached by Anthropic only; use them from the client"
        )
    if request.container is not None:
        raise RequestRefused("container: code execution containers exist at Anthropic only")
    if request.compaction is not None:
        raise RequestRefused("compaction: only Anthropic compacts on its side")
    if request.thread is not None and request.thread.type != "create":
        raise RequestRefused("thread: the history of this thread is kept by Anthropic; send it in messages")


class _Edit(Struct):
    """The part of a `context_management` edit that is read."""

    type: str = ""


class _Edits(Struct):
    """`context_management`, as far as it is read."""

    edits: tuple[_Edit, ...] = ()


def _note_what_is_left_out(
    request: MessagesRequest, messages: tuple[ChatMessage, ...], context: Context
) -> None:
    """What the client may miss in the answer, though it can do without."""
    for name, value in (
        ("inference_geo", request.inference_geo),
        ("billing_policy", request.billing_policy),
    ):
        if bytes(value) != b"null":
            context.note(f"{name} left out: it means something at Anthropic only")
    if request.speed == "fast" and not context.dialect.service_tier:
        context.note("speed left out: this provider has no faster tier to ask for")
    for kind in _edits(request.context_management):
        # Thinking is sent again only where it is needed, so there is nothing left to clear of it.
        if not kind.startswith("clear_thinking_"):
            context.note(f"context_management edit {kind} left out: only Anthropic edits the history")
    if _is_prefill(messages) and context.dialect.prefill == "none":
        context.note("the last message is the assistant's: this provider may not go on from where it ends")


def _edits(management: Raw) -> tuple[str, ...]:
    try:
        decoded = msgspec.json.decode(management, type=_Edits | None)
    except (msgspec.DecodeError, RecursionError):
        return ()  # it would have no effect here in any form
    return tuple(edit.type for edit in decoded.edits) if decoded else ()


def _shows_thinking(request: MessagesRequest) -> bool:
    thinking = request.thinking
    return thinking is None or not (thinking.type == "disabled" or thinking.display == "omitted")


def _answer_format(request: MessagesRequest) -> JsonFormat | None:
    configured = request.output_config.format if request.output_config else None
    return configured or request.output_format


def _response_format(form: JsonFormat | None, dialect: Dialect) -> JsonSchemaFormat | JsonObjectFormat | None:
    if form is None:
        return None
    if not dialect.json_schema:
        return JsonObjectFormat() if dialect.json_object else None
    written = schema.answer(form.schema, dialect.schema, _FORMAT)
    strict = True if dialect.strict and schema.is_strict(written, _FORMAT) else None
    return JsonSchemaFormat(JsonSchema(name="output", schema=written, strict=strict))


def _schema_lines(form: JsonFormat | None, dialect: Dialect) -> tuple[str, ...]:
    if form is None or dialect.json_schema:
        return ()
    return (schema.in_words(form.schema, _FORMAT),)


class _UserId(Struct):
    """The part of Claude Code's `user_id` JSON that is read."""

    session_id: str = ""


def _cache_key(request: MessagesRequest, target: Target) -> str | None:
    """One key a session, so that its requests land where its prefix is cached."""
    if not target.dialect.prompt_cache_key:
        return None
    session = _session_in(request.metadata.user_id if request.metadata else None) or target.session
    return _hashed(f"session {session}")[:32] if session else None


def _session_in(user_id: str | None) -> str | None:
    try:
        return msgspec.json.decode(user_id or "", type=_UserId).session_id or None
    except (msgspec.DecodeError, RecursionError):
        return None  # any other client's id is just a name


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _service_tier(request: MessagesRequest) -> str | None:
    if request.speed == "fast":
        return "priority"
    return "default" if request.service_tier == "standard_only" else None


def _is_prefill(messages: tuple[ChatMessage, ...]) -> bool:
    last = messages[-1]
    return isinstance(last, AssistantMessage) and not last.tool_calls


def _with_prefix(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    last = messages[-1]
    if not isinstance(last, AssistantMessage) or last.tool_calls:
        return messages
    return (*messages[:-1], msgspec.structs.replace(last, prefix=True))
