"""Apply a patch inside a sandbox by swebench's strategies, in its order, and say which one did it.

swebench 5.0.2, harness/run_evaluation.py: between two tries the tree is put back, and a patch that every strategy
refuses although it is applied already counts as applied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
_FUZZ = re.compile(r"Hunk #\d+ succeeded at .*with fuzz \d+.*|Hunk #\d+ FAILED.*|Rejected hunk #\d+.*")


@dataclass(frozen=True)
class Applied:
    """How a patch went in.

    Attributes:
        by: the strategy, a key of `STRATEGIES`; `already there`; or "" where none fits.
        remarks: hunks that fit only roughly, one line each.
        problem: what the first strategy said, "" where one fits.
    """

    by: str
    remarks: tuple[str, ...] = ()
    problem: str = ""


def apply_patch(sandbox: Sandbox, patch: bytes) -> Applied:
    """Apply `patch` to the workspace; where no strategy fits the workspace is as before."""
    sandbox.write(PATCH_FILE, patch if patch.endswith(b"\n") else patch + b"\n")
    problem = ""
    for name, command in STRATEGIES.items():
        if name == "patch" and not sandbox.has("patch"):
            continue
        done = sandbox.run(f"cd {sandbox.workdir} && {command} 2>&1", keep_state=False)
        text = done.output.text()
        if done.exit_code == 0:
            _forget(sandbox)
            return Applied(name, tuple(dict.fromkeys(_FUZZ.findall(text))))
        problem = problem or _complaint(text)
        sandbox.run(f"cd {sandbox.workdir} && {{ {_RESET}; }} >/dev/null 2>&1", keep_state=False)
    there = sandbox.run(f"cd {sandbox.workdir} && {_REVERSE_CHECK}", keep_state=False).exit_code == 0
    _forget(sandbox)
    return Applied("already there") if there else Applied("", problem=problem)


def _forget(sandbox: Sandbox) -> None:
    sandbox.run(f"rm -f {PATCH_FILE}", keep_state=False)


def _complaint(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(("error:", "fatal:"))]
    return "; ".join(lines[:3]) or text.strip()[:300] or "git apply failed"
