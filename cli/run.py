"""`ostro run`: from a command line to a `RunRequest`, and from a `RunReport` to the screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.cli.options import examples, output_option, print_json, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.agent.config_sources import Configuration
    from ostro.agent.outcome import RunReport
    from ostro.agent.request import TestSource
    from ostro.agent.task import Task
    from ostro.cli.render import Progress


@click.command(
    epilog=examples(
        "ostro run --repo . --issue 42",
        'ostro run --repo . --issue bug.md --test "pytest -q" --budget 0.50',
        "ostro run --repo https://github.com/o/r --issue https://github.com/o/r/issues/7",
        'ostro run --repo . --task "Fix the typo in --help" --endpoint http://localhost:8080/v1 --model m --price 0,0',
    ),
)
@click.option("--repo", default=".", show_default=True, metavar="PATH|URL", help="The repository to work on.")
@click.option("--issue", metavar="ISSUE", help="A number of the origin's issues, a URL, a text file, or - for stdin.")
@click.option("--task", metavar="TEXT", help="What to do, instead of an issue.")
@settings_options()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run folder; a new one by default.")
@output_option
def command(repo: str, issue: str | None, task: str | None, out: Path | None, output: str, **values: object) -> int:
    """Work on an issue and leave a branch with one commit, a patch file and a run folder.

    Your working tree, index and current branch are not touched. The key of --endpoint is OSTRO_API_KEY; each
    catalogued endpoint has its own variable (`ostro models`). Exit codes: 0 a patch was submitted, 1 no patch,
    2 bad input, 3 a limit, 4 the model, 5 the sandbox, 6 the disk, 70 a bug, 130 interrupted.
    """
    if (issue is None) == (task is None):
        raise click.UsageError("give either --issue or --task", click.get_current_context())
    from ostro.agent.session import RunRequest, run
    from ostro.cli.render import Progress

    with Progress(sys.stderr) as progress:
        found, folder = configure(repo, settings_flags(values), progress)
        source: TestSource = "flag" if found.origins["test"] == "--test" else "config"
        request = RunRequest(
            repository=folder,
            task=read_task(folder, issue=issue, text=task),
            settings=found.settings,
            out=out,
            test_source=source,
            warnings=found.warnings,
        )
        report = run(request, progress, progress.say)
    return show(report, output, repository=None if folder.resolve() == Path.cwd() else folder.resolve())


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


def read_task(folder: Path, *, issue: str | None, text: str | None) -> Task:
    """Read what is to be done, and clean it.

    Raises:
        IssueError: it is missing, too large, or not text.
        RepositoryError: the number of an issue was given, and `folder` is no repository.
    """
    from ostro.forge.issue import issue_from_text, read_issue, to_task
    from ostro.sandbox.repository import inspect_repository

    if text is not None:
        return to_task(issue_from_text(text))
    assert issue is not None
    return to_task(read_issue(issue, origin_url=inspect_repository(folder).origin_url, stdin=sys.stdin.buffer))


def show(report: RunReport, output: str, *, repository: Path | None = None) -> int:
    """Print the report and return its exit code.

    Args:
        report: how the run ended.
        output: `text` or `json`.
        repository: where the branch is, when that is not the current folder.
    """
    from ostro.cli.errors import complain, line_of
    from ostro.cli.summary import summary
    from ostro.cli.terminal import wants_color

    if output == "json":
        print_json(report.model_dump(mode="json", by_alias=True))
    else:
        if report.error is not None:
            complain(line_of(report.error))
        click.echo(summary(report, color=wants_color(sys.stdout), repository=repository))
    return report.exit_code
