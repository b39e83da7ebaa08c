"""Open a listening socket inside a sandbox's network namespace, where there is nothing but loopback.

The egress proxy then accepts from that socket in the host's process: the sandbox needs no relay, no Python and no
file of ours. The work is done by a short-lived process (sandbox/namespace_listener.py), because a process with
threads cannot change its user namespace.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
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


def listen_inside(pid: int, *, port: int = PROXY_PORT) -> socket.socket:
    """Return a socket that listens on 127.0.0.1:`port` in the network namespace of process `pid`.

    The process must be ours, or we root; its namespaces may be owned by a user namespace below ours.

    Raises:
        SandboxError: `unavailable`: the process is gone, the kernel refuses, the port is taken.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        try:
            with theirs:
                done = subprocess.run(
                    [sys.executable, "-I", "-S", str(_PROGRAM), str(pid), str(theirs.fileno()), str(port)],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_JOIN_TIMEOUT_S,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise _refused(pid, "no answer in time") from error
        if done.returncode != 0:
            raise _refused(pid, done.stderr.decode("utf-8", "replace").strip()[-300:])
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=descriptors[0])


def process_of(sandbox: Sandbox) -> int:
    """Return the id of a process on this host that is in the sandbox's network namespace.

    Raises:
        SandboxError: `unavailable`: the sandbox runs on another machine, or its processes are not ours to see.
    """
    said = sandbox.run(f"cat {_BOOT_ID}; readlink /proc/self/ns/net", timeout_s=_PROBE_S, cwd="/", keep_state=False)
    boot_id, _, namespace = said.output.text().strip().partition("\n")
    # Numbers of namespaces are unique in one running kernel only.
    if boot_id != Path(_BOOT_ID).read_text("ascii").strip():
        raise SandboxError("the sandbox runs on another machine", kind="unavailable")
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if str(link.readlink()) == namespace:
                return int(link.parts[2])
    raise SandboxError("no process of the sandbox is ours to see", kind="unavailable")


def _refused(pid: int, why: str) -> SandboxError:
    return SandboxError(f"the network namespace of process {pid} cannot be joined: {why}", kind="unavailable")
