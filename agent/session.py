"""One run, start to end: repository and task in, branch, patch file, run folder and report out.

prepare (repository, model, environment) -> attempts (agent/attempt.py) -> select -> publish (policy, branch, patch
file) -> verify (the tests, on the base and on the patch) -> report. Nothing of the user's is touched before publish.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ostro.agent.attempt import PATCH_FILE, AttemptResult, outcome_of_error
from ostro.agent.attempts import run_attempts
from ostro.agent.config import Settings
from ostro.agent.errors import Interrupted, OstroError, StorageError
from ostro.agent.interruption import interruptible, kept_back
from ostro.agent.outcome import Ending, ErrorReport, Outcome, RunReport, TestedPatch
from ostro.agent.preparation import Prepared, open_folder, prepare
from ostro.agent.publication import Published, publish
from ostro.agent.record.attempts_seen import attempts_in
from ostro.agent.record.events import Event, Tested
from ostro.agent.record.lock import RunLock
from ostro.agent.record.trajectory import TrajectoryWriter, storage_error
from ostro.agent.task import Task
from ostro.agent.verification import BaseTests, run_tests
from ostro.sandbox.policy import PatchPolicy
from ostro.sandbox.protocol import SandboxError

REPORT_FILE = "report.json"

Listener = Callable[[Event], None]
"""Called with every event of the trajectory as it is written, in order; must return quickly."""

TestSource = Literal["flag", "config", "detected", "none"]


@dataclass(frozen=True)
class RunRequest:
    """What a front end asks for.

    Attributes:
        repository: the user's checkout (a URL was cloned before).
        task: the issue, read and sanitised.
        settings: the effective configuration.
        out: the run folder; None for a new one below `settings.home / "runs"`.
        test_source: where `settings.test` came from, for the report.
        warnings: of the front end, for the summary: an ignored configuration key, an issue that was cut.
    """

    repository: Path
    task: Task
    settings: Settings
    out: Path | None = None
    test_source: TestSource = "config"
    warnings: tuple[str, ...] = ()


def _quiet(_: str) -> None:
    return None


def run(request: RunRequest, listener: Listener | None = None, say: Callable[[str], None] = _quiet) -> RunReport:
    """Drive one task to its end; once the sandbox can be had every ending is a report, never an exception.

    Args:
        request: what to do.
        listener: told every event of the trajectory.
        say: told what takes time before the trajectory begins: a pull, a set-up command, the choice of sandbox.

    Raises:
        OstroError, SandboxError, KeyboardInterrupt: before the first attempt; no run folder is left then.
    """
    started = time.monotonic()
    folder = open_folder(request.settings.home, request.out)
    with kept_back(late=False), RunLock(folder.path):
        try:
            with interruptible():
                prepared = prepare(request.repository, request.task, request.settings, folder, say)
        except BaseException:
            folder.discard()
            raise
        with prepared:
            report = _Run(request, prepared, listener, started).drive()
        return save_report(report, folder.path)


def save_report(report: RunReport, folder: Path) -> RunReport:
    """Write the report into the run folder and return it; one that cannot be written says so itself."""
    path = folder / REPORT_FILE
    try:
        path.write_text(report.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        outcome = outcome_of_error(storage_error(error, path))
        changes = {"outcome": outcome.ending, "exit_code": outcome.ending.exit_code, "error": outcome.error}
        return report.model_copy(update=changes)
    return report


def _refused(published: Published, outcome: Outcome) -> Outcome:
    """Nothing of the patch was allowed: no branch, the patch file stays for the user to look at."""
    error = ErrorReport(
        kind="policy",
        message="; ".join(published.refusals),
        mend=f"Look at {published.patch} and apply by hand what is wanted.",
    )
    ending = Ending.NO_ACTION if outcome.ending is Ending.SUBMITTED else outcome.ending
    return Outcome(ending=ending, reason="the patch policy refused the change", error=outcome.error or error)


class _Run:
    """A run whose preparation succeeded."""

    def __init__(self, request: RunRequest, prepared: Prepared, listener: Listener | None, started: float) -> None:
        self._request = request
        self._prepared = prepared
        self._listener = listener
        self._started = started

    def drive(self) -> RunReport:
        prepared = self._prepared
        base_tests = BaseTests(prepared.open_sandbox, prepared.test_command)
        base_tests.start()
        try:
            best = run_attempts(prepared, self._listener)
            published, outcome = self._publish(best)
            tests = TestedPatch(command=prepared.test_command, source=self._test_source())
            try:
                if published.accepted and outcome.ending is not Ending.INTERRUPTED:
                    with interruptible():
                        tests = self._verify(base_tests, tests, published.accepted)
            except KeyboardInterrupt:
                outcome = outcome_of_error(Interrupted("interrupted while the patch was tested"))
        finally:
            base_tests.abandon()
        self._log_tests(best, tests)
        return self._report(best, published, outcome, tests)

    def _publish(self, best: AttemptResult) -> tuple[Published, Outcome]:
        """Publish the patch; when that fails the outcome says so, and the patch file stays."""
        prepared = self._prepared
        file = prepared.folder.path / PATCH_FILE
        if not best.patch:
            return Published(), best.outcome
        try:
            published = publish(
                prepared.repository,
                prepared.base,
                prepared.task,
                best.outcome,
                best.patch,
                run_id=prepared.folder.run_id,
                file=file,
                policy=PatchPolicy(levels=prepared.settings.policy),
            )
        except (OstroError, SandboxError) as error:
            return Published(patch=file if file.exists() else None), outcome_of_error(error)
        return published, best.outcome if published.accepted else _refused(published, best.outcome)

    def _test_source(self) -> TestSource:
        if not self._prepared.test_command:
            return "none"
        return self._request.test_source if self._prepared.settings.test is not None else "detected"

    def _verify(self, base_tests: BaseTests, tests: TestedPatch, patch: bytes) -> TestedPatch:
        if not tests.command:
            return tests
        after = run_tests(self._prepared.open_sandbox, tests.command, patch, label="patched")
        before = base_tests.result()
        return tests.model_copy(update={"before": before, "after": after, "verified": after.status == "green"})

    def _log_tests(self, best: AttemptResult, tests: TestedPatch) -> None:
        """Add the tests to the log; a log that cannot be written has said so at the end of its attempt."""
        if not tests.command:
            return
        with (
            contextlib.suppress(StorageError),
            TrajectoryWriter.reopen(best.folder / "trajectory.jsonl", self._listener) as log,
        ):
            log.write(Tested(phase="before", command=tests.command, result=tests.before))
            log.write(Tested(phase="after", command=tests.command, result=tests.after))

    def _report(self, best: AttemptResult, published: Published, outcome: Outcome, tests: TestedPatch) -> RunReport:
        prepared = self._prepared
        purse = prepared.purse
        return RunReport(
            run=str(prepared.folder.path),
            outcome=outcome.ending,
            exit_code=outcome.ending.exit_code,
            branch=published.branch,
            commit=published.commit,
            patch=str(published.patch) if published.patch else None,
            files_changed=published.files,
            steps=best.steps,
            tokens=best.tokens,
            cost_usd=round(purse.spent_usd, 6),
            cost_source=best.cost_source,
            seconds=round(time.monotonic() - self._started, 3),
            tests=tests,
            error=outcome.error,
            reason=outcome.reason,
            warnings=(*self._request.warnings, *prepared.task.warnings, *prepared.notes, *published.refusals),
            sandbox=prepared.sandbox_name,
            model=prepared.target.model.id,
            endpoint=prepared.target.profile.base_url,
            repairs=best.repairs,
            security=attempts_in(prepared.folder.path, published.findings, prepared.task.warnings),
        )
