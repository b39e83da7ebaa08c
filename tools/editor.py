"""View and edit files: `str_replace_editor`, the edit tool whose shape suits models of this size best.

Every edit is exact. What cannot be done exactly is refused with an explanation (tools/nearest.py), an edit of a file
that changed since the model saw it is refused too, and after an edit the place is shown and the syntax checked.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from ostro.tools.files import (
    content_diff,
    digest,
    read_bytes,
    read_text,
    refuse_stale,
    remember,
    resolve,
    shorten,
    text_of,
    write_bytes,
)
from ostro.tools.nearest import explain_ambiguity, explain_miss, positions
from ostro.tools.protocol import FROM_JSON_TEXT, Edit, Observation, Refused, Tool, ToolArgs, ToolContext
from ostro.tools.syntax import syntax_error
from ostro.tools.textfile import NotEncodableError, Splice, TextFile, decode, line_of
from ostro.tools.view import show_directory, show_lines, snippet

T = TypeVar("T")

MAX_UNDO = 20
MAX_UNDO_CHARS = 256 * 1024
"""The undo list is saved with the run's state at each edit, so it must stay small."""


class EditorArgs(ToolArgs):
    """Arguments of `str_replace_editor`; which ones are needed depends on the command."""

    command: Literal["view", "create", "str_replace", "insert", "undo_edit"]
    path: str
    file_text: str | None = Field(default=None, description="For create.")
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = Field(default=None, description="0 is the top.")
    view_range: Annotated[list[int] | None, FROM_JSON_TEXT] = Field(default=None, description="[first, last]")


KEPT_SHARE = 0.5
"""Of the lines of a file, how many a rewrite must keep."""

WHOLE_FILE = "answer with the path of the file on one line and in one ``` block below it the whole file, corrected"
"""The way out for a model that cannot phrase a replacement (agent/recovery.py reads it)."""

VIEW_ONLY = f"[This was view, nothing was edited. To edit, use the command str_replace, or {WHOLE_FILE}.]"
"""Small models fill in every argument and take a view for an edit."""


def run_editor(args: EditorArgs, context: ToolContext) -> Observation:
    """Carry out one command of the editor.

    Raises:
        SandboxError: the sandbox is gone; whatever the model can mend is an Observation.
    """
    try:
        path = resolve(args.path, context)
        return _COMMANDS[args.command](args, path, context)
    except Refused as refusal:
        text = str(refusal)
    except NotEncodableError as error:
        text = f"Nothing was written: {error}."
    except IsADirectoryError:
        text = f"{args.path} is a directory; give the path of a file."
    return Observation(text=text, ok=False, data={"path": args.path})


def _view(args: EditorArgs, path: str, context: ToolContext) -> Observation:
    try:
        data = read_bytes(path, context)
    except IsADirectoryError:
        return Observation(text=show_directory(path, context), data={"path": path})
    shown = show_lines(text_of(path, data, context), args.view_range, context)
    remember(path, data, context)
    note = "" if args.old_str is None and args.new_str is None else f"\n{VIEW_ONLY}"
    return Observation(text=shown + note, data={"path": path})


def _needed(value: T | None, command: str, name: str) -> T:
    if value is None:
        raise Refused(f"{command} needs {name}.")
    return value


def _create(args: EditorArgs, path: str, context: ToolContext) -> Observation:
    text = _needed(args.file_text, "create", "file_text")
    existed = _existing_size(path, context)
    if existed:
        return _rewrite(text, path, context)
    data = TextFile("", "utf-8").encode(text)
    write_bytes(path, data, context)
    remember(path, data, context)
    _record(Edit(path=path, start=0, before="", after="", created=existed is None, digest_after=digest(data)), context)
    lines = text.count("\n") + (not text.endswith("\n") and text != "")
    message = f"Created {shorten(path, context)} ({lines} {'line' if lines == 1 else 'lines'})."
    return _edited(message, path, data, None, context)


def _rewrite(text: str, path: str, context: ToolContext) -> Observation:
    """Replace the whole of a file that the model knows: the one edit that the weakest models get right.

    A text that keeps less than `KEPT_SHARE` of the lines is taken for a part of the file and refused.
    """
    data, file = read_text(path, context)
    shown = shorten(path, context)
    if path not in context.state.seen:
        raise Refused(f"{shown} exists already; nothing was written. View it first, then use str_replace.")
    refuse_stale(path, data, context)
    new = text.replace("\r\n", "\n")
    new += "\n" if file.text.endswith("\n") and not new.endswith("\n") else ""
    if new == file.text:
        raise Refused(f"{shown} already has exactly this content; nothing was edited.")
    old = Counter(line for line in file.text.splitlines() if line.strip())
    kept = (old & Counter(new.splitlines())).total()
    if kept < KEPT_SHARE * old.total():
        raise Refused(
            f"{shown} exists already and this text keeps only {kept} of its {old.total()} lines; nothing was written. "
            "Use str_replace to change a part of it."
        )
    return _apply(path, data, file, (0, len(file.text), new), context)


def _existing_size(path: str, context: ToolContext) -> int | None:
    """Return the size of the file at `path` in bytes, None when there is none."""
    try:
        return len(context.sandbox.read(path))
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise
    except (OSError, ValueError) as error:
        raise Refused(f"{shorten(path, context)} cannot be created: {error}.") from None


