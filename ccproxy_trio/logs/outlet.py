"""Lines to a stream that may be slow, full or gone, without ever holding up or ending the server."""

import contextlib
import os
import select
from collections import deque
from typing import TextIO

# A pipe that polls as writable takes this many bytes without blocking (POSIX PIPE_BUF is at least 512, Linux
# has 4096), so a longer line is cut.
LONGEST_LINE = 4000
BACKLOG_LINES = 1000
PATIENCE_MS = 50


class Outlet:
    """Writes whole lines. Never raises for the state of the stream, never blocks for long.

    A terminal stopped with Ctrl-S, or a pipe whose reader sleeps, makes a plain write block, and with it
    every request of a single-threaded server. So a stream is asked first whether it takes more; if not,
    lines wait here and follow with the next one that gets through (past `BACKLOG_LINES` the newest are
    dropped and counted). A stream whose reader has gone is given up for good.
    """

    def __init__(self, stream: TextIO, *, patience_ms: int = PATIENCE_MS) -> None:
        self._stream = stream
        self._patience_ms = patience_ms
        self._fileno = _fileno(stream)
        self._backlog: deque[str] = deque()
        self._dropped = 0
        self._gone = False

    def write(self, line: str) -> None:
        """Write one line (without its line end), or keep it for later."""
        if self._gone:
            return
        patience_ms = 0 if self._backlog else self._patience_ms
        if len(self._backlog) < BACKLOG_LINES:
            self._backlog.append(line)
        else:
            self._dropped += 1
        while self._backlog and self._takes_more(patience_ms):
            self._put(self._backlog.popleft())
        if self._dropped and not self._backlog and self._takes_more(0):
            missing, self._dropped = self._dropped, 0
            self._put(f"⚠️  {missing} lines are missing here: nobody was reading")

    def _takes_more(self, patience_ms: int) -> bool:
        if self._fileno is None:
            return True
        poll = select.poll()
        poll.register(self._fileno, select.POLLOUT)
        return bool(poll.poll(patience_ms))

    def _put(self, line: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        data = line.encode(encoding, "replace")[:LONGEST_LINE]
        try:
            if self._fileno is None:
                self._stream.write(data.decode(encoding, "ignore") + "\n")
                self._stream.flush()
            else:
                # Past the stream's buffer: what cannot be written (the disk is full, the terminal closed)
                # would stay in it, fail once more at exit and turn exit status 0 into 120.
                _write(self._fileno, data.decode(encoding, "ignore").encode(encoding) + b"\n")
        except BlockingIOError:
            self._dropped += 1
        except (BrokenPipeError, ValueError):  # the reader left, or the stream was closed
            self._give_up()
        except OSError:  # a full disk may have room again later
            self._dropped += 1

    def _give_up(self) -> None:
        self._gone = True
        self._backlog.clear()
        if self._fileno is None:
            return
        # What the stream still buffers would fail again at exit and turn exit status 0 into 120.
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._fileno)
            os.close(nowhere)


def _write(fileno: int, data: bytes) -> None:
    while data:
        data = data[os.write(fileno, data) :]


def _fileno(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # not backed by a file, or closed
        return None
