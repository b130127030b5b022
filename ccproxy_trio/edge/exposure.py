"""Which addresses this process listens on already, for servers that open their sockets before they load us.

`ccproxy-trio serve` knows where it binds. Under `hypercorn -b 0.0.0.0:8082` nobody tells us, but the worker
has the listening sockets when it loads the app, and can be asked. Where that cannot be seen (another system
than Linux, a server that binds later), `Guard.check` refuses each request from another machine instead.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ccproxy_trio.settings.hosts import is_loopback

_OWN_FILES = Path("/proc/self/fd")


def open_doors() -> list[str]:
    """The addresses listened on that other machines may reach, each as `host:port`."""
    return [f"{host}:{port}" for host, port in _listening() if not is_loopback(host)]


def _listening() -> Iterator[tuple[str, int]]:
    if not _OWN_FILES.is_dir():
        return
    for entry in sorted(_OWN_FILES.iterdir()):
        with suppress(OSError):  # closed meanwhile, or not asked about TCP
            yield from _listening_at(int(entry.name))


def _listening_at(descriptor: int) -> Iterator[tuple[str, int]]:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return
    with socket.socket(fileno=os.dup(descriptor)) as probed:
        inet = probed.family in (socket.AF_INET, socket.AF_INET6)
        if inet and probed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            host, port = probed.getsockname()[:2]
            yield host, port
