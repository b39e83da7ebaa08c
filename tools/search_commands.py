"""The shell commands of the search tool. Pure: a `Query` in, command lines out.

Every command prints the matching lines, capped, and as its last line `<total> exit <code>`. Only sh, find, sort, tr,
xargs, grep and awk as busybox has them are needed; ripgrep is used where it exists, for speed and .gitignore.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_COLUMNS = 300
SKIPPED_FOLDERS = (".git", "node_modules", "__pycache__", ".tox", ".venv", "venv", ".mypy_cache", ".pytest_cache")
PROSE = ("*.md", "*.rst", "*.txt")
"""No definitions there, but sentences such as "use add(a, b)"."""

_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|#)[A-Za-z_$][\w$]*)*[?!]?")
_GLOB_CHARS = frozenset("*?[{")
_REGEX_CHARS = frozenset(r"\.^$*+?()[]{}|")

_SPACE = "[[:space:]]"
_KEYWORDS = (
    "class|def|defp|defmodule|defmacro|func|function|fn|fun|struct|enum|union|interface|trait|impl|type|typedef|module|"
    "mod|namespace|package|protocol|object|record|extension|macro|macro_rules!|const|let|var|val|static|sub|proc"
)
_MODIFIERS = (
    "public|private|protected|internal|static|final|abstract|async|override|virtual|inline|export|default|extern|"
    "synchronized|native|unsafe|get|set"
)


class Attempt(NamedTuple):
    """One command to try; `note` tells the model how the pattern was read, "" for as asked."""

    note: str
    command: str


@dataclass(frozen=True)
class Query:
    """A search with everything that its commands depend on.

    Attributes:
        path: relative to the workspace, or absolute.
        fixed: take the pattern as plain text.
        without: globs of files to leave out.
    """

    pattern: str
    path: str = "."
    glob: str = ""
    has_ripgrep: bool = True
    max_lines: int = 60
    fixed: bool = False
    without: tuple[str, ...] = ()


def is_identifier(text: str) -> bool:
    """Whether `text` can be the name of something defined in a program, qualified or not."""
    return _IDENTIFIER.fullmatch(text) is not None


def text_commands(query: Query) -> list[Attempt]:
    """Return the search for a regular expression, then for the same characters as plain text."""
    attempts = [Attempt("", _lines_command(query))]
    if _REGEX_CHARS.intersection(query.pattern):
        attempts.append(
            Attempt("no match as a regular expression; as plain text:", _lines_command(replace(query, fixed=True)))
        )
    return attempts


def symbol_commands(query: Query) -> list[Attempt]:
    """Return the search for definitions of a name in common languages; of a qualified name its last part counts."""
    name = re.split(r"\.|::|#", query.pattern)[-1]
    wanted = replace(query, pattern=definition_pattern(name), without=PROSE)
    return [Attempt("", _lines_command(wanted))]


def file_commands(query: Query) -> list[Attempt]:
    """Return the search for paths: by glob or part of the path, then as a regular expression."""
    is_glob = bool(_GLOB_CHARS.intersection(query.pattern))
    attempts = [Attempt("", _files_command(query, glob_pattern(query.pattern) if is_glob else None))]
    if is_glob or _REGEX_CHARS.intersection(query.pattern):
        attempts.append(Attempt("read as a regular expression:", _files_command(query, extended(query.pattern))))
    return attempts


def definition_pattern(name: str) -> str:
    """Return an extended regular expression, valid for rg and grep -E, for lines that define `name`."""
    word = re.escape(name).replace("\\$", "[$]")
    end = "([^A-Za-z0-9_]|$)"
    alternatives = [
        rf"(^|[^A-Za-z0-9_])({_KEYWORDS})\*?{_SPACE}+([A-Za-z0-9_]+[.:]+|[*&])*{word}{end}",
        rf"func{_SPACE}*\([^)]*\){_SPACE}*{word}{_SPACE}*[(\[]",  # a Go method
        rf"#{_SPACE}*define{_SPACE}+{word}{end}",
        rf"^{word}{_SPACE}*(:[^=]+)?=([^=]|$)",  # a variable of a module
        rf"^{_SPACE}*(export{_SPACE}+)?{word}{_SPACE}*[:=]{_SPACE}*(async{_SPACE}+)?(function|\()",
        rf"^[A-Za-z_][A-Za-z0-9_<>,:*& ]*[ *&:]{word}{_SPACE}*\([^;]*$",  # C and C++ at the margin
        rf"^{_SPACE}+(({_MODIFIERS}){_SPACE}+)+([^=;(]*[^A-Za-z0-9_=;(])?{word}{_SPACE}*\(",
        rf"^{_SPACE}*{word}{_SPACE}*\([^;]*\){_SPACE}*\{{",  # a method of a JavaScript class, a shell function
    ]
    return "|".join(alternatives)


def extended(pattern: str) -> str:
    """Return a Rust-like regular expression as grep -E takes it, as far as the two differ commonly."""
    pattern = pattern.replace("(?:", "(").replace(r"\d", "[0-9]")
    return re.sub(r"\\([sw])", lambda match: {"s": _SPACE, "w": "[A-Za-z0-9_]"}[match[1]], pattern)


def glob_pattern(glob: str) -> str:
    """Return the extended regular expression for paths that a glob names, at any depth."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", glob.removeprefix("./").removeprefix("/"))
    known = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(known.get(part) or (part if part.startswith("[") else _braces(part)) for part in parts)
    return f"(^|/){body}$"


