"""Judge a patch by an instance's own tests, in a fresh sandbox that nobody has worked in.

The patch is applied to the base, what decides how tests run is put back, the test patch is applied, the tests run, and
three accounts of the run are compared: the log, the exit code, the witness in the test process. Follows
benchmarks/environment.py; used by everything that asks whether a patch is good.
"""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.errors import PreflightError
from ostro.benchmarks import consistency, tampering
from ostro.benchmarks.application import GIT, Applied, apply_patch
from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.recipe import Environment
from ostro.benchmarks.results import GradeReport, TestOutcomes, Verdict
from ostro.benchmarks.stands import stand_for
from ostro.benchmarks.store import TEST_LOG
from ostro.benchmarks.test_plan import TestPlan, plan_of
from ostro.benchmarks.testimony import Testimony
from ostro.benchmarks.verdict import Reading, normal_newlines, read_log
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import Completed, Sandbox, SandboxSpec
from ostro.sandbox.repository import inspect_repository
from ostro.sandbox.scratch import scratch_folder

TEST_TIMEOUT_S = 1800.0
LOG_BYTES = 32 * 1024 * 1024
_SCRIPT = "eval.sh"


class NotRunnableError(PreflightError):
    """The environment lacks a program that the instance's tests are run with."""


def grade(
    instance: Instance,
    environment: Environment,
    patch: bytes,
    folder: Path,
    *,
    timeout_s: float = TEST_TIMEOUT_S,
    opened: Callable[[Sandbox], None] = lambda _: None,
) -> GradeReport:
    """Return how `instance`'s tests come out on `patch`; b"" is the base as it is.

    Args:
        instance: the row.
        environment: where its tests run; a fresh sandbox of it is opened and closed.
        patch: what to judge.
        folder: takes the test log, `test.log`.
        timeout_s: seconds that the tests may take.
        opened: told of the sandbox, for who may have to cancel it from another thread.

    Raises:
        SandboxError: the sandbox failed; that says nothing of the patch.
        InstanceError: the row's own test patch does not fit its base, or the row does not say how to test.
        NotRunnableError: a program that the row needs is not there.
    """
    plan = plan_of(instance)
    needs = instance.setup.needs if instance.setup else ()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        scratch_folder("grade") as scratch,
        open_sandbox(environment.flavour, specification(instance, environment, scratch)) as sandbox,
    ):
        opened(sandbox)
        if missing := [program for program in needs if not sandbox.has(program)]:
            raise NotRunnableError(
                f"{instance.instance_id} is not runnable here: the sandbox has no {', '.join(missing)}",
                mend="Install it, or name an image that has it.",
            )
        return Grading(instance, plan, sandbox, folder, timeout_s).judge(patch)


def nothing_to_grade(instance: Instance) -> GradeReport:
    """Return the report of an agent that made no patch: no test is run, none counts as passed."""
    return _unpassed(instance, "empty_patch")


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
        env=plan_of(instance).env,
    )


