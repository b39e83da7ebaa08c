"""`ostro pr`: from an event of the forge to a draft pull request; both jobs at once, or each alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.cli.options import examples, output_option, print_json, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.forge.decide import Assignment
    from ostro.forge.evidence import Evidence
    from ostro.forge.job import Job
    from ostro.forge.protocol import Forge
    from ostro.forge.publish import Publication

DEFAULT_OUT = "ostro-out"

_out_option = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(DEFAULT_OUT), show_default=True,
    help="Folder of patch, evidence.json and trajectory.jsonl.",
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

    Reads GITHUB_EVENT_NAME, GITHUB_EVENT_PATH and GITHUB_TOKEN. Whoever asks must be able to write to the repository.
    What starts nothing is said in one line, exit code 0. A run that found no fix is told on the issue, exit code 0;
    7 means that the forge refused.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    with _forge(repository, issue, label) as (job, forge):
        assignment = _assigned(job, forge, output)
        if assignment is None:
            return 0
        with _told_on(job, forge, assignment.issue.number):
            _solved(job, forge, assignment, out, settings_flags(values), shown=True)
        return _published(job, forge, out, output)


@command.command("accept")
@_repository_option
@_issue_option
@_label_option
@output_option
def accept_command(repository: str, issue: int | None, label: str, output: str) -> int:
    """Before both jobs, if wanted: says on the issue that a run will start. Needs to write comments."""
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
        _say({"skipped": False, "issue": number}, f"issue #{number}: accepted", output)
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
    from ostro.forge.job_output import write_outputs

    with _forge(repository, issue, label) as (job, forge):
        assignment = _assigned(job, forge, output)
        if assignment is None:
            return 0
        evidence = _solved(job, forge, assignment, out, settings_flags(values), shown=False)
        told = {"skipped": "false", "issue": str(evidence.issue), "outcome": str(evidence.outcome)}
        write_outputs(job.outputs, told)
        _say({**told, "evidence": str(out / "evidence.json")}, f"issue #{evidence.issue}: {evidence.outcome}", output)
    return 0


@command.command("publish")
@_repository_option
@_issue_option
@_label_option
@_out_option
@output_option
def publish_command(repository: str, issue: int | None, label: str, out: Path, output: str) -> int:
    """The second job: a token that writes, no model. Checks evidence and patch, then opens or updates a draft.

    With --issue, evidence that is not there is told on that issue.
    """
    from ostro.agent.outcome import ErrorReport
    from ostro.forge.evidence import EVIDENCE_FILE
    from ostro.forge.publish import report_failure

    with _forge(repository, issue, label) as (job, forge):
        if issue is not None and not (out / EVIDENCE_FILE).exists():
            said = "the job that solves ended without a result"
            report_failure(job, forge, issue, ErrorReport(kind="no_evidence", message=said, mend="Its log says why."))
            _say({"status": "none", "issue": issue}, f"issue #{issue}: {said}", output)
            return 0
        return _published(job, forge, out, output)


@contextmanager
def _forge(repository: str, issue: int | None, label: str) -> Generator[tuple[Job, Forge]]:
    """Read the job and open its forge."""
    from ostro.forge.job import read_job
    from ostro.forge.open import open_forge

    job = read_job(os.environ, repository=repository, issue=issue, label=label)
    with open_forge(job) as forge:
        yield job, forge


def _assigned(job: Job, forge: Forge, output: str) -> Assignment | None:
    from ostro.forge.decide import decide
    from ostro.forge.event import Skip
    from ostro.forge.job_output import inert_log_line, write_outputs, write_summary

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
    from ostro.cli.render import Progress
    from ostro.forge.progress import Commented
    from ostro.forge.solve import Solving, solve

    with Progress(sys.stderr) as progress:
        listener = Commented(job, forge, assignment, also=progress) if shown else progress
        out.mkdir(parents=True, exist_ok=True)
        if isinstance(listener, Commented):
            listener.say("accepted")
        return solve(job, forge, assignment, Solving(flags, out.absolute(), listener, progress.say))


def _published(job: Job, forge: Forge, out: Path, output: str) -> int:
    from ostro.agent.config_sources import load
    from ostro.agent.record.redact import Redactor, secrets_of
    from ostro.forge.evidence import read_evidence
    from ostro.forge.publish import forge_policy, publish

    evidence, patch = read_evidence(out)
    policy = forge_policy(load(None).settings.policy, Redactor(secrets_of(os.environ)))
    with _told_on(job, forge, evidence.issue):
        publication = publish(job, forge, evidence, patch, policy)
    _show(job, evidence, publication, output)
    return 0


@contextmanager
def _told_on(job: Job, forge: Forge, issue: int) -> Generator[None]:
    """Let an error be read on the issue too, not only in the log of a job."""
    from ostro.agent.attempt import outcome_of_error
    from ostro.agent.errors import Interrupted, OstroError
    from ostro.forge.publish import report_failure
    from ostro.sandbox.protocol import SandboxError

    try:
        yield
    except Interrupted:
        raise
    except (OstroError, SandboxError) as error:
        report = outcome_of_error(error).error
        assert report is not None
        report_failure(job, forge, issue, report)
        raise


def _show(job: Job, evidence: Evidence, publication: Publication, output: str) -> None:
    from ostro.forge.job_output import (
        MOST_ANNOTATIONS,
        annotation,
        inert_log_line,
        write_outputs,
        write_summary,
    )

    pull = publication.pull
    told = {
        "status": publication.status,
        "issue": str(evidence.issue),
        "outcome": str(evidence.outcome),
        "branch": publication.branch,
        "commit": publication.commit,
        "pull-request": str(pull.number) if pull else "",
        "url": pull.url if pull else "",
    }
    write_outputs(job.outputs, told)
    write_summary(job.summary, publication.text)
    if job.outputs is not None and output == "text":
        for notice in publication.notices[:MOST_ANNOTATIONS]:
            click.echo(annotation("warning", notice, title="Ostro"))
    _say(told, inert_log_line(publication.told), output)


def _say(data: dict[str, Any], line: str, output: str) -> None:
    if output == "json":
        print_json({"schema": 1, **data})
    else:
        click.echo(line)
