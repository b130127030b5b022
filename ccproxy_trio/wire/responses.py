"""Requests of OpenAI's Responses API as types.

Fields left at their default are not written. Nothing here decides anything.

Source: the `openai` package's `responses.response_create_params` and `responses.response_input_item_param`.
"""

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.wire.openai import CacheBreakpoint

LEAST_OUTPUT_TOKENS = 16  # of `max_output_tokens`; less is refused


class InputText(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="input_text"):
    """Text in a list of parts."""

    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputImage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="input_image"):
    """An image in a list of parts, as an address or a data URL. `detail` must be said in messages."""

    image_url: str
    detail: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputFile(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="input_file"):
    """A PDF in a list of parts: a name and a data URL, or an address."""

    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


InputPart = InputText | InputImage | InputFile


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="message"):
    """What is said. `role`: user, assistant, system or developer.

    What the assistant said is a string: in a list of parts OpenAI wants to see the ids that it gave, and with
    an id it insists on the reasoning in front of it. `phase` is OpenAI's word for what a message of the
    assistant's was for, which its newer models want to see again.
    """

    role: str
    content: str | tuple[InputPart, ...]
    phase: str | None = None


class FunctionCall(Struct, frozen=True, tag="function_call"):
    """A call that the model made. `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(Struct, frozen=True, tag="function_call_output"):
    """What a tool gave back."""

    call_id: str
    output: str | tuple[InputPart, ...]


class SummaryText(Struct, frozen=True, tag="summary_text"):
    """A part of a summary of reasoning."""

    text: str


class ReasoningText(Struct, frozen=True, tag="reasoning_text"):
    """A part of reasoning itself, as servers of open weights tell it."""

    text: str


class ReasoningItem(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reasoning"):
    """Reasoning, as the provider gave it and takes it back: without `status`, which it refuses as null."""

    id: str
    summary: tuple[SummaryText, ...]
    content: tuple[ReasoningText, ...] | None = None
    encrypted_content: str | None = None


InputItem = Message | FunctionCall | FunctionCallOutput | ReasoningItem


class FunctionTool(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="function"):
    """One entry of `tools`. `strict` is always said: left out, it would be true."""

    name: str
    description: str | None = None
    parameters: Raw
    strict: bool


class FunctionChoice(Struct, frozen=True, tag="function"):
    """The model must call this function."""

    name: str


class SchemaFormat(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="json_schema"):
    """The answer is JSON of a given schema."""

    name: str
    schema: Raw
    strict: bool


class ObjectFormat(Struct, frozen=True, tag="json_object"):
    """The answer is some JSON object."""


class TextOptions(Struct, frozen=True):
    """What text the answer is to have."""

    format: SchemaFormat | ObjectFormat


class ReasoningOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How hard to think, and whether to tell a summary of it ("auto")."""

    effort: str | None = None
    summary: str | None = None


class ResponsesRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. `store` is always said: left out, the provider would keep the answer."""

    model: str
    instructions: str | None = None
    input: tuple[InputItem, ...]
    stream: bool = False
    store: bool
    include: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: str | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    safety_identifier: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


_ENCODER = msgspec.json.Encoder()


def encode(request: ResponsesRequest) -> bytes:
    """The body to send. The same request always gives the same bytes, which is what prefix caches live on."""
    return _ENCODER.encode(request)
