"""A request's body for a provider of Anthropic's wire: as it came, but for what this provider must not read.

Prompt caches are found again by their bytes, and members that nobody here knows have a meaning to Anthropic.
So the body is taken apart only where something has to change, and put together from the pieces.
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.native.content import cleaned
from ccproxy_trio.translate.native.instructions import Instructions, prompt
from ccproxy_trio.translate.native.offer import offer
from ccproxy_trio.translate.native.paths import leaves_out, without
from ccproxy_trio.translate.native.raws import items, listed, made
from ccproxy_trio.translate.native.thinking import effort, is_off, thinking, without_clearing
from ccproxy_trio.translate.native.thoughts import must_be_off
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.translate.raw import members
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.anthropic import MessagesRequest, SystemMessage
from ccproxy_trio.wire.faults import Untranslatable

_BODY = msgspec.json.Decoder(dict[str, Raw])
_NULL = b"null"


class Written(Struct, frozen=True):
    """A body, and what was left out or changed of it, a sentence each."""

    body: bytes
    notes: tuple[str, ...] = ()


def written(asked: Asked, target: Target) -> Written:
    """The body for this target.

    Raises:
        RequestRefused: an image, a document or a tool in it is none.
        Untranslatable: it needs more than this provider has.
    """
    request, dialect = asked.request, target.dialect
    context = Context(
        provider=target.provider, model=target.model, dialect=dialect, pdf_texts=target.pdf_texts
    )
    # Of two members of one name the last counts, as for everybody who reads it.
    body = _BODY.decode(asked.body)
    _refuse_what_only_anthropic_has(request, dialect)
    tools = offer(request, body, context)
    changed = {"tools": tools.tools, "tool_choice": tools.choice}
    also = _schema_lines(request, dialect)
    changed |= _conversation(request, body, also, context)
    changed |= _thinking(request, body, dialect)
    body = without(_with(body, changed), dialect.leave_out, text=asked.body)
    body["model"] = Raw(msgspec.json.encode(target.model))
    body["stream"] = Raw(b"true" if dialect.streaming else b"false")
    return Written(msgspec.json.encode(body), context.notes)


def _with(body: Mapping[str, Raw], changed: Mapping[str, Raw | None]) -> dict[str, Raw]:
    """The body with these members as they are told; what is new in it comes last."""
    return {name: value for name, value in {**body, **changed}.items() if value is not None}


def _refuse_what_only_anthropic_has(request: MessagesRequest, dialect: Dialect) -> None:
    if dialect.server_tools:
        return
    for name, asked in (
        ("mcp_servers", request.mcp_servers),
        ("container", request.container),
        ("compaction", request.compaction),
        ("thread", request.thread if request.thread and request.thread.type != "create" else None),
    ):
        if asked:
            raise Untranslatable(f"{name}: this provider has nothing like it")


def _conversation(
    request: MessagesRequest, body: Mapping[str, Raw], also: tuple[str, ...], context: Context
) -> dict[str, Raw | None]:
    """The messages and the system prompt."""
    before = items(body["messages"])
    after = cleaned(request.messages, before, context)
    said = list(also)
    if _moves_instructions(request, context.dialect):
        instructions = Instructions(context)
        after = instructions.follow(request.messages, after)
        said += instructions.hoisted
    same = len(before) == len(after) and all(one is other for one, other in zip(before, after, strict=True))
    return {
        "messages": body["messages"] if same else listed(after),
        "system": prompt(request, body.get("system"), said, context),
    }


def _moves_instructions(request: MessagesRequest, dialect: Dialect) -> bool:
    if dialect.merge_users:
        return True
    return dialect.mid_system != "keep" and any(isinstance(one, SystemMessage) for one in request.messages)


def _thinking(request: MessagesRequest, body: Mapping[str, Raw], dialect: Dialect) -> dict[str, Raw | None]:
    """What is said of how long, how hard and whether to think."""
    changed: dict[str, Raw | None] = {}
    limit = dialect.capped(request.max_tokens)
    if limit != request.max_tokens:
        changed["max_tokens"] = Raw(b"%d" % limit)
    asked = thinking(request, dialect, limit=limit, must_be_off=must_be_off(request, dialect))
    if asked is not UNSET:
        changed["thinking"] = asked
    management = body.get("context_management")
    if is_off(asked) and management is not None:
        changed["context_management"] = without_clearing(management)
    named = effort(request, dialect)
    if named is not None:
        changed["output_config"] = made({**_config(body), "effort": named})
    return changed


def _config(body: Mapping[str, Raw]) -> dict[str, Raw]:
    config = body.get("output_config")
    return {} if config is None or bytes(config) == _NULL else members(config, "output_config")


def _schema_lines(request: MessagesRequest, dialect: Dialect) -> tuple[str, ...]:
    """The form of the answer in words, where the member that names it is left out."""
    config = request.output_config
    if config is not None and config.format is not None:
        where, form = "output_config.format", config.format
    elif request.output_format is not None:
        where, form = "output_format", request.output_format
    else:
        return ()
    if not leaves_out(dialect.leave_out, tuple(where.split("."))):
        return ()
    return (schema.in_words(form.schema, f"{where}.schema"),)
