"""`unshare -n -- python -m tests.support.isolated COMMAND...`: loopback up, then the command, in its place.

A new network namespace has nothing but a loopback interface that is down. It is brought up here rather than
with `ip`, which not every machine has.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h


def way_in(namespaces: str = "n") -> list[str] | None:
    """The command prefix that runs something without a network here, or None where that is not permitted.

    `namespaces` are letters of `unshare`'s: with "nm", files can be put over others too.
    """
    for flags in (f"-{namespaces}", f"-r{namespaces}"):  # root needs no user namespace; others do
        prefix = ["unshare", flags, "--"]
        try:
            subprocess.run([*prefix, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return [*prefix, sys.executable, "-m", "tests.support.isolated"]
    return None


def bring_loopback_up() -> None:
    """What `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        name, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | _IFF_UP))


if __name__ == "__main__":
    bring_loopback_up()
    os.execvp(sys.argv[1], sys.argv[1:])
