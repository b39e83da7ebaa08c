"""Apply a patch inside a sandbox by swebench's strategies, in its order, and say which one did it.

swebench 5.0.2, harness/run_evaluation.py: between two tries the tree is put back, and a patch that every strategy
refuses although it is applied already counts as applied. Which files changed is asked of the disk, not of the patch:
git and patch read more ways to name a file than anybody who looks for names in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ostro.sandbox.protocol import Sandbox

PATCH_FILE = "/tmp/ostro-grade.patch"  # noqa: S108  # inside the sandbox
GIT = "git -c core.hooksPath=/dev/null"

STRATEGIES = {
    "git apply": f"{GIT} apply --verbose {PATCH_FILE}",
    "git apply --3way": f"{GIT} apply --verbose --3way {PATCH_FILE}",
    "git apply --reject": f"{GIT} apply --verbose --reject {PATCH_FILE}",
    "patch": f"patch --batch --forward --fuzz=5 -p1 -i {PATCH_FILE}",
}
_RESET = f"{GIT} checkout -q -- . ; {GIT} clean -q -fd"
_REVERSE_CHECK = f"{GIT} apply --check --reverse {PATCH_FILE}"
_LIST = (
    r"find . -path ./.git/objects -prune -o -path ./.git/index -prune -o \( -type f -o -type l \) "
    "-exec stat -c '%z|%i|%n' {} + | LC_ALL=C sort"
)
"""Each file with the time of its last change, which no program can set, and its number on the disk."""

_BEFORE = "/tmp/ostro-grade.before"  # noqa: S108  # inside the sandbox
_FUZZ = re.compile(r"Hunk #\d+ succeeded at .*with fuzz \d+.*|Hunk #\d+ FAILED.*|Rejected hunk #\d+.*")


@dataclass(frozen=True)
class Applied:
    """How a patch went in.

    Attributes:
        by: the strategy, a key of `STRATEGIES`; `already there`; or "" where none fits.
        remarks: hunks that fit only roughly, one line each.
        problem: what the first strategy said, "" where one fits.
        touched: files that were written, made or removed, whatever the patch calls them.
    """

    by: str
    remarks: tuple[str, ...] = ()
    problem: str = ""
    touched: tuple[str, ...] = ()


def apply_patch(sandbox: Sandbox, patch: bytes) -> Applied:
    """Apply `patch` to the workspace, in which no code of it has run; where no strategy fits it is as before."""
    sandbox.write(PATCH_FILE, patch if patch.endswith(b"\n") else patch + b"\n")
    sandbox.run(f"{_LIST} >{_BEFORE}", cwd=sandbox.workdir, keep_state=False)
    applied = _by_some_strategy(sandbox)
    touched = _touched(sandbox) if applied.by else ()
    sandbox.run(f"rm -f {PATCH_FILE} {_BEFORE}", keep_state=False)
    return replace(applied, touched=touched)


def _by_some_strategy(sandbox: Sandbox) -> Applied:
    problem = ""
    for name, command in STRATEGIES.items():
        if name == "patch" and not sandbox.has("patch"):
            continue
        done = sandbox.run(f"cd {sandbox.workdir} && {command} 2>&1", keep_state=False)
        text = done.output.text()
        if done.exit_code == 0:
            return Applied(name, tuple(dict.fromkeys(_FUZZ.findall(text))))
        problem = problem or _complaint(text)
        sandbox.run(f"cd {sandbox.workdir} && {{ {_RESET}; }} >/dev/null 2>&1", keep_state=False)
    there = sandbox.run(f"cd {sandbox.workdir} && {_REVERSE_CHECK}", keep_state=False).exit_code == 0
    return Applied("already there") if there else Applied("", problem=problem)


def _touched(sandbox: Sandbox) -> tuple[str, ...]:
    done = sandbox.run(f"{_LIST} | LC_ALL=C comm -3 {_BEFORE} -", cwd=sandbox.workdir, keep_state=False)
    paths = (line.rpartition("|./")[2] for line in done.output.text().splitlines() if "|./" in line)
    return tuple(path for path in dict.fromkeys(paths) if PurePosixPath(path).suffix not in (".orig", ".rej"))


def _complaint(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(("error:", "fatal:"))]
    return "; ".join(lines[:3]) or text.strip()[:300] or "git apply failed"
