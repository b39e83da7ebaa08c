"""The attached streams of a container's first process, over the engine's API.

sandbox/docker.py attaches before the container starts, so nothing is lost. The engine multiplexes stdout and stderr
in frames: one byte stream number, three zeros, four bytes length (big endian), then the payload.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ostro.sandbox.protocol import SandboxError

STDERR = 2
HEADER_BYTES = 8
CHUNK_BYTES = 256 * 1024
DIAGNOSTIC_BYTES = 8 * 1024
SEND_TIMEOUT_S = 60.0
BACKLOG_BYTES = 64 * 1024 * 1024  # what may arrive unread while we write; above it the container has to wait


class FrameReader:
    """Take the engine's frames apart; payloads are passed on in pieces, as they arrive.

    Usage:
        for stream, piece in reader.feed(data): ...
    """

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the payload pieces in `data` with the number of their stream (1 stdout, 2 stderr)."""
        pieces: list[tuple[int, bytes]] = []
        at = 0
        while at < len(data):
            if not self._left:
                take = HEADER_BYTES - len(self._header)
                self._header += data[at : at + take]
                at += take
                if len(self._header) < HEADER_BYTES:
                    break
                self._stream = self._header[0]
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            pieces.append((self._stream, piece))
        return pieces


class AttachedChannel:
    """A `Channel` over the raw socket of an attach request.

    Args:
        sock: connected socket whose HTTP head is already consumed; closed by `close`.
        close_with: called by `close`; holds alive what the socket needs (the HTTP response).
    """

    def __init__(self, sock: socket.socket, close_with: Sequence[Callable[[], None]] = ()) -> None:
        self._sock = sock
        self._close_with = tuple(close_with)
        self._frames = FrameReader()
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._stderr = bytearray()
        self._ended = False
        self._closed = False
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, data: bytes) -> None:
        """Write all of `data`, taking in meanwhile what the container writes: neither side can block the other.

        Raises:
            SandboxError: `transport`, when the peer is gone or took nothing for a minute.
        """
        with self._sending:
            view = memoryview(data)
            deadline = time.monotonic() + SEND_TIMEOUT_S
            while view:
                sent = self._try_send(view)
                if sent:
                    view = view[sent:]
                    deadline = time.monotonic() + SEND_TIMEOUT_S
                    continue
                self._wait_writable(deadline)

    def _try_send(self, view: memoryview) -> int:
        if self._closed:
            raise SandboxError("the connection to the container is closed", kind="transport")
        try:
            return self._sock.send(view[:CHUNK_BYTES])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise SandboxError(f"the connection to the container broke: {error}", kind="transport") from error

    def _wait_writable(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise SandboxError(f"the container took no input for {SEND_TIMEOUT_S:.0f} s", kind="transport")
        if self._ended:
            raise SandboxError("the container's first process has ended", kind="transport")
        wanted = select.POLLOUT
        if self._arrived_bytes < BACKLOG_BYTES:
            wanted |= select.POLLIN
        for _, event in self._poll(wanted, 1.0):
            if event & select.POLLIN and self._receiving.acquire(blocking=False):  # else another thread drains
                try:
                    self._pull()
                finally:
                    self._receiving.release()

    def receive(self, timeout_s: float) -> bytes | None:
        """Return the next bytes of stdout, b"" at the end of the stream, None when nothing came in time."""
        deadline = time.monotonic() + timeout_s
        with self._receiving:
            while True:
                if self._arrived:
                    piece = self._arrived.popleft()
                    self._arrived_bytes -= len(piece)
                    return piece
                if self._ended or self._closed:
                    return b""
                if self._pull():
                    continue
                left = deadline - time.monotonic()
                if left <= 0 or not self._readable(left):
                    return None

    def _readable(self, timeout_s: float) -> bool:
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        return bool(self._poll(select.POLLIN, timeout_s))

    def _poll(self, wanted: int, timeout_s: float) -> list[tuple[int, int]]:
        """Wait for events of the socket; one that another thread closed meanwhile is said to have ended."""
        poller = select.poll()
        try:
            poller.register(self._sock, wanted)
        except ValueError:  # a closed socket has no descriptor
            return [(-1, select.POLLHUP)]
        return poller.poll(timeout_s * 1000)

    def _pull(self) -> bool:
        """Read once without waiting; return whether anything was learnt."""
        try:
            data = self._sock.recv(CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            data = b""  # a broken connection is the end of the stream: the sandbox asks the engine what happened
        if not data:
            self._ended = True
            return True
        for stream, piece in self._frames.feed(data):
            if stream == STDERR:
                self._stderr += piece
                del self._stderr[:-DIAGNOSTIC_BYTES]
            else:
                self._arrived.append(piece)
                self._arrived_bytes += len(piece)
        return True

    def diagnostics(self) -> str:
        """Return the last 8 KiB of the first process's stderr."""
        return self._stderr.decode("utf-8", "replace")

    def close(self) -> None:
        """Release the descriptor; the engine then closes the container's stdin (StdinOnce)."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        for close in self._close_with:
            close()
