"""The vocabulary between the two halves of an answer: what a `Reader` says and an `Emitter` shows.

Parts know nothing of blocks, indices or events: two providers may take turns behind one client stream, and
only the client's half can know which block is open.
"""

from collections.abc import Sequence

from msgspec import Struct

from ccproxy_trio.wire.events import Passage, StopDetails, StopReason, Usage


class Thinking(Struct, frozen=True):
    """Reasoning to show. Never empty."""

    text: str


class ThinkingSignature(Struct, frozen=True):
    """Reasoning pauses here: the signature of the thinking block, if one is open; else of no meaning.

    It comes before the first other content even where there was no reasoning, because a keep-alive may have
    opened a thinking block that now has to be signed.
    """

    signature: str


class RedactedThinking(Struct, frozen=True):
    """State for the provider's next request, with nothing to show."""

    data: str


class Text(Struct, frozen=True):
    """Text to show. Never empty."""

    text: str


class TextEnd(Struct, frozen=True):
    """The text that comes next is a block of its own."""


class ToolStart(Struct, frozen=True):
    """A tool call begins. `id` is ours, `name` the client's."""

    id: str
    name: str


class ToolArguments(Struct, frozen=True):
    """More of the JSON text of the arguments. Never empty."""

    json_text: str


class ToolEnd(Struct, frozen=True):
    """The arguments are complete."""


class Heading(Struct, frozen=True):
    """Headers of the provider's answer that the client gets, too; before all else. Names in lower case."""

    headers: tuple[tuple[str, str], ...]


class Finished(Struct, frozen=True):
    """The answer is over; the last part. `usage` is None where the provider told none."""

    stop_reason: StopReason
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Usage | None = None


Translated = (
    Text
    | TextEnd
    | Thinking
    | ToolArguments
    | ToolStart
    | ToolEnd
    | ThinkingSignature
    | RedactedThinking
    | Finished
)
Part = Translated | Heading | Passage

_CONTENT = frozenset({Text, Thinking, ToolStart})


def content_bearing(parts: Sequence[Part]) -> bool:
    """Whether showing `parts` commits to this provider: text, reasoning, or the start of a call."""
    return any(part.shows if type(part) is Passage else type(part) in _CONTENT for part in parts)
