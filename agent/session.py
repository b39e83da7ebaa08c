"""One run, start to end: repository and task in, branch, patch file, run folder and report out.

prepare (repository, model, environment) -> attempts (agent/attempt.py) -> select -> publish (policy, branch, patch
file) -> verify (the tests, on the base and on the patch) -> report. Nothing of the user's is touched before publish.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ostro.agent.attempt import PATCH_FILE, AttemptResult, outcome_of_error
from ostro.agent.attempts import run_attempts
from ostro.agent.config import Settings
from ostro.agent.errors import OstroError, UsageError
from ostro.agent.outcome import Ending, ErrorReport, Outcome, RunReport, TestedPatch, TestRun
from ostro.agent.preparation import Prepared, RunFolder, open_folder, prepare
from ostro.agent.publication import Published, publish
from ostro.agent.record.trajectory import Event, Tested, TrajectoryWriter, storage_error
from ostro.agent.task import Task
from ostro.agent.verification import BaseTests, run_tests
from ostro.sandbox.protocol import RepositoryError, SandboxError

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
    """Drive one task to its end; from the first change on every ending is a report, never an exception.

    Args:
        request: what to do.
        listener: told every event of the trajectory.
        say: told what takes time before the trajectory begins: a pull, a set-up command, the choice of sandbox.

    Raises:
        UsageError, RepositoryError, StorageError: before anything was started or changed.
    """
    started = time.monotonic()
    folder = open_folder(request.settings.home, request.out)
    try:
        with prepare(request.repository, request.task, request.settings, folder, say) as prepared:
            report = _Run(request, prepared, listener, started).drive()
    except (UsageError, RepositoryError):
        folder.discard()
        raise
    except (OstroError, SandboxError) as error:
        report = _unstarted(request, folder, outcome_of_error(error), started)
    except KeyboardInterrupt:
        outcome = Outcome(ending=Ending.INTERRUPTED, reason="interrupted before the first step")
        report = _unstarted(request, folder, outcome, started)
    save_report(report, folder.path)
    return report


def save_report(report: RunReport, folder: Path) -> None:
    """Write the report into the run folder. Raises StorageError."""
    path = folder / REPORT_FILE
    try:
        path.write_text(report.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from error


def _unstarted(request: RunRequest, folder: RunFolder, outcome: Outcome, started: float) -> RunReport:
    settings = request.settings
    return RunReport(
        run=str(folder.path),
        outcome=outcome.ending,
        exit_code=outcome.ending.exit_code,
        error=outcome.error,
        reason=outcome.reason,
        seconds=round(time.monotonic() - started, 3),
        model=settings.model,
        endpoint=settings.endpoint,
        warnings=request.warnings,
    )


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
        best = run_attempts(prepared, self._listener)
        published, outcome = self._publish(best)
        tests = self._verify(base_tests, best, published, outcome)
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
            )
        except (OstroError, SandboxError) as error:
            return Published(patch=file if file.exists() else None), outcome_of_error(error)
        return published, best.outcome if published.accepted else _refused(published, best.outcome)

    def _verify(
        self, base_tests: BaseTests, best: AttemptResult, published: Published, outcome: Outcome
    ) -> TestedPatch:
        prepared = self._prepared
        command = prepared.test_command
        if not command:
            return TestedPatch(source="none")
        before, after = TestRun(status="not_run"), TestRun(status="not_run")
        if outcome.ending is not Ending.INTERRUPTED and published.accepted:
            after = run_tests(prepared.open_sandbox, command, published.accepted, label="patched")
            before = base_tests.result()
        else:
            base_tests.abandon()
        source: TestSource = self._request.test_source if prepared.settings.test is not None else "detected"
        with TrajectoryWriter.reopen(best.folder / "trajectory.jsonl", self._listener) as log:
            log.write(Tested(phase="before", command=command, result=before))
            log.write(Tested(phase="after", command=command, result=after))
        return TestedPatch(command=command, source=source, before=before, after=after, verified=after.status == "green")

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
            warnings=(*self._request.warnings, *prepared.notes, *published.refusals),
            sandbox=prepared.sandbox_name,
            model=prepared.target.model.id,
            endpoint=prepared.target.profile.base_url,
            repairs=best.repairs,
        )
