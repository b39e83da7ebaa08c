"""Fetch the pictures of an issue on the host, with size, type and address checks.

An issue is untrusted, and so are its links: no address of a private network is reached (checked on the very address
that is connected to, again after each redirect), no credential is sent, and only bytes that are a picture are kept.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from ostro.agent.errors import IssueError
from ostro.agent.markdown_code import blanked
from ostro.forge.fetch import fetch
from ostro.forge.pixels import measured, shrunk
from ostro.forge.protocol import FetchedImage, IssueLimits

if TYPE_CHECKING:
    import httpx2

MAX_REDIRECTS = 3

_READ_CHARS = 256 * 1024
_MARKDOWN_IMAGE = re.compile(r"!\[[^\[\]\n]*+\]\(\s*+<?(?P<url>https?://[^\s)>\"'<]++)")
_HTML_IMAGE = re.compile(r"<img\s[^<>]*+>", re.IGNORECASE)
_SOURCE = re.compile(r"\ssrc\s*+=\s*+[\"']?(?P<url>https?://[^\s\"'<>]++)", re.IGNORECASE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def image_urls(markdown: str) -> tuple[str, ...]:
    """Return the addresses of the pictures that a Markdown text shows, in order, each once."""
    shown = blanked(markdown[:_READ_CHARS])
    found = [(match.start(), match["url"]) for match in _MARKDOWN_IMAGE.finditer(shown)]
    for tag in _HTML_IMAGE.finditer(shown):
        found += [(match.start(), match["url"]) for match in _SOURCE.finditer(shown, tag.start(), tag.end())]
    return tuple(dict.fromkeys(url for _, url in sorted(found)))


def fetch_images(
    urls: tuple[str, ...], limits: IssueLimits, *, private_hosts: frozenset[str] = frozenset()
) -> tuple[tuple[FetchedImage, ...], tuple[str, ...]]:
    """Fetch at most `limits.images` pictures.

    Args:
        urls: as `image_urls` gives them.
        limits: sizes and times.
        private_hosts: hosts that may have a private address and plain http: an Enterprise server's own.

    Returns:
        The pictures, and one line for each that was left out and why.
    """
    import httpx2

    images: list[FetchedImage] = []
    told: list[str] = []
    if len(urls) > limits.images:
        told.append(f"{len(urls) - limits.images} pictures of the issue left out: at most {limits.images} are shown.")
    # No environment: neither a proxy, which would look the name up itself, nor a .netrc with passwords.
    # No connection is used again, so that the time limit holds for each from its start.
    limit = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(follow_redirects=False, trust_env=False, limits=limit) as client:
        for url in urls[: limits.images]:
            try:
                images.append(_fetch_one(client, url, limits, private_hosts))
            except IssueError as error:
                told.append(f"A picture of the issue was left out: {error}.")
    return tuple(images), tuple(told)


def is_public_address(text: str) -> bool:
    """Whether an IP address belongs to the public internet, also when IPv6 wraps an IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public_address(str(wrapped))
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _fetch_one(client: httpx2.Client, url: str, limits: IssueLimits, private_hosts: frozenset[str]) -> FetchedImage:
    place = url
    for _ in range(MAX_REDIRECTS + 1):
        checked, name = _checked(place, private_hosts)
        answer = fetch(
            client,
            checked,
            headers={"Host": name, "User-Agent": "ostro", "Accept": "image/*"},
            max_bytes=limits.image_bytes,
            timeout_s=limits.timeout_s,
            server_name=name.partition(":")[0],
        )
        if not answer.location:
            break
        place = urljoin(place, answer.location)
    else:
        raise IssueError(f"{urlsplit(url).netloc} redirects in a circle")
    if answer.status != 200:
        raise IssueError(f"{urlsplit(place).netloc} answers with status {answer.status}")
    return _as_image(url, answer.body, limits)


def _as_image(url: str, data: bytes, limits: IssueLimits) -> FetchedImage:
    size = measured(data)
    if size is None:
        raise IssueError(f"what {urlsplit(url).netloc} sends is no PNG, JPEG, GIF or WebP")
    media_type, width, height = size
    if not 0 < width <= limits.image_pixels or not 0 < height <= limits.image_pixels:
        raise IssueError(f"it has {width} x {height} pixels, more than {limits.image_pixels}")
    return shrunk(FetchedImage(url=url, media_type=media_type, data=data, width=width, height=height))


def _checked(url: str, private_hosts: frozenset[str]) -> tuple[str, str]:
    """Return the URL with the host replaced by an address that was checked, and the name for Host and TLS."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise IssueError(f"its address is not valid: {error}") from error
    private = host in private_hosts
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise IssueError(f"{host or 'its address'} is not reached by https")
    if port not in (None, 443) and not private:
        raise IssueError(f"{host} is asked for on port {port}")
    address = _address(host, port or 443, private=private)
    shown = f"[{address}]" if ":" in address else address
    suffix = f":{port}" if port else ""
    return parts._replace(netloc=shown + suffix, fragment="").geturl(), host + suffix


def _address(host: str, port: int, *, private: bool) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise IssueError(f"the host {host} is not known") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not private and not all(is_public_address(address) for address in addresses):
        raise IssueError(f"{host} has an address of a private network")
    return addresses[0]
