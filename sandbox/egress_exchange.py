"""One connection of the egress proxy: a request, the decision, and the bytes both ways until one side ends it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ostro.sandbox.egress_connect import CHUNK, Denied, Streams, Verdict, connect, connect_upstream, open_tunnel
from ostro.sandbox.egress_rules import EgressRules, Upstream, canonical_host, is_address
from ostro.sandbox.egress_wire import (
    BadRequestError,
    Request,
    closing_answer,
    hello_fault,
    hello_size,
    parse_request,
)

HEAD_BYTES = 16 * 1024


@dataclass(frozen=True)
class EgressLimits:
    """What one proxy lets through at most.

    Attributes:
        sent_bytes: from the sandbox, per connection: fetching packages needs little, carrying data away much.
        received_bytes: to the sandbox, all connections together.
        connect_s: for resolving and connecting; also for the client's request head and TLS hello.
        idle_s: without a byte in either direction.
        connection_s: whole life of a connection.
        connections: at the same time; further ones wait.
    """

    sent_bytes: int = 8 * 1024**2
    received_bytes: int = 16 * 1024**3
    connect_s: float = 20.0
    idle_s: float = 120.0
    connection_s: float = 1800.0
    connections: int = 64


@dataclass(frozen=True)
class EgressRecord:
    """One request that the sandbox made.

    Attributes:
        verdict: allowed and served, refused by a rule, or failed on the way.
        reason: why it was refused or failed; for an allowed one, what allowed it.
        address: where it went; the upstream proxy's name where one was used.
        sent_bytes: from the sandbox.
        received_bytes: to the sandbox.
    """

    host: str
    port: int
    verdict: Verdict
    reason: str = ""
    address: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0
    duration_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.verdict} {self.host}:{self.port} ({self.reason}), {self.received_bytes} bytes"


class Exchange:
    """Serves one client of the proxy.

    Args:
        charge: counts bytes for the sandbox; False when all connections together brought too many.
    """

    def __init__(
        self, rules: EgressRules, limits: EgressLimits, client: Streams, charge: Callable[[int], bool]
    ) -> None:
        self._rules = rules
        self._limits = limits
        self._reader, self._writer = client
        self._charge = charge
        self._sent = 0
        self._received = 0
        self._moved_at = 0.0
        self._tunnelling = False

    async def serve(self) -> EgressRecord | None:
        """Answer the request and say what became of it; None where the client said nothing."""
        started = time.monotonic()
        record = EgressRecord("", 0, "failed")
        try:
            async with asyncio.timeout(self._limits.connect_s):
                request = parse_request(await self._reader.readuntil(b"\r\n\r\n"))
            record = replace(record, host=canonical_host(request.host), port=request.port)
            record = await self._fulfil(request, record)
        except asyncio.IncompleteReadError as error:
            if not error.partial and not record.host:
                return None
            record = replace(record, reason="the client ended early")
        except (BadRequestError, asyncio.LimitOverrunError) as error:
            await self._refuse("400 Bad Request", str(error))
            record = replace(record, verdict="refused", reason=str(error))
        except Denied as denied:
            await self._refuse(denied.status, str(denied))
            record = replace(record, verdict=denied.verdict, reason=str(denied))
        except OSError as error:  # TimeoutError is one
            await self._refuse("504 Gateway Timeout", "no answer in time")
            record = replace(record, reason=str(error) or "no answer in time")
        took = time.monotonic() - started
        return replace(record, sent_bytes=self._sent, received_bytes=self._received, duration_s=took)

    async def _fulfil(self, request: Request, record: EgressRecord) -> EgressRecord:
        entry = self._rules.entry_for(record.host, record.port)
        if entry is None:
            what = "an address; names alone can be" if is_address(record.host) else "not"
            raise Denied("403 Forbidden", "refused", f"{record.host}:{record.port} is {what} on the allow-list")
        upstream = self._rules.upstream_for(record.host, record.port)
        async with asyncio.timeout(self._limits.connect_s):
            if upstream is None:
                origin, address = await connect(entry, record.port)
            else:
                origin, address = await connect_upstream(upstream), f"via {upstream.host}:{upstream.port}"
            try:
                first = await self._opening(request, record, upstream, origin)
            except BaseException:
                origin[1].close()
                raise
        await self._pump(origin, first, tunnel=request.tunnel)
        return replace(record, verdict="allowed", reason=entry.source, address=address)

    async def _opening(
        self, request: Request, record: EgressRecord, upstream: Upstream | None, origin: Streams
    ) -> bytes:
        """Return the first bytes for the origin: the fetch, or the TLS hello of a tunnel."""
        authorization = upstream.authorization if upstream else ""
        if not request.tunnel:
            return request.absolute(authorization) if upstream else request.forward
        if upstream:
            await open_tunnel(origin, f"{record.host}:{record.port}", authorization)
        return await self._tunnel_hello(record.host)

    async def _tunnel_hello(self, host: str) -> bytes:
        """Tell the client that the tunnel stands; return its TLS hello, if that asks for `host` and no other."""
        self._tunnelling = True
        self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._writer.drain()
        start = await self._reader.readexactly(5)
        size = hello_size(start)
        if size is None:
            raise Denied("", "refused", "the tunnel does not carry TLS")
        hello = start + await self._reader.readexactly(size - len(start))
        if not is_address(host) and (fault := hello_fault(hello, host)):
            raise Denied("", "refused", fault)
        return hello

    async def _pump(self, origin: Streams, first: bytes, *, tunnel: bool) -> None:
        """Copy both ways until the origin has ended, or a limit is reached; of a fetch only the answer."""
        self._moved_at = time.monotonic()
        origin[1].write(first)
        self._count_sent(len(first))
        downward = asyncio.create_task(self._downward(origin[0], tunnel=tunnel))
        upward = asyncio.create_task(self._upward(origin[1], tunnel=tunnel))
        tasks = {downward, upward, asyncio.create_task(self._watch())}
        pending = tasks
        try:
            # The client's end of file is not the end of the answer: only the origin's is.
            while downward in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            origin[1].close()

    async def _downward(self, origin: asyncio.StreamReader, *, tunnel: bool) -> None:
        if not tunnel:
            await self._answer_head(origin)
        await self._copy(origin, self._writer, self._count_received)

    async def _answer_head(self, origin: asyncio.StreamReader) -> None:
        """Pass the head of an answer on, so changed that the client sends no second request on this connection."""
        try:
            answer = closing_answer(await origin.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, BadRequestError) as error:
            raise Denied("502 Bad Gateway", "failed", "the origin gave no HTTP answer") from error
        self._moved_at = time.monotonic()
        self._count_received(len(answer))
        self._writer.write(answer)
        await self._writer.drain()

    async def _upward(self, origin: asyncio.StreamWriter, *, tunnel: bool) -> None:
        # What follows a fetch could be a request for another host, which the next proxy or server would serve.
        await self._copy(self._reader, origin if tunnel else None, self._count_sent)
        if origin.can_write_eof():
            origin.write_eof()

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter | None, count: Callable[[int], None]
    ) -> None:
        while data := await source.read(CHUNK):
            self._moved_at = time.monotonic()
            count(len(data))
            if target is not None:
                target.write(data)
                await target.drain()

    def _count_sent(self, size: int) -> None:
        self._sent += size
        if self._sent > self._limits.sent_bytes:
            raise Denied("", "refused", f"more than {self._limits.sent_bytes} bytes sent")

    def _count_received(self, size: int) -> None:
        self._received += size
        if not self._charge(size):
            raise Denied("", "refused", f"more than {self._limits.received_bytes} bytes received")

    async def _watch(self) -> None:
        """End the exchange when it idles or outlives its time."""
        ends_at = time.monotonic() + self._limits.connection_s
        while (left := min(ends_at, self._moved_at + self._limits.idle_s) - time.monotonic()) > 0:
            await asyncio.sleep(left)
        raise Denied("", "failed", "the connection idled or lasted too long")

    async def _refuse(self, status: str, reason: str) -> None:
        if not status or self._tunnelling or self._received or self._writer.is_closing():
            return
        body = f"ostro egress proxy: {reason}\n".encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        with contextlib.suppress(OSError):
            self._writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            async with asyncio.timeout(1.0):
                await self._writer.drain()
