"""One bounded HTTP request: a cap on the bytes, a deadline for the whole, no redirect followed unseen.

Used by forge/github.py for the API and by forge/images.py for pictures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        timeout_s: for the whole exchange, so that a server cannot hold us byte by byte.
        headers: further request headers.
        server_name: the TLS server name, where `url` holds a checked address instead of the name.
        method: of HTTP.
        content: body of the request.

    Raises:
        IssueError: no connection, no answer in time, too large, or an encoding that was not asked for.
    """
    import httpx2

    deadline = time.monotonic() + timeout_s
    told = {"Accept-Encoding": "identity", **(headers or {})}
    host = server_name or httpx2.URL(url).host
    try:
        with client.stream(
            method,
            url,
            content=content,
            headers=told,
            follow_redirects=False,
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            extensions={"sni_hostname": server_name} if server_name else {},
        ) as answer:
            body = _read(answer, host, max_bytes=max_bytes, deadline=deadline)
            return Fetched(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)
    except httpx2.TimeoutException as error:
        raise _too_slow(host) from error
    except httpx2.HTTPError as error:
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
    return bytes(body)


def _too_large(host: str, max_bytes: int) -> IssueError:
    return IssueError(f"the answer of {host} is larger than the limit of {max_bytes // 1024} KiB")


def _too_slow(host: str) -> IssueError:
    return IssueError(f"{host} does not answer in time", mend="Check the network and its proxy, then try again.")
