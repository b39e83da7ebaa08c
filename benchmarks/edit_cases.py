"""Generated edits for the edit benchmark: files, calls, the bytes that must come out and the help that must be given.

Pure: the expected bytes are computed here without the tool, and the same seed gives the same cases.
"""

from __future__ import annotations

import codecs
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ostro.tools.editor import EditorArgs

SEED = 20251209
CASES_A_KIND = 12
LARGE_LINES = 20_000
LARGE_CASES = 4

_NAMES = ("load", "parse", "total", "render", "merge", "split", "check", "apply", "update", "fetch", "resolve")
_NOUNS = ("path", "value", "item", "key", "record", "user", "token", "node", "entry", "batch", "buffer")


@dataclass(frozen=True)
class Case:
    """One edit.

    Attributes:
        before: the file's content at first.
        seen: whether the model views it before.
        meanwhile: content that something else writes after the view; None when nothing does.
        after: the content that must be there in the end.
        help: regular expressions that the answer must match.
        ok: whether the edit must be done.
    """

    kind: str
    before: bytes
    arguments: EditorArgs
    after: bytes
    help: tuple[str, ...] = ()
    ok: bool = True
    seen: bool = True
    meanwhile: bytes | None = None


def generate(seed: int = SEED) -> list[Case]:
    """Return all cases, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311  # made-up sources, not secrets
    cases: list[Case] = []
    for make in _KINDS:
        count = LARGE_CASES if make in (_large, _large_near_miss) else CASES_A_KIND
        cases += [make(rng) for _ in range(count)]
    return cases


def _source(rng: random.Random, functions: int = 8) -> list[str]:
    """Return the lines of a Python module whose functions all differ."""
    lines = ["import os", "import sys", "", ""]
    for number in range(functions):
        name, noun = f"{rng.choice(_NAMES)}_{number}", f"{rng.choice(_NOUNS)}_{number}"
        lines += [
            f"def {name}({noun}, limit={rng.randrange(100)}):",
            f'    """Return the {noun} number {number}."""',
            f"    if {noun} is None:",
            "        return None",
            f"    for step_{number} in range(limit):",
            f"        {noun} = {noun} + step_{number} * {rng.randrange(2, 90)}",
            f"    return {noun}",
            "",
            "",
        ]
    return lines[:-2]


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _function(rng: random.Random, lines: list[str]) -> int:
    """Return the index of the first line of some function."""
    return rng.choice([index for index, line in enumerate(lines) if line.startswith("def ")])


def _replace(path: str, old: str, new: str) -> EditorArgs:
    return EditorArgs(command="str_replace", path=path, old_str=old, new_str=new)


def _exact(rng: random.Random) -> Case:
    lines = _source(rng)
    at, size = _function(rng, lines), rng.randrange(1, 5)
    old, new = lines[at : at + size], [f"{lines[at]}  # changed", *lines[at + 1 : at + size]]
    after = [*lines[:at], *new, *lines[at + size :]]
    place = rf"^Edited .*\n +{at + 1}\t{re.escape(new[0])}"
    return Case("exact", _text(lines), _replace("a.py", "\n".join(old), "\n".join(new)), _text(after), (place,))


def _never_viewed(rng: random.Random) -> Case:
    return replace(_exact(rng), kind="exact, never viewed", seen=False)


def _deletion(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines) + 1
    old = lines[at] + "\n"
    return Case("deletion", _text(lines), _replace("a.txt", old, ""), _text(lines[:at] + lines[at + 1 :]))


def _ambiguous(rng: random.Random) -> Case:
    lines = _source(rng, rng.randrange(2, 12))
    where = [index + 1 for index, line in enumerate(lines) if line == "        return None"]
    listed = ", ".join(map(str, where[:10]))
    wanted = (rf"matches {len(where)} times, at lines {listed}", "until it matches once")
    return _refused("ambiguous", lines, "        return None", "        return 0", wanted)


def _refused(kind: str, lines: list[str], old: str, new: str, wanted: tuple[str, ...]) -> Case:
    content = _text(lines)
    return Case(kind, content, _replace("a.txt", old, new), content, wanted, ok=False)


def _near_miss(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    old = [lines[at].replace("limit", "maximum"), lines[at + 1], lines[at + 2].replace("None", "null")]
    wanted = (rf" +{at + 1}\t{re.escape(lines[at])}", rf"\+{re.escape(lines[at + 2])}", "What differs")
    return _refused("near miss", lines, "\n".join(old), "x = 1", wanted)


def _invented(rng: random.Random) -> Case:
    return _refused("invented", _source(rng), "SELECT @@ FROM %% WHERE ##;", "x", ("nothing in the file is similar",))


def _trailing_space(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    old = f"{lines[at]}  \n{lines[at + 1]}"
    return _refused("trailing space", lines, old, "x", (f"spaces at the end of line {at + 1}",))


def _indentation(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines) + 2
    old = "\n".join(line[2:] for line in lines[at : at + 2])
    wanted = ("only in indentation", f"line {at + 1} of the file begins with 4 spaces, old_str has 2 spaces")
    return _refused("indentation", lines, old, "x", wanted)


def _line_numbers(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    old = "\n".join(f"{at + 1 + index:6}\t{lines[at + index]}" for index in range(3))
    return _refused("pasted line numbers", lines, old, "x", ("line numbers", f"matches at line {at + 1}"))


def _escapes(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    old = "\\n".join(lines[at : at + 2])
    return _refused("escaped newlines", lines, old, "x", (r"escapes \(\\n\)", f"line {at + 1} "))


def _done_already(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    old = lines[at].replace("limit", "most")
    return _refused("done already", lines, old, lines[at], ("done already", f"at line {at + 1}"))


def _identical(rng: random.Random) -> Case:
    lines = _source(rng)
    line = lines[_function(rng, lines)]
    return _refused("identical", lines, line, line, ("are the same; nothing was edited",))


def _stale(rng: random.Random) -> Case:
    lines = _source(rng)
    at, other = _function(rng, lines), rng.randrange(2)
    changed = [*lines]
    changed[other] = f"{lines[other]}  # by somebody else"
    meanwhile = _text(changed)
    wanted = ("changed since you last saw it", rf"\+{re.escape(changed[other])}", r"@@ -\d")
    arguments = _replace("a.txt", lines[at], "x")
    return Case("stale", _text(lines), arguments, meanwhile, wanted, ok=False, meanwhile=meanwhile)


def _crlf(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    new = [lines[at], "    # one", "    # two"]
    after = [*lines[:at], *new, lines[at + 1], *lines[at + 2 :]]
    before, content = (_text(part).replace(b"\n", b"\r\n") for part in (lines, after))
    old = "\n".join(lines[at : at + 2])
    return Case("CRLF", before, _replace("a.txt", old, "\n".join([*new, lines[at + 1]])), content)


def _mixed(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    endings = [rng.choice(["\n", "\r\n"]) for _ in lines]
    changed = [*lines]
    changed[at] = f"{lines[at]}  # changed"
    before, after = ("".join(map("".join, zip(part, endings, strict=True))).encode() for part in (lines, changed))
    old, new = ("\n".join(part[at : at + 4]) for part in (lines, changed))
    return Case("mixed line endings", before, _replace("a.txt", old, new), after)


def _tabs(rng: random.Random) -> Case:
    lines = [line.replace("    ", "\t") for line in _source(rng)]
    at = _function(rng, lines) + 2
    new = [lines[at], "\t\treturn 0"]
    after = [*lines[:at], *new, *lines[at + 2 :]]
    old = "\n".join(lines[at : at + 2])
    return Case("tabs", _text(lines), _replace("a.txt", old, "\n".join(new)), _text(after))


def _spaces_for_tabs(rng: random.Random) -> Case:
    lines = [line.replace("    ", "\t") for line in _source(rng)]
    at = _function(rng, lines) + 2
    old = "\n".join(line.replace("\t", "    ") for line in lines[at : at + 2])
    wanted = (f"line {at + 1} of the file begins with 1 tab, old_str has 4 spaces",)
    return _refused("spaces for tabs", lines, old, "x", wanted)


def _bom(rng: random.Random) -> Case:
    case, mark = _exact(rng), codecs.BOM_UTF8
    return replace(case, kind="BOM", before=mark + case.before, after=mark + case.after)


def _latin_1(rng: random.Random) -> Case:
    lines = ["# -*- coding: latin-1 -*-", *_source(rng)]
    at = _function(rng, lines) + 1
    lines[at] = '    """Grüße aus Köln."""'
    after = [*lines]
    after[at] = '    """Schöne Grüße aus Köln."""'
    before, content = (_text(part).decode().encode("latin-1") for part in (lines, after))
    return Case("Latin-1", before, _replace("a.txt", "Grüße", "Schöne Grüße"), content)


def _latin_1_foreign(rng: random.Random) -> Case:
    lines = [*_source(rng), "name = 'Müller'"]
    content = _text(lines).decode().encode("latin-1")
    arguments = _replace("a.txt", "Müller", rng.choice(["Müller €", "Dvořák", "東京"]))
    return Case("Latin-1, other script", content, arguments, content, ("the file is Latin-1",), ok=False)


def _utf_16(rng: random.Random) -> Case:
    content = _text(_source(rng, 2)).decode().encode("utf-16")
    return Case("UTF-16", content, _replace("a.txt", "import", "x"), content, ("UTF-16",), ok=False)


def _binary(rng: random.Random) -> Case:
    content = b"\x7fELF\0" + rng.randbytes(200)
    return Case("binary", content, _replace("a.bin", "ELF", "x"), content, ("binary",), ok=False)


def _no_final_newline(rng: random.Random) -> Case:
    lines = _source(rng)
    before = "\n".join(lines).encode()
    after = "\n".join([*lines[:-1], "    return 0"]).encode()
    return Case(
        "no final newline", before, _replace("a.txt", "\n".join(lines[-2:]), f"{lines[-2]}\n    return 0"), after
    )


def _broken_syntax(rng: random.Random) -> Case:
    lines = _source(rng)
    at = _function(rng, lines)
    after = [*lines]
    after[at] = lines[at].rstrip(":")
    wanted = (f"no longer parses: line {at + 1}", "undo_edit")
    return Case("broken syntax", _text(lines), _replace("a.py", lines[at], after[at]), _text(after), wanted)


def _insert(rng: random.Random) -> Case:
    lines = _source(rng)
    at = rng.randrange(len(lines) + 1)
    after = [*lines[:at], "# inserted", *lines[at:]]
    arguments = EditorArgs(command="insert", path="a.txt", insert_line=at, new_str="# inserted")
    return Case("insert", _text(lines), arguments, _text(after), (rf"\n +{at + 1}\t# inserted|:\n +1\t# inserted",))


def _insert_unseen(rng: random.Random) -> Case:
    content = _text(_source(rng))
    arguments = EditorArgs(command="insert", path="a.txt", insert_line=2, new_str="# inserted")
    return Case("insert, never viewed", content, arguments, content, ("^View ",), ok=False, seen=False)


def _create_over(rng: random.Random) -> Case:
    content = _text(_source(rng))
    arguments = EditorArgs(command="create", path="a.txt", file_text="x = 1\n")
    return Case("create over a file", content, arguments, content, ("exists already",), ok=False)


def _large(rng: random.Random) -> Case:
    lines = _source(rng, LARGE_LINES // 9)
    at = _function(rng, lines)
    after = [*lines]
    after[at + 5] = "        pass"
    old, new = ("\n".join(part[at : at + 6]) for part in (lines, after))
    return Case(
        "20,000 lines", _text(lines), _replace("a.txt", old, new), _text(after), (rf"\n +{at + 6}\t        pass",)
    )


def _large_near_miss(rng: random.Random) -> Case:
    lines = _source(rng, LARGE_LINES // 9)
    at = _function(rng, lines)
    old = [lines[at].replace("limit", "maximum"), lines[at + 1].replace("Return", "Give"), lines[at + 2]]
    wanted = (rf" +{at + 1}\t{re.escape(lines[at])}", "What differs")
    return _refused("20,000 lines, near miss", lines, "\n".join(old), "x", wanted)


_KINDS: tuple[Callable[[random.Random], Case], ...] = (
    _exact,
    _never_viewed,
    _deletion,
    _ambiguous,
    _near_miss,
    _invented,
    _trailing_space,
    _indentation,
    _line_numbers,
    _escapes,
    _done_already,
    _identical,
    _stale,
    _crlf,
    _mixed,
    _tabs,
    _spaces_for_tabs,
    _bom,
    _latin_1,
    _latin_1_foreign,
    _utf_16,
    _binary,
    _no_final_newline,
    _broken_syntax,
    _insert,
    _insert_unseen,
    _create_over,
    _large,
    _large_near_miss,
)
