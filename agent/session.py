"""One run, start to end: repository and task in, branch, patch file, run folder and report out.

prepare (repository, model, environment) -> attempts (agent/attempt.py) -> select -> publish (policy, branch, patch
file) -> verify (the tests, on the base and on the patch) -> report. Nothing of the user's is touched before publish.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ostro.agent.attempt import OWN_PATCH_FILE, AttemptResult, outcome_of_error
from ostro.agent.attempts import run_attempts
from ostro.agent.budget import Purse
from ostro.agent.checkpoints import PATCH_FILE
from ostro.agent.config import Settings
from ostro.agent.errors import Interrupted, OstroError, StorageError
from ostro.agent.interruption import interruptible, kept_back
from ostro.agent.outcome import Ending, ErrorReport, Outcome, RunReport, TestedPatch, TestRun
from ostro.agent.preparation import Prepared, open_folder, prepare
from ostro.agent.publication import Published, publish
from ostro.agent.record import events
from ostro.agent.record.attempts_seen import attempts_in
from ostro.agent.record.files import write_whole
from ostro.agent.record.redact import Redactor, redacted, secrets_of
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.request import REPORT_FILE, Delivery, StoredRequest, TestSource, write_request
from ostro.agent.task import Task
from ostro.agent.trouble import typed_trouble
from ostro.agent.verification import BaseTests, run_tests
from ostro.sandbox.policy import PatchPolicy
from ostro.sandbox.protocol import SandboxError

Listener = Callable[[events.Event], None]
"""Called with every event of the trajectory as it is written, in order; must return quickly."""


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
        deliver: `branch` publishes, by the patch policy, and tests; `patch` leaves the patch file as it was captured,
            for a harness that judges it.
        purse: the common purse of a batch.
    """

    repository: Path
    task: Task
    settings: Settings
    out: Path | None = None
    test_source: TestSource = "config"
    warnings: tuple[str, ...] = ()
    deliver: Delivery = "branch"
    purse: Purse | None = None


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
    with kept_back(late=False), folder.locked():
        try:
            write_request(folder.path, _stored(request, folder.run_id), Redactor(secrets_of(os.environ)))
            with interruptible():
                prepared = prepare(request.repository, request.task, request.settings, folder, say, purse=request.purse)
        except BaseException:
            folder.discard()
            raise
        if request.deliver == "branch":
            folder.list_below(request.settings.home)
        return finish(request, prepared, listener, started)


def finish(request: RunRequest, prepared: Prepared, listener: Listener | None, started: float) -> RunReport:
    """Make what attempts are left, publish, verify and report; what earlier processes did is not done again.

    Args:
        request: what to do.
        prepared: closed at the end.
        listener: told every event.
        started: on the monotonic clock.

    Raises:
        OstroError, SandboxError, KeyboardInterrupt: an attempt that an earlier process began cannot be gone on with.
    """
    prepared.publishes = request.deliver == "branch"
    with prepared:
        report = _Run(request, prepared, listener, started).drive()
    return save_report(report, prepared.folder.path)


def _stored(request: RunRequest, run_id: str) -> StoredRequest:
    return StoredRequest(
        run_id=run_id,
        repository=request.repository.absolute(),
        task=request.task,
        settings=request.settings.model_dump(mode="json"),
        test_source=request.test_source,
        warnings=request.warnings,
        deliver=request.deliver,
    )