@dataclass(frozen=True)
class Grading:
    """One patch in one sandbox."""

    instance: Instance
    plan: TestPlan
    sandbox: Sandbox
    folder: Path
    timeout_s: float

    def judge(self, patch: bytes) -> GradeReport:
        """Apply, put back, test, compare."""
        text = patch.decode("utf-8", "replace")
        applied = Applied("")
        restored: tuple[str, ...] = ()
        suspicions: tuple[str, ...] = ()
        if patch.strip():
            applied = self._apply(patch, text)
            if not applied.by:
                return _unpassed(self.instance, "patch_failed", f"the patch does not apply: {applied.problem}")
            suspicions = self._suspicions(text, applied)
            restored = self._restore_infrastructure((*tampering.paths_of(text), *applied.touched))
        self._restore(self._test_files())
        if not self.plan.script:
            self._apply_tests()
        before = self._test_marks()
        done, testimony = self._run()
        log = done.output.text()
        (self.folder / TEST_LOG).write_text(log, encoding="utf-8")
        if done.timed_out:
            return self._timed_out(done, applied, restored)
        reading, exit_code = self._read(log, done.exit_code)
        seen = consistency.Seen(
            reading,
            self.plan.parser,
            exit_code,
            testimony,
            restored,
            suspicions,
            rewritten=sorted({name for name, _ in before ^ self._test_marks()}),
            failure_is_expected=self._failure_is_expected(),
        )
        how, findings = consistency.check(seen)
        return GradeReport(
            verdict=reading.verdict,
            consistency=how,
            witness=consistency.witness_of(testimony, self.plan.parser),
            applied_by=applied.by,
            fail_to_pass=reading.fail_to_pass,
            pass_to_pass=reading.pass_to_pass,
            tests_seen=len(reading.statuses),
            exit_code=exit_code,
            duration_s=round(done.duration_s, 3),
            findings=(*findings, *applied.remarks),
            restored=restored,
            log=TEST_LOG,
        )

    def _apply(self, patch: bytes, text: str) -> Applied:
        named = tampering.paths_of(text)
        if outside := sorted(set(named) - set(tampering.restorable(named))):
            return Applied("", problem=f"it reaches outside of the tree: {', '.join(outside[:3])}")
        applied = apply_patch(self.sandbox, patch)
        if inside := [path for path in applied.touched if path.startswith(".git/")]:
            return Applied("", problem=f"it writes into git's own folder: {inside[0]}")
        return applied

    def _apply_tests(self) -> None:
        if not self.instance.test_patch.strip():
            return
        applied = apply_patch(self.sandbox, self.instance.test_patch.encode("utf-8", "surrogateescape"))
        if not applied.by:
            raise InstanceError(f"{self.instance.instance_id}: the test patch does not apply: {applied.problem}")

    def _test_files(self) -> tuple[str, ...]:
        """Return the files that hold the row's tests: those of the test patch, and those that test names begin with."""
        names = (*self.instance.fail_to_pass, *self.instance.pass_to_pass)
        of_names = (name.split("::")[0] for name in names if "::" in name)
        return tampering.restorable(dict.fromkeys((*tampering.paths_of(self.instance.test_patch), *of_names)))

    def _suspicions(self, patch: str, applied: Applied) -> tuple[str, ...]:
        """Return what of the patch looks like forging, in its text and in what it made of the files."""
        named = tampering.paths_of(patch)
        hidden = [path for path in applied.touched if path not in named]
        if hidden or applied.by == "patch":  # which reads lines as added that do not begin with a plus
            written = (
                tampering.added_lines(path, self._base_of(path) or "", self._text_of(path)) for path in applied.touched
            )
            patch = "\n".join((patch, *written))
        lines = tampering.suspicions(patch, own_runner=self.instance.repo.endswith("/pytest"))
        return (*(f"{path}: changed by the patch, which hides its name" for path in hidden), *lines)

    def _restore_infrastructure(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Put back what decides how tests run; return what the patch had changed of it."""
        tests = set(self._test_files())
        changed = tampering.restorable(dict.fromkeys(paths))
        decided = [path for path in changed if path not in tests and self._decides(path)]
        self._restore(decided)
        return tuple(decided)

    def _decides(self, path: str) -> bool:
        before = self._base_of(path)
        there = before is not None
        if tampering.is_infrastructure(path, self.plan.command, exists_in_base=there):
            return True
        if there and tampering.helps_tests(path, self._test_files()):
            return True
        return bool(tampering.changes_test_settings(path, before or "", self._text_of(path)))

    def _base_of(self, path: str) -> str | None:
        done = self.sandbox.run(f"{GIT} cat-file -p HEAD:{shlex.quote(path)}", cwd=self.sandbox.workdir)
        return done.output.text() if done.exit_code == 0 else None

    def _text_of(self, path: str) -> str:
        try:
            return self.sandbox.read(f"{self.sandbox.workdir}/{path}").decode("utf-8", "replace")
        except (OSError, ValueError):
            return ""

    def _test_marks(self) -> set[tuple[str, str]]:
        """Return the files of the tests and every conftest.py, each with its number and the time of its last change.

        A row's own script changes them itself, and they are not looked at.
        """
        if self.plan.script:
            return set()
        named = "".join(f" -o -path {shlex.quote(f'./{path}')}" for path in self._test_files())
        find = rf"find . -path ./.git -prune -o \( -name conftest.py{named} \) -exec stat -c '%n|%z|%i' {{}} +"
        done = self.sandbox.run(find, cwd=self.sandbox.workdir, keep_state=False)
        lines = (line.rsplit("|", 2) for line in done.output.text().splitlines())
        return {(name.removeprefix("./"), f"{changed} {number}") for name, changed, number in lines}

    def _failure_is_expected(self) -> bool:
        """Whether the files of the tests say themselves that some are expected to fail."""
        texts = (self.instance.test_patch, *map(self._text_of, self._test_files()))
        return any(re.search(r"xfail|expected_?failure", text, re.IGNORECASE) for text in texts)

    def _restore(self, paths: Iterable[str]) -> None:
        """Give files what they have in the base; those that are not in it are removed."""
        for path in map(shlex.quote, paths):
            back = f"rm -rf -- {path}; {GIT} checkout -q HEAD -- {path} 2>/dev/null"
            self.sandbox.run(back, cwd=self.sandbox.workdir, keep_state=False)

    def _run(self) -> tuple[Completed, Testimony | None]:
        stand = stand_for(self.plan.parser, self.plan.command)
        before = stand.prepare(self.sandbox) if stand else ""
        if self.plan.script:
            folder = stand.folder if stand else "/tmp"  # noqa: S108  # inside
            self.sandbox.write(f"{folder}/{_SCRIPT}", self.plan.script.encode("utf-8", "surrogateescape"))
            command = f"{before}bash {folder}/{_SCRIPT} 2>&1"
        else:
            command = f"{before}{{ {self.plan.command}\n}} 2>&1"
        done = self.sandbox.run(command, cwd=self.sandbox.workdir, timeout_s=self.timeout_s, head_bytes=LOG_BYTES)
        return done, stand.hear(self.sandbox) if stand else None

    def _read(self, log: str, exit_code: int) -> tuple[Reading, int]:
        output, code = self.plan.output_of(normal_newlines(log), exit_code)
        reading = read_log(
            output,
            self.plan.parser,
            self.instance.fail_to_pass,
            self.instance.pass_to_pass,
            exit_code=code,
            eval_type=self.plan.eval_type,
        )
        return reading, exit_code if code is None else code

    def _timed_out(self, done: Completed, applied: Applied, restored: tuple[str, ...]) -> GradeReport:
        why = f"the tests did not end within {self.timeout_s:.0f} s"
        return _unpassed(self.instance, "test_timeout", why).model_copy(
            update={
                "applied_by": applied.by,
                "exit_code": done.exit_code,
                "duration_s": round(done.duration_s, 3),
                "restored": restored,
                "log": TEST_LOG,
            }
        )


def _unpassed(instance: Instance, verdict: Verdict, *findings: str) -> GradeReport:
    return GradeReport(
        verdict=verdict,
        findings=findings,
        fail_to_pass=TestOutcomes(failure=instance.fail_to_pass),
        pass_to_pass=TestOutcomes(failure=instance.pass_to_pass),
    )
