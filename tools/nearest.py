"""Explain why `old_str` does not match: what exactly differs, and where the nearest block of the file is. Pure.

The explanation never changes the file: a near miss is shown, the model sends the exact text itself.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ostro.tools.textfile import line_of, split_lines

MIN_SIMILARITY = 0.4
CANDIDATES = 6
MAX_COMPARED_CHARS = 1000
MAX_BLOCK_LINES = 16
MAX_DIFF_LINES = 24
MAX_LINE_CHARS = 300
MAX_LISTED_MATCHES = 10
MIN_TELLING_CHARS = 8
"""A shorter new_str may stand in the file by chance."""

_NUMBERED = re.compile(r"^\s*\d+(?:\t|→|: |:|\| | \| )")
_WORDS = re.compile(r"\w+")
_ESCAPED = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\'": "'"}


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file: `first` is the 1-based number of the first one."""

    first: int
    lines: Sequence[str]
    similarity: float


def positions(text: str, part: str) -> list[int]:
    """Return where `part` begins in `text`, overlapping occurrences included."""
    found: list[int] = []
    at = text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + 1)
    return found


def explain_ambiguity(text: str, found: Sequence[int]) -> str:
    """Return one sentence with the line numbers of all matches."""
    lines = list(dict.fromkeys(line_of(text, position) for position in found))
    listed = ", ".join(str(line) for line in lines[:MAX_LISTED_MATCHES])
    more = f" and {len(lines) - MAX_LISTED_MATCHES} more" if len(lines) > MAX_LISTED_MATCHES else ""
    return (
        f"old_str matches {len(found)} times, at line{'s' if len(lines) > 1 else ''} {listed}{more}. "
        "Add text before or after it to old_str (and new_str) until it matches once."
    )


def explain_miss(text: str, old: str, new: str) -> str:
    """Return why `old` is not in `text`, as precisely as can be said, with the nearest block.

    Args:
        text: the file, newlines only.
        old: what was searched, newlines only, not in `text`.
        new: what was to replace it, to recognise an edit that is done already.
    """
    for explain in (_line_numbers, _escapes, _trailing_space, _indentation, _already_done):
        reason = explain(text, old, new)
        if reason:
            return reason
    block = nearest_block(split_lines(text), split_lines(old))
    if block is None:
        return "old_str is not in the file, and nothing in the file is similar to it. View the file first."
    return f"old_str is not in the file. The nearest lines are:\n{show_block(block)}\n{_diff(old, block)}"


def show_block(block: Block) -> str:
    """Return the lines of `block` with their numbers, the middle of a long one left out."""
    numbered = [f"{block.first + index:6}\t{line[:MAX_LINE_CHARS]}" for index, line in enumerate(block.lines)]
    if len(numbered) > MAX_BLOCK_LINES:
        half = MAX_BLOCK_LINES // 2
        numbered = [*numbered[:half], f"   [... {len(numbered) - 2 * half} lines ...]", *numbered[-half:]]
    return "\n".join(numbered)


def nearest_block(lines: Sequence[str], old: Sequence[str]) -> Block | None:
    """Return the block of as many lines as `old` that is most similar to it, None when nothing is.

    Linear in the file: windows are ranked by the words that they share with `old`, and only the best few are
    compared character by character.
    """
    size = len(old)
    if not lines or not size:
        return None
    blocks: list[Block] = []
    for start in _candidates(lines, old):
        part = lines[start : start + size]
        blocks.append(Block(start + 1, part, _similarity(part, old)))
    best = max(blocks, key=lambda block: block.similarity)
    return best if best.similarity >= MIN_SIMILARITY else None


def _similarity(part: Sequence[str], old: Sequence[str]) -> float:
    """Return how alike two blocks are, 0 to 1: by characters when short, else by lines and words.

    Comparing characters is quadratic, and on long blocks of much the same lines it takes seconds.
    """
    left, right = "\n".join(part), "\n".join(old)
    if len(left) + len(right) <= MAX_COMPARED_CHARS:
        return difflib.SequenceMatcher(None, left, right, autojunk=False).ratio()
    lines = difflib.SequenceMatcher(None, [line.strip() for line in part], [line.strip() for line in old]).ratio()
    left_words, right_words = Counter(_WORDS.findall(left)), Counter(_WORDS.findall(right))
    shared = (left_words & right_words).total()
    return max(lines, 2 * shared / max(1, left_words.total() + right_words.total()))


