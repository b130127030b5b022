"""`ccproxy-trio demo`: the same server over simulated providers, with a tour."""

import socket
import sys
from functools import partial

import click
import trio

from ccproxy_trio.app import assemble
from ccproxy_trio.cli.bind import open_listener
from ccproxy_trio.cli.pasting import invitation, shown_url
from ccproxy_trio.cli.server import hypercorn_config, serve_until_stopped
from ccproxy_trio.cli.telling import Refused, defaults
from ccproxy_trio.demo.screen import Screen
from ccproxy_trio.demo.stage import open_stage
from ccproxy_trio.demo.tour import Tour
from ccproxy_trio.demo.visitor import Visitor
from ccproxy_trio.logs.banner import open_console, say
from ccproxy_trio.logs.lines import marked
from ccproxy_trio.settings.load import Loaded, environment

LOOPBACK = "127.0.0.1"
STALL_LIMIT = 60.0  # seconds
OFF_SCRIPT = 1


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port; 0 takes a free one. Left out: 8082, or a free one if that is taken.",
)
@click.option("--once", is_flag=True, help="End after the tour (exit status 0 if it went as it should).")
def demo(port: int | None, once: bool) -> None:
    """See it work without a key: three simulated providers, one of them moody, one down at first.

    It is the real server, on this machine only. After a tour of a quarter of a minute it goes on serving
    until Ctrl-C, so that Claude Code can be pointed at it.
    """
    fallback = defaults()
    listener = choose_listener(port, usual=fallback.port)
    try:
        went_well = trio.run(partial(_play, listener, level=fallback.log_level, once=once))
    except ExceptionGroup as group:
        if group.split(BrokenPipeError)[1] is not None:
            raise
        went_well = False  # nobody is watching any more
    sys.exit(0 if went_well else OFF_SCRIPT)


def choose_listener(port: int | None, *, usual: int) -> socket.socket:
    """The port asked for; if none was, the usual one or else a free one."""
    if port is not None:
        return open_listener(LOOPBACK, port, stall_limit=STALL_LIMIT)
    try:
        return open_listener(LOOPBACK, usual, stall_limit=STALL_LIMIT)
    except Refused:
        return open_listener(LOOPBACK, 0, stall_limit=STALL_LIMIT)


async def _play(listener: socket.socket, *, level: str, once: bool) -> bool:
    """Serve, and play the tour beside; returns whether it went as it should (or was cut short by Ctrl-C)."""
    port = listener.getsockname()[1]
    lines = tuple(invitation(shown_url(LOOPBACK, port), guarded=False, environ=environment()))
    screen = Screen(stream=sys.stdout, environ=environment())
    stop = trio.Event()
    async with open_stage() as stage, trio.open_nursery() as nursery:
        loaded = Loaded(
            settings=stage.settings(), source="the demo's own, over simulated providers", path=None, notes=()
        )
        journal = screen.beside(open_console(loaded, level=level, stream=sys.stdout, environ=environment()))
        app = assemble(loaded.settings, journal=journal)
        config = hypercorn_config(listener, loaded.settings, journal)
        await nursery.start(partial(serve_until_stopped, app, config, stop=stop, journal=journal))
        say(lines, stream=sys.stdout, environ=environment())
        went_well = True
        playing = trio.CancelScope()
        nursery.start_soon(_cancel_when, stop, playing)
        with playing:
            went_well = await Tour(Visitor(LOOPBACK, port), screen, phoenix_is_up=stage.phoenix_is_up).play()
        if once:
            stop.set()
        elif not stop.is_set():
            screen.line()
            screen.line(
                marked("ok", "That was the tour. The proxy goes on until Ctrl-C; now it is your turn:")
            )
            say(lines[2:], stream=sys.stdout, environ=environment())
    return went_well


async def _cancel_when(stop: trio.Event, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()
