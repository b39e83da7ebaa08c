"""Reading files of the sandbox for a model: paths as it writes them, failures as answers, and what it has seen.

The stale-read guard lives here: `remember` notes what the model saw, `changed_since_seen` compares.
"""

from __future__ import annotations

import difflib
import hashlib
import posixpath
import shlex

from ostro.tools.protocol import Refused, ToolContext
from ostro.tools.textfile import NotTextError, TextFile, decode, split_lines

MAX_FILE_BYTES = 8 * 1024 * 1024
"""Larger files are for bash (head, sed), not for an editor that shows text."""
MAX_SUGGESTIONS = 3
MAX_CACHED_FILES = 32
MAX_CACHED_BYTES = 1024 * 1024
MAX_DIFF_LINES = 40
SUGGESTION_TIMEOUT_S = 10.0


def resolve(path: str, context: ToolContext) -> str:
    """Return the absolute, normalised form of `path`; relative ones start at the workspace.

    Raises:
        Refused: the path is empty or has a character that no path can have.
    """
    if not path.strip() or "\0" in path:
        raise Refused("The path is empty." if not path.strip() else "The path holds a NUL character.")
    return posixpath.normpath(posixpath.join(context.sandbox.workdir, path.strip()))


def shorten(path: str, context: ToolContext) -> str:
    """Return `path` relative to the workspace where it lies inside, as messages show it."""
    workdir = context.sandbox.workdir.rstrip("/")
    if path == workdir:
        return "."
    return path[len(workdir) + 1 :] if path.startswith(f"{workdir}/") else path


def read_bytes(path: str, context: ToolContext) -> bytes:
    """Return the content of the file at the absolute `path`.

    Raises:
        Refused: it is missing (with similar paths named), not readable, no regular file, or too large.
        IsADirectoryError: it is a directory.
        SandboxError: the sandbox is gone.
    """
    shown = shorten(path, context)
    try:
        return context.sandbox.read(path, max_bytes=MAX_FILE_BYTES)
    except FileNotFoundError:
        raise Refused(f"There is no file {shown}.{_suggestion(path, context)}") from None
    except IsADirectoryError:
        raise
    except OSError as error:
        raise Refused(f"{shown} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise Refused(f"{shown} cannot be opened here: {error}. Use bash (head, tail, sed -n) to look at it.") from None


def text_of(path: str, data: bytes, context: ToolContext) -> TextFile:
    """Return `data` decoded.

    Raises:
        Refused: it is no text.
    """
    try:
        return decode(data)
    except NotTextError as error:
        raise Refused(f"{shorten(path, context)} is {error}, which this tool does not handle; use bash.") from None


def read_text(path: str, context: ToolContext) -> tuple[bytes, TextFile]:
    """Return the bytes and the text of a file; raises as `read_bytes` and `text_of`."""
    data = read_bytes(path, context)
    return data, text_of(path, data, context)


def write_bytes(path: str, data: bytes, context: ToolContext) -> None:
    """Write a file.

    Raises:
        Refused: the system refuses: permissions, no space, a directory in the way.
        SandboxError: the sandbox is gone.
    """
    try:
        context.sandbox.write(path, data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused(f"{shorten(path, context)} could not be written: {reason}.") from error


def digest(data: bytes) -> str:
    """Return the sha256 by which a file's content is recognised."""
    return hashlib.sha256(data).hexdigest()


def remember(path: str, data: bytes, context: ToolContext) -> None:
    """Note that the model now knows `data` as the content of `path`."""
    context.state.seen[path] = digest(data)
    context.contents.pop(path, None)
    if len(data) <= MAX_CACHED_BYTES:
        context.contents[path] = data
    while len(context.contents) > MAX_CACHED_FILES:
        del context.contents[next(iter(context.contents))]


def refuse_stale(path: str, data: bytes, context: ToolContext) -> None:
    """Do nothing when the model knows the current content or never saw the file.

    Raises:
        Refused: the file changed since; the message shows what changed, and the model then counts as knowing it.
    """
    seen = context.state.seen.get(path)
    if seen is None or seen == digest(data):
        return
    shown = shorten(path, context)
    before = context.contents.get(path)
    if before is None:
        raise Refused(f"{shown} changed since you last saw it; nothing was edited. View it again first.")
    changed = content_diff(before, data)
    remember(path, data, context)
    raise Refused(
        f"{shown} changed since you last saw it; nothing was edited. What changed:\n{changed}\n"
        "Send the edit again if it still fits."
    )


def content_diff(before: bytes, after: bytes, *, max_lines: int = MAX_DIFF_LINES) -> str:
    """Return a unified diff of two contents with their line numbers, at most `max_lines` lines of it."""
    old, new = _lines(before), _lines(after)
    start = _common_prefix(old, new)
    end = _common_prefix(old[start:][::-1], new[start:][::-1])
    # difflib is quadratic at worst: only what lies between the common ends is compared, with two lines around it.
    first, last = max(0, start - 2), max(0, end - 2)
    diff = difflib.unified_diff(old[first : len(old) - last], new[first : len(new) - last], n=2, lineterm="")
    lines = [_shift_hunk(line, first) for line in list(diff)[2:]]
    if len(lines) > max_lines:
        lines = [*lines[:max_lines], f"[... {len(lines) - max_lines} more lines of the diff ...]"]
    return "\n".join(lines) or "(only line endings or the final newline)"


def _shift_hunk(line: str, offset: int) -> str:
    if not line.startswith("@@"):
        return line
    old, new = line.split()[1:3]
    return f"@@ {_shift_range(old, offset)} {_shift_range(new, offset)} @@"


def _shift_range(span: str, offset: int) -> str:
    number, comma, count = span[1:].partition(",")
    return f"{span[0]}{int(number) + offset}{comma}{count}"


def _lines(data: bytes) -> list[str]:
    return split_lines(data.decode("utf-8", "replace"))


def _common_prefix(old: list[str], new: list[str]) -> int:
    count = 0
    for left, right in zip(old, new, strict=False):
        if left != right:
            break
        count += 1
    return count


def _suggestion(path: str, context: ToolContext) -> str:
    """Return a sentence naming files of the same name elsewhere in the workspace, "" when there are none."""
    name = shlex.quote(posixpath.basename(path))
    command = f"find . -name .git -prune -o -name {name} -print 2>/dev/null | head -n {MAX_SUGGESTIONS}"
    done = context.sandbox.run(command, cwd=context.sandbox.workdir, timeout_s=SUGGESTION_TIMEOUT_S, keep_state=False)
    found = [line.removeprefix("./") for line in done.output.text().splitlines() if line.startswith("./")]
    return f" Did you mean {' or '.join(found)}?" if found and not done.timed_out else ""
