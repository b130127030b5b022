"""Reasoning that a provider wants to see again: taken out of the thinking blocks that carried it."""

from collections.abc import Sequence
from typing import assert_never

from msgspec import Raw, Struct

from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.state import Joiner, ReplayState, hidden_reasoning, unseal
from ccproxy_trio.wire.blocks import AssistantBlock, RedactedThinkingBlock, ThinkingBlock, ToolUseBlock

# Gemini refuses a first call without a thought signature, unless it reads this. Source: Google's page on
# thought signatures, on histories that come from other models.
_BYPASS = '{"%s":{"thought_signature":"skip_thought_signature_validator"}}'


class Replay(Struct, frozen=True):
    """An assistant message's reasoning for the upstream. `extras` is by the client's tool id."""

    content: str | None = None
    details: tuple[Raw, ...] = ()
    extras: dict[str, Raw] = {}


def replay(blocks: Sequence[AssistantBlock], context: Context) -> Replay:
    """What of the message's own state belongs to this provider and model. Everybody else's is passed over."""
    match context.dialect.replay:
        case "none":
            return Replay()
        case "reasoning_content":
            return _content(blocks, context)
        case "reasoning_details":
            joiner = Joiner()
            states = [state for _, state in _states(blocks, context)]
            return Replay(details=tuple(detail for state in states for detail in joiner.details(state)))
        case "gemini_extra":
            return Replay(extras=_extras(blocks, context))
        case _:
            assert_never(context.dialect.replay)


def _states(blocks: Sequence[AssistantBlock], context: Context) -> list[tuple[str, ReplayState]]:
    """The shown text and the state of every block that we sealed for this provider and model."""
    found: list[tuple[str, ReplayState]] = []
    for block in blocks:
        match block:
            case ThinkingBlock(thinking=text, signature=signature):
                state = unseal(signature or "")
            case RedactedThinkingBlock(data=data):
                text, state = "", unseal(data)
            case _:
                continue
        if state is not None and belongs(state, context, wire="chat"):
            found.append((text, state))
    return found


def belongs(state: ReplayState, context: Context, *, wire: str) -> bool:
    """Whether this provider and model gave it, on this wire."""
    return (state.provider, state.model, state.wire) == (context.provider, context.model, wire)


def _content(blocks: Sequence[AssistantBlock], context: Context) -> Replay:
    # Without anything between: that it came in several blocks, around text or calls, was our doing.
    joiner = Joiner()
    told = "".join(
        text or hidden_reasoning(joiner.details(state)) for text, state in _states(blocks, context)
    )
    called = any(isinstance(block, ToolUseBlock) for block in blocks)
    return Replay(content=told or (context.dialect.empty_reasoning if called else None))


def _extras(blocks: Sequence[AssistantBlock], context: Context) -> dict[str, Raw]:
    calls = dict.fromkeys(block.id for block in blocks if isinstance(block, ToolUseBlock))
    known = {
        call: extra
        for _, state in _states(blocks, context)
        for call, extra in (state.signatures or {}).items()
        if call in calls
    }
    if known or not calls:
        return known  # of parallel calls only the first bears a signature
    return {next(iter(calls)): Raw((_BYPASS % context.dialect.extra_key).encode())}
