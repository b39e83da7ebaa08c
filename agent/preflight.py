"""Checks before the first token: is the sandbox fit to work in? A failed one is infrastructure, never a score.

agent/attempts.py calls `preflight` in each fresh sandbox, logs every check and stops at a failed one. The shell, the
disk and the state of git decide; whether the project can be imported and its tests collected is only told, for that
may be what the issue is about.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.checks import Check, folder_room, room
from ostro.agent.errors import PreflightError
from ostro.sandbox.base_files import BaseFiles, read_base
from ostro.sandbox.detect import Language, detect_language, packages_of
from ostro.sandbox.host_git import Base
from ostro.sandbox.protocol import ENVIRONMENT_DIR, Completed, Sandbox, SandboxError
from ostro.sandbox.requirements import allows, wanted_version

PROBE_S = 20.0
COLLECT_S = 60.0
HOST_BYTES_LEAST = 256 * 1024**2
HOST_BYTES_GOOD = 2 * 1024**3
SANDBOX_BYTES_LEAST = 64 * 1024**2
SANDBOX_BYTES_GOOD = 512 * 1024**2

HOST_MEND = "`ostro clean`, or set OSTRO_HOME to another disk."

NOT_FOUND = (126, 127)
NO_TESTS = 5
"""pytest's exit code when it collected nothing."""

_PYTEST = re.compile(r"(\S*python[\d.]*\s+-m\s+|\S*/)?(pytest|py\.test)(\s[^;&|<>`$()]*)?")
_PYTHON = "command -v python || command -v python3"
"""Debian has no `python` outside a virtual environment."""

_PROGRAMS: dict[Language, str] = {"python": "python", "javascript": "node", "go": "go", "rust": "cargo", "make": "make"}


