"""Two networks and a bad line between them: packets are lost, held up, or go nowhere at all.

The near network is the one that this process is in, which must be one of its own (`apart`). The far one
exists as long as a thread that lives there, and sockets made there listen there whoever uses them. Both ends
of the line are tun devices, so every packet passes through here.

    async with line_open() as line:
        port = line.far_port()      # at FAR
        line.loss = 0.15
        line.forget()               # what was connected so far is forgotten; new connections pass
        line.loss = 1.0             # the other end has vanished
"""

import ctypes
import fcntl
import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress

import trio

from tests.support.ports import OpenPort

NEAR, FAR, NOBODY = "10.77.0.1", "10.77.0.2", "10.77.0.9"
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_PACKET_BYTES = 65536
_QUEUE = 50  # packets that may wait for a slow line; the rest is dropped, as routers do
_TCP = 6


def lacking() -> str | None:
    """Why there can be no line here, or None."""
    if shutil.which("ip") is None:
        return "there is no `ip`"
    return None if os.access("/dev/net/tun", os.W_OK) else "/dev/net/tun cannot be used"


class Line:
    """The line's state, to be changed at any time. `loss` is a share, `per_second` bytes; None: no limit."""

    def __init__(self, far: ThreadPoolExecutor, *, seed: int = 0) -> None:
        self._far = far
        self._chance = random.Random(seed)
        self._known: set[tuple[int, int]] = set()
        self._forgotten: set[tuple[int, int]] = set()
        self.loss = 0.0
        self.per_second: int | None = None
        self.dropped = 0

    def far_port(self) -> OpenPort:
        """Somewhere to listen at FAR."""
        return OpenPort(self._far.submit(_listening_at, FAR).result())

    def forget(self) -> None:
        """Whatever was connected until now will not be heard of again, as after a router's timeout."""
        self._forgotten |= self._known

    def lets_pass(self, packet: bytes) -> bool:
        """Whether this packet arrives."""
        ports = _ports(packet)
        if ports is not None:
            self._known.add(ports)
        if ports in self._forgotten or self._chance.random() < self.loss:
            self.dropped += 1
            return False
        return True

    async def carry(self, source: int, sink: int) -> None:
        """Carry packets in one direction, for ever."""
        send, receive = trio.open_memory_channel[bytes](_QUEUE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave, receive, sink)
            while True:
                await trio.lowlevel.wait_readable(source)
                self._enter(os.read(source, _PACKET_BYTES), send)

    def _enter(self, packet: bytes, send: trio.MemorySendChannel[bytes]) -> None:
        if not self.lets_pass(packet):
            return
        try:
            send.send_nowait(packet)
        except trio.WouldBlock:
            self.dropped += 1

    async def _leave(self, packets: trio.MemoryReceiveChannel[bytes], sink: int) -> None:
        async for packet in packets:
            if self.per_second is not None:
                await trio.sleep(len(packet) / self.per_second)
            with suppress(OSError):  # the device is going
                os.write(sink, packet)


@asynccontextmanager
async def line_open(*, seed: int = 0) -> AsyncIterator[Line]:
    """A line between this network and a new one."""
    with ExitStack() as undo:
        far = undo.enter_context(ThreadPoolExecutor(max_workers=1, initializer=_move_to_a_new_network))
        ends = [_end("near", NEAR, FAR), far.submit(_end, "far", FAR, NEAR).result()]
        for end in ends:
            undo.callback(os.close, end)
        _run("ip", "route", "add", NOBODY, "dev", "near")
        line = Line(far, seed=seed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.carry, ends[0], ends[1])
            nursery.start_soon(line.carry, ends[1], ends[0])
            yield line
            nursery.cancel_scope.cancel()


def _move_to_a_new_network() -> None:
    """This thread, and no other."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no new network")


def _end(name: str, address: str, other: str) -> int:
    """One end of the line, in the network of the thread that asks: what is read there has left it."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    _run("ip", "address", "add", address, "peer", other, "dev", name)
    _run("ip", "link", "set", name, "up")
    return end


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _listening_at(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((address, 0))
    listener.listen(512)
    return listener


def _ports(packet: bytes) -> tuple[int, int] | None:
    """The two ports of a TCP segment over IPv4, the smaller first."""
    if packet[0] >> 4 != 4 or packet[9] != _TCP:
        return None
    source, target = struct.unpack_from("!HH", packet, (packet[0] & 15) * 4)
    return min(source, target), max(source, target)
