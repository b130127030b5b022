"""Peers as processes: started one by one, each in a home and a process group of its own, ended with it."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from msgspec import Struct

from benchmarks.answers import END_OF_ANSWER
from benchmarks.load import Ask
from benchmarks.peers import Peer
from benchmarks.peers_launch import SMALL, Launch, Route, Site, ask, environment, launch
from benchmarks.processes import cores, pin
from benchmarks.scripted import bound_socket
from benchmarks.subjects import Mode

STARTED_WITHIN = 90.0  # seconds to the first right answer; some take ten
RIGHT_WITHIN = 15.0  # seconds from the first answer of any kind to a right one
ANSWER_WITHIN = 10.0
LOOK_EVERY = 0.01
CHUNK_BYTES = 65536
TOLD_LETTERS = 200


class NotStarted(Exception):
    """A peer does not run, or does not answer as it should. The text says what it said."""


class Contender(Struct, frozen=True, kw_only=True):
    """A program that has answered its first request, `start_seconds` after it was started."""

    peer: Peer
    site: Site
    pid: int
    start_seconds: float

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self.site.port

    def ask(self, model: str, mode: Mode) -> Ask:
        """What it is sent for `model`."""
        return ask(self.peer, self.site, model, mode)


@asynccontextmanager
async def started(
    peer: Peer, folder: Path, *, upstream: str, routes: Mapping[str, Route]
) -> AsyncIterator[Contender]:
    """Start `peer` from its installation in `folder`, on the core of those who are measured.

    `upstream`: base URL. The first answer is awaited on the route of `SMALL`. On leaving, its whole process
    group is killed and its home removed.

    Raises:
        NotStarted: no right answer came. (In an ExceptionGroup.)
    """
    with TemporaryDirectory(prefix=f"{peer.name}-") as home:
        site = Site(port=_free_port(), home=Path(home), folder=folder, upstream=upstream, routes=routes)
        launched = launch(peer, site)
        _write(launched.files, site.home)
        log = site.home / "printed.log"
        async with trio.open_nursery() as nursery:
            began_at = trio.current_time()
            process = await _spawn(nursery, launched, site.home, log)
            try:
                pin(process.pid, cores().subject)
                await _until_it_answers(process, site.port, ask(peer, site, SMALL, Mode.WHOLE), log)
                seconds = trio.current_time() - began_at
                yield Contender(peer=peer, site=site, pid=process.pid, start_seconds=seconds)
            finally:
                _kill_group(process.pid)  # also where only its children are left
                nursery.cancel_scope.cancel()


async def _spawn(nursery: trio.Nursery, launched: Launch, home: Path, log: Path) -> trio.Process:
    with log.open("wb") as printed:
        start = partial(
            trio.run_process,
            launched.command,
            check=False,
            env=environment(launched, home),
            cwd=launched.folder or home,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process: trio.Process = await nursery.start(start)
        except OSError as error:
            raise NotStarted(f"{launched.command[0]}: {error.strerror}") from error
    return process


def _kill_group(pid: int) -> None:
    """Nothing in it is worth an orderly end."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _write(files: Mapping[str, bytes], home: Path) -> None:
    for name, content in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _free_port() -> int:
    """A port that was free a moment ago: peers open theirs themselves."""
    with bound_socket() as bound:
        port: int = bound.getsockname()[1]
        return port


async def _until_it_answers(process: trio.Process, port: int, wanted: Ask, log: Path) -> None:
    """Wait for the first right answer; whether all later ones are right, the load generator sees."""
    answer = b""
    with trio.move_on_after(STARTED_WITHIN) as deadline:
        while process.poll() is None:
            found = await _answer(port, wanted)
            if found.startswith(b"HTTP/1.1 200") and END_OF_ANSWER in found:
                return
            if found and not answer:
                deadline.deadline = min(deadline.deadline, trio.current_time() + RIGHT_WITHIN)
            answer = found or answer
            await trio.sleep(LOOK_EVERY)
    printed = await trio.Path(log).read_text(errors="replace")
    if process.returncode is not None:
        raise NotStarted(f"it ended with status {process.returncode}: {_last_words(printed)}")
    if answer:
        raise NotStarted(f"it answers wrongly: {_last_words(answer.decode(errors='replace'))}")
    raise NotStarted(f"it did not answer in {STARTED_WITHIN:.0f} s: {_last_words(printed)}")


async def _answer(port: int, wanted: Ask) -> bytes:
    """Head and body, over a connection for it alone; nothing where nobody listens yet."""
    headers = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/json",
        "content-length": str(len(wanted.body)),
        "anthropic-version": "2023-06-01",
        "x-api-key": "any",
        "authorization": "Bearer any",
        "connection": "close",
    } | dict(wanted.headers)
    lines = [f"POST {wanted.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    answer = bytearray()
    with trio.move_on_after(ANSWER_WITHIN), suppress(OSError):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all("\r\n".join([*lines, "", ""]).encode() + wanted.body)
            while END_OF_ANSWER not in answer and (data := await stream.receive_some(CHUNK_BYTES)):
                answer += data
    return bytes(answer)


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines or ["nothing was said"])[-1][:TOLD_LETTERS]
