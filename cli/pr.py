"""`ostro pr`: from an event of the forge to a draft pull request; both jobs at once, or each alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.agent.errors import UsageError
from ostro.cli.options import examples, output_option, print_json, settings_flags, settings_options
from ostro.cli.pr_failure import annotated, told_on

if TYPE_CHECKING:
    from ostro.forge.decide import Assignment
    from ostro.forge.evidence import Evidence
    from ostro.forge.job import Job
    from ostro.forge.protocol import Forge
    from ostro.forge.publish import Publication

DEFAULT_OUT = "ostro-out"
TOKENS = {
    "github": "Set GITHUB_TOKEN to one that can do what docs/ci.md lists.",
    "gitea": "Set GITHUB_TOKEN to one of an administrator of the repository.",
    "gitlab": "Set OSTRO_FORGE_TOKEN; docs/ci/gitlab.yml takes it from OSTRO_READ_TOKEN and OSTRO_WRITE_TOKEN.",
}
"""Forge -> the mend where there is no token."""

_out_option = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(DEFAULT_OUT), show_default=True,
    help="Folder of patch, evidence.json, junit.xml, findings.sarif and trajectory.jsonl.",
)  # fmt: skip
_repository_option = click.option(
    "--repository", metavar="OWNER/NAME", default="", help="On the forge; GITHUB_REPOSITORY by default."
)
_issue_option = click.option("--issue", type=int, metavar="N", help="The issue, where no event names one.")
_label_option = click.option("--label", default="ostro", show_default=True, help="The label that starts a run.")


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "ostro pr                                  in a job that may write (docs/ci.md)",
        "ostro pr solve                            the first of two jobs: its token reads only",
        "ostro pr publish                          the second: its token writes, it has no model",
        "ostro pr --repository o/r --issue 42      by hand, with GITHUB_TOKEN and GITHUB_ACTOR",
    ),
)
@_repository_option
@_issue_option
@_label_option
@settings_options()
@_out_option
@output_option
def command(repository: str, issue: int | None, label: str, out: Path, output: str,
            **values: object) -> int:  # fmt: skip
    """Work on the issue that an event names and open a draft pull request with the evidence.

    Reads GITHUB_EVENT_NAME, GITHUB_EVENT_PATH and GITHUB_TOKEN; on GitLab TRIGGER_PAYLOAD or OSTRO_ISSUE, and
    OSTRO_FORGE_TOKEN. By hand, the same command with the same --out goes on with what is there. Whoever asks must be
    able to write to the repository. What starts nothing is said in one line, exit code 0. A run that found no fix is
    told on the issue, exit code 0; 7 means that the forge refused.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    with _forge(repository, issue, label) as (job, forge):
        assignment = _assigned(job, forge, output)
        if assignment is None:
            return 0
        with told_on(job, forge, assignment.issue.number):
            _solved(job, forge, assignment, out, settings_flags(values), shown=True)
        return _published(job, forge, out, output)


@command.command("accept")
@_repository_option
@_issue_option
@_label_option
@output_option
def accept_command(repository: str, issue: int | None, label: str, output: str) -> int:
    """Before both jobs: says "accepted" on the issue. Its token writes comments, and nothing else is needed."""
    from ostro.forge.job_output import write_outputs
    from ostro.forge.once import ensure_note
    from ostro.forge.status import progress_text

    with _forge(repository, issue, label) as (job, forge):
        assignment = _assigned(job, forge, output)
        if assignment is None:
            return 0
        number = assignment.issue.number
        if assignment.order.command != "stop":
            ensure_note(forge, number, progress_text(number, assignment, phase="accepted", run_url=job.run_url))
        write_outputs(job.outputs, {"skipped": "false", "issue": str(number)})
        told = "to be stopped" if assignment.order.command == "stop" else "accepted"
        _say({"skipped": False, "issue": number}, f"issue #{number}: {told}", output)
    return 0


@command.command("solve")
@_repository_option
@_issue_option
@_label_option
@settings_options()
@_out_option
@output_option
def solve_command(repository: str, issue: int | None, label: str, out: Path, output: str, **values: object) -> int:
    """The first job: a token that reads, the model, and the sandbox. Writes patch and evidence, changes nothing."""
    from ostro.forge.job_output import inert_log_line, write_outputs
    from ostro.forge.reports import report_files

    with _forge(repository, issue, label) as (job, forge):
        assignment = _assigned(job, forge, output)
        if assignment is None:
            return 0
        evidence = _solved(job, forge, assignment, out, settings_flags(values), shown=False)
        told = {"skipped": "false", "issue": str(evidence.issue), "outcome": str(evidence.outcome)}
        told |= report_files(out)
        write_outputs(job.outputs, told)
        line = f"issue #{evidence.issue}: {_outcome(evidence)}"
        _say({**told, "evidence": str(out / "evidence.json")}, inert_log_line(line), output)
    return 0


def _outcome(evidence: Evidence) -> str:
    from ostro.forge.status import reason_of

    if evidence.kind == "stop":
        return "to be stopped"
    return str(evidence.outcome) if evidence.solved else f"{evidence.outcome}: {reason_of(evidence)}"


