"""What of an answer's items has to come back to OpenAI, and where it stands among a turn's blocks.

Without `store` the provider keeps nothing, so its reasoning travels through the client, encrypted. It takes
an item back in front of what followed it, and refuses one that nothing follows.
"""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from ccproxy_trio.translate.context import Context
from ccproxy_trio.translate.replay import belongs
from ccproxy_trio.translate.state import Joiner, ReplayState, unseal
from ccproxy_trio.translate.walk import Turn
from ccproxy_trio.wire.blocks import AssistantBlock, RedactedThinkingBlock, ThinkingBlock, ToolUseBlock
from ccproxy_trio.wire.response_events import OutputItem, Parts, TextPart
from ccproxy_trio.wire.responses import ReasoningItem, ReasoningText, SummaryText

PhaseName = Literal["commentary", "final_answer"]


class Phase(Struct, frozen=True, tag="message"):
    """What the message of the assistant that comes next was for."""

    phase: PhaseName


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ReasoningItem | Phase] = msgspec.json.Decoder(ReasoningItem | Phase)


def kept(item: OutputItem) -> Raw | None:
    """A reasoning item as it has to come back; None where the provider would not know what to do with it."""
    content = tuple(ReasoningText(part.text) for part in texts(item.content) if part.text)
    if not isinstance(item.id, str) or not (item.encrypted_content or content):
        return None
    back = ReasoningItem(
        id=item.id,
        summary=tuple(SummaryText(part.text or "") for part in texts(item.summary)),
        content=content or None,
        encrypted_content=item.encrypted_content or None,
    )
    return Raw(_encoder.encode(back))


def phase_mark(item: OutputItem) -> Raw | None:
    """What has to be known of a message when it comes back; None: nothing."""
    match item.phase:
        case "commentary":
            return Raw(_encoder.encode(Phase("commentary")))
        case "final_answer":
            return Raw(_encoder.encode(Phase("final_answer")))
        case _:
            return None


def texts(parts: Parts) -> list[TextPart]:
    """A list of parts, where some send their text alone."""
    return [TextPart(text=parts)] if isinstance(parts, str) else parts or []


class Carried:
    """What an assistant turn carries, and where in the turn it belongs."""

    def __init__(self, turn: Turn, context: Context) -> None:
        self._by_call: dict[str, list[ReasoningItem]] = {}
        self._by_block: dict[int, list[ReasoningItem | Phase]] = {}
        joiner = Joiner()
        if not context.dialect.encrypted_reasoning or context.dialect.thinking_blocks == "none":
            return
        for place, block in enumerate(turn.blocks):
            state = _state(block, context)
            if state is not None:
                self._sort(place, state, joiner)

    def at(self, place: int) -> list[ReasoningItem | Phase]:
        """What stands here, for the next words."""
        return self._by_block.get(place, [])

    def in_front_of(self, block: AssistantBlock) -> list[ReasoningItem]:
        """What stands in front of a call, once."""
        return self._by_call.pop(block.id, []) if isinstance(block, ToolUseBlock) else []

    def _sort(self, place: int, state: ReplayState, joiner: Joiner) -> None:
        items = [item for item in map(_item, joiner.details(state)) if item is not None]
        if state.before:
            thoughts = [item for item in items if isinstance(item, ReasoningItem)]
            self._by_call.setdefault(state.before, []).extend(thoughts)
        else:
            self._by_block[place] = items


def _state(block: object, context: Context) -> ReplayState | None:
    match block:
        case ThinkingBlock(signature=signature):
            state = unseal(signature or "")
        case RedactedThinkingBlock(data=data):
            state = unseal(data)
        case _:
            return None
    return state if state is not None and belongs(state, context, wire="responses") else None


def _item(detail: Raw) -> ReasoningItem | Phase | None:
    try:
        return _decoder.decode(detail)
    except ValueError:
        return None  # a client may have written anything