def save_report(report: RunReport, folder: Path) -> RunReport:
    """Write the report into the run folder and return it; one that cannot be written says so itself."""
    try:
        write_whole(folder / REPORT_FILE, (report.model_dump_json(by_alias=True, indent=2) + "\n").encode())
    except StorageError as error:
        outcome = outcome_of_error(error)
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
        known = [state.tested["before"] for state in prepared.earlier.values() if "before" in state.tested]
        base_tests = BaseTests(prepared.open_sandbox, prepared.test_command, known[0] if known else None)
        base_tests.start()
        try:
            best = run_attempts(prepared, self._listener)
            published, outcome = self._publish(best)
            tests = TestedPatch(command=prepared.test_command, source=self._test_source())
            try:
                if published.accepted and outcome.ending is not Ending.INTERRUPTED:
                    with interruptible():
                        tests = self._verify(base_tests, tests, best, published.accepted)
            except KeyboardInterrupt:
                outcome = outcome_of_error(Interrupted("interrupted while the patch was tested"))
        finally:
            base_tests.abandon()
        return self._report(best, published, outcome, tests)

    def _publish(self, best: AttemptResult) -> tuple[Published, Outcome]:
        """Publish the patch; when that fails the outcome says so, and the patch file stays."""
        prepared = self._prepared
        file = prepared.folder.path / PATCH_FILE
        if not best.patch:
            return Published(), best.outcome
        if self._request.deliver == "patch":
            return self._keep_patch(best, file)
        own = file.with_name(OWN_PATCH_FILE)  # a resumed run needs the first attempt's patch as it was
        try:
            if best.folder != file.parent and file.exists() and not own.exists():
                with typed_trouble(own):
                    file.rename(own)
            published = publish(
                prepared.repository,
                prepared.base,
                prepared.task,
                best.outcome,
                best.patch,
                run_id=prepared.folder.run_id,
                file=file,
                own=own if best.folder == file.parent else None,
                policy=PatchPolicy(levels=prepared.settings.policy, known_secret=prepared.redact.finds),
            )
        except (OstroError, SandboxError) as error:
            return Published(patch=file if file.exists() else None), outcome_of_error(error)
        if published.branch is not None and published.commit is not None:
            event = events.Published(
                branch=published.branch, commit=published.commit, patch_sha256=_sha256(published.accepted)
            )
            if best.published is None or (best.published.branch, best.published.commit) != (event.branch, event.commit):
                self._log(best, event)
        return published, best.outcome if published.accepted else _refused(published, best.outcome)

    def _keep_patch(self, best: AttemptResult, file: Path) -> tuple[Published, Outcome]:
        try:
            write_whole(file, best.patch)
        except StorageError as error:
            return Published(), outcome_of_error(error)
        return Published(patch=file), best.outcome

    def _test_source(self) -> TestSource:
        if not self._prepared.test_command:
            return "none"
        return self._request.test_source if self._prepared.settings.test is not None else "detected"

    def _verify(self, base_tests: BaseTests, tests: TestedPatch, best: AttemptResult, patch: bytes) -> TestedPatch:
        if not tests.command:
            return tests
        after = best.tested.get("after")
        if after is None:
            after = run_tests(self._prepared.open_sandbox, tests.command, patch, label="patched")
            after = redacted(after, self._prepared.redact)
        before = redacted(base_tests.result(), self._prepared.redact)
        results: dict[Literal["before", "after"], TestRun] = {"before": before, "after": after}
        for phase, result in results.items():
            if phase not in best.tested:
                self._log(best, events.Tested(phase=phase, command=tests.command, result=result))
        return tests.model_copy(update={"before": before, "after": after, "verified": after.status == "green"})

    def _log(self, best: AttemptResult, event: events.Event) -> None:
        """Add to the log of an attempt that ended; one that could not be written has said so, and is left as it is."""
        if best.outcome.ending in (Ending.STORAGE_ERROR, Ending.DISK_FULL):
            return
        with (
            contextlib.suppress(StorageError),
            TrajectoryWriter.reopen(best.folder / "trajectory.jsonl", self._listener) as log,
        ):
            log.write(event)

    def _report(self, best: AttemptResult, published: Published, outcome: Outcome, tests: TestedPatch) -> RunReport:
        prepared = self._prepared
        purse = prepared.purse
        report = RunReport(
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
            seconds=round(self._earlier_s() + time.monotonic() - self._started, 3),
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
        return redacted(report, prepared.redact)

    def _earlier_s(self) -> float:
        return sum(state.seconds for state in self._prepared.earlier.values())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
