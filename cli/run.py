"""`ostro run`: from a command line to a `RunRequest`, and from a `RunReport` to the screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.cli.options import output_option, print_json, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.agent.config_sources import Configuration
    from ostro.agent.outcome import RunReport
    from ostro.agent.session import RunRequest
    from ostro.cli.render import Progress


@click.command()
@click.option("--repo", default=".", show_default=True, metavar="PATH|URL", help="The repository to work on.")
@click.option("--issue", metavar="ISSUE", help="A number of the origin's issues, a URL, a text file, or - for stdin.")
@click.option("--task", metavar="TEXT", help="What to do, instead of an issue.")
@settings_options()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run folder; a new one by default.")
@output_option
def command(repo: str, issue: str | None, task: str | None, out: Path | None, output: str, **values: object) -> int:
    r"""Work on an issue and leave a branch with one commit, a patch file and a run folder.

    Your working tree, index and current branch are not touched. The key of --endpoint is OSTRO_API_KEY; each
    catalogued endpoint has its own variable (`ostro models`). Exit codes: 0 a patch was submitted, 1 no patch,
    2 bad input, 3 a limit, 4 the model, 5 the sandbox, 6 the disk, 70 a bug, 130 interrupted.

    \b
    Examples:
      ostro run --repo . --issue 42
      ostro run --repo . --issue bug.md --test "pytest -q" --budget 0.50
      ostro run --repo https://github.com/o/r --issue https://github.com/o/r/issues/7
      ostro run --repo . --task "Fix the typo in --help" --endpoint http://localhost:8080/v1 --model m --price 0,0
    """
    from ostro.cli.render import Progress

    if (issue is None) == (task is None):
        raise click.UsageError("give either --issue or --task", click.get_current_context())
    with Progress(sys.stderr) as progress:
        found, folder = configure(repo, settings_flags(values), progress)
        report = drive(_request(found, folder, issue=issue, text=task, out=out), progress)
    return show(report, output)


def configure(repo: str, flags: dict[str, Any], progress: Progress) -> tuple[Configuration, Path]:
    """Find the repository, cloning a URL first, and read the configuration with its own part.

    Raises:
        RepositoryError: it cannot be cloned.
        ConfigError: a source holds a value that cannot be used.
    """
    from ostro.agent.config_sources import load
    from ostro.sandbox.clone import clone, is_repository_url

    folder = Path(repo)
    if is_repository_url(repo):
        folder = clone(repo, load(None, flags).settings.home)
        progress.say(f"cloned {repo} to {folder}")
    found = load(folder, flags)
    for warning in found.warnings:
        progress.say(f"warning: {warning}")
    return found, folder


def _request(
    found: Configuration, folder: Path, *, issue: str | None, text: str | None, out: Path | None
) -> RunRequest:
    from ostro.agent.session import RunRequest
    from ostro.forge.issue import read_issue

    task = read_issue(issue=issue, task=text, repository=folder)
    source = "flag" if found.origins["test"] == "--test" else "config"
    return RunRequest(
        repository=folder, task=task, settings=found.settings, out=out, test_source=source, warnings=found.warnings
    )


def drive(request: RunRequest, progress: Progress) -> RunReport:
    """Run the session with its progress on stderr; a termination signal is an interrupt."""
    from ostro.agent import session

    return session.run(request, progress)


def show(report: RunReport, output: str) -> int:
    """Print the report and return its exit code."""
    from ostro.cli.render import summary
    from ostro.cli.terminal import wants_color

    if output == "json":
        print_json(report.model_dump(mode="json", by_alias=True))
    else:
        click.echo(summary(report, color=wants_color(sys.stdout)))
    return report.exit_code
