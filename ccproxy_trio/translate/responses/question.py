"""A request on the wire of OpenAI's Responses API.

The provider keeps nothing (`store: false`, never a `previous_response_id`): what it has to know comes with
every request, its own reasoning encrypted.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from ccproxy_trio.translate.adjust import Repair
from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.effort import OFF, clamp, wanted
from ccproxy_trio.translate.question import Asked, Outgoing
from ccproxy_trio.translate.request import Target, context_of
from ccproxy_trio.translate.responses.adjust import repair
from ccproxy_trio.translate.responses.items import Told, told
from ccproxy_trio.translate.responses.reader import Reader
from ccproxy_trio.translate.tools import choice, functions, offered
from ccproxy_trio.translate.wishes import Wishes, note_prefill, note_what_is_left_out, wishes
from ccproxy_trio.wire import openai
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.responses import (
    LEAST_OUTPUT_TOKENS,
    FunctionChoice,
    FunctionTool,
    Message,
    ObjectFormat,
    ReasoningOptions,
    ResponsesRequest,
    SchemaFormat,
    TextOptions,
    encode,
)

_ENCRYPTED = "reasoning.encrypted_content"


class ResponsesQuestion(Struct, frozen=True):
    """A `translate.question.Question`. `stop_sequences`: all of them, since this wire knows none."""

    asked: ResponsesRequest
    target: Target
    names: dict[str, str]  # upstream tool name -> the client's, only where they differ
    stop_sequences: tuple[str, ...]
    show_thinking: bool
    notes: tuple[str, ...] = ()

    def outgoing(self) -> Outgoing:
        """What is sent."""
        return Outgoing(body=encode(self.asked))

    def reader(self, mint: Callable[[], str]) -> Reader:
        """Who understands the answer."""
        return Reader(
            target=self.target,
            names=self.names,
            show_thinking=self.show_thinking,
            stop_sequences=self.stop_sequences,
            mint=mint,
        )

    def repair(self, fault: UpstreamFault, dialect: Dialect) -> Repair | None:
        """How it may be put instead of this, which was refused with `fault`."""
        return repair(fault, dialect, self.asked)


def put(asked: Asked, target: Target) -> ResponsesQuestion:
    """The request as one for a response.

    Raises:
        RequestRefused: it needs something that none but Anthropic can give.
        Untranslatable: it needs more than this upstream takes.
    """
    request, target = asked.request, replace(target, dialect=_there(target.dialect))
    wish = wishes(request, target.dialect, session=target.session)
    context = context_of(target)
    body = _body(request, wish, context)
    return ResponsesQuestion(
        asked=body,
        target=target,
        names=context.names.changed(),
        stop_sequences=wish.stops,
        show_thinking=wish.show_thinking,
        notes=context.notes,
    )


def _there(dialect: Dialect) -> Dialect:
    """The dialect as far as it speaks of this wire; the rest of it is about Chat Completions."""
    return replace(dialect, wire="responses", tool_media="tool", stop=False, replay="none", prefill="none")


def _body(request: MessagesRequest, wish: Wishes, context: Context) -> ResponsesRequest:
    dialect = context.dialect
    tools = functions(offered(request), context)
    chosen = choice(request, tools, context)
    said = told(request, context, also=wish.also)
    note_what_is_left_out(request, context)
    if _is_prefill(said):
        note_prefill(context)
    limited = dialect.max_tokens_field != "none"
    return ResponsesRequest(
        model=context.model,
        instructions=said.instructions,
        input=said.items,
        stream=dialect.streaming,
        store=False,
        include=(_ENCRYPTED,) if dialect.encrypted_reasoning else (),
        max_output_tokens=max(wish.limit, LEAST_OUTPUT_TOKENS) if limited else None,
        temperature=wish.temperature,
        top_p=wish.top_p,
        tools=tuple(_tool(tool.function) for tool in tools),
        tool_choice=_choice(chosen.tool_choice),
        parallel_tool_calls=chosen.parallel,
        text=_text(wish.form),
        reasoning=_reasoning(request, wish, dialect),
        safety_identifier=wish.user if dialect.user_field == "safety_identifier" else None,
        user=wish.user if dialect.user_field == "user" else None,
        prompt_cache_key=wish.cache_key,
        service_tier=wish.service_tier,
    )


def _is_prefill(said: Told) -> bool:
    last = said.items[-1]
    return isinstance(last, Message) and last.role == "assistant"


def _tool(function: openai.FunctionDefinition) -> FunctionTool:
    return FunctionTool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        strict=bool(function.strict),
    )


def _choice(chosen: str | openai.NamedToolChoice | None) -> str | FunctionChoice | None:
    return FunctionChoice(chosen.function.name) if isinstance(chosen, openai.NamedToolChoice) else chosen


def _text(form: openai.JsonSchemaFormat | openai.JsonObjectFormat | None) -> TextOptions | None:
    if form is None:
        return None
    if isinstance(form, openai.JsonObjectFormat):
        return TextOptions(ObjectFormat())
    schema = form.json_schema
    return TextOptions(SchemaFormat(name=schema.name, schema=schema.schema, strict=bool(schema.strict)))


def _reasoning(request: MessagesRequest, wish: Wishes, dialect: Dialect) -> ReasoningOptions | None:
    """How hard to think. A summary is asked for only if the client wants to see thinking: it costs time."""
    effort = wanted(request)
    if effort is None or dialect.reasoning == "none":
        return None
    level = clamp(effort, dialect.efforts)
    seen = request.thinking is not None and wish.show_thinking and level != OFF
    return ReasoningOptions(effort=level, summary="auto" if seen and dialect.reasoning_summary else None)
