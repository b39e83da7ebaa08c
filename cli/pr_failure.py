"""Where an error of `ostro pr` is read: on the issue and on the page of the CI job, not only in the job's log."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from ostro.agent.errors import Interrupted, OstroError, StorageError
from ostro.sandbox.protocol import SandboxError

if TYPE_CHECKING:
    from ostro.forge.job import Job
    from ostro.forge.protocol import Forge

SUMMARY_CHARS = 4000


@contextmanager
def annotated(job: Job) -> Generator[None]:
    """Let an error be an annotation and the step summary of the job, which else shows an exit code only."""
    from ostro.forge.job_output import annotation, inert_log_line, write_summary
    from ostro.forge.published_text import paragraph
    from ostro.forge.status import sentences

    try:
        yield
    except Interrupted:
        raise
    except (OstroError, SandboxError) as error:
        told = sentences(str(error), error.mend)
        if job.outputs is not None:
            click.echo(annotation("error", told, title="Ostro"), err=True)
            error.args = (inert_log_line(str(error)), *error.args[1:])  # the boundary writes it into the log
        with suppress(StorageError):  # the error matters more than its summary
            write_summary(job.summary, f"**Ostro: the job failed**\n\n{paragraph(told, limit=SUMMARY_CHARS)}\n")
        raise


@contextmanager
def told_on(job: Job, forge: Forge, issue: int | None) -> Generator[None]:
    """Let an error be read on the issue too; None where it is not known which that is."""
    from ostro.agent.attempt import outcome_of_error
    from ostro.forge.publish import report_failure

    try:
        yield
    except Interrupted:
        raise
    except (OstroError, SandboxError) as error:
        report = outcome_of_error(error).error
        assert report is not None
        if issue is not None:
            report_failure(job, forge, issue, report)
        raise