@command.command("publish")
@_repository_option
@_issue_option
@_label_option
@_out_option
@output_option
def publish_command(repository: str, issue: int | None, label: str, out: Path, output: str) -> int:
    """The second job: a token that writes, no model. Checks evidence and patch, then opens or updates a draft.

    Evidence that is not there is told on the issue, where --issue or the event names one.
    """
    from ostro.forge.evidence import EVIDENCE_FILE

    with _forge(repository, issue, label) as (job, forge):
        if (out / EVIDENCE_FILE).exists() or (job.issue is None and not job.event):
            return _published(job, forge, out, output)
        number = job.issue
        if number is None:
            assignment = _assigned(job, forge, output)
            if assignment is None:
                return 0
            number = assignment.issue.number
        said = _told_without_evidence(job, forge, number)
        _say({"status": "none", "issue": number}, f"issue #{number}: {said}", output)
        return 0


def _told_without_evidence(job: Job, forge: Forge, issue: int) -> str:
    """Say on the issue that the agent's job failed; not where it was stopped for a newer order, which says its own."""
    from ostro.agent.outcome import ErrorReport
    from ostro.forge.once import taken_over
    from ostro.forge.publish import report_failure

    if taken_over(forge, issue, job.run_url):
        return "a newer order has taken over"
    said = "the job that solves ended without a result"
    report_failure(job, forge, issue, ErrorReport(kind="no_evidence", message=said, mend="Its log says why."))
    return said


@contextmanager
def _forge(repository: str, issue: int | None, label: str) -> Generator[tuple[Job, Forge]]:
    """Read the job and open its forge."""
    from ostro.forge.job import read_job
    from ostro.forge.open import open_forge

    job = read_job(os.environ, repository=repository, issue=issue, label=label)
    with annotated(job):
        if not job.token:
            raise UsageError("there is no token for the forge", mend=TOKENS[job.kind])
        with open_forge(job) as forge:
            yield job, forge


def _assigned(job: Job, forge: Forge, output: str) -> Assignment | None:
    from ostro.forge.decide import decide
    from ostro.forge.event import Skip
    from ostro.forge.job_output import inert_log_line, write_outputs, write_summary

    if not job.event and job.issue is not None:
        forge.issue_state(job.issue)  # by hand, what is not there is a mistake, no event to pass over
    found = decide(job, forge)
    if not isinstance(found, Skip):
        return found
    write_outputs(job.outputs, {"skipped": "true", "reason": found.reason})
    write_summary(job.summary, f"Ostro skipped this event: {found.reason}.\n")
    _say({"skipped": True, "reason": found.reason}, inert_log_line(f"skipped: {found.reason}"), output)
    return None


def _solved(
    job: Job, forge: Forge, assignment: Assignment, out: Path, flags: dict[str, Any], *, shown: bool
) -> Evidence:
    """Run the agent; with `shown` the comment on the issue says what goes on."""
    from ostro.cli.pr_progress import LoggedProgress
    from ostro.cli.render import Progress
    from ostro.forge.progress import Commented
    from ostro.forge.solve import Solving, solve

    shows = Progress if job.outputs is None else LoggedProgress
    with shows(sys.stderr) as progress:
        listener = Commented(job, forge, assignment, also=progress) if shown else progress
        _make(out)
        if isinstance(listener, Commented):
            listener.say("accepted")
        return solve(job, forge, assignment, Solving(flags, out.absolute(), listener, progress.say))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be made: {error.strerror}", mend="Give another --out.") from error


def _published(job: Job, forge: Forge, out: Path, output: str) -> int:
    from ostro.agent.config_sources import load
    from ostro.agent.record.redact import Redactor, secrets_of
    from ostro.forge.decide import asked_for
    from ostro.forge.evidence import read_evidence
    from ostro.forge.publish import forge_policy, publish
    from ostro.forge.reports import write_reports

    asked = asked_for(job, forge)
    job = replace(job, issue=asked)  # so that nobody asks again
    with told_on(job, forge, asked):
        evidence, patch = read_evidence(out)
    policy = forge_policy(load(None).settings.policy, Redactor(secrets_of(os.environ)))
    with told_on(job, forge, evidence.issue if asked is None else asked):
        publication = publish(job, forge, evidence, patch, policy)
    files = write_reports(out, evidence, publication.findings) if evidence.kind == "run" else {}
    _show(job, evidence, publication, files, output)
    return 0


def _show(job: Job, evidence: Evidence, publication: Publication, files: dict[str, str], output: str) -> None:
    from ostro.forge.job_output import annotation_lines, inert_log_line, write_outputs, write_summary

    pull = publication.pull
    told = {
        "status": publication.status,
        "issue": str(evidence.issue),
        "outcome": str(evidence.outcome),
        "branch": publication.branch,
        "commit": publication.commit,
        "pull-request": str(pull.number) if pull else "",
        "url": pull.url if pull else "",
        **files,
    }
    write_outputs(job.outputs, told)
    write_summary(job.summary, publication.text)
    if job.outputs is not None and output == "text":
        for line in annotation_lines("warning", (*publication.notices, *evidence.warnings), title="Ostro"):
            click.echo(line)
    else:
        for warning in evidence.warnings:
            click.echo(inert_log_line(f"warning: {warning}"), err=True)
    _say(told, inert_log_line(publication.told), output)


def _say(data: dict[str, Any], line: str, output: str) -> None:
    if output == "json":
        print_json({"schema": 1, **data})
    else:
        click.echo(line)
