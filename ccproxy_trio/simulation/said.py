"""What every simulated answer says."""

from collections.abc import Sequence

import msgspec

WORDS = ("This ", "is ", "a ", "simulated ", "answer, ", "and ", "nothing ", "was ", "sent ", "anywhere.")
TEXT = "".join(WORDS)


def encoded(value: object) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)


def named(events: Sequence[dict[str, object]]) -> bytes:
    """Events of a stream in which each is called by its type."""
    return b"".join(
        b"event: " + str(event["type"]).encode() + b"\ndata: " + encoded(event) + b"\n\n" for event in events
    )
