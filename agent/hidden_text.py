"""Take out of a Markdown text what a person does not see when it is rendered, and note each removal.

The workings of untrusted.sanitise: a text whose characters know where they stood and whether they are code, and the
passes over it. Every pattern takes linear time (possessive quantifiers): the text may be an attack on the pattern.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ostro.agent.disguised_links import LINK, URL, honest_link, honest_url
from ostro.agent.hidden_markup import (
    DATA_URI,
    DEFINITION,
    ENTITY,
    FOOTNOTE,
    HIDES,
    HTML_TAG,
    IMAGE_ALT,
    LABELS,
    LINK_TITLE,
    NOT_ASCII,
    OPENING_TAG,
    REFERENCE,
    TEXT_ATTRIBUTE,
    VOID,
    declarations,
    decoded,
    end_of_element,
    label_of,
    nothing,
    silent,
    spoken_labels,
)
from ostro.agent.invisible import LINE_BREAKS, PATTERN, PRIVATE_USE, InvisibleKind, kind_of
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
    "link_label",
    "disguised_link",
    "data_uri",
    "private_use",
    "entity",  # decoded, so that what is checked is what is meant
    "normalised",  # composed to NFC
]


@dataclass(frozen=True)
class Removal:
    """One thing that was taken out, or decoded.

    Attributes:
        line: where it stood, from 1, in the text with line feeds as line ends.
        column: of its first character, from 1.
        chars: how many characters of the text went or were replaced.
        text: what it was, at most `SHOWN_CHARS` characters of it.
        count: how many of its kind stood together: characters, or one comment, element, link.
    """

    kind: RemovalKind
    line: int
    column: int
    chars: int
    text: str
    count: int = 1


def strip_hidden(text: str) -> tuple[str, tuple[Removal, ...]]:
    """Return the text without what is hidden in it, and the removals by line; lines must end with a line feed."""
    document = _Document(text)
    document.drop_comments()
    document.drop_declarations()
    document.drop_hidden_elements()
    document.replace("image_alt", IMAGE_ALT, nothing, group="alt")
    document.replace("link_title", LINK_TITLE, nothing, group="title")
    used = document.labels_in_use()
    for pattern in (FOOTNOTE, DEFINITION):
        document.replace("link_definition", pattern, lambda match: match[0] if label_of(match["label"]) in used else "")
    document.replace("link_title", DEFINITION, nothing, group="title")
    document.rename_labels()
    document.replace("attribute", TEXT_ATTRIBUTE, nothing, within=HTML_TAG)
    document.replace("attribute", OPENING_TAG, silent)
    document.replace("data_uri", DATA_URI, lambda _: "data:,")
    document.replace("entity", ENTITY, decoded)
    document.replace("normalised", NOT_ASCII, lambda match: unicodedata.normalize("NFC", match[0]))
    document.drop_invisible()
    document.replace("private_use", PRIVATE_USE, nothing)
    document.replace("disguised_link", LINK, honest_link)
    document.replace("disguised_link", URL, honest_url)
    return document.text, tuple(sorted(document.removals, key=lambda removal: (removal.line, removal.column)))


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

    def drop_declarations(self) -> None:
        found = declarations(self._without_code())
        self._rebuild([(start, end, "", "html_comment", 1) for start, end in found])

    def rename_labels(self) -> None:
        names = spoken_labels(self._without_code())
        for pattern in LABELS if names else ():
            self.replace(
                "link_label",
                pattern,
                lambda match: match[0].replace(match["label"], names.get(label_of(match["label"]), match["label"])),
            )

    def drop_hidden_elements(self) -> None:
        edits: list[_Edit] = []
        shown, at = self._without_code(), 0
        while (match := OPENING_TAG.search(shown, at)) is not None:
            at = match.end()
            name = match["name"].lower()
            if HIDES.search(match["attributes"]) or name == "template":
                at = match.end() if name in VOID else end_of_element(shown, match.end(), name)
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
        return {label_of(match["label"]) for match in REFERENCE.finditer(self._without_code())}

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
            line = bisect_right(self._line_starts, where)
            column = where - self._line_starts[line - 1] + 1
            self.removals.append(Removal(kind, line, column, end - start, self.text[start:end][:SHOWN_CHARS], count))
            parts += [self.text[at:start], new]
            origin += self._origin[at:start] + array("L", [where] * len(new))
            code += self._code[at:start] + bytes(len(new))
            at = end
        if edits:
            self.text = "".join([*parts, self.text[at:]])
            self._origin = origin + self._origin[at:]
            self._code = code + self._code[at:]
