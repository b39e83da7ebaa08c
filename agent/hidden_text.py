"""Take out of a Markdown text what a person does not see when it is rendered, and note each removal.

The workings of untrusted.sanitise: a text whose characters know where they stood and whether they are code, and the
passes over it. Every pattern takes linear time (possessive quantifiers): the text may be an attack on the pattern.
"""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ostro.agent.invisible import LINE_BREAKS, PATTERN, InvisibleKind, kind_of
from ostro.agent.markdown_code import regions

SHOWN_CHARS = 80

RemovalKind = Literal[
    InvisibleKind,
    "html_comment",
    "hidden_element",
    "attribute",
    "image_alt",
    "link_title",
    "link_definition",
    "data_uri",
    "entity",  # decoded, so that what is checked is what is meant
    "normalised",  # composed to NFC
]


@dataclass(frozen=True)
class Removal:
    """One thing that was taken out, or decoded.

    Attributes:
        line: where it stood, from 1.
        text: what it was, at most `SHOWN_CHARS` characters of it.
        count: how many of its kind stood together: characters, or one comment, element, link.
    """

    kind: RemovalKind
    line: int
    text: str
    count: int = 1


def strip_hidden(text: str) -> tuple[str, tuple[Removal, ...]]:
    """Return the text without what is hidden in it, and the removals by line; lines must end with a line feed."""
    document = _Document(text)
    document.drop_comments()
    document.drop_hidden_elements()
    document.replace("image_alt", _IMAGE_ALT, _nothing, group="alt")
    document.replace("link_title", _LINK_TITLE, _nothing, group="title")
    used = document.labels_in_use()
    for pattern in (_FOOTNOTE, _DEFINITION):
        document.replace("link_definition", pattern, lambda match: match[0] if _label(match["label"]) in used else "")
    document.replace("link_title", _DEFINITION, _nothing, group="title")
    document.replace("attribute", _TEXT_ATTRIBUTE, _nothing, within=_HTML_TAG)
    document.replace("data_uri", _DATA_URI, lambda _: "data:,")
    document.replace("entity", _ENTITY, _decoded)
    document.replace("normalised", _NOT_ASCII, lambda match: unicodedata.normalize("NFC", match[0]))
    document.drop_invisible()
    return document.text, tuple(sorted(document.removals, key=lambda removal: removal.line))


