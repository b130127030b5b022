"""What is asked of every answer's body: that it came plain, and that no half-run generator is left behind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import httpx
import trio

COMPRESSED = "it compressed an answer that was to come plain"


def is_compressed(headers: Mapping[str, str]) -> bool:
    """Whether it came otherwise than `accept-encoding: identity` asked for."""
    return headers.get("content-encoding", "identity") not in ("identity", "")


async def abandon(chunks: AsyncIterator[bytes]) -> None:
    """Leave a body early. `aclose()` would reach the outermost of httpx's nested generators only.

    A read that is cancelled passes through all of them, and closes the connection on its way.
    """
    with trio.CancelScope() as leaving, suppress(httpx.HTTPError):
        leaving.cancel()
        async for _ in chunks:
            pass