def _candidates(lines: Sequence[str], old: Sequence[str]) -> list[int]:
    """Return the starts of the windows worth comparing: aligned equal lines first, then shared words."""
    size, last = len(old), max(0, len(lines) - len(old))
    where: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        where.setdefault(line.strip(), []).append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(old):
        same = where.get(line.strip(), []) if line.strip() else []
        # A line that occurs everywhere ("return", "}") says nothing of the place and would cost the most.
        if len(same) <= CANDIDATES * 10:
            votes.update(min(max(0, index - offset), last) for index in same)
    starts = [start for start, _ in votes.most_common(CANDIDATES)]
    words = set(_WORDS.findall("\n".join(old)))
    counts = [len(words.intersection(_WORDS.findall(line))) for line in lines]
    score = sum(counts[:size])
    scores = [score]
    for start in range(1, last + 1):
        score += counts[start + size - 1] - counts[start - 1]
        scores.append(score)
    ranked = sorted(range(len(scores)), key=lambda start: -scores[start])[:CANDIDATES]
    return list(dict.fromkeys([*starts, *ranked]))


def _line_numbers(text: str, old: str, new: str) -> str:
    del new
    lines = [line for line in old.split("\n") if line.strip()]
    if not lines or not all(_NUMBERED.match(line) for line in lines):
        return ""
    bare = "\n".join(_NUMBERED.sub("", line) for line in old.split("\n"))
    if not bare.strip() or bare not in text:
        return ""
    return (
        "old_str carries the line numbers that `view` shows; they are not in the file. "
        f"Without them it matches at line {line_of(text, text.index(bare))}: leave them out of old_str and new_str."
    )


def _already_done(text: str, old: str, new: str) -> str:
    telling = max(MIN_TELLING_CHARS, len(old) // 2) <= len(new.strip()) and new not in old
    found = positions(text, new) if telling else []
    if len(found) != 1:
        return ""
    line = line_of(text, found[0])
    return f"old_str is not in the file, but new_str is, at line {line}: this edit seems to be done already."


def _escapes(text: str, old: str, new: str) -> str:
    del new
    plain = old
    for escape, character in _ESCAPED.items():
        plain = plain.replace(escape, character)
    if plain == old or plain not in text:
        return ""
    used = " ".join(escape for escape in _ESCAPED if escape in old)
    return (
        f"old_str holds escapes ({used}) where line {line_of(text, text.index(plain))} of the file has the plain "
        "characters: escape once only, so that a line break is a line break."
    )


def _trailing_space(text: str, old: str, new: str) -> str:
    del new
    block = _block_alike(text, old, str.rstrip)
    if block is None:
        return ""
    wrong = _differing(block, old)
    where = f"line {wrong[0]}" if len(wrong) == 1 else f"lines {', '.join(map(str, wrong[:MAX_LISTED_MATCHES]))}"
    detail = "; ".join(
        f"line {line} of the file ends with {_ending(block.lines[line - block.first])}" for line in wrong[:3]
    )
    return f"old_str differs from the file only in spaces at the end of {where}: {detail}."


def _ending(line: str) -> str:
    tail = line[len(line.rstrip()) :]
    return ascii(tail) if tail else "none"


def _indentation(text: str, old: str, new: str) -> str:
    del new
    block = _block_alike(text, old, str.strip)
    if block is None:
        return ""
    line = _differing(block, old)[0]
    have, sent = block.lines[line - block.first], split_lines(old)[line - block.first]
    return (
        f"old_str differs from the file only in indentation: line {line} of the file begins with {_indent(have)}, "
        f"old_str has {_indent(sent)} there. The lines are:\n{show_block(block)}"
    )


def _indent(line: str) -> str:
    space = line[: len(line) - len(line.lstrip())]
    counts = [(space.count(char), name) for char, name in ((" ", "space"), ("\t", "tab"))]
    return " and ".join(f"{count} {name}{'s' * (count > 1)}" for count, name in counts if count) or "no space"


def _block_alike(text: str, old: str, normal: Callable[[str], str]) -> Block | None:
    """Return the block that equals `old` once every line went through `normal`, None unless there is one."""
    wanted = [normal(line) for line in split_lines(old)]
    if not any(wanted):
        return None
    lines = split_lines(text)
    normals = [normal(line) for line in lines]
    for start in range(len(lines) - len(wanted) + 1):
        if normals[start] == wanted[0] and normals[start : start + len(wanted)] == wanted:
            return Block(start + 1, lines[start : start + len(wanted)], 1.0)
    return None


def _differing(block: Block, old: str) -> list[int]:
    pairs = zip(block.lines, split_lines(old), strict=True)
    differing = [block.first + index for index, (have, sent) in enumerate(pairs) if have != sent]
    return differing or [block.first + len(block.lines) - 1]


def _diff(old: str, block: Block) -> str:
    lines = list(difflib.unified_diff(split_lines(old), block.lines, "old_str", "file", n=1, lineterm=""))
    shown = [line[:MAX_LINE_CHARS] for line in lines if not line.startswith("@@")]
    if len(shown) > MAX_DIFF_LINES:
        shown = [*shown[:MAX_DIFF_LINES], f"[... {len(shown) - MAX_DIFF_LINES} more lines ...]"]
    return "What differs:\n" + "\n".join(shown)
