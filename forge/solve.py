"""The first job: fetch the repository, read the issue, let the agent work, and write patch and evidence.

cli/pr -> decide.py -> solve -> evidence.write_evidence. Its token needs to read only; it reaches git through the
environment of one process (sandbox/remote.py) and nothing that runs in the sandbox. Nothing on the forge is changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ostro.agent.attempt import outcome_of_error
from ostro.agent.config_sources import Configuration, load
from ostro.agent.errors import ConfigError, Interrupted, OstroError, UsageError
from ostro.agent.outcome import Ending, Outcome, RunReport
from ostro.agent.request import REPORT_FILE, REQUEST_FILE
from ostro.agent.resume import resume
from ostro.agent.session import Listener, RunRequest, run
from ostro.agent.task import Task
from ostro.forge.decide import Assignment
from ostro.forge.event import is_bot, issue_text
from ostro.forge.evidence import EVIDENCE_FILE, TRAJECTORY_FILE, Evidence, read_evidence, write_evidence
from ostro.forge.gathered import first_evidence, gathered, with_tail
from ostro.forge.issue import to_task, with_pictures
from ostro.forge.job import Job
from ostro.forge.marker import read_marker
from ostro.forge.protocol import Comment, FailedCheck, Forge
from ostro.forge.reports import write_reports
from ostro.sandbox.protocol import SandboxError
from ostro.sandbox.remote import check_out

HISTORY_COMMITS = 200
SHOWN_CHECKS = 10
EDITED = "The issue was edited after somebody asked for this run, which worked on the newer text: look at its history."


@dataclass(frozen=True)
class Solving:
    """What the front end gives: flags, where the files go, and who is told.

    Attributes:
        flags: settings of the command line.
        out: the output folder.
        listener: told every event of the trajectory.
        say: told what takes time.
    """

    flags: Mapping[str, Any]
    out: Path
    listener: Listener | None
    say: Callable[[str], None]


def solve(job: Job, forge: Forge, assignment: Assignment, solving: Solving) -> Evidence:
    """Work on the issue and write patch, evidence, reports and trajectory into the output folder.

    The same order is not worked on twice: its evidence is taken as it is, and a run that was cut off is gone on with.

    Raises:
        ForgeError: the forge refuses or does not answer.
        RepositoryError: the repository cannot be fetched.
        UsageError: the configuration cannot be used; it is for the maintainer of the workflow.
        Interrupted, KeyboardInterrupt: the job is to stop.
    """
    order = job.order_digest(assignment.issue.number)
    done = _earlier(solving.out, order)
    if done is not None:
        told = "" if done.outcome is Ending.SUBMITTED else "; for a new run give another --out, or remove the folder"
        solving.say(f"{solving.out / EVIDENCE_FILE} holds the result of this order already ({done.outcome}){told}")
        return done
    if assignment.order.command == "stop":
        evidence = first_evidence(job, assignment, order, base_commit=_any_base(assignment), kind="stop")
        solving.out.mkdir(parents=True, exist_ok=True)
        write_evidence(solving.out, evidence, b"")
        return evidence
    work = _work_folder(solving.out, order)
    branch = assignment.branch if assignment.follow_up else assignment.base_branch
    base = _checked_out(forge, branch, work / "repository", solving)
    found = _configured(forge, assignment, work, solving)
    if found.settings.sandbox == "none":
        raise UsageError("--sandbox none keeps nothing from the job's token", mend="Use docker, local or auto.")
    task = _read_task(forge, assignment, _own_host(job))
    evidence = first_evidence(job, assignment, order, base_commit=base)
    report, outcome = _run(work, task, found, solving)
    if report is not None and report.outcome is Ending.INTERRUPTED:
        raise Interrupted("the run was interrupted; the same command goes on with it")
    evidence, patch = gathered(evidence, report, outcome, task, found)
    log = work / "run" / TRAJECTORY_FILE
    if log.exists():
        evidence = with_tail(evidence, log)
        shutil.copyfile(log, solving.out / TRAJECTORY_FILE)
    else:
        (solving.out / TRAJECTORY_FILE).unlink(missing_ok=True)  # of another order
    write_reports(solving.out, evidence)
    write_evidence(solving.out, evidence, patch)
    return evidence


def _earlier(out: Path, order: str) -> Evidence | None:
    """Return the result of this order, unless it is a failure of what was around the run and may be mended by now."""
    try:
        evidence, _ = read_evidence(out)
    except UsageError:
        return None
    passing = evidence.outcome.resumable or evidence.outcome is Ending.USAGE
    return evidence if evidence.order == order and not passing else None


def _settings(repository: Path, flags: Mapping[str, Any]) -> Configuration:
    """Read the settings; a complaint names the repository's file, not where it lies in this job."""
    try:
        return load(repository, flags)
    except ConfigError as error:
        told = str(error).replace(f"{repository}{os.sep}", "", 1)
        raise ConfigError(told, kind=error.kind, mend=error.mend) from error


