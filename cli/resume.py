"""`ostro resume`: go on with a run that was killed, interrupted, or stopped by a failure or a limit."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ostro.cli.options import examples, output_option, settings_flags, settings_options


@click.command(
    epilog=examples(
        "ostro resume last",
        "ostro resume 20261123-0915 --steps 200",
        "ostro resume ./run --budget 2 --output json",
    ),
)
@click.argument("run")
@settings_options("budget", "steps", "time", "tokens")
@output_option
def command(run: str, output: str, **values: object) -> int:
    """Go on with a run where it was: RUN is `last`, an id, the beginning of an id, or a run folder.

    No step that is done is done again. After a limit, raise it; the other settings stay as they were. The report,
    the summary and the exit codes are those of `ostro run`.
    """
    from ostro.agent.config_sources import load
    from ostro.agent.request import read_request
    from ostro.agent.resume import resume
    from ostro.cli.render import Progress
    from ostro.cli.run import show
    from ostro.cli.store import find_run

    limits = {name: value for name, value in settings_flags(values).items() if value is not None}
    folder = find_run(load().settings.home, run)
    repository = read_request(folder).repository
    with Progress(sys.stderr) as progress:
        report = resume(folder, limits, progress, progress.say)
    return show(report, output, repository=None if repository.resolve() == Path.cwd() else repository.resolve())
