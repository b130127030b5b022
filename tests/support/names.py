"""A name server on loopback that says what a test wants, or nothing; and a resolver that asks it.

Only for a network and a mount namespace of one's own (`apart`).
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trio

from tests.support.apart import put_over, take_away

_RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
_A, _AAAA = 1, 28
_ANSWERED, _NO_SUCH_NAME = 0x8180, 0x8183  # flags: a response, recursion, and the code
_TTL = 0


class NameServer:
    """`addresses` by name; others are told not to exist, but those in `silent` are not answered at all."""

    def __init__(self, addresses: Mapping[str, tuple[str, ...]], *, silent: frozenset[str]) -> None:
        self._addresses = addresses
        self._silent = silent
        self.asked: list[str] = []

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer on port 53, for ever."""
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            await asked.bind(("127.0.0.1", 53))
            task_status.started()
            while True:
                question, whence = await asked.recvfrom(512)
                answer = self._answer(question)
                if answer is not None:
                    await asked.sendto(answer, whence)

    def _answer(self, question: bytes) -> bytes | None:
        name, end = _name_in(question)
        self.asked.append(name)
        if name in self._silent:
            return None
        (kind,) = struct.unpack_from("!H", question, end)
        wanted = [packed for packed in map(_packed, self._addresses.get(name, ())) if packed[0] == kind]
        flags = _ANSWERED if name in self._addresses else _NO_SUCH_NAME
        records = [
            struct.pack("!HHHIH", 0xC00C, kind, 1, _TTL, len(address)) + address for kind, address in wanted
        ]
        header = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return header + question[12 : end + 4] + b"".join(records)


def _name_in(question: bytes) -> tuple[str, int]:
    """The name that is asked for, and where it ends."""
    at, labels = 12, []
    while size := question[at]:
        labels.append(question[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels).lower(), at + 1


def _packed(address: str) -> tuple[int, bytes]:
    if ":" in address:
        return _AAAA, socket.inet_pton(socket.AF_INET6, address)
    return _A, socket.inet_pton(socket.AF_INET, address)


@contextmanager
def resolver_on_loopback(folder: Path) -> Iterator[None]:
    """While inside, names are asked for at 127.0.0.1."""
    content, there = folder / "resolv.conf", Path("/etc/resolv.conf").resolve()
    content.write_text(_RESOLVER)
    put_over(there, content)
    try:
        yield
    finally:
        take_away([there])
