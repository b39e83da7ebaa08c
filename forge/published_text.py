"""Make text that a model or a stranger wrote fit to stand in a pull request, a comment, a commit or a job's log.

What it can do there by itself is taken away: mentions, closing words, references, quick actions, pictures, HTML, hidden
characters, headings, `[skip ci]`. What it says stays readable.
"""

from __future__ import annotations

import re
import unicodedata

from ostro.agent.untrusted import sanitise

_ZERO = "\u200b"
"""A zero-width space: the usual way to keep a forge from acting on a name or number, and invisible."""

_CLOSING = re.compile(
    r"\b(clos|fix|resolv|implement)(e[sd]?|ing|s)?(?=[\s:]*(?:[\w./-]*[#!]\s*\d|GH-\d|https?://))", re.IGNORECASE
)
_REFERENCE = re.compile(r"(?<=[#!@])(?=\w)|(?<=\bGH)(?=-\d)")
_URL = re.compile(r":(?=//)")
_BARE_LINK = re.compile(r"\b(www)(?=\.)", re.IGNORECASE)
_SKIPPING = re.compile(r"\[(?=\s*(?:skip|no|ci|actions?)[ _-][^\]\n]{1,20}\])", re.IGNORECASE)
"""`[skip ci]` and its like: a forge starts no CI for a commit, or a merge, whose message says so."""

_LINE_START = re.compile(
    r"^((?:[ \t*+-]|[0-9]{1,9}[.)][ \t])*)(?=/[A-Za-z]|#{1,6}(?:[ \t]|$)|~~~|(?:=+|-+)[ \t]*$)", re.MULTILINE
)
"""Where a quick action, a heading or a fence would begin, behind the signs of lists."""

_FENCED = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<inside>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"((?<!`)(?P<ticks>`+)(?!`)[^\n]*?[^`\n](?P=ticks)(?!`))")
_MARKUP = str.maketrans({"<": "&lt;", ">": "&gt;", "[": "&#91;", "]": "&#93;", "|": "&#124;", "`": "&#96;"})
"""As entities: a backslash before them, which would be somebody else's, changes nothing."""
LONGEST_ENTITY = 6

_TICKS = re.compile(r"`+")


def one_line(text: str, *, limit: int) -> str:
    """Return an inert single line of at most `limit` characters, without Markdown's escapes: for a title or subject."""
    shown = " ".join(_inert(sanitise(text).text).split())
    return shown if len(shown) <= limit else shown[: limit - 3].rstrip() + "..."


def paragraph(text: str, *, limit: int) -> str:
    """Return inert Markdown: text, lists, code spans and blocks; no heading, table, HTML, link or picture.

    It has at most `limit` characters of the text, and twice that with what makes them inert.
    """
    shown = sanitise(text).text[:limit].strip()
    told = _markdown(shown)
    return told if len(told) <= 2 * limit else _markdown(shown[: limit // LONGEST_ENTITY * 2])


def _markdown(text: str) -> str:
    parts: list[str] = []
    at = 0
    for block in _FENCED.finditer(text):
        parts += [_prose(text[at : block.start()]), code_block(block["inside"].rstrip("\n"), limit=len(text))]
        at = block.end()
    return "\n\n".join(part for part in (*parts, _prose(text[at:])) if part)


def _prose(text: str) -> str:
    """Return inert Markdown of text without blocks; every tick that is left belongs to a code span of one line."""
    pieces = _SPAN.split(_inert(text.strip("\n")))  # text, span, its ticks, text, ...
    shown: list[str] = []
    for place in range(0, len(pieces), 3):
        escaped = pieces[place].translate(_MARKUP)
        span = pieces[place + 1] if place + 1 < len(pieces) else ""
        shown += [escaped, _ZERO if span and escaped.endswith("\\") else "", span]
    return _LINE_START.sub(r"\1\\", "".join(shown))


def plain(text: str, *, limit: int) -> str:
    """Return inert text without Markdown's escapes: for a commit message."""
    return _inert(sanitise(text).text[:limit].strip())


def code(text: str, *, limit: int = 200) -> str:
    """Return a code span that nothing in the text can end; characters that nobody would see are spelt out."""
    visible = (f"\\u{ord(sign):04x}" if unicodedata.category(sign) == "Cf" else sign for sign in text)
    shown = " ".join("".join(visible).split())
    shown = shown if len(shown) <= limit else shown[: limit - 3] + "..."
    longest = max((len(run) for run in _TICKS.findall(shown)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if longest or not shown else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def code_block(text: str, *, limit: int) -> str:
    """Return a fenced block that nothing in the text can end."""
    shown = text if len(text) <= limit else text[:limit] + "\n[... cut ...]"
    longest = max((len(run) for run in _TICKS.findall(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _inert(text: str) -> str:
    text = _CLOSING.sub(lambda match: match[1] + _ZERO + (match[2] or ""), text)
    text = _URL.sub(f"{_ZERO}:", text)
    text = _BARE_LINK.sub(rf"\1{_ZERO}", text)
    text = _SKIPPING.sub(f"[{_ZERO}", text)
    return _REFERENCE.sub(_ZERO, text)
