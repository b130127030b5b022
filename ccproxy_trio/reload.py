"""A changed configuration is taken on by the running proxy: at SIGHUP, and when its file changes.

A configuration that is broken, or cannot be brought up, changes nothing and is told with all its faults.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Literal

import trio
from msgspec import Struct
from watchfiles import awatch

from ccproxy_trio.edge.application import Application
from ccproxy_trio.edge.exposure import open_doors
from ccproxy_trio.house import House
from ccproxy_trio.journal import Journal, Note
from ccproxy_trio.settings.changes import changes, fixed_until_restart
from ccproxy_trio.settings.load import ConfigError, Loaded, Stamp, load, stamp_of
from ccproxy_trio.settings.model import Settings

Trigger = Literal["signal", "file"]
EVERY_TRIGGER: frozenset[Trigger] = frozenset({"signal", "file"})
SETTLE = 0.5  # seconds after which a file that was faulty is looked at again: it may have been half written
# How the folder is watched, in milliseconds: looked at this often, and told when nothing more has come for
# that long, or this much after the first change. Without any change, a look is due so often.
STEP_MS = 200
DEBOUNCE_MS = 1000
LOOK_EVERY_MS = 5000
MOST_LINKS = 20  # followed from the file's name to the file


class Reloading(Struct, frozen=True, kw_only=True):
    """Where the configuration is from, and what reloads it.

    `learn` is told the next settings before anything is done with them, so that their secrets are kept out
    of the log. `hang_up` is called when the terminal that the proxy was started from has been closed.
    """

    loaded: Loaded
    journal: Journal
    learn: Callable[[Settings], None]
    hang_up: Callable[[], None]
    triggers: frozenset[Trigger] = EVERY_TRIGGER
    doors: Callable[[], list[str]] = open_doors

    async def tend(self, app: Application, house: House) -> None:
        """Reload for as long as the house stands."""
        reloader = Reloader(self, app, house)
        async with trio.open_nursery() as nursery:
            if "signal" in self.triggers and hasattr(signal, "SIGHUP") and _may_take_signals():
                nursery.start_soon(_hear, reloader, self.hang_up)
            if "file" in self.triggers and self.loaded.path is not None:
                nursery.start_soon(_watch, reloader, self.loaded.path, self.journal)


class Reloader:
    """Reads the configuration again and puts it in use. One at a time."""

    def __init__(self, terms: Reloading, app: Application, house: House) -> None:
        self._terms = terms
        self._app = app
        self._house = house
        self._lock = trio.Lock()
        self._last_fault = ""
        self._seen = terms.loaded.stamp
        self._noted = terms.loaded.notes

    async def asked(self) -> None:
        """Somebody wants the configuration to be read again, whether it has changed or not."""
        if self._terms.loaded.path is None:
            text = f"There is no file to read again: the configuration is from {self._terms.loaded.source}."
            self._tell("warning", "config.unchanged", text)
            return
        async with self._lock:
            self._seen = _stamp(self._terms.loaded.path)
            try:
                loaded = await self._read(self._terms.loaded.path)
            except ConfigError as error:
                self._broken(error)
                return
            await self._take_on(loaded)

    async def look(self, path: Path) -> None:
        """Something may have happened to the file: read it if it is another one than when it was read last.

        What else happens in its folder (a log that is written there) costs no more than this look.
        """
        async with self._lock:
            stamp = _stamp(path)
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                loaded = await self._settled(path)
            except ConfigError as error:
                if str(error) != self._last_fault:
                    self._broken(error)
                return
            # Who undoes a mistake wants to read that it is undone.
            if self._last_fault or loaded.settings != self._house.services.settings:
                await self._take_on(loaded)

    async def _settled(self, path: Path) -> Loaded:
        try:
            return await self._read(path)
        except ConfigError:
            await trio.sleep(SETTLE)
            return await self._read(path)

    async def _read(self, path: Path) -> Loaded:
        return await trio.to_thread.run_sync(load, path)

    async def _take_on(self, loaded: Loaded) -> None:
        before, after = self._house.services.settings, loaded.settings
        if not after.client_api_keys and (doors := self._terms.doors()):
            self._refuse(
                f"it has no client key, and whoever reaches {', '.join(doors)} could spend your providers' "
                "keys (set client_api_keys)"
            )
            return
        self._terms.learn(after)
        try:
            await self._house.reload(after)
        except (ConfigError, OSError) as error:
            self._refuse(_in_one_line(error))
            return
        self._app.guard.adopt(after)
        self._last_fault = ""
        self._tell_changes(before, loaded)

    def _tell_changes(self, before: Settings, loaded: Loaded) -> None:
        differences = changes(before, loaded.settings)
        told = "; ".join(differences) if differences else "nothing in it has changed"
        self._tell("info", "config.reloaded", f"Configuration reloaded: {told}.")
        for note in loaded.notes:
            if note not in self._noted:
                self._tell("warning", "config.note", note)
        self._noted = loaded.notes
        for fixed in fixed_until_restart(before, loaded.settings):
            self._tell("warning", "config.fixed", f"Not changed before the next start: {fixed}.")

    def _broken(self, error: ConfigError) -> None:
        self._last_fault = str(error)
        faults = _in_one_line(error)
        text = f"The configuration is broken; the one in use stays in use. {faults}"
        self._tell("error", "config.broken", text)

    def _refuse(self, why: str) -> None:
        self._last_fault = why
        text = f"The configuration cannot be used, and the one in use stays in use: {why}"
        self._tell("error", "config.refused", text)

    def _tell(self, level: str, event: str, text: str) -> None:
        self._terms.journal(Note(level=level, event=event, text=text))


def _in_one_line(error: ConfigError | OSError) -> str:
    if isinstance(error, ConfigError):
        return " · ".join(str(fault) for fault in error.faults)
    return f"{error.strerror or type(error).__name__}"


# -- SIGHUP --------------------------------------------------------------------------------------------


async def _hear(reloader: Reloader, hang_up: Callable[[], None]) -> None:
    """Reload at each SIGHUP, but for the one that says that the terminal is gone."""
    was_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by `nohup`
    had_terminal = _has_terminal()
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            if not had_terminal or _has_terminal():
                await reloader.asked()
            elif not was_ignored:
                hang_up()


def _may_take_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


# -- the file ------------------------------------------------------------------------------------------


async def _watch(reloader: Reloader, path: Path, journal: Journal) -> None:
    """Reload when the file has changed. What cannot be watched is told once, and then left to SIGHUP."""
    while True:
        try:
            await _watch_folders(frozenset(folders(path)), reloader, path)
        except OSError as error:
            reason = error.strerror or str(error)
            text = f"Changes of {path} go unnoticed ({reason}): send SIGHUP after one."
            journal(Note(level="warning", event="config.unwatched", text=text))
            return


async def _watch_folders(watched: frozenset[Path], reloader: Reloader, path: Path) -> None:
    """Have a look whenever something changes in these folders; return when the file is reached otherwise.

    Changes are collected while a look is taken. Should one be missed all the same (a folder was replaced by
    another), it is seen when the next look is due.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_at_the_end, stop)
        watching = awatch(
            *watched,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=stop,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(watching):
            while frozenset(folders(path)) == watched and await anext(watching, None) is not None:
                await reloader.look(path)
        nursery.cancel_scope.cancel()


def _stamp(path: Path) -> Stamp | None:
    """What tells the file from what it was. None: it cannot be reached."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return None


async def _set_at_the_end(stop: trio.Event) -> None:
    """The watching thread is deaf to cancellation, but looks at this event."""
    try:
        await trio.sleep_forever()
    finally:
        stop.set()


def folders(path: Path) -> Iterator[Path]:
    """The folders in which something happens when the file changes, whoever changes it, and however.

    Its own one: an editor puts a new file in the place of the old one. Those of all links on the way to it:
    an orchestrator keeps each version in a folder, and points a link to the newest.
    """
    whole = path.absolute()
    for _ in range(MOST_LINKS):
        yield whole.parent
        if not whole.is_symlink():
            break
        whole = whole.parent / whole.readlink()
    yield whole.resolve().parent
