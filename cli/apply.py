"""`ostro apply`: the patch of a finished run into the files of a checkout."""

from __future__ import annotations

from pathlib import Path

import click

from ostro.cli.options import examples, output_option, print_json


@click.command(
    epilog=examples(
        "ostro apply last",
        "ostro apply 20261123 --repo ../another-checkout",
        "ostro apply last --reverse",
    ),
)
@click.argument("run", default="last")
@click.option("--repo", type=click.Path(path_type=Path), metavar="PATH", help="Another checkout than the run's own.")
@click.option("--reverse", is_flag=True, help="Take the patch back.")
@output_option
def command(run: str, repo: Path | None, reverse: bool, output: str) -> int:
    """Change the files of a checkout as a finished run did; nothing is staged or committed.

    RUN is `last`, an id, the beginning of an id, or a run folder. The patch must fit: otherwise no file is changed. To
    get the commit itself, merge or cherry-pick the run's branch.
    """
    from ostro.agent.apply import apply_run
    from ostro.agent.config_sources import load
    from ostro.cli.store import find_run

    folder = find_run(load().settings.home, run)
    applied = apply_run(folder, repo, reverse=reverse)
    if output == "json":
        files = list(applied.files)
        print_json({"schema": 1, "run": str(folder), "repo": str(applied.tree), "reverse": reverse, "files": files})
        return 0
    for line in applied.refusals:
        click.echo(f"policy: {line}", err=True)
    done = "Taken back from" if reverse else "Applied to"
    click.echo(f"{done} {applied.tree}: {', '.join(applied.files)}")
    if not reverse:
        click.echo("Nothing is staged or committed. Take it back: ostro apply --reverse " + run)
    return 0
