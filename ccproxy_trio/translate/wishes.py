"""What a request asks for beside its messages and tools, as the wires that OpenAI made have it."""

import hashlib

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.wire.anthropic import JsonFormat, MessagesRequest
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.openai import JsonObjectFormat, JsonSchema, JsonSchemaFormat

_FORMAT = "output_config.format.schema"


class Wishes(Struct, frozen=True, kw_only=True):
    """What is asked for, as far as the upstream takes it. None: not sent.

    `limit` is in tokens. `stops` are all stop sequences, whoever has to find them. `also` belongs to the
    system prompt. `user` and `cache_key` are hashes. `show_thinking`: the client wants to see thinking.
    """

    limit: int
    stops: tuple[str, ...]
    temperature: float | None
    top_p: float | None
    form: JsonSchemaFormat | JsonObjectFormat | None
    also: tuple[str, ...]
    user: str | None
    cache_key: str | None
    service_tier: str | None
    show_thinking: bool


def wishes(request: MessagesRequest, dialect: Dialect, *, session: str | None) -> Wishes:
    """What the request asks for. `session` is the client's, from its header.

    Raises:
        RequestRefused: it needs something that none but Anthropic can give.
    """
    _refuse_what_only_anthropic_has(request)
    form = _answer_format(request)
    return Wishes(
        limit=dialect.capped(request.max_tokens),
        stops=tuple(dict.fromkeys(stop for stop in request.stop_sequences or () if stop.strip())),
        temperature=request.temperature if dialect.sampling and dialect.temperature else None,
        top_p=request.top_p if dialect.sampling and dialect.top_p else None,
        form=_response_format(form, dialect),
        also=_schema_lines(form, dialect),
        user=_hashed(request.metadata.user_id) if request.metadata and request.metadata.user_id else None,
        cache_key=_cache_key(request, session) if dialect.prompt_cache_key else None,
        service_tier=_service_tier(request) if dialect.service_tier else None,
        show_thinking=_shows_thinking(request),
    )


def note_what_is_left_out(request: MessagesRequest, context: Context) -> None:
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


def note_prefill(context: Context) -> None:
    """The last message is the assistant's, and nothing makes the provider go on from there."""
    context.note("the last message is the assistant's: this provider may not go on from where it ends")


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


def _cache_key(request: MessagesRequest, session: str | None) -> str | None:
    """One key a session, so that its requests land where its prefix is cached."""
    session = _session_in(request.metadata.user_id if request.metadata else None) or session
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
