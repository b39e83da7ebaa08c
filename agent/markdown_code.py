"""Find what a Markdown renderer shows verbatim (code) and what it does not show at all (comments).

For agent/untrusted.py: code in an issue must survive as it is, while what a person does not see must not reach the
model. So the two are told apart as CommonMark 0.31 does, reading from left to right: whichever starts first wins. A
fence inside a comment is a comment, a comment inside a fence is code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_FENCE = re.compile(
    r"(?P<quote>(?: {0,3}> ?)*+)(?P<item>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<run>`{3,}|~{3,})(?P<info>.*)"
)
_LINE_START = re.compile(r"(?: {0,3}> ?)*+(?P<indent>[ \t]*+)(?P<marker>(?:[-*+]|\d{1,9}[.)])[ \t]++)?(?=\S)")
_END_OF_COMMENT = re.compile(r"--!?>")
_TICKS_OR_COMMENT = re.compile(r"(?<!`)`+|<!--")
_BLANK_LINE = re.compile(r"\n[ \t]*(?:\n|\Z)")
_BLOCK_START = re.compile(r"[ \t>]*")


@dataclass(frozen=True)
class Region:
    """A stretch of the text that is no ordinary text."""

    kind: Literal["code", "comment"]
    start: int
    end: int


def regions(text: str) -> Iterator[Region]:
    """Yield code and comments in order, without overlap; lines end with a line feed."""
    return _Scanner(text).scan()


def blanked(text: str) -> str:
    """Return the text with spaces in the place of code and comments: what a renderer interprets."""
    parts: list[str] = []
    at = 0
    for region in regions(text):
        parts += [text[at : region.start], " " * (region.end - region.start)]
        at = region.end
    return "".join([*parts, text[at:]])


@dataclass(frozen=True)
class _Fence:
    """An open fence: its run of characters, and the quotation and list item that hold it."""

    run: str
    quotes: int
    indent: int


class _Scanner:
    """Reads once from left to right; remembers what has no end, so that no text takes quadratic time."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open_comments = False
        self._paragraph_end = -1
        self._unpaired: set[str] = set()
        self._items: list[int] = []  # columns at which the content of the open list items begins

    def scan(self) -> Iterator[Region]:
        at = 0
        while at < len(self._text):
            line_end = self._line_end(at)
            at_line_start = at == 0 or self._text[at - 1] == "\n"
            fence = self._fence(at, line_end) if at_line_start else None
            if at_line_start:
                self._note_list_item(at, line_end)
            found = Region("code", at, self._end_of_fence(line_end, fence)) if fence else self._inline(at, line_end)
            if found is not None:
                yield found
            at = found.end if found is not None else line_end

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end + 1

    def _fence(self, at: int, line_end: int) -> _Fence | None:
        match = _FENCE.match(self._text, at, line_end)
        if match is None or (match["run"][0] == "`" and "`" in match["info"]):
            return None
        indent = _width(match["item"])
        outer = [column for column in self._items if column <= indent]
        holder = indent if match["item"].strip() else max(outer, default=None)
        if holder is None and indent >= 4:
            return None  # outside of a list that is an indented block
        return _Fence(match["run"], match["quote"].count(">"), holder or 0)

    def _note_list_item(self, at: int, line_end: int) -> None:
        match = _LINE_START.match(self._text, at, line_end)
        if match is None:
            return
        indent = _width(match["indent"])
        if match["marker"]:
            self._items = [column for column in self._items if column <= indent]
            self._items.append(_width(match["indent"] + match["marker"]))
        elif indent == 0:
            self._items.clear()

    def _end_of_fence(self, at: int, fence: _Fence) -> int:
        closing = re.compile(rf"{re.escape(fence.run[0])}{{{len(fence.run)},}}[ \t]*\n?")
        while at < len(self._text):
            line_end = self._line_end(at)
            rest = _behind_quotes(self._text[at:line_end], fence.quotes)
            if rest is None:
                return at  # the quotation that held the fence is over
            content = rest.lstrip(" \t")
            indent = _width(rest[: len(rest) - len(content)])
            if content.strip() and indent < fence.indent:
                return at  # the list item that held the fence is over
            if indent - fence.indent < 4 and closing.fullmatch(content):
                return line_end
            at = line_end
        return at

    def _inline(self, at: int, line_end: int) -> Region | None:
        """Return the first code span or comment that starts in the line from `at` on."""
        for match in _TICKS_OR_COMMENT.finditer(self._text, at, line_end):
            end = self._end_of_comment(match.start()) if match[0] == "<!--" else self._end_of_span(match)
            if end is not None:
                return Region("comment" if match[0] == "<!--" else "code", match.start(), end)
        return None

    def _end_of_span(self, match: re.Match[str]) -> int | None:
        if match.end() > self._paragraph_end:
            blank = _BLANK_LINE.search(self._text, match.end())
            self._paragraph_end = blank.start() if blank else len(self._text)
            self._unpaired.clear()
        if match[0] in self._unpaired:
            return None
        closing = re.compile(rf"(?<!`){match[0]}(?!`)").search(self._text, match.end(), self._paragraph_end)
        if closing is None:
            self._unpaired.add(match[0])
        return closing.end() if closing else None

    def _end_of_comment(self, start: int) -> int | None:
        for empty in ("<!-->", "<!--->"):
            if self._text.startswith(empty, start):
                return start + len(empty)
        closed = None if self._open_comments else _END_OF_COMMENT.search(self._text, start + len("<!--"))
        if closed is not None:
            return closed.end()
        self._open_comments = True
        # Not closed: at the start of a line it hides the rest of the text, within a line it is shown as it stands.
        line_start = self._text.rfind("\n", 0, start) + 1
        return len(self._text) if _BLOCK_START.fullmatch(self._text, line_start, start) else None


def _behind_quotes(line: str, quotes: int) -> str | None:
    """Return the line without `quotes` quotation marks; None when it has fewer."""
    for _ in range(quotes):
        before, mark, after = line.partition(">")
        if not mark or before.strip():
            return None
        line = after.removeprefix(" ")
    return line


def _width(lead: str) -> int:
    return len(lead.expandtabs(4))
