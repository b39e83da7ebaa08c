"""What a client of the egress proxy says, read as data: the head of a request, the name in a TLS hello.

Pure functions on bytes; sandbox/egress.py does the talking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOP_BY_HOP = frozenset(
    {"connection", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"}
)
_BODY_HEADERS = frozenset({"content-length", "transfer-encoding"})
_OF_THE_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection"})
_FETCHING = frozenset({"GET", "HEAD"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_TARGET = re.compile(r"[\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""All but the tab: what one program takes for the end of a line, another for a part of it."""

_RECORD_HEADER = 5
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ENCRYPTED_HELLO = 0xFE0D


class BadRequestError(ValueError):
    """The request cannot be served as it is; the text goes back to the client."""


@dataclass(frozen=True)
class Request:
    """One request to the proxy.

    Attributes:
        tunnel: CONNECT; otherwise a plain HTTP fetch with `forward` as the head to send to the origin.
    """

    tunnel: bool
    host: str
    port: int
    forward: bytes = b""

    def absolute(self, authorization: str) -> bytes:
        """Return `forward` as another proxy wants it: with the whole URL, and its credential if there is one."""
        method, path_and_rest = self.forward.split(b" ", 1)
        first, rest = path_and_rest.split(b"\r\n", 1)
        netloc = f"[{self.host}]" if ":" in self.host else self.host
        proof = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
        start = f"http://{netloc}:{self.port}".encode("latin-1")
        return b"%s %s%s\r\n%s%s" % (method, start, first, proof.encode("latin-1"), rest)


def parse_request(head: bytes) -> Request:
    """Read a request head, up to and with its empty line.

    Raises:
        BadRequestError: malformed, not CONNECT or an absolute http URL, or a fetch with a body.
    """
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if any(_CONTROL.search(line) for line in lines):
        raise BadRequestError("a control character in the head of the request")
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.rpartition(" ")
    if version not in {"HTTP/1.0", "HTTP/1.1"} or not _TARGET.fullmatch(target):
        raise BadRequestError("not an HTTP/1.1 request line")
    if method == "CONNECT":
        host, port = _authority(target, default=0)
        return Request(tunnel=True, host=host, port=port)
    if method not in _FETCHING:
        raise BadRequestError(f"only GET and HEAD are forwarded, not {method[:16]!r}")
    return _fetch(method, target, lines[1:])


def _fetch(method: str, target: str, header_lines: list[str]) -> Request:
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise BadRequestError(f"not a URL: {error}") from error
    if parts.scheme != "http" or not parts.netloc or "@" in parts.netloc:
        raise BadRequestError("the target must be an absolute http:// URL without a user")
    host, port = _authority(parts.netloc, default=80)
    kept: list[str] = []
    for line in header_lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequestError(f"not a header line: {line[:80]!r}")
        if name.lower() in _BODY_HEADERS:
            if value.strip() != "0":
                raise BadRequestError("a request with a body is not forwarded")
        elif name.lower() not in _HOP_BY_HOP:
            kept.append(line)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    first = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    return Request(False, host, port, "\r\n".join([*first, *kept, "", ""]).encode("latin-1"))


def _authority(text: str, *, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequestError(f"bad host or port: {text[:80]!r}") from error
    if not host or not host.isascii() or set("@/\\?#") & set(text) or not (port or default):
        raise BadRequestError(f"bad host or port: {text[:80]!r}")
    return host, port or default


def hello_size(start: bytes) -> int | None:
    """Return how many bytes the first TLS record has with its header, or None when this is not a handshake."""
    if len(start) < _RECORD_HEADER or start[0] != _HANDSHAKE or start[1] != 3:
        return None
    return _RECORD_HEADER + int.from_bytes(start[3:5], "big")


def hello_fault(record: bytes, host: str) -> str:
    """Say why a tunnel to `host` must not begin with this TLS record; "" when it may.

    A client that may reach one host of a content network could otherwise ask it for another one's pages.
    """
    if any(kind == _ENCRYPTED_HELLO for kind, _ in _extensions(record)):
        return "the TLS client hides which host it asks for (encrypted hello)"
    name = server_name(record)
    return "" if name == host else f"the TLS client asks for {name!r} instead"


def server_name(record: bytes) -> str | None:
    """Return the host that a TLS ClientHello asks for, None when it names none, or several.

    RFC 8446 §4.1.2, RFC 6066 §3.
    """
    bodies = [body for kind, body in _extensions(record) if kind == _SERVER_NAME]
    if len(bodies) != 1:
        return None
    names = _Reader(bodies[0])
    listed = _Reader(names.take(names.number(2)))
    kind, name = listed.number(1), listed.take(listed.number(2))
    if kind != 0 or listed.left or names.left:
        return None
    return name.decode("ascii", "replace").lower() or None


def _extensions(record: bytes) -> list[tuple[int, bytes]]:
    reader = _Reader(record[_RECORD_HEADER:])
    if reader.take(1)[:1] != bytes([_CLIENT_HELLO]):
        return []
    reader.take(3 + 2 + 32)  # length, version, random
    reader.take(reader.number(1))  # session id
    reader.take(reader.number(2))  # cipher suites
    reader.take(reader.number(1))  # compression methods
    extensions = _Reader(reader.take(reader.number(2)))
    found: list[tuple[int, bytes]] = []
    while extensions.left:
        found.append((extensions.number(2), extensions.take(extensions.number(2))))
    return found


def closing_answer(head: bytes) -> bytes:
    """Return the head of an HTTP answer with `Connection: close` in the place of what it said of the connection.

    Raises:
        BadRequestError: it is none.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not first.startswith(b"HTTP/1."):
        raise BadRequestError("not an HTTP/1.1 answer")
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in _OF_THE_CONNECTION]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


class _Reader:
    """Takes fields off the front; one that is cut off yields nothing, which reads as "no name"."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def left(self) -> int:
        return len(self._data)

    def take(self, count: int) -> bytes:
        taken, self._data = self._data[:count], self._data[count:]
        return taken if len(taken) == count else b""

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")
