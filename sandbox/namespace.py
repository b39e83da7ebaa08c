"""Open a listening socket inside a sandbox's network namespace, where there is nothing but loopback.

The egress proxy then accepts from that socket in the host's process: the sandbox needs no relay, no Python and no
file of ours. The work is done by a short-lived process (sandbox/namespace_listener.py), because a process with
threads cannot change its user namespace.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ostro.sandbox.protocol import Sandbox, SandboxError

PROXY_HOST = "127.0.0.1"
PROXY_PORT = 3128
"""Where commands inside find the proxy (3128 is the usual port of a web proxy)."""

PROXY_VARIABLES = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), f"http://{PROXY_HOST}:{PROXY_PORT}"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
}
"""For commands that may use the proxy."""

_PROBE_S = 10.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_JOIN_TIMEOUT_S = 10.0
_PROGRAM = Path(__file__).with_name("namespace_listener.py")


def listen_inside(network: int, *, port: int = PROXY_PORT) -> socket.socket:
    """Return a socket that listens on 127.0.0.1:`port` in a network namespace.

    Args:
        network: descriptor of the namespace; it must be ours, or we root; a user namespace below ours may own it.
        port: where to listen.

    Raises:
        SandboxError: `unavailable`: the kernel refuses, the port is taken, or it is the network of the host.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        try:
            with theirs:
                done = subprocess.run(
                    [sys.executable, "-I", "-S", str(_PROGRAM), str(network), str(theirs.fileno()), str(port)],
                    pass_fds=(network, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_JOIN_TIMEOUT_S,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise _refused("no answer in time") from error
        if done.returncode != 0:
            raise _refused(done.stderr.decode("utf-8", "replace").strip()[-300:])
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=descriptors[0])


@contextmanager
def network_of(sandbox: Sandbox) -> Generator[int]:
    """Open the sandbox's network namespace, seen from one of its processes on this host.

    The processes come and go, and their numbers are used again for others; the open namespace stays what it is.

    Raises:
        SandboxError: `unavailable`: the sandbox runs on another machine, or its processes are not ours to see.
    """
    said = sandbox.run(f"cat {_BOOT_ID}; readlink /proc/self/ns/net", timeout_s=_PROBE_S, cwd="/", keep_state=False)
    boot_id, _, name = said.output.text().strip().partition("\n")
    # Numbers of namespaces are unique in one running kernel only.
    if boot_id != Path(_BOOT_ID).read_text("ascii").strip():
        raise SandboxError("the sandbox runs on another machine", kind="unavailable")
    network = _open_network(name)
    try:
        yield network
    finally:
        os.close(network)


def _open_network(name: str) -> int:
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if str(link.readlink()) != name:
                continue
            network = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
            if str(Path(f"/proc/self/fd/{network}").readlink()) == name:
                return network
            os.close(network)
    raise SandboxError("no process of the sandbox is ours to see", kind="unavailable")


def _refused(why: str) -> SandboxError:
    return SandboxError(f"the network namespace of the sandbox cannot be joined: {why}", kind="unavailable")
