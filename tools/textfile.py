"""The text of a file with what an edit must keep: encoding, byte order mark and line endings. Pure.

An edit works on `TextFile.text`, in which every CRLF is one newline; `splice` maps it back to the bytes, so that no
byte outside the replaced part changes, not even in a file of mixed line endings.
"""

from __future__ import annotations

import codecs
import difflib
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class NotTextError(ValueError):
    """The bytes are no text that the editor can keep; the message says what they are."""


class NotEncodableError(ValueError):
    """New text has a character that the file's encoding does not have; the message names it."""


@dataclass(frozen=True)
class Splice:
    """One replacement in the bytes of a file: at `start`, `before` became `after`; `data` is the whole result."""

    start: int
    before: bytes
    after: bytes
    data: bytes


@dataclass(frozen=True)
class TextFile:
    """A decoded file.

    Attributes:
        raw: the decoded text with its own line endings, without the byte order mark.
        encoding: how it was decoded; `latin-1` is what remains when it is not UTF-8.
        keeps_bad_bytes: the file is UTF-8 with some invalid bytes, which stay as they are.
        bom: the byte order mark, b"" when there is none.
    """

    raw: str
    encoding: Literal["utf-8", "latin-1"]
    keeps_bad_bytes: bool = False
    bom: bytes = b""

    @cached_property
    def text(self) -> str:
        """The text with every CRLF as one newline."""
        return self.raw.replace("\r\n", "\n")

    @cached_property
    def _crlf(self) -> list[int]:
        """Where in `text` a newline stands for CRLF."""
        return [match.start() - index for index, match in enumerate(re.finditer("\r\n", self.raw))]

    @property
    def peculiarity(self) -> str:
        """What a reader should know of the format, "" for plain UTF-8 with newlines."""
        parts: list[str] = []
        if self.encoding == "latin-1":
            parts.append("Latin-1 encoding")
        if self.keeps_bad_bytes:
            parts.append("some bytes that are not UTF-8")
        if self.bom:
            parts.append("a byte order mark")
        if self._crlf:
            mixed = len(self._crlf) < self.text.count("\n")
            parts.append("mixed line endings" if mixed else "CRLF line endings")
        return ", ".join(parts)

    def encode(self, text: str) -> bytes:
        """Return `text` in the file's encoding.

        Raises:
            NotEncodableError: a character does not exist there.
        """
        try:
            return text.encode(self.encoding, "surrogateescape" if self.keeps_bad_bytes else "strict")
        except UnicodeEncodeError as error:
            shown = ascii(text[error.start])
            name = "Latin-1" if self.encoding == "latin-1" else "UTF-8"
            raise NotEncodableError(f"the file is {name}, which has no character {shown}") from error

    def splice(self, start: int, end: int, new: str) -> Splice:
        """Replace `text[start:end]` by `new`, whose newlines become the line ending used at that place.

        Raises:
            NotEncodableError: `new` has a character that the encoding lacks.
        """
        old, new = self.text[start:end], new.replace("\r\n", "\n")
        prefix, suffix = _common_ends(old, new)
        start, end, middle = start + prefix, end - suffix, new[prefix : len(new) - suffix]
        middle = self._with_endings(start, end, middle)
        raw_start, raw_end = start + bisect_left(self._crlf, start), end + bisect_left(self._crlf, end)
        head = self.bom + self.encode(self.raw[:raw_start])
        before, after = self.encode(self.raw[raw_start:raw_end]), self.encode(middle)
        return Splice(len(head), before, after, head + after + self.encode(self.raw[raw_end:]))

    def _with_endings(self, start: int, end: int, new: str) -> str:
        """Return `new` with the file's line endings: kept for lines that stay, the local one for the others."""
        if "\n" not in new or not self._crlf:
            return new
        local = "\r\n" if self._crlf_at(start) else "\n"
        old_lines, new_lines = self.text[start:end].split("\n"), new.split("\n")
        endings = [local] * (len(new_lines) - 1)
        matcher = difflib.SequenceMatcher(None, old_lines, new_lines, autojunk=False)
        starts = list(accumulate((len(line) + 1 for line in old_lines), initial=start))
        for block in matcher.get_matching_blocks():
            for index in range(block.size):
                if block.b + index < len(endings) and block.a + index < len(old_lines) - 1:
                    endings[block.b + index] = "\r\n" if self._crlf_at(starts[block.a + index]) else "\n"
        return "".join(line + ending for line, ending in zip(new_lines, [*endings, ""], strict=True))

    def _crlf_at(self, position: int) -> bool:
        """Whether the line at `position` ends with CRLF; the last line takes after the one before it."""
        newline = self.text.find("\n", position)
        if newline < 0:
            newline = self.text.rfind("\n", 0, position)
        index = bisect_left(self._crlf, newline)
        return index < len(self._crlf) and self._crlf[index] == newline


def decode(data: bytes) -> TextFile:
    """Return the text of `data`.

    Raises:
        NotTextError: UTF-16, UTF-32 or binary content.
    """
    for mark, name in _OTHER_MARKS:
        if data.startswith(mark):
            raise NotTextError(f"{name} text")
    if b"\0" in data:
        raise NotTextError("a binary file")
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    body = data[len(bom) :]
    try:
        return TextFile(body.decode("utf-8"), "utf-8", bom=bom)
    except UnicodeDecodeError:
        lenient = body.decode("utf-8", "surrogateescape")
    bad = len(re.findall("[\udc80-\udcff]", lenient))
    good = len(re.findall("[^\x00-\x7f\udc80-\udcff]", lenient))
    # Valid multi-byte sequences hardly arise by chance in Latin-1, so a majority of them means damaged UTF-8.
    if bom or good > bad:
        return TextFile(lenient, "utf-8", keeps_bad_bytes=True, bom=bom)
    return TextFile(body.decode("latin-1"), "latin-1")


def line_of(text: str, position: int) -> int:
    """Return the 1-based number of the line that holds `position`."""
    return text.count("\n", 0, position) + 1


def split_lines(text: str) -> list[str]:
    """Return the lines without their newlines; a final newline does not make an empty last line."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def displayable(text: str) -> str:
    """Return `text` with lone surrogates (undecodable bytes) as replacement characters, so that it can be sent."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _common_ends(old: str, new: str) -> tuple[int, int]:
    """Return the lengths of the common beginning and of the common end, which do not overlap."""
    limit = min(len(old), len(new))
    prefix = 0
    while prefix < limit and old[prefix] == new[prefix]:
        prefix += 1
    suffix = 0
    while suffix < limit - prefix and old[-1 - suffix] == new[-1 - suffix]:
        suffix += 1
    return prefix, suffix
