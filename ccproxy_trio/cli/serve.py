"""`ccproxy-trio serve`: the proxy itself."""

import signal
import sys
from functools import partial
from pathlib import Path

import click
import trio

from ccproxy_trio.app import assemble
from ccproxy_trio.cli.bind import guard_bind, open_listener
from ccproxy_trio.cli.pasting import invitation, is_everywhere, shown_url
from ccproxy_trio.cli.server import describe, hypercorn_config, serve_until_stopped
from ccproxy_trio.cli.telling import defaults, load
from ccproxy_trio.journal import Note
from ccproxy_trio.logs.banner import open_console, say
from ccproxy_trio.reload import EVERY_TRIGGER, Reloading, Trigger
from ccproxy_trio.settings.load import Loaded, environment

CRASHED = 1


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    metavar="PATH",
    help="The configuration file. Left out: $CCPROXY_CONFIG, then your configuration folder.",
)
@click.option("--host", help="The address to listen on. Left out: $HOST, then 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one. Left out: $PORT, then 8082."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    help="How much to print: debug adds every attempt and its times. Left out: $LOG_LEVEL, then info.",
)
@click.option(
    "--no-watch",
    "unwatched",
    is_flag=True,
    help="Leave a changed configuration file alone until SIGHUP.",
)
def serve(
    config: Path | None, host: str | None, port: int | None, log_level: str | None, unwatched: bool
) -> None:
    """Run the proxy until Ctrl-C or SIGTERM.

    SIGHUP, and a change of the configuration file, make it take on what the file says now; answers under way
    are not disturbed.

    Colour goes to terminals only; NO_COLOR and FORCE_COLOR are honoured. Exit status: 0 after a signal,
    2 when it could not start (configuration, port), 1 after a crash.
    """
    loaded = load(config)
    fallback = defaults()
    address = (host or fallback.host, fallback.port if port is None else port)
    guard_bind(address[0], loaded.settings)
    triggers = EVERY_TRIGGER - {"file"} if unwatched else EVERY_TRIGGER
    sys.exit(run(loaded, address, log_level=log_level or fallback.log_level, triggers=triggers))


def run(
    loaded: Loaded, address: tuple[str, int], *, log_level: str, triggers: frozenset[Trigger] = EVERY_TRIGGER
) -> int:
    """Serve until a signal; returns the exit status. `triggers` say what reloads the configuration.

    Raises:
        Refused: the address cannot be had.
    """
    settings = loaded.settings
    listener = open_listener(*address, stall_limit=settings.stall_limit)
    url = shown_url(address[0], listener.getsockname()[1])
    journal = open_console(loaded, level=log_level, stream=sys.stderr, environ=environment())
    reloading = Reloading(
        loaded=loaded,
        journal=journal,
        learn=journal.learn_settings,
        hang_up=partial(signal.raise_signal, signal.SIGTERM),
        triggers=triggers,
    )
    app = assemble(settings, journal=journal, tend=reloading.tend)
    config = hypercorn_config(listener, settings, journal)

    lines = invitation(
        url,
        guarded=bool(settings.client_api_keys),
        environ=environment(),
        everywhere=is_everywhere(address[0]),
        passes_credentials=any(provider.passes_credentials for provider in settings.enabled()),
    )

    async def serve_and_say() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_until_stopped, app, config, stop=trio.Event(), journal=journal))
            say(lines, stream=sys.stderr, environ=environment())

    try:
        trio.run(serve_and_say)
    except ExceptionGroup as crash:
        # Past its restarts the proxy ends rather than limps on: its manager starts it afresh.
        journal(Note(level="error", event="server.crashed", text=f"Ended by a fault: {describe(crash)}"))
        return CRASHED
    return 0
