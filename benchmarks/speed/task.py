"""The task of the speed benchmark: thirty calls of a model that knows what it does, in a small repository.

The commands are those of the usual trajectory: look, search, read, try, edit, test. Each takes a few milliseconds, so
that what is measured is the agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ostro.sandbox.git_process import must, run_git

MODULES = 40
ISSUE = "part_07.scale() adds where it should multiply: scale(3) must be 21."

_WRONG, _RIGHT = "return FACTOR + value", "return FACTOR * value"
_LOOK = (
    "ls",
    "git log --oneline | head -5",
    "git status --short",
    "ls parts | head -20",
    "wc -l parts/*.py | tail -1",
    "cat README.md",
    "grep -rn 'def scale' parts | head -20",
    "cat parts/part_07.py",
    "sed -n '1,20p' parts/part_08.py",
    "grep -rn 'FACTOR' parts | wc -l",
    "find . -name '*.py' -newer README.md | head",
    "head -c 200 parts/part_01.py",
    "git blame -L1,3 parts/part_07.py",
    "git log -3 --stat -- parts/part_07.py",
    "python3 check.py",
)
_MEND = (
    f"sed -i 's/{_WRONG}/{_RIGHT}/' parts/part_07.py",
    "git diff",
    "cat parts/part_07.py",
    "python3 check.py",
    "git diff --stat",
    "grep -n 'return' parts/part_07.py",
    "python3 -c 'import sys; sys.path.insert(0, \"parts\"); import part_07; print(part_07.scale(3))'",
    "ls -la parts | head -12",
    "git status --short",
    "echo done with the edit",
    "sed -n '1,12p' check.py",
    "cat parts/part_09.py",
    "tail -3 parts/part_07.py",
    "python3 check.py",
)
_CHECK = """\
import sys

sys.path.insert(0, "parts")
import part_07

print("ok" if part_07.scale(3) == 21 else "wrong")
"""
COMMANDS = (*_LOOK, *_MEND)
"""Twenty-nine; the thirtieth call submits."""


def make_repository(folder: Path) -> None:
    """Make the repository, with one commit.

    Raises:
        RepositoryError: git refuses.
    """
    (folder / "parts").mkdir(parents=True)
    for number in range(MODULES):
        body = _WRONG if number == 7 else _RIGHT
        text = f"FACTOR = {number}\n\n\ndef scale(value: int) -> int:\n    {body}\n"
        (folder / "parts" / f"part_{number:02}.py").write_text(text, "ascii")
    (folder / "README.md").write_text("# Parts\n\nEach part scales by its number.\n", "ascii")
    (folder / "check.py").write_text(_CHECK, "ascii")
    who = {f"GIT_{role}_{what}": "speed@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "parts"]):
        must(run_git(arguments, cwd=folder, env=who), doing="the repository cannot be made")


def turns(submit: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the model's replies: a shell call for each command, then those that end the task."""
    return [{"calls": [{"name": "bash", "arguments": {"command": command}}]} for command in COMMANDS] + list(submit)


def solved(repository: Path, reference: str) -> bool:
    """Whether the file in a branch, or in the working tree for "", is mended."""
    name = "parts/part_07.py"
    if not reference:
        return _RIGHT in (repository / name).read_text("ascii").splitlines()[-1]
    told = run_git(["show", f"{reference}:{name}"], cwd=repository)
    return told.stdout.decode("ascii", "replace").rstrip().endswith(_RIGHT)