def _braces(text: str) -> str:
    escaped = re.sub(r"([\\.^$+()|\[\]])", r"\\\1", text)
    return escaped.replace("{", "(").replace("}", ")").replace(",", "|") if "{" in text or "}" in text else escaped


def _capped(search: str, query: Query) -> str:
    """Wrap a command: cap its lines and add the summary line, in one awk that never holds more than a line."""
    program = (
        f'NR>1{{if(n<{query.max_lines})print substr(last,1,{MAX_COLUMNS * 4});n++}}{{last=$0}}END{{print n+0 " " last}}'
    )
    exists = f"[ -e {shlex.quote(query.path)} ]"
    return f'{exists} && {{ {search}; echo "exit $?"; }} 2>&1 | LC_ALL=C awk {shlex.quote(program)}'


def _lines_command(query: Query) -> str:
    return _capped(_ripgrep(query) if query.has_ripgrep else _grep(query), query)


def _ripgrep(query: Query) -> str:
    options = ["rg", "--no-config", "--no-messages", "--color=never", "--hidden", "--sort=path", "--glob=!.git"]
    options += ["--line-number", "--no-heading", "--with-filename"]
    options += [f"--max-columns={MAX_COLUMNS}", "--max-columns-preview"]
    options += [f"--glob={query.glob}"] if query.glob else []
    options += [f"--glob=!{glob}" for glob in query.without]
    options += ["--fixed-strings"] if query.fixed else []
    return shlex.join([*options, f"--regexp={query.pattern}", "--", query.path])


def _grep(query: Query) -> str:
    case, pattern = ("i", query.pattern[4:]) if query.pattern.startswith("(?i)") else ("", query.pattern)
    kind = "F" if query.fixed else "E"
    wanted = shlex.quote(pattern if query.fixed else extended(pattern))
    # The probe keeps grep's code for a bad pattern, which xargs hides; -I (skip binary files) is not in every grep.
    valid = f"printf '' | grep -{kind} -e {wanted}; [ $? -le 1 ]"
    binary = "B=; printf x | grep -qI x 2>/dev/null && B=I"
    lines = f"xargs -0 grep -n{kind}{case}$B -e {wanted} /dev/null 2>/dev/null"
    return f"if {valid}; then {binary}; {_find(query)} | tr '\\n' '\\0' | {lines}; (exit 0); else (exit 2); fi"


def _find(query: Query) -> str:
    """Return the fallback list of files, sorted: without version control, caches and installed packages."""
    pruned = " -o ".join(f"-name {folder}" for folder in SKIPPED_FOLDERS)
    path = query.path if query.path.startswith(("/", ".")) else f"./{query.path}"
    command = f"find {shlex.quote(path)} -type d \\( {pruned} \\) -prune -o -type f -print 2>/dev/null | LC_ALL=C sort"
    if query.glob:
        command += f" | grep -E -e {shlex.quote(glob_pattern(query.glob))}"
    return command + "".join(f" | grep -vE -e {shlex.quote(glob_pattern(glob))}" for glob in query.without)


def _files_command(query: Query, pattern: str | None) -> str:
    if query.has_ripgrep:
        options = ["rg", "--no-config", "--no-messages", "--files", "--hidden", "--sort=path", "--glob=!.git"]
        options += [f"--glob={query.glob}"] if query.glob else []
        files = shlex.join([*options, "--", query.path])
    else:
        files = _find(query)
    wanted = f"grep -iF -e {shlex.quote(query.pattern)}" if pattern is None else f"grep -iE -e {shlex.quote(pattern)}"
    # grep matches from the beginning of the path, so a leading "./" would hide an anchored pattern.
    return _capped(f"{files} | sed 's,^\\./,,' | {wanted}", query)
