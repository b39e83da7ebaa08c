"""Links that pretend to lead elsewhere: show where they really lead.

For agent/hidden_text.py. The model follows no link, but it repeats them, and a person clicks on what it repeats.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

LINK = re.compile(r"(?<!!)\[(?P<shown>[^\[\]\n]{1,300}+)\]\(\s*+<?(?P<target>https?://[^\s()<>]++)[^()\n]*+\)")
URL = re.compile(r"https?://[^\s()<>\[\]\"'`]++", re.IGNORECASE)

_SHOWN_HOST = re.compile(r"\s*(?:https?://)?(?P<host>[\w-]+(?:\.[\w-]+)+)(?:[/:?#]\S*)?\s*", re.IGNORECASE)
_LIKE_LATIN = frozenset("аеорсухіјѕһԁӏԛԝгпвктмнωοαενρτυικχӕ")
"""Cyrillic and Greek letters that look like Latin ones (Unicode's confusables, the lower-case single letters)."""

_SCRIPTS_OF_ONE_NAME = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA", "LATIN"}),
    frozenset({"CJK", "HANGUL", "LATIN"}),
    frozenset({"CJK", "BOPOMOFO", "LATIN"}),
)
"""Unicode TR39, highly restrictive: what one name may mix."""


def honest_link(match: re.Match[str]) -> str:
    """Return a Markdown link as it is, or its target alone where the text names another host."""
    shown = _SHOWN_HOST.fullmatch(match["shown"])
    target = _host(match["target"])
    if shown is None or not target or not _names_host(match["shown"], shown["host"]):
        return match[0]
    if _same_site(shown["host"].lower(), target):
        return match[0]
    return f"<{match['target']}>"


def honest_url(match: re.Match[str]) -> str:
    """Return a URL with a host that looks like another in its ASCII form, and without a host in the user's place."""
    url = match[0]
    start = url.index("://") + 3
    end = next((start + at for at, char in enumerate(url[start:]) if char in "/?#"), len(url))
    user, at, host = url[start:end].rpartition("@")
    if at and "." not in user:
        host = user + at + host
    labels = host.split(".")
    honest = ".".join(_ascii(label) if _looks_like_another(label) else label for label in labels)
    return url[:start] + honest + url[end:]


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


_TOP_LEVEL = frozenset(
    ["com", "org", "net", "io", "dev", "app", "gov", "edu", "co", "ai", "cloud", "me", "uk", "de", "fr", "eu"]
)


def _names_host(text: str, host: str) -> bool:
    """Whether a link's text names a host, rather than a file (`utils.py`) or a version (`1.2.3`)."""
    plain = text.strip().lower()
    return plain.startswith(("http://", "https://", "www.")) or host.rpartition(".")[2].lower() in _TOP_LEVEL


def _same_site(shown: str, target: str) -> bool:
    shown, target = shown.removeprefix("www."), target.removeprefix("www.")
    return shown == target or target.endswith(f".{shown}") or shown.endswith(f".{target}")


def _looks_like_another(label: str) -> bool:
    letters = [char for char in label.lower() if char.isalpha()]
    if not letters or label.isascii():
        return False
    scripts = frozenset(unicodedata.name(char, "?").split(" ")[0] for char in letters)
    if len(scripts) > 1:
        return not any(scripts <= allowed for allowed in _SCRIPTS_OF_ONE_NAME)
    return all(char in _LIKE_LATIN for char in letters)


def _ascii(label: str) -> str:
    try:
        return "xn--" + label.lower().encode("punycode").decode("ascii")
    except UnicodeError:
        return "?"
