"""How answers end: the table of finish reasons, and stop sequences that the proxy has to enforce itself."""

import enum
from collections.abc import Iterable

from ccproxy_trio.wire.chunks import Choice, Loose
from ccproxy_trio.wire.events import StopReason
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault


class Ending(enum.Enum):
    """What a provider means by its finish reason."""

    DONE = enum.auto()  # said all it had to say, calls included
    SEQUENCE = enum.auto()  # hit a stop sequence
    LENGTH = enum.auto()  # hit max_tokens
    WINDOW = enum.auto()  # hit the context window
    REFUSED = enum.auto()  # blocked by a filter
    BROKEN = enum.auto()  # failed: no answer at all


# Lower-cased. What is not here is DONE: a word nobody knows is an end all the same.
ENDINGS: dict[str, Ending] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end", "end_turn", "complete", "done"), Ending.DONE),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), Ending.DONE),
    **dict.fromkeys(("stop_sequence",), Ending.SEQUENCE),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), Ending.LENGTH),
    **dict.fromkeys(("model_context_window_exceeded", "context_length"), Ending.WINDOW),
    **dict.fromkeys(("content_filter", "safety", "recitation", "blocklist"), Ending.REFUSED),
    **dict.fromkeys(("prohibited_content", "sensitive", "refusal"), Ending.REFUSED),
    **dict.fromkeys(("error", "network_error", "abort", "cancelled"), Ending.BROKEN),
    **dict.fromkeys(("insufficient_system_resource",), Ending.BROKEN),
}

# To the right of the colon: without calls, with calls.
REASONS: dict[Ending, tuple[StopReason, StopReason]] = {
    Ending.DONE: ("end_turn", "tool_use"),
    Ending.SEQUENCE: ("stop_sequence", "tool_use"),
    Ending.LENGTH: ("max_tokens", "max_tokens"),
    Ending.WINDOW: ("model_context_window_exceeded", "model_context_window_exceeded"),
    Ending.REFUSED: ("refusal", "refusal"),
}


def ending_of(choice: Choice) -> tuple[Ending, str | None] | None:
    """How `choice` says the answer ended, and the stop sequence it names; None: it has not ended.

    Raises:
        UpstreamFault: UPSTREAM_ERROR or OVERLOADED, where the finish reason stands for a failure.
    """
    reason = choice.finish_reason
    if not isinstance(reason, str) or not reason:  # some servers send "" until the end
        return None
    ending = ENDINGS.get(reason.lower(), Ending.DONE)
    if ending is Ending.BROKEN:
        overloaded = reason.lower() == "insufficient_system_resource"
        kind = FaultKind.OVERLOADED if overloaded else FaultKind.UPSTREAM_ERROR
        raise UpstreamFault(kind, f"the provider broke its answer off with finish reason {reason.lower()!r}")
    if ending not in (Ending.DONE, Ending.SEQUENCE):
        return ending, None
    sequence = _sequence(choice.stop_reason) or _sequence(choice.matched_stop)
    return (Ending.SEQUENCE, sequence) if sequence else (ending, None)


def _sequence(value: Loose) -> str | None:
    # vLLM and SGLang put the matched text here, or the number of a token. Relays of other APIs put a
    # finish reason here, which is no text of the model.
    return value if isinstance(value, str) and value and value not in ENDINGS else None


def stop_reason(ending: Ending, *, called: bool) -> StopReason:
    """Anthropic's word for `ending`; `called`: the answer has at least one tool call."""
    return REASONS[ending][called]


class StopMatcher:
    """Finds the first stop sequence in a text that comes in pieces.

    Only a tail that may still become a sequence is held back, so text without a beginning of one passes at
    once. Of several sequences the one whose end comes first wins, as it does for a model that checks after
    every token; that also makes the result independent of how the text is cut.
    """

    def __init__(self, sequences: Iterable[str]) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """What of the text so far may be shown. After a match (`matched`) nothing more comes."""
        if self.matched is not None:
            return ""
        text = self._held + text
        found = [(text.find(sequence), sequence) for sequence in self._sequences if sequence in text]
        if found:
            start, self.matched = min(found, key=lambda hit: (hit[0] + len(hit[1]), hit[0]))
            self._held = ""
            return text[:start]
        keep = min((possible_start(text, sequence) for sequence in self._sequences), default=len(text))
        self._held = text[keep:]
        return text[:keep]

    def release(self) -> str:
        """The tail that was held back: something else than text follows it."""
        held, self._held = self._held, ""
        return held


def possible_start(text: str, marker: str) -> int:
    """Where the tail of `text` begins that may grow into `marker`; `len(text)` where there is none."""
    at = text.find(marker[0], max(0, len(text) - len(marker) + 1))
    while at >= 0 and not marker.startswith(text[at:]):
        at = text.find(marker[0], at + 1)
    return len(text) if at < 0 else at
