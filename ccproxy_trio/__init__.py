"""ccproxy_trio: run Claude Code on the providers you choose, and keep it running when one fails."""

from typing import TYPE_CHECKING

from ccproxy_trio.version import __version__

if TYPE_CHECKING:
    from ccproxy_trio.edge.application import Application

__all__ = ["__version__", "create_app"]


def create_app() -> "Application":
    """The ASGI app; what `hypercorn -k trio "ccproxy_trio:create_app()"` serves. See `ccproxy_trio.app`."""
    # Imported when called, so that `import ccproxy_trio.wire.sse` needs neither Quart nor httpx nor Trio.
    from ccproxy_trio.app import create_app as create

    return create()
