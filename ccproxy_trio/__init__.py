"""ccproxy_trio: run Claude Code on the providers you choose, and keep it running when one fails."""

from ccproxy_trio.version import __version__

__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> object:
    # `hypercorn "ccproxy_trio:create_app()"` finds the factory here. Importing it lazily keeps
    # `import ccproxy_trio.wire.sse` (tests, benchmarks) free of Quart, httpx and Trio.
    if name == "create_app":
        from ccproxy_trio.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