@dataclass(frozen=True)
class PreflightReport:
    """All checks of one sandbox, in the order in which they were made.

    Their names: host disk, repository, sandbox, shell, sandbox disk, git, interpreter, import, tests.
    """

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that forbid a start."""
        return tuple(check for check in self.checks if check.status == "fail")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """What should be told and does not forbid a start."""
        return tuple(check for check in self.checks if check.status == "warn")

    def require(self) -> None:
        """Go on only when nothing failed.

        Raises:
            PreflightError: with the first failed check, and all of them in its `checks`.
        """
        if self.failed:
            first, *others = self.failed
            also = f" (failed too: {', '.join(check.name for check in others)})" if others else ""
            raise PreflightError(f"{first.name}: {first.detail}{also}", mend=first.mend, checks=self.checks)


def preflight(
    sandbox: Sandbox,
    *,
    test_command: str | None,
    base: Base,
    folder: Path,
    git_dir: Path | None = None,
    configured: bool = False,
) -> PreflightReport:
    """Check a fresh sandbox; changes nothing in it.

    Args:
        sandbox: opened and furnished.
        test_command: what the host will run on base and patch; None or "" when there is none.
        base: the commit that the workspace must hold.
        folder: the run folder, for the room on its disk.
        git_dir: of the user, where the branch will be written; None where there will be none.
        configured: the test command was given by the user, so that a missing program is a failure.
    """
    checks = [
        folder_room("host disk", folder, least=HOST_BYTES_LEAST, good=HOST_BYTES_GOOD, mend=HOST_MEND),
        *([] if git_dir is None else [_repository(git_dir)]),
        _protection(sandbox),
    ]
    try:
        shell = _shell(sandbox)
        checks.append(shell)
        if shell.status == "ok":
            files = read_base(base.git_dir, base.commit)
            checks += [
                _sandbox_disk(sandbox),
                _git(sandbox, base),
                _interpreter(sandbox, files),
                _import(sandbox, files),
            ]
            checks.append(_tests(sandbox, test_command or "", configured=configured))
    except SandboxError as error:
        checks.append(Check("shell", "fail", str(error), error.mend or "Try `ostro doctor`."))
    return PreflightReport(tuple(checks))


def _probe(sandbox: Sandbox, command: str, timeout_s: float = PROBE_S) -> Completed:
    return sandbox.run(command, timeout_s=timeout_s, cwd=sandbox.workdir, keep_state=False)


def _repository(git_dir: Path) -> Check:
    """The branch is written at the very end: that it cannot be is told before anything is paid for."""
    if all(os.access(git_dir / name, os.W_OK | os.X_OK) for name in ("objects", "refs")):
        return Check("repository", "ok", f"{git_dir} can be written")
    mend = "Make it writable, work on a clone of it, or take the patch file alone with --skip-preflight."
    return Check("repository", "fail", f"{git_dir} cannot be written, and the branch would be there", mend)


def _protection(sandbox: Sandbox) -> Check:
    """Tell engine and image: a sandbox that could not be had has ended the run before this."""
    if sandbox.name == "none":
        return Check("sandbox", "warn", sandbox.description, "Leave --sandbox none out to have one.")
    return Check("sandbox", "ok", sandbox.description)


def _shell(sandbox: Sandbox) -> Check:
    done = _probe(sandbox, "echo $((6 * 7)) && : >/dev/null && cd . && [ -w . ]")
    if done.exit_code == 0 and done.output.text().strip() == "42":
        return Check("shell", "ok", f"{sandbox.name}, {done.duration_s * 1000:.0f} ms")
    said = _last_line(done)
    return Check("shell", "fail", f"a plain command ended with {done.exit_code}: {said}", "Try `ostro doctor`.")


def _sandbox_disk(sandbox: Sandbox) -> Check:
    done = _probe(sandbox, "df -Pk . | tail -n 1")
    fields = done.output.text().split()
    if done.exit_code != 0 or len(fields) < 4 or not fields[3].isdigit():
        return Check("sandbox disk", "skipped", "the image's df does not say")
    free = int(fields[3]) * 1024
    mend = "Free room on the disk of the sandbox's volumes."
    return room("sandbox disk", sandbox.workdir, free, least=SANDBOX_BYTES_LEAST, good=SANDBOX_BYTES_GOOD, mend=mend)


def _git(sandbox: Sandbox, base: Base) -> Check:
    """The workspace must be the base commit, or every patch would hold a difference that nobody made."""
    if not sandbox.has("git"):
        return Check("git", "skipped", "the sandbox has no git")
    done = _probe(sandbox, "git rev-parse HEAD && git diff --name-only HEAD")
    head, *changed = done.output.text().strip().splitlines() or [""]
    if done.exit_code != 0:
        return Check("git", "fail", f"git does not work in the workspace: {_last_line(done)}", "Try another image.")
    if head != base.commit:
        return Check("git", "fail", f"the workspace is at {head[:12]}, not at {base.commit[:12]}", "Report this.")
    if changed:
        mend = "Check the line-ending and filter attributes of these files."
        return Check("git", "fail", f"the fresh workspace differs from its base: {', '.join(changed[:5])}", mend)
    return Check("git", "ok", f"clean at {head[:12]}")


def _interpreter(sandbox: Sandbox, files: BaseFiles) -> Check:
    language = detect_language(files.tree)
    program = _PROGRAMS.get(language)
    if program is None:
        return Check("interpreter", "skipped", "no language detected")
    look_up = _PYTHON if language == "python" else f"command -v {program}"
    version = "version" if program == "go" else "--version"
    done = _probe(sandbox, f'found=$({look_up}) && echo "$found" && "$found" {version} 2>&1 | head -n 1')
    path, _, version = done.output.text().strip().partition("\n")
    if done.exit_code != 0:
        mend = f"Take an image that has {program} (`--image`)."
        return Check("interpreter", "warn", f"{program} is not on PATH", mend)
    own = f"{ENVIRONMENT_DIR}/bin/python"
    if language == "python" and path != own and _probe(sandbox, f"[ -x {own} ]").exit_code == 0:
        return Check(
            "interpreter", "warn", f"python is {path}, not {own}", "Do not set PATH in the sandbox's variables."
        )
    wanted = wanted_version(language, files.tree.text)
    found = re.search(r"\d+\.\d+", version)
    if found and wanted and not allows(wanted, found[0]):
        mend = f"Take an image with the right {program} (`--image`), unless this is what the issue is about."
        return Check("interpreter", "warn", f"{path} is {version}, the project asks for {wanted}", mend)
    return Check("interpreter", "ok", f"{path}, {version}")


def _import(sandbox: Sandbox, files: BaseFiles) -> Check:
    packages = packages_of(files.tree) if detect_language(files.tree) == "python" else ()
    if not packages:
        return Check("import", "skipped", "no Python package found")
    program = shlex.quote("; ".join(f"import {name}" for name in packages))
    command = f'PYTHONDONTWRITEBYTECODE=1 "$({_PYTHON})" -c {program}'
    done = _probe(sandbox, command)
    if done.exit_code == 0:
        return Check("import", "ok", ", ".join(packages))
    mend = "Give the missing set-up with `setup` in the configuration, unless this is what the issue is about."
    return Check("import", "warn", f"import {', '.join(packages)}: {_last_line(done)}", mend)


def _tests(sandbox: Sandbox, command: str, *, configured: bool) -> Check:
    if not command:
        return Check("tests", "skipped", "no test command")
    if _PYTEST.fullmatch(command.strip()) is None:
        return Check("tests", "skipped", f"only pytest can collect without running; the command is `{command}`")
    done = _probe(
        sandbox, f"PYTHONDONTWRITEBYTECODE=1 {command} --collect-only -q -p no:cacheprovider", timeout_s=COLLECT_S
    )
    if done.exit_code == 0:
        return Check("tests", "ok", _last_line(done))
    missing = done.exit_code in NOT_FOUND or "No module named pytest" in done.output.text()
    if missing:
        mend = "Install pytest with `setup` in the configuration, or name another command with --test."
        return Check("tests", "fail" if configured else "warn", f"`{command}`: {_last_line(done)}", mend)
    if done.exit_code == NO_TESTS:
        return Check("tests", "warn", f"`{command}` collects no test", "Name the right command with --test.")
    detail = "collecting took too long" if done.timed_out else f"not all tests are collected: {_last_line(done)}"
    return Check("tests", "warn", detail, "Give the missing set-up, unless this is what the issue is about.")


def _last_line(done: Completed) -> str:
    lines = [line for line in done.output.text().splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"exit code {done.exit_code}, no output"