def _work_folder(out: Path, order: str) -> Path:
    """Return the folder of an order; what another order left is removed."""
    work = out / "work"
    mark = work / "order"
    if not mark.exists() or mark.read_text("ascii") != order:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        mark.write_text(order, "ascii")
    return work


def _any_base(assignment: Assignment) -> str:
    return assignment.pull.head_commit if assignment.pull else "0" * 40


def _configured(forge: Forge, assignment: Assignment, work: Path, solving: Solving) -> Configuration:
    """Read the configuration of the base branch: a draft may hold what an earlier run made of it."""
    folder = work / "repository"
    if assignment.follow_up:
        folder = work / "base"
        _checked_out(forge, assignment.base_branch, folder, solving, depth=1)
    return _settings(folder, solving.flags)


def _checked_out(forge: Forge, branch: str, folder: Path, solving: Solving, *, depth: int = HISTORY_COMMITS) -> str:
    """Fetch a branch once an order; a fetch that was cut off is made again."""
    mark = folder.with_suffix(".commit")
    if mark.exists():
        return mark.read_text("ascii")
    shutil.rmtree(folder, ignore_errors=True)
    solving.say(f"fetching {branch} of {forge.repository}")
    commit = check_out(forge.remote, folder, branch, depth=depth)
    mark.write_text(commit, "ascii")
    return commit


def _own_host(job: Job) -> frozenset[str]:
    from urllib.parse import urlsplit

    host = urlsplit(job.api_url).hostname or ""
    return frozenset() if host == "api.github.com" else frozenset({host})


def _read_task(forge: Forge, assignment: Assignment, private_hosts: frozenset[str]) -> Task:
    """Read the issue: its body, the comments of people who can write, the wishes of the order, failed checks."""
    issue = forge.get_issue(forge.issue_ref(assignment.issue.number))
    comments = [entry for entry in issue.comments if _is_wanted(forge, entry)]
    if assignment.follow_up and assignment.pull is not None:
        notes = forge.notes(assignment.pull.number, of_pull=True)
        said = (
            Comment(note.author, "WRITER", note.body) for note in notes if not (note.outsider or is_bot(note.author))
        )
        comments += [entry for entry in said if _is_wanted(forge, entry)]
    extra = _extra(assignment, forge.failed_checks(assignment.order.failed_commit) if _for_checks(assignment) else ())
    asked_about = assignment.order.issue_text
    edited = asked_about is not None and asked_about != issue_text(issue.title, issue.body)
    wanted = replace(issue, comments=(*comments, *extra), warnings=issue.warnings + ((EDITED,) if edited else ()))
    return to_task(with_pictures(wanted, private_hosts=private_hosts))


def _for_checks(assignment: Assignment) -> bool:
    return assignment.order.trigger == "checks"


def _is_wanted(forge: Forge, comment: Comment) -> bool:
    return read_marker(comment.body) is None and forge.may_write(comment.author)


def _extra(assignment: Assignment, checks: tuple[FailedCheck, ...]) -> tuple[Comment, ...]:
    """Return what this run is about beyond the issue, as the newest comment."""
    parts: list[str] = []
    if assignment.follow_up and assignment.pull is not None:
        parts.append("An earlier change for this issue is in the repository already, as a draft under review.")
    if checks:
        lines = [f"- {check.name}: {check.summary}" for check in checks[:SHOWN_CHECKS]]
        parts.append("\n".join(["These checks of the draft fail:", *lines]))
    if assignment.order.wishes:
        parts.append(f"Wishes for this run:\n\n{assignment.order.wishes}")
    return (Comment(assignment.actor, "WRITER", "\n\n".join(parts)),) if parts else ()


def _run(work: Path, task: Task, found: Configuration, solving: Solving) -> tuple[RunReport | None, Outcome | None]:
    """Run the agent, or go on with a run that was cut off; a failure before the first attempt is an outcome too."""
    folder = work / "run"
    try:
        earlier = _report(folder)
        if earlier is not None and not earlier.outcome.resumable:
            return earlier, None
        if earlier is not None and not earlier.steps:
            shutil.rmtree(folder)  # nothing to go on with, and what was wrong may be a setting of the run
        if (folder / REQUEST_FILE).exists():
            return resume(folder, {}, solving.listener, solving.say), None
        request = RunRequest(
            repository=work / "repository",
            task=task,
            settings=found.settings,
            out=folder,
            test_source="flag" if found.origins["test"] == "--test" else "config",
            warnings=found.warnings,
        )
        return run(request, solving.listener, solving.say), None
    except Interrupted:
        raise
    except (OstroError, SandboxError) as error:
        return None, outcome_of_error(error)


def _report(folder: Path) -> RunReport | None:
    try:
        return RunReport.model_validate_json((folder / REPORT_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
