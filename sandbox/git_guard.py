"""Where which git command may run on the host: the rule of git_process.py, as a check before every process.

A repository's configuration can name programs that git starts. So a command that could start one runs only where the
configuration holds nothing but settings that are known to name none, as in a directory that git_process made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ostro.sandbox.protocol import RepositoryError

HARMLESS = frozenset(
    ["rev-parse", "symbolic-ref", "config", "for-each-ref", "update-ref", "var", "check-ref-format", "version"]
)
"""Commands that start no program whatever the repository says (the hooks of update-ref are switched off)."""

CREATING = frozenset(["init", "clone"])

_SECTION = re.compile(r"\[(core|extensions|remote \"origin\"|branch \"[\w./-]+\")\]", re.IGNORECASE)
_KEY = re.compile(
    r"(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|objectformat"
    r"|url|fetch|tagopt|remote|merge)\s*=[^\\]*",
    re.IGNORECASE,
)
_OPTIONS_WITH_VALUE = frozenset(["-c", "-C", "--git-dir", "--work-tree", "--namespace", "--exec-path"])
_REACHES_REMOTE = frozenset(["fetch", "pull", "push", "ls-remote", "remote", "submodule"])
_MAX_CONFIG_BYTES = 64 * 1024


def check_place(args: Sequence[str | Path], *, git_dir: Path | None, cwd: Path | None) -> None:
    """Allow a git command where it cannot start a program that the repository names.

    Raises:
        RepositoryError: it could; nothing was run.
    """
    verb = verb_of(args)
    if verb in HARMLESS or (verb in CREATING and git_dir is None):
        return
    place = git_dir if git_dir is not None else (cwd or Path()) / ".git"
    if verb in _REACHES_REMOTE or not names_no_program(place):
        raise RepositoryError(
            f"git {verb} is not run in {place}: its configuration could start a program",
            mend="Report this: only a repository that Ostro made is used so.",
        )


def verb_of(args: Sequence[str | Path]) -> str:
    """Return the command's name: the first argument that is no option of git itself."""
    words = iter(map(str, args))
    for word in words:
        if not word.startswith("-"):
            return word
        if word in _OPTIONS_WITH_VALUE:
            next(words, None)
    return ""


def names_no_program(git_dir: Path) -> bool:
    """Whether a git directory is a real one whose configuration holds only settings that start nothing."""
    if git_dir.is_symlink() or not (git_dir / "HEAD").is_file():
        return False
    if (git_dir / "commondir").exists() or (git_dir / "config").is_symlink():
        return False
    try:
        with (git_dir / "config").open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
        lines = [line.strip() for line in text.decode("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return False
    known = (not line or _SECTION.fullmatch(line) or _KEY.fullmatch(line) for line in lines)
    return len(text) <= _MAX_CONFIG_BYTES and all(known)
