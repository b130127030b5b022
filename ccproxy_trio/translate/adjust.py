"""A request that was refused for one of its optional parameters, without that parameter.

Only what does not change the conversation may go: never messages, never tools.
"""

from typing import assert_never

import msgspec

from ccproxy_trio.translate import schema
from ccproxy_trio.translate.request import Translated
from ccproxy_trio.wire.faults import Overflow
from ccproxy_trio.wire.openai import (
    ChatRequest,
    DeveloperMessage,
    JsonObjectFormat,
    JsonSchemaFormat,
    SystemMessage,
    TextPart,
)

_DROPPED = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "parallel_tool_calls",
        "stream_options",
        "safety_identifier",
        "user",
        "prompt_cache_key",
        "service_tier",
        "reasoning",
        "thinking",
        "enable_thinking",
        "chat_template_kwargs",
        "add_generation_prompt",
        "continue_final_message",
    }
)
# One step each, to the value most likely taken; every other effort is left out.
_LOWER_EFFORT = {"max": "high", "xhigh": "high", "none": "low", "minimal": "low"}
_SPARE_TOKENS = 64  # providers count a little differently from one moment to the next
_WORTH_ASKING_FOR = 256  # tokens; an answer shorter than this helps nobody


def adjust(chat: ChatRequest, parameter: str) -> ChatRequest | None:
    """The request without, or with a lowered or renamed, optional parameter. None: it is not ours to change.

    `parameter` may be a path (`stream_options.include_usage`); its first member counts.
    """
    match parameter.split(".")[0].split("[")[0]:
        case "max_tokens" if chat.max_tokens is not None:
            return msgspec.structs.replace(chat, max_tokens=None, max_completion_tokens=chat.max_tokens)
        case "max_completion_tokens" if chat.max_completion_tokens is not None:
            return msgspec.structs.replace(
                chat, max_tokens=chat.max_completion_tokens, max_completion_tokens=None
            )
        case "reasoning_effort" if chat.reasoning_effort is not None:
            lower = _LOWER_EFFORT.get(chat.reasoning_effort)
            return msgspec.structs.replace(chat, reasoning_effort=lower)
        case "response_format":
            return _with_looser_format(chat)
        case name if name in _DROPPED and msgspec.structs.asdict(chat)[name] is not None:
            return msgspec.structs.replace(chat, **{name: None})
        case _:
            return None


def without(translated: Translated, parameter: str) -> Translated | None:
    """`adjust` for a whole translation: stop sequences that are no longer sent are ours to find."""
    chat = adjust(translated.chat, parameter)
    if chat is None:
        return None
    unsent = () if chat.stop else translated.chat.stop or ()
    return msgspec.structs.replace(
        translated, chat=chat, stop_sequences=(*unsent, *translated.stop_sequences)
    )


def lower_max_tokens(chat: ChatRequest, overflow: Overflow) -> ChatRequest | None:
    """The request with an output limit that fits beside its prompt. None: there is no room, or no number."""
    wished = chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens
    if overflow.limit is None or wished is None:
        return None
    # Without a prompt the limit is one on the answer alone ("supports at most N completion tokens").
    room = overflow.limit if overflow.prompt is None else overflow.limit - overflow.prompt - _SPARE_TOKENS
    if room < _WORTH_ASKING_FOR or room >= wished:
        return None
    if chat.max_completion_tokens is None:
        return msgspec.structs.replace(chat, max_tokens=room)
    return msgspec.structs.replace(chat, max_completion_tokens=room)


def _with_looser_format(chat: ChatRequest) -> ChatRequest | None:
    """A schema that is not enforced is told in words instead; a format that was refused too is left out."""
    match chat.response_format:
        case None:
            return None
        case JsonObjectFormat():
            return msgspec.structs.replace(chat, response_format=None)
        case JsonSchemaFormat(json_schema=described):
            told = _told(chat, schema.in_words(described.schema, "response_format"))
            return msgspec.structs.replace(told, response_format=JsonObjectFormat())
        case _:
            assert_never(chat.response_format)


def _told(chat: ChatRequest, line: str) -> ChatRequest:
    """The request with a line more in its system prompt."""
    first, rest = chat.messages[0], chat.messages[1:]
    if not isinstance(first, SystemMessage | DeveloperMessage):
        return msgspec.structs.replace(chat, messages=(SystemMessage(line), *chat.messages))
    content = (
        f"{first.content}\n\n{line}"
        if isinstance(first.content, str)
        else (*first.content, TextPart(text=line))
    )
    return msgspec.structs.replace(chat, messages=(msgspec.structs.replace(first, content=content), *rest))
