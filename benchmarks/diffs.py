"""Read a unified diff as data: which files it touches, and which lines each hunk takes out and puts in.

Used to restore the files of a test patch (benchmarks/grading.py) and to derive a scripted policy's edits from the
known fix (benchmarks/policy.py). Pure; applying a patch is git's work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_NO_NEWLINE = "\\ No newline at end of file"
DEV_NULL = "/dev/null"


class DiffError(ValueError):
    """The text is not a unified diff of text files."""


@dataclass(frozen=True)
class Hunk:
    """One hunk.

    Attributes:
        start: first line of the old file that it shows, counted from 1; 0 for a new file.
        section: what git prints after the second @@: the enclosing definition.
        old: the lines it expects, each with its line ending.
        new: the lines it leaves, likewise.
    """

    start: int
    section: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class FileDiff:
    """All hunks about one file. `old_path` is None for a new file, `new_path` for a deleted one."""

    old_path: str | None
    new_path: str | None
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        """The path that names the file: the new one, unless it is deleted."""
        return self.new_path or self.old_path or ""


def split_lines(text: str) -> list[str]:
    """Split after line feeds only, as git does; `str.splitlines` would also split at form feeds and the like."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def parse_diff(text: str) -> tuple[FileDiff, ...]:
    """Read a diff as git prints it.

    Raises:
        DiffError: a hunk is cut off, or a header is missing its other half.
    """
    lines = split_lines(text)
    files: list[FileDiff] = []
    at = 0
    while at < len(lines):
        if not (lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")):
            at += 1
            continue
        old_path, new_path = _path(lines[at], "a/"), _path(lines[at + 1], "b/")
        at += 2
        hunks: list[Hunk] = []
        while at < len(lines) and lines[at].startswith("@@ "):
            hunk, at = _hunk(lines, at)
            hunks.append(hunk)
        files.append(FileDiff(old_path, new_path, tuple(hunks)))
    if text.strip() and not files:
        raise DiffError("no file header (--- and +++) in the diff")
    return tuple(files)


def touched_paths(text: str) -> tuple[str, ...]:
    """Return every path that a diff creates, changes or deletes, without repeats, in its order."""
    paths = (path for file in parse_diff(text) for path in (file.old_path, file.new_path) if path)
    return tuple(dict.fromkeys(paths))


def locate(lines: list[str], hunk: Hunk, shift: int) -> int:
    """Return the index of the line in `lines` where `hunk` fits, the nearest to where it says plus `shift`.

    Raises:
        DiffError: its old lines are nowhere in the file.
    """
    said = shift + (max(hunk.start - 1, 0) if hunk.old else hunk.start)
    last = len(lines) - len(hunk.old)
    fits = [at for at in range(last + 1) if tuple(lines[at : at + len(hunk.old)]) == hunk.old]
    if not fits:
        raise DiffError(f"the hunk for line {hunk.start} does not fit the file")
    return min(fits, key=lambda at: abs(at - said))


def apply_hunks(text: str, hunks: tuple[Hunk, ...]) -> str:
    """Return `text` with the hunks applied in order, each as near as can be to where it says.

    Raises:
        DiffError: as `locate`.
    """
    lines = split_lines(text)
    shift = 0
    for hunk in hunks:
        at = locate(lines, hunk, shift)
        lines[at : at + len(hunk.old)] = hunk.new
        shift += len(hunk.new) - len(hunk.old)
    return "".join(lines)


def _path(header: str, prefix: str) -> str | None:
    name = header[4:].rstrip("\r\n").split("\t")[0]
    return None if name == DEV_NULL else name.removeprefix(prefix)


def _hunk(lines: list[str], at: int) -> tuple[Hunk, int]:
    match = _HUNK.match(lines[at])
    if match is None:
        raise DiffError(f"line {at + 1} is no hunk header: {lines[at].strip()!r}")
    start, old_left, new_left = int(match[1]), int(match[2] or 1), int(match[4] or 1)
    old: list[str] = []
    new: list[str] = []
    at += 1
    while old_left or new_left:
        if at >= len(lines):
            raise DiffError(f"the hunk for line {start} is cut off")
        mark, body = lines[at][:1], lines[at][1:]
        if mark not in {"-", "+", " ", "\n"}:
            raise DiffError(f"line {at + 1} does not belong to a hunk: {lines[at].strip()!r}")
        if mark == "\n":
            body = "\n"  # an empty context line whose blank an editor took away
        if mark != "+":
            old.append(body)
            old_left -= 1
        if mark != "-":
            new.append(body)
            new_left -= 1
        at += 1
        if at < len(lines) and lines[at].startswith(_NO_NEWLINE):
            _cut_newline(mark, old, new)
            at += 1
    return Hunk(start, match[5].strip(), tuple(old), tuple(new)), at


def _cut_newline(mark: str, old: list[str], new: list[str]) -> None:
    """Apply git's remark that the line just read has no line ending."""
    if mark != "+":
        old[-1] = old[-1].removesuffix("\n")
    if mark != "-":
        new[-1] = new[-1].removesuffix("\n")
