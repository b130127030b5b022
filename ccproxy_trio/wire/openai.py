"""Chat Completions requests as types: OpenAI's own fields, and those of its imitators that we use.

Fields left at their default are not written. Nothing here decides anything.

Source: the `openai` package's `chat.completion_create_params`; for fields marked with a vendor, its manual.
"""

import msgspec
from msgspec import Raw, Struct


class CacheMark(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="ephemeral"):
    """Anthropic's breakpoint, as OpenRouter takes it."""

    ttl: str | None = None


class CacheBreakpoint(Struct, frozen=True, omit_defaults=True, tag_field="mode", tag="explicit"):
    """OpenAI's breakpoint."""

    ttl: str | None = None


class TextPart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Text in a list of parts."""

    text: str
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class ImageUrl(Struct, frozen=True):
    """An address, or the image itself as a data URL."""

    url: str


class ImagePart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="image_url"):
    """An image in a list of parts."""

    image_url: ImageUrl
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class FileData(Struct, frozen=True):
    """A file as a data URL."""

    filename: str
    file_data: str


class FilePart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="file"):
    """A PDF in a list of parts."""

    file: FileData
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


Part = TextPart | ImagePart | FilePart


class SystemMessage(Struct, frozen=True, tag_field="role", tag="system"):
    """Instructions."""

    content: str | tuple[TextPart, ...]


class DeveloperMessage(Struct, frozen=True, tag_field="role", tag="developer"):
    """Instructions, as OpenAI's reasoning models call them."""

    content: str | tuple[TextPart, ...]


class UserMessage(Struct, frozen=True, tag_field="role", tag="user"):
    """What the user says."""

    content: str | tuple[Part, ...]


class FunctionCall(Struct, frozen=True):
    """`arguments` is JSON text."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="function"):
    """One call. `extra_content` is Gemini's: it carries the call's thought signature."""

    id: str
    function: FunctionCall
    extra_content: Raw | msgspec.UnsetType = msgspec.UNSET


class AssistantMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="assistant"
):
    """What the model said. `content` None is written as null."""

    content: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_content: str | None = None  # DeepSeek, Kimi
    reasoning_details: tuple[Raw, ...] = ()  # OpenRouter
    prefix: bool = False  # Mistral, DeepSeek's beta: go on from here


class ToolMessage(Struct, frozen=True, tag_field="role", tag="tool"):
    """What a tool gave back."""

    tool_call_id: str
    content: str | tuple[Part, ...]


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class FunctionDefinition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool's name and the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: Raw
    strict: bool | None = None


class ChatTool(Struct, frozen=True, tag="function"):
    """One entry of `tools`."""

    function: FunctionDefinition


class FunctionName(Struct, frozen=True):
    """A function by name."""

    name: str


class NamedToolChoice(Struct, frozen=True, tag="function"):
    """The model must call this function."""

    function: FunctionName


class StreamOptions(Struct, frozen=True):
    """`include_usage` asks for a last chunk with the token counts."""

    include_usage: bool


class JsonSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema that an answer must fit."""

    name: str
    schema: Raw
    strict: bool | None = None


class JsonSchemaFormat(Struct, frozen=True, tag="json_schema"):
    """The answer is JSON of a given schema."""

    json_schema: JsonSchema


class JsonObjectFormat(Struct, frozen=True, tag="json_object"):
    """The answer is some JSON object."""


class ReasoningOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OpenRouter's `reasoning`: one of effort, budget in tokens, or off."""

    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None


class ThinkingSwitch(Struct, frozen=True):
    """DeepSeek's `thinking`: `enabled` or `disabled`."""

    type: str


class TemplateArguments(Struct, frozen=True):
    """What vLLM hands to the chat template."""

    enable_thinking: bool


class ChatRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Chat Completions request. `max_tokens` and `max_completion_tokens` exclude each other."""

    model: str
    messages: tuple[ChatMessage, ...]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None  # OpenRouter, vLLM, llama.cpp
    stop: tuple[str, ...] | None = None
    tools: tuple[ChatTool, ...] | None = None
    tool_choice: str | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: JsonSchemaFormat | JsonObjectFormat | None = None
    reasoning_effort: str | None = None
    reasoning: ReasoningOptions | None = None  # OpenRouter
    thinking: ThinkingSwitch | None = None  # DeepSeek
    enable_thinking: bool | None = None  # Qwen
    chat_template_kwargs: TemplateArguments | None = None  # vLLM
    safety_identifier: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    add_generation_prompt: bool | None = None  # vLLM, when the last message is to be continued
    continue_final_message: bool | None = None  # vLLM


_ENCODER = msgspec.json.Encoder()


def encode(chat: ChatRequest) -> bytes:
    """The body to send. The same request always gives the same bytes, which is what prefix caches live on."""
    return _ENCODER.encode(chat)
