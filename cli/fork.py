"""`ostro fork`: another way from a step of a recorded run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ostro.cli.options import examples, output_option, settings_flags, settings_options

CHANGEABLE = (
    "model", "endpoint", "price", "temperature", "tools", "max_tokens", "steps", "budget", "time", "tokens"
)  # fmt: skip
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog=examples(
        "ostro fork last --at 12 --model devstral-medium-2",
        'ostro fork last --at 3 --message-at "The tests hang; run them with a timeout."',
        "ostro fork 20261123 --at 0 --system-prompt prompt.md --tools bash,str_replace_editor",
    ),
)
@click.argument("run")
@click.option("--at", type=int, required=True, metavar="K", help="How many steps are taken over; 0 for the task alone.")
@settings_options(*CHANGEABLE)
@click.option("--message-at", metavar="TEXT", help="Stands in place of the last message that the model saw there.")
@click.option("--message-file", type=_FILE, help="The same, from a file.")
@click.option("--system-prompt", type=_FILE, help="A file with another system prompt.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run folder; a new one by default.")
@output_option
def command(  # one argument an option
    run: str,
    at: int,
    message_at: str | None,
    message_file: Path | None,
    system_prompt: Path | None,
    out: Path | None,
    output: str,
    **values: object,
) -> int:
    """Make a new run that begins as RUN did up to step K, and goes on with what you change.

    RUN is `last`, an id, the beginning of an id, or a run folder. The workspace is that after step K: the newest
    checkpoint, and the recorded calls after it run again. The message that is replaced is the result of the last call
    of step K, or with --at 0 the task. Steps and costs of the report are those of the new run alone. The branch, the
    summary and the exit codes are those of `ostro run`; the new run can be resumed, replayed and forked too.
    """
    if message_at is not None and message_file is not None:
        raise click.UsageError("give either --message-at or --message-file", click.get_current_context())
    from ostro.agent.config_sources import load
    from ostro.agent.fork import ForkRequest, fork
    from ostro.agent.request import read_request
    from ostro.cli.render import Progress
    from ostro.cli.run import show
    from ostro.cli.store import find_run

    message = message_at if message_file is None else _text(message_file)
    request = ForkRequest(
        folder=find_run(load().settings.home, run),
        at=at,
        settings={name: value for name, value in settings_flags(values).items() if value is not None},
        message=message,
        system_prompt=None if system_prompt is None else _text(system_prompt),
        out=out,
    )
    with Progress(sys.stderr) as progress:
        report = fork(request, progress, progress.say)
    repository = read_request(Path(report.run)).repository.resolve()
    return show(report, output, repository=None if repository == Path.cwd() else repository)


def _text(path: Path) -> str:
    """Read a text from a file.

    Raises:
        UsageError: it is no text.
    """
    from ostro.agent.errors import UsageError

    try:
        return path.read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error
