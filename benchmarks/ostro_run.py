"""Run the `ostro` command on an instance, as a user would, and collect what it left behind.

The command is a process of its own; the repository is a copy, so that the environment's stays clean. Used by
benchmarks/drive_instances.py and benchmarks/small_model.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Event
from ostro.agent.record.trajectory import TrajectoryError, read_events
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.recipe import Environment
from ostro.sandbox.git_process import must, run_git

STDERR_TAIL_CHARS = 4000
TRAJECTORY = "trajectory.jsonl"


@dataclass(frozen=True)
class Finished:
    """What one `ostro run` left behind.

    Attributes:
        report: the JSON object of stdout; None when there was none, which is a bug of ours.
        patch: what the branch changes against the base; b"" without a branch.
        salvaged: the patch file's content, which a run keeps also where it made no branch.
        stderr: its end.
        folder: the run folder.
    """

    exit_code: int
    report: RunReport | None
    patch: bytes
    salvaged: bytes
    stderr: str
    folder: Path

    def events(self) -> tuple[Event, ...]:
        """Read the trajectory, checking its chain.

        Raises:
            TrajectoryError: it is not valid.
        """
        path = self.folder / TRAJECTORY
        if not path.is_file():
            raise TrajectoryError(f"{path} is missing")
        return tuple(read_events(path))


def run_ostro(
    instance: Instance, environment: Environment, flags: Sequence[str], *, scratch: Path, home: Path, timeout_s: float
) -> Finished:
    """Run `ostro run` on a copy of the environment's repository, with the problem statement as the issue.

    `flags` name endpoint, model and limits; `scratch` holds the copy and the run folder afterwards.

    Raises:
        subprocess.TimeoutExpired: the command overran even its own limits.
    """
    repository, issue, folder = scratch / "repository", scratch / "issue.md", scratch / "run"
    scratch.mkdir(parents=True, exist_ok=True)
    shutil.copytree(environment.repository, repository, symlinks=True)
    issue.write_text(instance.problem_statement, encoding="utf-8")
    command = [sys.executable, "-m", "ostro.cli.main", "run", "--repo", str(repository), "--issue", str(issue)]
    command += ["--sandbox", environment.flavour, "--image", environment.image]
    command += ["--test", instance.environment.test_cmd, "--out", str(folder), "--output", "json", *flags]
    # Nothing of the caller's configuration may change what is measured; the environment needs no set-up any more.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OSTRO_")}
    variables = inherited | {"OSTRO_HOME": str(home), "OSTRO_SETUP": "\n", "XDG_CONFIG_HOME": str(scratch / "config")}
    done = subprocess.run(
        command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
    )
    report = _report(done.stdout)
    patch = _branch_patch(repository, environment.base_commit, report.branch) if report and report.branch else b""
    return Finished(
        exit_code=done.returncode,
        report=report,
        patch=patch,
        salvaged=Path(report.patch).read_bytes() if report and report.patch else b"",
        stderr=done.stderr.decode("utf-8", "replace")[-STDERR_TAIL_CHARS:],
        folder=folder,
    )


def _report(stdout: bytes) -> RunReport | None:
    try:
        return RunReport.model_validate_json(stdout)
    except ValidationError:
        return None


def _branch_patch(repository: Path, base: str, branch: str) -> bytes:
    arguments = ["diff-tree", "-p", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", base, branch]
    return must(run_git(arguments, cwd=repository), doing=f"the branch {branch} cannot be compared").stdout
