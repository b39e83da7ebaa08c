"""Where the egress proxy connects to: the address of an allowed name, or the host's own proxy."""

from __future__ import annotations

import asyncio
import socket
from typing import Literal

from ostro.sandbox.egress_rules import EgressEntry, Upstream, refused_address

Verdict = Literal["allowed", "refused", "failed"]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHUNK = 64 * 1024


class Denied(Exception):  # noqa: N818  # carries an answer for the client, not a fault of ours
    """Ends one exchange.

    Attributes:
        status: of the answer to the client; "" where it is too late for one.
        verdict: for the record.
    """

    def __init__(self, status: str, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.verdict: Verdict = verdict


async def connect(entry: EgressEntry, port: int) -> tuple[Streams, str]:
    """Resolve on the host and connect to the first address that may be reached and answers.

    The name is resolved once: the address that was judged is the one that is used, whatever the name says next.

    Raises:
        Denied: it has no address, leads to a refused one, or nothing answers there.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(entry.host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Denied("502 Bad Gateway", "failed", f"{entry.host} has no address here ({error})") from error
    denial = Denied("502 Bad Gateway", "failed", f"{entry.host} has no address here")
    for info in found:
        address = str(info[4][0])
        if not entry.private and (why := refused_address(address)):
            denial = Denied("403 Forbidden", "refused", f"{entry.host} leads to {address}: {why}")
            continue
        try:
            return await asyncio.open_connection(address, port, limit=CHUNK), address
        except OSError as error:
            denial = Denied("502 Bad Gateway", "failed", f"{address}: {error}")
    raise denial


async def connect_upstream(upstream: Upstream) -> Streams:
    """Connect to the host's own proxy, which resolves the names itself.

    Raises:
        Denied: it does not answer.
    """
    import ssl

    context = ssl.create_default_context() if upstream.tls else None
    try:
        return await asyncio.open_connection(upstream.host, upstream.port, ssl=context)
    except OSError as error:
        reason = f"the proxy of this host, {upstream.host}:{upstream.port}: {error}"
        raise Denied("502 Bad Gateway", "failed", reason) from error


async def open_tunnel(proxy: Streams, target: str, authorization: str) -> None:
    """Ask the host's own proxy for a tunnel to `target`.

    Raises:
        Denied: it refuses, or gives no answer.
    """
    proof = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
    proxy[1].write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{proof}\r\n".encode("latin-1"))
    try:
        head = await proxy[0].readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Denied("502 Bad Gateway", "failed", "the proxy of this host gave no answer") from error
    if head.split(b" ", 2)[1:2] != [b"200"]:
        answer = head.split(b"\r\n", 1)[0][:80].decode("latin-1")
        raise Denied("502 Bad Gateway", "failed", f"the proxy of this host answered {answer!r}")
