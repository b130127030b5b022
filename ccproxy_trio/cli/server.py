"""Hypercorn on Trio: its settings, its signals, its log."""

import logging
import signal
import socket
import traceback
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from hypercorn.typing import ASGIFramework

from ccproxy_trio.cli.bind import BACKLOG
from ccproxy_trio.drain import LAST_WORDS
from ccproxy_trio.edge.application import Application
from ccproxy_trio.journal import Journal, Note
from ccproxy_trio.settings.model import Settings

# The same values as config/hypercorn.toml, which says why.
KEEP_ALIVE_TIMEOUT = 120.0  # seconds
HEADER_BYTES = 64 * 1024
ROOM = LAST_WORDS + 2.0  # seconds that Hypercorn leaves a drain beyond its own time


def hypercorn_config(listener: socket.socket, settings: Settings, journal: Journal) -> Config:
    """Hypercorn's settings for one listener, which Hypercorn owns from here on.

    What Hypercorn has to say goes to the journal: its errors as they are, its chatter at debug.
    """
    config = Config()
    # The socket is opened by us, so that a taken port is one clear line before anything is started.
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.alpn_protocols = ["http/1.1"]
    config.keep_alive_timeout = KEEP_ALIVE_TIMEOUT
    config.graceful_timeout = settings.drain_timeout + ROOM
    config.h11_max_incomplete_size = HEADER_BYTES
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = _logger(journal)
    return config


async def serve_until_stopped(
    app: Application,
    config: Config,
    *,
    stop: trio.Event,
    journal: Journal,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stop` is set, or SIGINT or SIGTERM sets it; then let running answers finish.

    Started (`nursery.start`) once requests are served. They have `drain_timeout` seconds to finish, as it is
    configured by then. A second signal ends them at once, with a word to their clients; a third one does not
    wait for that word. What ends the app (failed start, crash) is raised, inside an ExceptionGroup.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as watching:
            watching.start_soon(
                partial(_obey, app, signals, stop, journal=journal, scope=watching.cancel_scope)
            )
            async with trio.open_nursery() as serving:
                trigger = partial(_stopped, app, config, stop)
                served = cast("ASGIFramework", app)
                await serving.start(partial(hypercorn_serve, served, config, shutdown_trigger=trigger))
                task_status.started()
            watching.cancel_scope.cancel()


async def _stopped(app: Application, config: Config, stop: trio.Event) -> None:
    await stop.wait()
    if app.stopping is not None:  # a reload may have changed it
        config.graceful_timeout = app.stopping.drain_timeout + ROOM


async def _obey(
    app: Application,
    signals: AsyncIterator[int],
    stop: trio.Event,
    *,
    journal: Journal,
    scope: trio.CancelScope,
) -> None:
    await anext(signals)
    text = "Stopping: running answers may finish. Press Ctrl-C again to stop at once."
    journal(Note(level="info", event="server.stopping", text=text))
    stop.set()
    await anext(signals)
    app.hurry()
    await anext(signals)
    scope.cancel()


def _logger(journal: Journal) -> logging.Logger:
    logger = logging.Logger("hypercorn.error")
    logger.addHandler(_ToJournal(journal))
    return logger


class _ToJournal(logging.Handler):
    """Hypercorn's log records as journal notes."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        if record.levelno < logging.WARNING:
            level = "debug"
        text = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            text = f"{text}: {describe(record.exc_info[1])}"
        self._journal(Note(level=level, event="server", text=text))


def describe(error: BaseException) -> str:
    """What was raised and where, in one line; of a group the innermost errors, each with its last frame."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(inner) for inner in error.exceptions)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    cause = f", because of {describe(error.__cause__)}" if error.__cause__ else ""
    return "".join(traceback.format_exception_only(error)).strip() + where + cause
