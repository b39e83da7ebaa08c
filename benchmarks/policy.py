"""Derive from an instance's row what a model that solves it would say: turns for the scripted endpoint.

The order is the one a careful model keeps: look around, search for the place, write the test, see it fail, view the
lines, edit them, see it pass, read the diff, submit, and submit again after the review. Every argument is computed
from the row and the base tree; nothing is written for one instance. Pure but for reading the tree.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostro.benchmarks.diffs import DiffError, FileDiff, Hunk, apply_hunks, locate, parse_diff, split_lines
from ostro.benchmarks.instance import Instance

VIEW_MARGIN = 12
TEST_TIMEOUT_S = 900
_DEFINITION = re.compile(r"^\s*(?:async\s+def|def|class)\s+(\w+)")
_WORD = re.compile(r"[A-Za-z_]\w{2,}")

Turn = dict[str, Any]
"""One turn as benchmarks/scripted_endpoint.py takes it: text and calls."""


@dataclass(frozen=True)
class Replacement:
    """One exact edit: `old` stands once in the file at that moment."""

    old: str
    new: str


def scripted_turns(instance: Instance, tree: Path) -> list[Turn]:
    """Return the whole run of a model that solves `instance`, whose base is `tree`, as the project itself did.

    Raises:
        DiffError: a patch of the row does not fit the tree.
    """
    fix, tests = parse_diff(instance.patch), parse_diff(instance.test_patch)
    steps = ["Find the place", "Write a failing test", "Fix it", "Run the tests"]
    turns = [
        _turn("I start with a look at the repository.", _editor("view", ".")),
        _turn("The plan.", ("plan", {"items": [{"text": step, "status": "pending"} for step in steps]})),
        _turn("Where is the code that the issue is about?", _search(fix[0], tree)),
    ]
    run_tests = {"command": instance.environment.test_cmd, "timeout": TEST_TIMEOUT_S}
    if tests:
        turns += [turn for file in tests for turn in _change(file, tree, "a test that shows the problem")]
        turns.append(_turn("The new test has to fail now.", ("bash", run_tests)))
    turns += [turn for file in fix for turn in _change(file, tree, "the fix")]
    names = ", ".join(file.path for file in fix)
    summary = f"Fix the problem in {names}; the tests pass."
    return [
        *turns,
        _turn("And pass with the fix.", ("bash", run_tests)),
        _turn("A last look at the difference.", ("git", {"command": "diff"})),
        _turn("Ready.", ("submit", {"summary": summary})),
        _turn("The review shows what I meant to change.", ("submit", {"summary": summary})),
    ]


def replacements(text: str, hunks: tuple[Hunk, ...]) -> Iterator[Replacement]:
    """Yield edits that turn `text` into what `hunks` leave, each unique in the text that the ones before it left.

    Raises:
        DiffError: a hunk does not fit.
    """
    lines = split_lines(text)
    shift = 0
    for hunk in hunks:
        at = locate(lines, hunk, shift)
        start, stop, new = _core(hunk)
        first, last = _widen(lines, at + start, at + stop, bare=not (new and stop > start))
        before, after = lines[first : at + start], lines[at + stop : last]
        yield _replacement("".join(lines[first:last]), "".join([*before, *new, *after]), "".join(lines))
        lines[at : at + len(hunk.old)] = hunk.new
        shift += len(hunk.new) - len(hunk.old)


def stands_once(part: str, text: str) -> bool:
    """Whether `part` occurs in `text` at exactly one place; `str.count` would miss a second one that overlaps."""
    first = text.find(part)
    return first >= 0 and text.find(part, first + 1) < 0


def _core(hunk: Hunk) -> tuple[int, int, tuple[str, ...]]:
    """Return which of the old lines really change (start, stop) and what they become."""
    start = 0
    while start < min(len(hunk.old), len(hunk.new)) and hunk.old[start] == hunk.new[start]:
        start += 1
    end = 0
    while end < min(len(hunk.old), len(hunk.new)) - start and hunk.old[-1 - end] == hunk.new[-1 - end]:
        end += 1
    return start, len(hunk.old) - end, hunk.new[start : len(hunk.new) - end]


def _widen(lines: list[str], first: int, last: int, *, bare: bool) -> tuple[int, int]:
    """Add lines around [first, last) until the block stands once in the file; `bare` needs at least one."""
    text = "".join(lines)
    while bare or not stands_once("".join(lines[first:last]).removesuffix("\n"), text):
        if first == 0 and last == len(lines):
            break
        first, last, bare = max(first - 1, 0), min(last + 1, len(lines)), False
    return first, last


def _replacement(old: str, new: str, text: str) -> Replacement:
    """Leave the last line ending out, as a model does, where that changes nothing."""
    if old.endswith("\n") and new.endswith("\n") and stands_once(old[:-1], text):
        return Replacement(old[:-1], new[:-1])
    return Replacement(old, new)


def _change(file: FileDiff, tree: Path, what: str) -> list[Turn]:
    """Return the turns that bring one file to what the diff makes of it."""
    if file.new_path is None:
        return [_turn(f"{file.path} goes.", ("bash", {"command": f"rm -- {shlex.quote(file.path)}"}))]
    if file.old_path is None:
        content = apply_hunks("", file.hunks)
        return [_turn(f"I write {what}.", _editor("create", file.path, file_text=content))]
    if file.old_path != file.new_path:
        raise DiffError(f"{file.old_path} is renamed to {file.new_path}: the policy has no tool for that")
    text = _read(tree, file.path)
    turns: list[Turn] = []
    for hunk, edit in zip(file.hunks, replacements(text, file.hunks), strict=True):
        first = max(hunk.start - VIEW_MARGIN, 1)
        window = [first, min(hunk.start + len(hunk.old) + VIEW_MARGIN, len(split_lines(text)))]
        turns.append(_turn("The lines around it.", _editor("view", file.path, view_range=window)))
        turns.append(_turn(f"Now {what}.", _editor("str_replace", file.path, old_str=edit.old, new_str=edit.new)))
    return turns


def _search(file: FileDiff, tree: Path) -> tuple[str, dict[str, Any]]:
    symbol = _symbol(file, tree)
    return "search", {"pattern": symbol, "kind": "symbol" if symbol.isidentifier() else "text"}


def _symbol(file: FileDiff, tree: Path) -> str:
    """Return the name that a reader of the issue would look for: the definition around the first change."""
    if file.old_path is None:
        return Path(file.path).stem
    hunk = file.hunks[0]
    above = split_lines(_read(tree, file.path))[: max(hunk.start, 1)]
    for line in [hunk.section, *reversed(above)]:
        if match := _DEFINITION.match(line):
            return match[1]
    words = _WORD.findall("".join(hunk.old))
    return max(words, key=len) if words else Path(file.path).stem


def _read(tree: Path, path: str) -> str:
    try:
        return (tree / path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DiffError(f"{path}: cannot be read in the base tree: {error}") from error


def _editor(command: str, path: str, **arguments: object) -> tuple[str, dict[str, Any]]:
    return "str_replace_editor", {"command": command, "path": path, **arguments}


def _turn(text: str, *calls: tuple[str, dict[str, Any]]) -> Turn:
    return {"content": text, "calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}
