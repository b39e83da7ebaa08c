"""Judge a patch by an instance's own tests, in a fresh sandbox that nobody has worked in.

The patch is applied to the base, the files that the test patch touches are put back, the test patch is applied, the
tests run, and the log is read. Follows benchmarks/environment.py; used by benchmarks/drive_instances.py.
"""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass
from pathlib import Path

from ostro.benchmarks.diffs import touched_paths
from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.parsers import PARSERS, not_passing
from ostro.benchmarks.recipe import Environment
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import Sandbox, SandboxSpec
from ostro.sandbox.repository import inspect_repository

TEST_TIMEOUT_S = 900.0
LOG_BYTES = 16 * 1024 * 1024
_PATCH_FILE = "/tmp/ostro-grade.patch"  # noqa: S108  # inside the sandbox


@dataclass(frozen=True)
class Grade:
    """What the tests say of a patch.

    Attributes:
        applied: the patch fits the base; without that no test ran.
        failed_fix: tests of FAIL_TO_PASS that did not pass.
        failed_kept: tests of PASS_TO_PASS that did not pass.
        tests_seen: how many tests the log names.
        exit_code: of the test command; None when it did not run.
        log: what the test command printed, or why the patch does not apply.
    """

    applied: bool
    failed_fix: tuple[str, ...]
    failed_kept: tuple[str, ...]
    tests_seen: int = 0
    exit_code: int | None = None
    timed_out: bool = False
    duration_s: float = 0.0
    log: str = ""

    @property
    def resolved(self) -> bool:
        """Whether every named test passed."""
        return self.applied and not self.timed_out and not self.failed_fix and not self.failed_kept


def grade(instance: Instance, environment: Environment, patch: bytes, scratch: Path) -> Grade:
    """Return how `instance`'s tests come out on `patch`; b"" is the base as it is.

    `scratch` is a folder for this call alone, which the caller removes.

    Raises:
        SandboxError: the sandbox failed; that says nothing of the patch.
        InstanceError: the row's own test patch does not fit its base.
    """
    with open_sandbox(environment.flavour, specification(instance, environment, scratch)) as sandbox:
        if problem := _apply(sandbox, patch):
            return Grade(False, instance.fail_to_pass, instance.pass_to_pass, log=problem)
        _restore(sandbox, touched_paths(instance.test_patch))
        if problem := _apply(sandbox, instance.test_patch.encode()):
            raise InstanceError(f"{instance.instance_id}: the test patch does not apply: {problem}")
        setup = instance.environment
        done = sandbox.run(f"{setup.test_cmd} 2>&1", timeout_s=TEST_TIMEOUT_S, head_bytes=LOG_BYTES)
    log = done.output.text()
    statuses = PARSERS[setup.log_parser](log)
    return Grade(
        applied=True,
        failed_fix=not_passing(instance.fail_to_pass, statuses),
        failed_kept=not_passing(instance.pass_to_pass, statuses),
        tests_seen=len(statuses),
        exit_code=done.exit_code,
        timed_out=done.timed_out,
        duration_s=done.duration_s,
        log=log,
    )


def specification(instance: Instance, environment: Environment, scratch: Path) -> SandboxSpec:
    """Return what a fresh sandbox of `environment` is started from; its history is one commit."""
    base = prepare_base(inspect_repository(environment.repository), scratch / "base.git", depth=1)
    return SandboxSpec(
        run_id=f"grade-{uuid.uuid4().hex[:12]}",
        state_dir=scratch / "state",
        base_git=base.git_dir,
        base_commit=base.commit,
        image=environment.image,
        workdir=environment.workdir,
        env=instance.environment.env,
    )


def _apply(sandbox: Sandbox, patch: bytes) -> str:
    """Apply a patch; return why it does not fit, "" when it does."""
    if not patch.strip():
        return ""
    sandbox.write(_PATCH_FILE, patch if patch.endswith(b"\n") else patch + b"\n")
    done = sandbox.run(f"git apply --whitespace=nowarn {_PATCH_FILE}")
    return done.output.text().strip() or "git apply failed" if done.exit_code else ""


def _restore(sandbox: Sandbox, paths: tuple[str, ...]) -> None:
    """Give the files of the test patch what they have in the base; those that it makes are removed."""
    for path in map(shlex.quote, paths):
        sandbox.run(f"git checkout -q HEAD -- {path} 2>/dev/null || rm -rf -- {path}")
