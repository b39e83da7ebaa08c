"""One bounded HTTP request: a cap on the bytes, a deadline for the whole, no redirect followed unseen.

Used by forge/github.py for the API and by forge/images.py for pictures.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ostro.agent.errors import IssueError

if TYPE_CHECKING:
    import httpx2

CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Fetched:
    """An answer, whole.

    Attributes:
        headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def location(self) -> str:
        """Where a redirect leads; "" when it is none."""
        return self.headers.get("location", "") if self.status in (301, 302, 303, 307, 308) else ""


def fetch(
    client: httpx2.Client,
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    server_name: str = "",
    method: str = "GET",
    content: bytes | None = None,
) -> Fetched:
    """GET `url`, or send `content` to it.

    Args:
        client: must not follow redirects.
        url: what is asked for; errors name its host only.
        max_bytes: a larger answer is refused as soon as that is known.
        timeout_s: for the whole exchange, so that a server cannot hold us byte by byte; on a connection that is used
            again, for each byte until its headers are whole.
        headers: further request headers.
        server_name: the TLS server name, where `url` holds a checked address instead of the name.
        method: of HTTP.
        content: body of the request.

    Raises:
        IssueError: no connection, no answer in time, too large, or an encoding that was not asked for.
    """
    import httpx2

    told = {"Accept-Encoding": "identity", **(headers or {})}
    host = server_name or httpx2.URL(url).host
    deadline = time.monotonic() + timeout_s
    try:
        with (
            _ended_at(deadline) as trace,
            client.stream(
                method,
                url,
                content=content,
                headers=told,
                follow_redirects=False,
                timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
                extensions={"trace": trace, **({"sni_hostname": server_name} if server_name else {})},
            ) as answer,
        ):
            body = _read(answer, host, max_bytes=max_bytes, deadline=deadline)
            return Fetched(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)
    except httpx2.TimeoutException as error:
        raise _too_slow(host) from error
    except httpx2.HTTPError as error:
        if time.monotonic() > deadline:
            raise _too_slow(host) from error
        raise IssueError(f"{host} cannot be reached: {error}", mend="Check the network and its proxy.") from error


def _read(answer: httpx2.Response, host: str, *, max_bytes: int, deadline: float) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise IssueError(f"{host} sends a compressed answer that was not asked for")
    declared = answer.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(host, max_bytes)
    body = bytearray()
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(host, max_bytes)
        if time.monotonic() > deadline:
            raise _too_slow(host)
    if time.monotonic() > deadline:  # an end that may be ours
        raise _too_slow(host)
    return bytes(body)


@contextmanager
def _ended_at(deadline: float) -> Generator[Callable[[str, Mapping[str, Any]], None]]:
    """Give a trace function that ends the connections which it sees opened when their time is over.

    The client's own time limit is for each read: a handshake or headers that drip would never run into it.
    """
    opened: list[socket.socket] = []

    def end() -> None:
        for connection in opened:
            with contextlib.suppress(OSError):  # ended already
                connection.shutdown(socket.SHUT_RDWR)

    def trace(name: str, info: Mapping[str, Any]) -> None:
        if name == "connection.connect_tcp.complete":
            opened.append(info["return_value"].get_extra_info("socket").dup())  # TLS takes the socket itself away
            if time.monotonic() > deadline:
                end()

    timer = threading.Timer(deadline - time.monotonic(), end)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
        timer.join()
        for connection in opened:
            connection.close()


def _too_large(host: str, max_bytes: int) -> IssueError:
    return IssueError(f"the answer of {host} is larger than the limit of {max_bytes // 1024} KiB")


def _too_slow(host: str) -> IssueError:
    return IssueError(f"{host} does not answer in time", mend="Check the network and its proxy, then try again.")