_HTML_TAG = re.compile(r"<[A-Za-z][\w-]*+(?:\s[^<>]*+)?>")
_TEXT_ATTRIBUTE = re.compile(
    r"\s(?:alt|title|aria-[\w-]++|data-[\w-]++|placeholder|summary|label|content|value)\s*+=\s*+"
    r"(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)",
    re.IGNORECASE,
)
_INVISIBLE_STYLE = (
    r"display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)|font-size\s*+:\s*+0|color\s*+:\s*+transparent"
    r"|opacity\s*+:\s*+(?:0++(?:\.0*+)?|\.0++)\s*+[;\"']"
)
_HIDES = re.compile(
    r"\shidden(?=[\s=/]|\Z)|\saria-hidden\s*+=\s*+[\"']?true"
    rf"|\sstyle\s*+=\s*+(?:\"[^\"]*?|'[^']*?|)(?:{_INVISIBLE_STYLE})",
    re.IGNORECASE,
)
_OPENING_TAG = re.compile(r"<(?P<name>[A-Za-z][\w-]*+)(?P<attributes>(?:\s[^<>]*+)?)>")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_TITLE = r"(?:\"[^\"\n]*+\"|'[^'\n]*+'|\([^()\n]*+\))"
_IMAGE_ALT = re.compile(r"!\[(?P<alt>(?:[^\[\]]|\[[^\[\]]*+\])++)\](?=\(|\[)")
_LINK_TITLE = re.compile(
    rf"\]\(\s*+(?:<[^<>\n]*+>|[^\s()<>]++(?:\([^\s()]*+\)[^\s()]*+)*+)(?P<title>\s++{_TITLE})\s*+\)"
)
_DEFINITION = re.compile(
    r"^ {0,3}\[(?P<label>[^\[\]\n]++)\]:[ \t]*+\n?+[ \t]*+(?:<[^<>\n]*+>|[^\s<]\S*+)"
    rf"(?P<title>[ \t]*+\n?+[ \t]*+(?<=\s){_TITLE})?[ \t]*+$",
    re.MULTILINE,
)
_FOOTNOTE = re.compile(r"^ {0,3}\[(?P<label>\^[^\[\]\s]++)\]:.*+(?:\n(?: {2,}|\t).*+)*+", re.MULTILINE)
_REFERENCE = re.compile(r"\[(?P<label>[^\[\]\n]++)\](?!:)")
_DATA_URI = re.compile(r"\bdata:[\w.+-]++/[\w.+-]++(?:;[\w=.+-]++)*+,[^\s)\"'<>\]]++", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NOT_ASCII = re.compile(r"[\x01-\x7f]?[^\x00-\x7f]++")

_Edit = tuple[int, int, str, RemovalKind, int]
_NO_CODE = "\x00"


class _Document:
    """A text on its way, each character knowing where it stood and whether it is code."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.removals: list[Removal] = []
        self._origin = array("L", range(len(text)))
        self._code = bytearray(len(text))
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def drop_comments(self) -> None:
        found = list(regions(self.text))
        for region in found:
            if region.kind == "code":
                self._code[region.start : region.end] = b"\x01" * (region.end - region.start)
        self._rebuild([(r.start, r.end, "", "html_comment", 1) for r in found if r.kind == "comment"])

    def drop_hidden_elements(self) -> None:
        edits: list[_Edit] = []
        shown, at = self._without_code(), 0
        while (match := _OPENING_TAG.search(shown, at)) is not None:
            at = match.end()
            name = match["name"].lower()
            if _HIDES.search(match["attributes"]) or name == "template":
                at = match.end() if name in _VOID else _end_of_element(shown, match.end(), name)
                edits.append((match.start(), at, "", "hidden_element", 1))
        self._rebuild(edits)

    def replace(
        self,
        kind: RemovalKind,
        pattern: re.Pattern[str],
        new: Callable[[re.Match[str]], str],
        *,
        group: str | int = 0,
        within: re.Pattern[str] | None = None,
    ) -> None:
        """Replace a group of what matches outside of code; where the replacement is equal nothing is counted."""
        shown = self._without_code()
        places = [place.span() for place in within.finditer(shown)] if within else [(0, len(shown))]
        edits: list[_Edit] = []
        for start, end in places:
            for match in pattern.finditer(shown, start, end):
                replacement = new(match)
                if match[group] is not None and replacement != match[group]:
                    edits.append((*match.span(group), replacement, kind, 1))
        self._rebuild(edits)

    def drop_invisible(self) -> None:
        edits: list[_Edit] = []
        for match in PATTERN.finditer(self.text):
            if match["kept"] is not None:
                continue
            kind: RemovalKind = "ansi" if match["ansi"] is not None else kind_of(match[0])
            if edits and edits[-1][1] == match.start() and edits[-1][3] == kind != "ansi" and not edits[-1][2]:
                start, _, new, _, count = edits[-1]
                edits[-1] = (start, match.end(), new, kind, count + 1)
            else:
                edits.append((match.start(), match.end(), "\n" if match[0] in LINE_BREAKS else "", kind, 1))
        self._rebuild(edits)

    def labels_in_use(self) -> set[str]:
        return {_label(match["label"]) for match in _REFERENCE.finditer(self._without_code())}

    def _without_code(self) -> str:
        """Return the text with each character of code replaced by one that no pattern names."""
        parts: list[str] = []
        at = 0
        for match in re.finditer(b"\x01+", self._code):
            parts += [self.text[at : match.start()], _NO_CODE * len(match[0])]
            at = match.end()
        return "".join([*parts, self.text[at:]])

    def _rebuild(self, edits: list[_Edit]) -> None:
        parts: list[str] = []
        origin, code, at = array("L"), bytearray(), 0
        for start, end, new, kind, count in edits:
            where = self._origin[start]
            self.removals.append(
                Removal(kind, bisect_right(self._line_starts, where), self.text[start:end][:SHOWN_CHARS], count)
            )
            parts += [self.text[at:start], new]
            origin += self._origin[at:start] + array("L", [where] * len(new))
            code += self._code[at:start] + bytes(len(new))
            at = end
        if edits:
            self.text = "".join([*parts, self.text[at:]])
            self._origin = origin + self._origin[at:]
            self._code = code + self._code[at:]


def _nothing(_: re.Match[str]) -> str:
    return ""


def _decoded(match: re.Match[str]) -> str:
    """Decode one entity; html.unescape alone would also take the `&not` of `&notes;` for one."""
    known = match[0][1] == "#" or match[0][1:] in html.entities.html5
    return html.unescape(match[0]) if known else match[0]


def _label(text: str) -> str:
    return " ".join(text.split()).casefold()


def _end_of_element(text: str, at: int, name: str) -> int:
    """Return where an element ends whose opening tag ends at `at`; the end of the text when it is never closed."""
    depth = 1
    for tag in re.compile(rf"<(?P<close>/?){name}(?=[\s>/])[^<>]*>", re.IGNORECASE).finditer(text, at):
        depth += -1 if tag["close"] else 1
        if depth == 0:
            return tag.end()
    return len(text)
