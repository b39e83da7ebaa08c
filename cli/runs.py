"""`ostro runs`: the list of runs, or the summary of one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ostro.cli.options import examples, output_option, print_json


@click.command(
    epilog=examples(
        "ostro runs",
        "ostro runs last",
        "ostro runs last --output json",
    ),
)
@click.argument("run", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@output_option
def command(run: str | None, limit: int, output: str) -> int:
    """List the runs, or show one: RUN is `last`, an id, the beginning of an id, or a run folder.

    Runs whose folder was given with --out are listed too; those of an evaluation are in its own folder.
    """
    from ostro.agent.config_sources import load

    home = load().settings.home
    return _show(home, run, output) if run else _list(home, limit, output)


def _show(home: Path, name: str, output: str) -> int:
    from ostro.agent.errors import UsageError
    from ostro.cli.store import find_run, read_run
    from ostro.cli.summary import summary
    from ostro.cli.terminal import wants_color

    kept = read_run(find_run(home, name))
    if kept.report is None:
        raise UsageError(
            f"{kept.folder} has no report: the run works still, or was killed", mend=f"See `ostro view {kept.id}`."
        )
    if output == "json":
        print_json(kept.report.model_dump(mode="json", by_alias=True))
    else:
        click.echo(kept.title)
        click.echo(summary(kept.report, color=wants_color(sys.stdout)).lstrip("\n"))
    return 0


def _list(home: Path, limit: int, output: str) -> int:
    from ostro.cli.store import list_runs, read_run
    from ostro.cli.terminal import columns, dollars, one_line

    kept = [read_run(folder) for folder in list_runs(home)[:limit]]
    if output == "json":
        rows = [
            {
                "run": str(run.folder.resolve()),
                "title": run.title,
                "outcome": run.state,
                "started": run.started.ts if run.started else None,
                "steps": run.report.steps if run.report else None,
                "cost_usd": run.report.cost_usd if run.report else None,
                "branch": run.report.branch if run.report else None,
            }
            for run in kept
        ]
        print_json({"schema": 1, "runs": rows})
        return 0
    if not kept:
        click.echo(f"No runs in {home / 'runs'} yet. `ostro demo` makes one.")
    for run in kept:
        steps = f"{run.report.steps:>3} steps {dollars(run.report.cost_usd):>8}" if run.report else " " * 18
        started = run.started.ts[:16].replace("T", " ") if run.started else ""
        facts = f"{run.id:<22}  {started:<16}  {run.state:<15} {steps}  "
        click.echo(facts + one_line(run.title, max(20, columns() - len(facts))))
    return 0
