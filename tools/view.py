"""What the editor shows: numbered lines of a file, the place of an edit, a directory."""

from __future__ import annotations

import shlex

from ostro.tools.display import fold_long_lines
from ostro.tools.files import shorten
from ostro.tools.protocol import Refused, ToolContext
from ostro.tools.textfile import TextFile, displayable, split_lines

DIRECTORY_DEPTH = 2
MAX_ENTRIES = 200
DIRECTORY_TIMEOUT_S = 20.0
MIN_VIEW_LINES = 15
"""A shorter range is widened: looking through a keyhole costs a call for each look."""
SNIPPET_MARGIN = 3
MAX_SNIPPET_LINES = 30
TO_THE_END = -1
_SKIPPED = ("node_modules", "__pycache__", "venv", "target", "dist", "build")


def show_lines(file: TextFile, view_range: list[int] | None, context: ToolContext) -> str:
    """Return the lines of `view_range` (all by default) with their numbers, as many as the display limit allows.

    A note at the end says which lines were shown when not all were, and what is special about the file's format.

    Raises:
        Refused: the range is not two numbers, or lies outside the file.
    """
    lines = split_lines(displayable(context.redact(file.text)))
    first, last = _bounds(view_range, len(lines))
    if not file.text:
        return "(the file is empty)"
    shown: list[str] = []
    room = context.observation_chars
    for number in range(first, last + 1):
        line = f"{number:6}\t{fold_long_lines(lines[number - 1])}"
        room -= len(line) + 1
        if room < 0 and shown:
            break
        shown.append(line)
    return "\n".join([*shown, *_notes(file, first, first + len(shown) - 1, len(lines), wanted=last)])


def _notes(file: TextFile, first: int, last: int, total: int, *, wanted: int) -> list[str]:
    notes: list[str] = []
    if last < wanted:
        notes.append(f"[lines {first}-{last} of {total}; use view_range for others, or search to find the place]")
    elif first > 1 or last < total:
        notes.append(f"[lines {first}-{last} of {total}]")
    if file.peculiarity:
        notes.append(f"[the file has {file.peculiarity}; edits keep that]")
    return notes


def _bounds(view_range: list[int] | None, total: int) -> tuple[int, int]:
    if view_range is None:
        return 1, total
    if len(view_range) != 2:
        raise Refused("view_range needs two numbers: [first, last].")
    first, last = max(1, view_range[0]), view_range[1]
    last = total if last == TO_THE_END else min(last, total)
    if first > max(1, total):
        raise Refused(f"view_range begins at line {first}, but the file has {total} lines.")
    if last < first and total:
        raise Refused(f"view_range {view_range} ends before it begins.")
    return first, min(total, max(last, first + MIN_VIEW_LINES - 1))


def snippet(text: str, first: int, last: int) -> str:
    """Return the numbered lines `first` to `last` with a margin; the middle of a long place is left out."""
    lines = split_lines(displayable(text))
    start, stop = max(1, first - SNIPPET_MARGIN), min(len(lines), last + SNIPPET_MARGIN)
    numbered = [f"{number:6}\t{fold_long_lines(lines[number - 1])}" for number in range(start, stop + 1)]
    if len(numbered) > MAX_SNIPPET_LINES:
        half = MAX_SNIPPET_LINES // 2
        left_out = len(numbered) - 2 * half
        numbered = [*numbered[:half], f"   [... {left_out} lines ...]", *numbered[-half:]]
    return "\n".join(numbered) or "(the file is empty)"


def show_directory(path: str, context: ToolContext) -> str:
    """Return the entries of a directory, two levels deep, directories with a slash.

    Raises:
        SandboxError: the sandbox is gone.
    """
    skipped = " -o ".join(f"-name {name}" for name in _SKIPPED)
    command = (
        f"cd {shlex.quote(path)} && find . -mindepth 1 -maxdepth {DIRECTORY_DEPTH} "
        f"\\( -name '.*' -prune -o -type d \\( {skipped} \\) -prune -exec printf '%s/ (not shown)\\n' {{}} \\; "
        "-o -type d -exec printf '%s/\\n' {} \\; -o -print \\) "
        f"| LC_ALL=C sort | awk 'NR<={MAX_ENTRIES}; END{{if(NR>{MAX_ENTRIES})print \"rest \" NR-{MAX_ENTRIES}}}'"
    )
    done = context.sandbox.run(command, timeout_s=DIRECTORY_TIMEOUT_S, keep_state=False)
    lines = displayable(context.redact(done.output.text())).splitlines()
    rest = lines.pop().removeprefix("rest ") if lines and lines[-1].startswith("rest ") else "0"
    entries = [line.removeprefix("./") for line in lines]
    shown = shorten(path, context)
    notes = [f"[{rest} more entries; view a subdirectory]"] if rest.isdigit() and int(rest) else []
    return "\n".join([f"{shown}/ (two levels, without hidden entries)", *entries, *notes])
