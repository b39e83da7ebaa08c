"""Make text that a model or a stranger wrote fit to stand in a pull request, a comment, a commit or a job's log.

What it can do there by itself is taken away: mentions, closing words, references, quick actions, pictures, HTML, hidden
characters, workflow commands. What it says stays readable.
"""

from __future__ import annotations

import re

from ostro.agent.untrusted import sanitise

_ZERO = "\u200b"
"""A zero-width space: the usual way to keep a forge from acting on a name or number, and invisible."""

_CLOSING = re.compile(
    r"\b(clos|fix|resolv|implement)(e[sd]?|ing|s)?(?=[\s:]*(?:[\w./-]*[#!]\s*\d|GH-\d|https?://))", re.IGNORECASE
)
_REFERENCE = re.compile(r"(?<=[#!@])(?=\w)|(?<=\bGH)(?=-\d)")
_URL = re.compile(r":(?=//)")
_LINE_COMMAND = re.compile(r"^([ \t>*+-]*)(?=/[A-Za-z])", re.MULTILINE)
_MARKUP = str.maketrans({"<": "&lt;", ">": "&gt;", "[": "\\[", "]": "\\]", "|": "\\|"})
_TICKS = re.compile(r"`+")


def one_line(text: str, *, limit: int) -> str:
    """Return an inert single line of at most `limit` characters, without Markdown's escapes: for a title or subject."""
    shown = " ".join(_inert(sanitise(text).text).split())
    return shown if len(shown) <= limit else shown[: limit - 3].rstrip() + "..."


def paragraph(text: str, *, limit: int) -> str:
    """Return inert Markdown of about `limit` characters at most: text, lists, code spans; no HTML, link or picture."""
    shown = sanitise(text).text[:limit].strip()
    pieces = re.split(r"(`[^`\n]+`)", shown)
    escaped = (piece if piece.startswith("`") and piece.endswith("`") and len(piece) > 2 else piece.translate(_MARKUP)
               for piece in pieces)  # fmt: skip
    return _LINE_COMMAND.sub("\\1\\\\", _inert("".join(escaped)))


def plain(text: str, *, limit: int) -> str:
    """Return inert text without Markdown's escapes: for a commit message."""
    return _inert(sanitise(text).text[:limit].strip())


def code(text: str, *, limit: int = 200) -> str:
    """Return a code span that nothing in the text can end."""
    shown = " ".join(text.split())
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
    return _REFERENCE.sub(_ZERO, text)
