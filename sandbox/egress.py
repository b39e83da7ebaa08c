"""The allow-list proxy: the only way from a sandbox to the outside, and only while its environment is set up.

It runs in a thread of the host's process and listens on a unix socket, or on listeners that were made inside a
sandbox's network namespace (sandbox/namespace.py). It takes `CONNECT host:443` and absolute `http://` fetches for
the hosts of its rules, resolves the names on the host, refuses private addresses, checks that a TLS client asks for
the host that it named, goes through the host's own proxy where there is one, and records every request.
One connection's way through it is in sandbox/egress_exchange.py, the rules are in sandbox/egress_rules.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Self

from ostro.sandbox.egress_exchange import HEAD_BYTES, EgressLimits, EgressRecord, Exchange
from ostro.sandbox.egress_rules import EgressRules
from ostro.sandbox.namespace import listen_inside, network_of
from ostro.sandbox.protocol import Sandbox

_KEPT_RECORDS = 10_000
_ANSWER_S = 30.0
"""How long the proxy's thread may take for what it is asked: `on_request` writes to a disk, and that may hang."""

log = logging.getLogger(__name__)


class EgressProxy:
    """A running proxy; starts in the constructor, ends with `close` or the `with` block.

    Usage:
        with EgressProxy(rules, unix_socket=folder / "proxy.sock") as proxy:
            proxy.serve(listener)  # a listening socket made elsewhere
        proxy.records

    Args:
        rules: what may be reached.
        unix_socket: where to listen as well; its folder must exist.
        on_request: called in the proxy's thread with the record of each request when it has ended.

    Raises:
        OSError: the unix socket cannot be made.
    """

    def __init__(
        self,
        rules: EgressRules,
        *,
        unix_socket: Path | None = None,
        on_request: Callable[[EgressRecord], None] | None = None,
        limits: EgressLimits | None = None,
    ) -> None:
        self.rules = rules
        self.unix_socket = unix_socket
        self._limits = limits or EgressLimits()
        self._on_request = on_request
        self._records: deque[EgressRecord] = deque(maxlen=_KEPT_RECORDS)
        self._received = 0
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(self._limits.connections)
        self._thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self._thread.start()
        if unix_socket is not None:
            try:
                self.serve(_bind_unix(unix_socket, self._limits.connections))
            except OSError:
                self.close()
                raise

    @property
    def records(self) -> tuple[EgressRecord, ...]:
        """The requests that have ended, oldest first; the last 10,000."""
        return tuple(self._records)

    def serve(self, listener: socket.socket) -> None:
        """Accept from a listening socket, which now belongs to the proxy."""
        listener.setblocking(False)
        self._call(self._listen(listener))

    def serve_inside(self, sandbox: Sandbox) -> None:
        """Let the commands of an open sandbox on this machine find the proxy at 127.0.0.1:3128 (`PROXY_VARIABLES`).

        Raises:
            SandboxError: `unavailable`: it runs elsewhere, or its network namespace is not ours to enter.
        """
        with network_of(sandbox) as network:
            self.serve(listen_inside(network))

    def close(self) -> None:
        """Cut every connection and end the thread; safe to call twice. A thread that does not answer is left behind."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop)
        self._thread.join(_ANSWER_S)
        if self._thread.is_alive():
            log.warning("the egress proxy does not end: %d connections are left to it", len(self._tasks))
        if self.unix_socket is not None:
            self.unix_socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def _call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    async def _listen(self, listener: socket.socket) -> None:
        self._start(self._accept_from(listener))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept_from(self, listener: socket.socket) -> None:
        with listener:
            while True:
                connection, _ = await self._loop.sock_accept(listener)
                self._start(self._client(connection))

    async def _client(self, connection: socket.socket) -> None:
        with connection:
            unix = connection.family == socket.AF_UNIX
            opened = asyncio.open_unix_connection if unix else asyncio.open_connection
            reader, writer = await opened(sock=connection, limit=HEAD_BYTES)
            try:
                async with self._slots:
                    record = await Exchange(self.rules, self._limits, (reader, writer), self._charge).serve()
                # Recorded before the connection is closed: who sees its end can also see the record.
                if record is not None:
                    self._records.append(record)
                    if self._on_request is not None:
                        self._on_request(record)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            except asyncio.CancelledError:
                writer.transport.abort()
                await asyncio.sleep(0)
                raise

    async def _shut(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop.stop()

    def _charge(self, received: int) -> bool:
        """Count bytes for the sandbox; False above what all connections may bring together."""
        self._received += received
        return self._received <= self._limits.received_bytes


def _bind_unix(path: Path, backlog: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
