"""Reading answers' bodies out of httpx without leaving half-run generators behind."""

from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import trio


async def abandon(chunks: AsyncIterator[bytes]) -> None:
    """Leave a body early. `aclose()` would reach the outermost of httpx's nested generators only.

    A read that is cancelled passes through all of them, and closes the connection on its way.
    """
    with trio.CancelScope() as leaving, suppress(httpx.HTTPError):
        leaving.cancel()
        async for _ in chunks:
            pass
