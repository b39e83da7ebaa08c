"""Which hosts the egress proxy (sandbox/egress.py) reaches, and which addresses it never does.

Names are allowed one by one, exactly, with their ports: no patterns, and a name below an allowed one is another name.
Addresses are judged after the host has resolved a name, so
that a name which points into a private network leads nowhere. Only an entry that comes from the host's own
settings (its package index, its registry) may be private.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote, urlsplit

HTTPS_PORT = 443
HTTP_PORT = 80

REGISTRY_HOSTS = (
    "pypi.org",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "proxy.golang.org",
    "sum.golang.org",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "security.ubuntu.com",
    "ports.ubuntu.com",
    "dl-cdn.alpinelinux.org",
)
"""Public package registries: what set-up commands of a repository may reach without being asked for."""

_REFUSED_NETWORKS = tuple(
    ip_network(text)
    for text in (
        # IANA special-purpose registries, RFC 6890 and its updates. The documentation blocks are left out:
        # nothing lives there to be protected, and closed networks use them for their mirrors.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # metadata of Azure, a public address; those of other clouds lie in the blocks below
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_ISATAP = 0x0000_5EFE  # RFC 5214 §6.1, without the bits that say "universal" and "group"
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class EgressEntry:
    """One host that may be reached.

    Attributes:
        host: exact name, lower case; no patterns. An address only where `private` is set.
        ports: the ports of that host.
        private: its address may be private, loopback or this machine's own: the host's own registry.
        source: where the entry comes from, for the record: "registry", or the setting that named it.
    """

    host: str
    ports: tuple[int, ...] = (HTTP_PORT, HTTPS_PORT)
    private: bool = False
    source: str = "registry"


@dataclass(frozen=True)
class Upstream:
    """The proxy through which the host itself reaches the outside.

    Attributes:
        authorization: value of Proxy-Authorization, or ""; it stays in the host's process.
        tls: the proxy itself is spoken to over TLS.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)
    tls: bool = False


@dataclass(frozen=True)
class EgressRules:
    """Everything that the proxy decides by. The first entry that names a host and port counts."""

    entries: tuple[EgressEntry, ...] = tuple(EgressEntry(host) for host in REGISTRY_HOSTS)
    upstream: Upstream | None = None
    no_proxy: str = ""

    def entry_for(self, host: str, port: int) -> EgressEntry | None:
        """Return the entry that allows `host` at `port`, or None."""
        name = canonical_host(host)
        return next((entry for entry in self.entries if entry.host == name and port in entry.ports), None)

    def upstream_for(self, host: str, port: int) -> Upstream | None:
        """Return the host's own proxy unless its NO_PROXY excepts this name."""
        return None if _excepted(host, port, self.no_proxy) else self.upstream


def _excepted(host: str, port: int, no_proxy: str) -> bool:
    """Read NO_PROXY as curl does: "*", names with everything below them, an optional port."""
    names = [name.strip().lower().removeprefix("*").lstrip(".") for name in no_proxy.split(",")]
    if "*" in (name.strip() for name in no_proxy.split(",")):
        return True
    candidates = (host, f"{host}:{port}")
    return any(name and any(c == name or c.endswith(f".{name}") for c in candidates) for name in names)


def canonical_host(host: str) -> str:
    """Lower case, without the final dot or the brackets of an IPv6 address."""
    return host.lower().rstrip(".").removeprefix("[").removesuffix("]")


def is_address(host: str) -> bool:
    """Whether a canonical host is an IP address rather than a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def refused_address(text: str) -> str:
    """Say why an address is not to be reached: "private", "this machine"; "" when it may be.

    Addresses that carry an IPv4 one inside (mapped, 6to4, Teredo, NAT64, ISATAP) are judged by that one too.
    """
    address = ip_address(text.partition("%")[0])
    if any(_in_refused_network(part) for part in (address, *_embedded(address))):
        return "private, loopback, link-local or reserved address"
    return "address of this machine" if _is_own(address) else ""


def _in_refused_network(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in _REFUSED_NETWORKS if network.version == address.version)


def _embedded(address: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    if isinstance(address, IPv4Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (int(address) >> 32) & 0xFCFF_FFFF == _ISATAP:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return tuple(inner for inner in found if inner is not None)


def _is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether a socket of ours can be bound to it: no list of interfaces is needed."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def upstream_from_environment() -> tuple[Upstream | None, str]:
    """Read HTTPS_PROXY, HTTP_PROXY or ALL_PROXY of the host, and NO_PROXY.

    Raises:
        ValueError: the proxy speaks something else than HTTP (SOCKS), or its address cannot be read.
    """
    from urllib.request import getproxies_environment

    settings = getproxies_environment()
    url = settings.get("https") or settings.get("http") or settings.get("all") or ""
    return (parse_upstream(url) if url else None), settings.get("no", "")


def parse_upstream(url: str) -> Upstream:
    """Read the URL of an HTTP proxy, with its user and password if it has them.

    Raises:
        ValueError: it is not http or https, or names no host.
    """
    from base64 import b64encode

    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        # The URL itself may hold a password: it is not repeated.
        raise ValueError(f"the proxy of this host is not an HTTP proxy (scheme {parts.scheme!r})")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode()
    tls = parts.scheme == "https"
    return Upstream(parts.hostname, parts.port or (HTTPS_PORT if tls else 3128), authorization, tls)
