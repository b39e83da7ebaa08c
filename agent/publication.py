"""From an attempt's patch to the user's repository: policy, branch with one commit, patch file.

The only step of a run that changes anything of the user's: one new branch and its objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostro.agent.errors import StorageError
from ostro.agent.outcome import Outcome
from ostro.agent.record.files import write_whole
from ostro.agent.task import Task
from ostro.agent.trouble import typed_trouble
from ostro.sandbox.branch import branch_name, write_branch
from ostro.sandbox.host_git import Base
from ostro.sandbox.policy import Finding, PatchPolicy, check_patch
from ostro.sandbox.repository import Repository

SUBJECT_CHARS = 72
RUN_TRAILER = "Ostro-Run"


@dataclass(frozen=True)
class Published:
    """What the user gets.

    Attributes:
        patch: path of the patch file; None when there is no change left after the policy.
        accepted: the bytes of that file.
        refusals: what the policy took out or refused, one line each.
        findings: all that the policy says of the patch.
    """

    branch: str | None = None
    commit: str | None = None
    patch: Path | None = None
    accepted: bytes = b""
    files: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@typed_trouble()
def publish(
    repository: Repository,
    base: Base,
    task: Task,
    outcome: Outcome,
    patch: bytes,
    *,
    run_id: str,
    file: Path,
    own: Path | None = None,
    policy: PatchPolicy | None = None,
) -> Published:
    """Apply the policy, write the patch file and the branch; doing it again changes nothing.

    Args:
        repository: the user's.
        base: the commit that the patch applies to.
        task: names the branch and the commit.
        outcome: for the commit's message.
        patch: the attempt's.
        run_id: marks the commit.
        file: where the patch file is to be.
        own: where the attempt's patch is kept when the policy leaves another one in `file`.
        policy: what the patch may hold.

    Raises:
        RepositoryError, SandboxError, StorageError: the patch does not apply to the base, or the branch cannot be
            written.
    """
    report = check_patch(base, patch, policy)
    refusals = tuple(
        f"policy: {finding.path or 'the patch'} {finding.action}: {finding.reason}" for finding in report.findings
    )
    saved: Path | None = file
    try:
        if own is not None and report.patch and report.patch != patch:
            write_whole(own, patch)
        write_whole(file, report.patch or patch)
    except StorageError as error:
        # The user's repository may lie on another disk: the work is not lost with the run folder.
        saved, refusals = None, (*refusals, f"no patch file: {error}")
    if not report.patch:
        return Published(patch=saved if patch else None, refusals=refusals, findings=report.findings)
    branch = write_branch(
        repository,
        base,
        report.patch,
        branch=branch_name(run_id=run_id, issue=task.number, title=task.title),
        message=commit_message(task, outcome, run_id),
        ours=f"{RUN_TRAILER}: {run_id}",
    )
    return Published(
        branch=branch.name,
        commit=branch.commit,
        patch=saved,
        accepted=report.patch,
        files=branch.files_changed,
        refusals=refusals,
        findings=report.findings,
    )


def commit_message(task: Task, outcome: Outcome, run_id: str) -> str:
    """Return the message: the task as subject, what was done, and trailers that lead back to the run."""
    subject = " ".join(task.title.split())
    if len(subject) > SUBJECT_CHARS:
        subject = subject[: SUBJECT_CHARS - 3].rsplit(" ", 1)[0] + "..."
    trailers = [f"{RUN_TRAILER}: {run_id}", f"Ostro-Outcome: {outcome.ending}"]
    if task.url:
        trailers.insert(0, f"Issue: {task.url}")
    body = outcome.reason.strip()
    return "\n\n".join(part for part in (subject or "Change by Ostro", body, "\n".join(trailers)) if part) + "\n"
