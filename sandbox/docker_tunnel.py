"""The way from a container without a network to the egress proxy, where host and container share nothing.

A relay inside (relay_inside.py, or .pl where there is no Python) listens on the container's own loopback and carries
the connections through its stdin and stdout, which we hold over the engine's API: it works for any user and with a
remote engine. A message is the connection's number and its length, both four bytes (big endian), then the bytes;
length 0 ends that direction. The relay's first message about a connection is empty and opens it; connection 0 says
that the relay listens.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ostro.sandbox.namespace import PROXY_PORT
from ostro.sandbox.protocol import Channel, SandboxError

if TYPE_CHECKING:
    from ostro.sandbox.docker_engine import Engine


HEAD = struct.Struct(">II")
CHUNK_BYTES = 60_000  # a message is then one read of the relay
READY_TIMEOUT_S = 15.0
POLL_S = 1.0
CHOOSE_INTERPRETER = (
    'if command -v python3 >/dev/null; then exec python3 -c "$1" "$0"; fi; '
    'if command -v perl >/dev/null; then exec perl -e "$2" "$0"; fi; echo "neither python3 nor perl" >&2'
)


class Tunnel:
    """Connections from 127.0.0.1:`PROXY_PORT` inside a container to a unix socket of the host.

    Usage:
        with Tunnel(engine.execute(container, relay_argv()), proxy_socket): ...

    Args:
        channel: the relay's streams.
        target: the unix socket that every connection is carried to.

    Raises:
        SandboxError: `setup`, when the relay does not come up.
    """

    def __init__(self, channel: Channel, target: Path) -> None:
        self._channel = channel
        self._target = target
        self._heard = b""
        self._links: dict[int, socket.socket] = {}
        self._last = 0
        self._closed = False
        self._await_ready()
        self._thread = threading.Thread(target=self._listen, name="ostro-tunnel", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the relay and every connection; safe to call twice."""
        self._closed = True
        self._channel.close()
        self._thread.join(2 * POLL_S)
        for link in list(self._links.values()):
            _end(link)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while len(self._heard) < HEAD.size:
            piece = self._channel.receive(max(0.0, deadline - time.monotonic()))
            if not piece:
                why = self._channel.diagnostics().strip() or "no answer"
                self._channel.close()
                mend = "Take an image with python3 or perl, or set up without the network"
                raise SandboxError(f"no way to the proxy from inside: {why}", kind="setup", mend=mend)
            self._heard += piece
        self._heard = self._heard[HEAD.size :]

    def _listen(self) -> None:
        while not self._closed:
            piece = self._channel.receive(POLL_S)
            if piece == b"":
                return
            self._heard += piece or b""
            while len(self._heard) >= HEAD.size:
                number, length = HEAD.unpack_from(self._heard)
                end = HEAD.size + length
                if len(self._heard) < end:
                    break
                self._hand_over(number, self._heard[HEAD.size : end])
                self._heard = self._heard[end:]

    def _hand_over(self, number: int, data: bytes) -> None:
        if number > self._last:
            self._last = number
            self._connect(number)
            return
        link = self._links.get(number)
        if link is None:
            return  # ended on our side already
        with contextlib.suppress(OSError):  # the proxy hung up: its reader tells the other end
            if data:
                link.sendall(data)
            else:
                link.shutdown(socket.SHUT_WR)

    def _connect(self, number: int) -> None:
        link = socket.socket(socket.AF_UNIX)
        self._links[number] = link
        with contextlib.suppress(OSError):
            link.connect(str(self._target))
        threading.Thread(target=self._answer, args=(number, link), daemon=True).start()

    def _answer(self, number: int, link: socket.socket) -> None:
        """Carry what the proxy sends, then its end, to the relay."""
        with contextlib.suppress(OSError, SandboxError):  # a broken tunnel ends every connection of it
            while data := link.recv(CHUNK_BYTES):
                self._channel.send(HEAD.pack(number, len(data)) + data)
        self._links.pop(number, None)
        _end(link)
        with contextlib.suppress(SandboxError):
            self._channel.send(HEAD.pack(number, 0))


def open_tunnel(engine: Engine, container: str, target: Path) -> Tunnel:
    """Start the relay in a running container. Raises SandboxError, see `Tunnel`."""
    folder = resources.files("ostro.sandbox")
    texts = [folder.joinpath(f"relay_inside.{kind}").read_text(encoding="utf-8") for kind in ("py", "pl")]
    argv = ["sh", "-c", CHOOSE_INTERPRETER, str(PROXY_PORT), *texts]
    return Tunnel(engine.execute(container, argv), target)


def _end(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
