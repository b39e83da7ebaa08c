"""A program, not a module: join a network namespace and send back a socket that listens there.

    python -I -S namespace_listener.py NETWORK DESCRIPTOR PORT

Started by sandbox/namespace.py with the descriptors of the namespace and of a socket pair, over which the listener
goes back.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000
NS_GET_USERNS = 0xB701  # linux/nsfs.h
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
BACKLOG = 64


def join_network(network: int) -> None:
    """Enter a network namespace, through the user namespace that owns it where that is not ours."""
    try:
        set_namespace(network, CLONE_NEWNET)
    except PermissionError:
        set_namespace(fcntl.ioctl(network, NS_GET_USERNS), CLONE_NEWUSER)
        set_namespace(network, CLONE_NEWNET)


def set_namespace(descriptor: int, kind: int) -> None:
    """Call setns(2); `os.setns` is not in Python 3.11."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def raise_loopback() -> None:
    """Make sure that the loopback device is up: a new namespace starts with it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        if not flags & IFF_UP:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def main(network: int, descriptor: int, port: int) -> None:
    """Send the listener over `descriptor`."""
    host_network = Path("/proc/self/ns/net").stat().st_ino
    join_network(network)
    if Path("/proc/self/ns/net").stat().st_ino == host_network:
        raise OSError("it shares the network of the host")
    raise_loopback()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        with socket.socket(fileno=descriptor) as back:
            socket.send_fds(back, [b"l"], [listener.fileno()])


if __name__ == "__main__":
    try:
        main(*(int(argument) for argument in sys.argv[1:4]))
    except OSError as error:
        sys.exit(str(error))
