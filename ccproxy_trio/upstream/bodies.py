"""What is asked of every answer's body: that it came plain."""

from collections.abc import Mapping

COMPRESSED = "it compressed an answer that was to come plain"


def is_compressed(headers: Mapping[str, str]) -> bool:
    """Whether it came otherwise than `accept-encoding: identity` asked for."""
    return headers.get("content-encoding", "identity") not in ("identity", "")
