"""Thinking in the history: which of it may be sent back, and what follows from the rest being left out.

A signature proves to a provider that the thinking is its own. Ours prove nothing to anybody else, so blocks
that we signed go to nobody on this wire, and unsigned ones to nobody who checks.
"""

from collections.abc import Sequence

from msgspec import Struct

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.state import PREFIX
from ccproxy_trio.wire.anthropic import (
    AssistantMessage,
    Message,
    MessagesRequest,
    ThinkingConfig,
    UserMessage,
)
from ccproxy_trio.wire.blocks import (
    AssistantBlock,
    RedactedThinkingBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

REMOVED = "[Thinking removed]"  # Claude Code's own words for it


def may_stay(block: AssistantBlock, dialect: Dialect) -> bool:
    """Whether a block of an assistant's turn may be sent back, as far as thinking is concerned."""
    match block:
        case ThinkingBlock(signature=signature):
            proof = signature or ""
        case RedactedThinkingBlock(data=proof):
            pass
        case _:
            return True
    if dialect.thinking_blocks == "none" or proof.startswith(PREFIX):
        return False
    return bool(proof) or dialect.thinking_blocks == "any"


class _Turn(Struct, frozen=True):
    """A turn of the model in the tool loop that the request goes on with."""

    lost_its_first: bool
    thinks_first: bool
    calls: bool


def must_be_off(request: MessagesRequest, dialect: Dialect) -> bool:
    """Whether thinking has to be off for this request.

    With thinking on, a turn that calls tools has to begin with it, for as long as the calls are being
    answered, or for ever. Where it was left out, or another provider's model called them without a thought,
    it does not.
    """
    thinking = request.thinking
    if thinking is not None and thinking.type == "disabled":
        return False
    if dialect.thinking_before_calls == "all":  # where it is on unless it is said to be off
        turns = [_turn(message, dialect) for message in _said(request.messages)]
        return any(turn.calls and not turn.thinks_first for turn in turns)
    if thinking is None:
        return False
    turns = [_turn(message, dialect) for message in _current_loop(request.messages)]
    if any(turn.lost_its_first for turn in turns):
        return True
    return _has_budget(thinking, dialect) and bool(turns) and turns[0].calls and not turns[0].thinks_first


def _has_budget(thinking: ThinkingConfig, dialect: Dialect) -> bool:
    """With a fixed budget Claude always thinks first; a model that decides by itself may go without."""
    if thinking.type == "enabled":
        return True
    return dialect.thinking_style == "budget" and dialect.thinking_blocks == "signed"


def _turn(message: AssistantMessage, dialect: Dialect) -> _Turn:
    blocks = () if isinstance(message.content, str) else message.content
    first = next((block for block in blocks if not _is_heartbeat(block)), None)
    left = next((block for block in blocks if may_stay(block, dialect)), None)
    thinks_first = isinstance(left, ThinkingBlock | RedactedThinkingBlock)
    return _Turn(
        lost_its_first=isinstance(first, ThinkingBlock | RedactedThinkingBlock) and not thinks_first,
        thinks_first=thinks_first,
        calls=any(isinstance(block, ToolUseBlock) for block in blocks),
    )


def _is_heartbeat(block: AssistantBlock) -> bool:
    """Whether nobody thought it: a block of ours that kept a client waiting, in front of any answer."""
    return (
        isinstance(block, ThinkingBlock) and not block.thinking and (block.signature or "").startswith(PREFIX)
    )


def _said(messages: Sequence[Message]) -> list[AssistantMessage]:
    """All of the model's turns."""
    return [message for message in messages if isinstance(message, AssistantMessage)]


def _current_loop(messages: Sequence[Message]) -> list[AssistantMessage]:
    """The model's turns since the user last spoke, rather than answered calls."""
    turns: list[AssistantMessage] = []
    for message in reversed(messages):
        match message:
            case AssistantMessage():
                turns.insert(0, message)
            case UserMessage() if not _answers(message):
                break
    return turns


def _answers(message: UserMessage) -> bool:
    return not isinstance(message.content, str) and any(
        isinstance(block, ToolResultBlock) for block in message.content
    )