def _str_replace(args: EditorArgs, path: str, context: ToolContext) -> Observation:
    old = _needed(args.old_str, "str_replace", "old_str").replace("\r\n", "\n")
    new = _needed(args.new_str, "str_replace", 'new_str ("" to delete)').replace("\r\n", "\n")
    data, file = read_text(path, context)
    refuse_stale(path, data, context)
    if not old:
        raise Refused("old_str is empty; use insert to add text at a line.")
    if old == new:
        raise Refused(
            "old_str and new_str are the same; nothing was edited. Put the corrected lines into new_str, "
            f"or {WHOLE_FILE}."
        )
    found = positions(file.text, old)
    if not found:
        raise Refused(context.redact(explain_miss(file.text, old, new)))
    if len(found) > 1:
        raise Refused(explain_ambiguity(file.text, found))
    start = found[0]
    return _apply(path, data, file, (start, start + len(old), new), context)


def _insert(args: EditorArgs, path: str, context: ToolContext) -> Observation:
    line = _needed(args.insert_line, "insert", "insert_line")
    new = _needed(args.new_str, "insert", "new_str").replace("\r\n", "\n")
    data, file = read_text(path, context)
    if path not in context.state.seen:
        raise Refused(f"View {shorten(path, context)} before inserting by line number.")
    refuse_stale(path, data, context)
    starts = _line_starts(file.text)
    if not 0 <= line < len(starts):
        raise Refused(f"insert_line {line} is outside the file, which has {len(starts) - 1} lines.")
    if not new:
        raise Refused("new_str is empty; nothing was inserted.")
    at = starts[line]
    if at == len(file.text) and file.text and not file.text.endswith("\n"):
        new = "\n" + new.removesuffix("\n")
    elif not new.endswith("\n"):
        new += "\n"
    return _apply(path, data, file, (at, at, new), context)


def _line_starts(text: str) -> list[int]:
    """Return where each line begins, and as the last entry the end of the text: where text after it goes."""
    starts = [0]
    at = text.find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    if starts[-1] != len(text):
        starts.append(len(text))
    return starts


def _apply(path: str, data: bytes, file: TextFile, change: tuple[int, int, str], context: ToolContext) -> Observation:
    """Write `change` (start, end and new text, in `file.text`), record it for undo, and show the place."""
    start, end, new = change
    splice = file.splice(start, end, new)
    write_bytes(path, splice.data, context)
    remember(path, splice.data, context)
    _record(_edit_of(path, splice), context)
    first = line_of(file.text, start)
    last = first + new.rstrip("\n").count("\n")
    place = snippet(decode(splice.data).text, first, last)
    message = f"Edited {shorten(path, context)}:\n{context.redact(place)}"
    return _edited(message, path, splice.data, data, context)


def _edit_of(path: str, splice: Splice) -> Edit:
    return Edit(
        path=path,
        start=splice.start,
        before=splice.before.decode("latin-1"),
        after=splice.after.decode("latin-1"),
        digest_after=digest(splice.data),
    )


def _edited(message: str, path: str, after: bytes, before: bytes | None, context: ToolContext) -> Observation:
    """Return the observation of an edit, with a warning when it broke the syntax of the file."""
    error = syntax_error(path, after, context.sandbox)
    if error and before is not None and syntax_error(path, before, context.sandbox):
        error = ""  # it did not parse before either: no news, and often not meant to parse
    if error:
        message += (
            f"\nWarning: the file no longer parses: {error}. The edit stands; mend it with str_replace, "
            "or take it back with undo_edit."
        )
    return Observation(text=message, mutated=True, data={"path": path, "syntax_error": error})


def _record(edit: Edit, context: ToolContext) -> None:
    edits = [*context.state.edits, edit][-MAX_UNDO:]
    while len(edits) > 1 and sum(len(each.before) + len(each.after) for each in edits) > MAX_UNDO_CHARS:
        edits.pop(0)
    context.state.edits = edits


def _undo(args: EditorArgs, path: str, context: ToolContext) -> Observation:
    del args
    shown, edits = shorten(path, context), context.state.edits
    index = next((i for i in reversed(range(len(edits))) if edits[i].path == path), None)
    if index is None:
        raise Refused(f"There is no edit of {shown} left to take back; `git` restore brings back the committed file.")
    edit, data = edits[index], read_bytes(path, context)
    if digest(data) != edit.digest_after:
        raise Refused(f"{shown} changed after your last edit of it, so undo_edit could lose work. Edit it instead.")
    if edit.created:
        message = _remove(path, context)
    else:
        after = _before_edit(edit, data)
        write_bytes(path, after, context)
        remember(path, after, context)
        message = f"Took back the last edit of {shown}:\n{context.redact(content_diff(data, after))}"
    context.state.edits = [*edits[:index], *edits[index + 1 :]]
    return Observation(text=message, mutated=True, data={"path": path})


def _before_edit(edit: Edit, data: bytes) -> bytes:
    if not edit.before and not edit.after:  # create, on an empty file
        return b""
    end = edit.start + len(edit.after)
    return data[: edit.start] + edit.before.encode("latin-1") + data[end:]


def _remove(path: str, context: ToolContext) -> str:
    done = context.sandbox.run(f"rm -f -- {shlex.quote(path)}", keep_state=False)
    shown = shorten(path, context)
    if done.exit_code != 0:
        raise Refused(f"{shown} could not be removed: {done.output.text().strip()}")
    context.state.seen.pop(path, None)
    context.contents.pop(path, None)
    return f"Removed {shown}, which you had created."


_COMMANDS: dict[str, Callable[[EditorArgs, str, ToolContext], Observation]] = {
    "view": _view,
    "create": _create,
    "str_replace": _str_replace,
    "insert": _insert,
    "undo_edit": _undo,
}

EDITOR = Tool(name="str_replace_editor", args=EditorArgs, run=run_editor)
