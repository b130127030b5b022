"""Proxies forked off a process that has imported everything: most of a start is waiting for imports.

A forked proxy is the command line from its arguments on, with an environment, a folder and an output of its
own, and it ends as any Python ends. What is left out is what the interpreter does before; how users start the
proxy is tested as users do it.

    python -m tests.support.warm FD

forks for whoever holds the other end of the socket FD, until that is closed. An order is one packet: an
`Order` with three descriptors: one for the output, one on which the process's number is told and at last its
exit status, one on which the process itself tells of its inside.
"""

import atexit
import functools
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

import ccproxy_trio.cli.serve  # noqa: F401  # the command that is asked for, so that it is here before the fork
from ccproxy_trio.cli.main import main as command_line
from tests.support.inside import Line, answer_on

_ROOT = Path(__file__).parents[2]
_ORDER_BYTES = 1 << 16


class Order(Struct, frozen=True, kw_only=True):
    """What to run."""

    arguments: list[str]
    cwd: str
    env: dict[str, str]


class Forked:
    """A process forked for us, with what we use of `subprocess.Popen`, and a `line` to its inside."""

    def __init__(self, waiter: socket.socket, line: Line) -> None:
        self.pid = _received(waiter)
        self.line = line
        self.returncode: int | None = None
        self._waiter = waiter

    def poll(self) -> int | None:
        """Its exit status once it has ended; minus the signal where one has ended it."""
        if self.returncode is None and select.select([self._waiter], [], [], 0)[0]:
            self.returncode = _received(self._waiter)
            self._waiter.close()
            self.line.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it has not come after `timeout` seconds.
        """
        if self.returncode is None:
            select.select([self._waiter], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(["forked"], timeout or 0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: BinaryIO) -> Forked:
    """`ccproxy-trio ARGUMENTS...` in a session of its own, with nothing on its standard input."""
    ours, theirs = socket.socketpair()
    asking, telling = socket.socketpair()
    order = Order(arguments=list(arguments), cwd=str(cwd), env=dict(env))
    with theirs, telling:
        handed = [output.fileno(), theirs.fileno(), telling.fileno()]
        socket.send_fds(_launcher(), [msgspec.json.encode(order)], handed)
    return Forked(ours, Line(asking))


@functools.cache
def _launcher() -> socket.socket:
    """Our end of the socket of a launcher that lives as long as we do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    atexit.register(process.wait)  # last registered, first called: it ends once the socket is closed
    atexit.register(ours.close)
    return ours


def _received(waiter: socket.socket) -> int:
    number = waiter.recv(4, socket.MSG_WAITALL)
    if len(number) != 4:
        raise ChildProcessError("the launcher has ended")
    return int.from_bytes(number, "big", signed=True)


def _serve(orders: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the waiters
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _ORDER_BYTES, 3)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _fork_and_tell(order, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_and_tell(order: bytes, output: int, teller: int, inside: int) -> None:
    """In a process of its own: fork once more, tell the number, wait, tell the exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(teller)
        answer_on(socket.socket(fileno=inside))
        _become(msgspec.json.decode(order, type=Order), output)
    os.close(output)
    os.close(inside)
    with socket.socket(fileno=teller) as told:
        told.sendall(pid.to_bytes(4, "big", signed=True))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        told.sendall(status.to_bytes(4, "big", signed=True))
    os._exit(0)


def _become(order: Order, output: int) -> None:
    """Be the command; it ends the process."""
    os.setsid()
    os.chdir(order.cwd)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.environ.clear()
    os.environ.update(order.env)
    command_line(order.arguments, prog_name="ccproxy-trio")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
