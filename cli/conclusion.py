"""The end of every command that leaves a score: the reports, the headline or the JSON object, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ostro.cli.options import print_json

if TYPE_CHECKING:
    from ostro.benchmarks.store import Run

BELOW = 9
INFRASTRUCTURE = 5
STOPPED = 3
INTERRUPTED = 130


def conclude(
    run: Run,
    output: str,
    *,
    keep: bool = True,
    stopped: str = "",
    interrupted: bool = False,
    fail_under: float | None = None,
) -> int:
    """Write the reports, print the score and return the exit code.

    Args:
        run: as it stands on the disk.
        output: `text` or `json`.
        keep: False where the run's folder goes away: no reports are written then.
        stopped: why the batch ended early; "" where it did not.
        interrupted: somebody stopped it.
        fail_under: the least rate in percent.
    """
    from ostro.benchmarks.html_report import write_page
    from ostro.benchmarks.report import facts, headline, write_report
    from ostro.benchmarks.score import score_of
    from ostro.benchmarks.summary import summarise
    from ostro.cli.errors import complain

    summary = summarise(run.manifest, run.results)
    written = [*write_report(run, summary), write_page(run, summary)] if keep else []
    if output == "json":
        print_json(score_of(run, summary))
    else:
        click.echo(headline(summary))
        for line in [*facts(run, summary), *(f"report: {path}" for path in written[-1:])]:
            click.echo(f"  {line}")
    if stopped:
        complain(f"stopped early: {stopped}")
    if interrupted:
        complain("interrupted; the same command goes on")
    if interrupted or stopped:
        return INTERRUPTED if interrupted else STOPPED
    if summary.statuses.get("infra"):
        return INFRASTRUCTURE
    if summary.statuses.get("not_final"):
        return STOPPED
    return BELOW if fail_under is not None and summary.rate.share * 100 < fail_under else 0
