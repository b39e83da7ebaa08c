"""The `ostro` command: a table of sub-commands, each imported when it is called.

`ostro --help` imports click and this file only (under 150 ms, tests/cli/test_main.py). Exceptions become one line
and an exit code in cli/errors.py.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches

import click

from ostro.agent.interruption import watch_signals
from ostro.cli.errors import BROKEN_PIPE, Boundary, hold_streams
from ostro.cli.options import examples

COMMANDS = {
    "run": "Work on an issue; leave a tested patch on a branch.",
    "resume": "Go on with a run that was killed, interrupted or stopped by a limit.",
    "demo": "The same on a bundled repository with a bundled scripted model.",
    "exec": "Run one command in the very sandbox that the agent gets.",
    "doctor": "Check this machine and the model endpoint.",
    "models": "List the models, endpoints and prices that are known.",
    "config": "Show every setting, its value and where it came from.",
    "runs": "List the runs, or show one.",
    "apply": "Change the files of a checkout as a finished run did.",
    "view": "Show a run step by step, or write it as one HTML page.",
    "eval": "Run a model over a task set and grade its patches.",
    "regrade": "Judge the patches of an evaluation again.",
    "compare": "Say whether two evaluations differ by more than chance.",
    "report": "Write the reports of an evaluation, one HTML page among them.",
    "fork": "Go another way from a step of a run: another model, prompt, tools or message.",
    "replay": "Run the recorded replies of a run again and compare what comes back.",
    "export": "Write a run in the format of another tool.",
    "clean": "Show what is kept on the disk, and remove it.",
    "grade": "Judge predictions, of whatever agent, by the tests of their tasks.",
    "validate": "Check that a task set is fair: the known fix passes, the base does not.",
    "init-task": "Make a task of two commits of a repository.",
    "image": "Build a sandbox image without any image registry.",
    "pr": "From an issue on the forge to a draft pull request, in a CI job.",
}
"""Every command and its line in `ostro --help`; the module of that name (`_` for `-`) holds it as `command`."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of `cmd_name`; None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ostro.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS)
            meant = f"Did you mean `ostro {near[0]}`?" if near else "`ostro --help` lists the commands."
            raise click.UsageError(f"there is no command {args[0]!r}. {meant}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Call the command; a reader that left is no failure, though click would make it exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise click.exceptions.Exit(BROKEN_PIPE) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    from ostro.agent.version import ostro_version

    if wanted and not context.resilient_parsing:
        click.echo(f"ostro {ostro_version()}")
        context.exit()


@click.command(
    cls=LazyGroup,
    context_settings=CONTEXT,
    epilog=examples(
        "ostro demo                                see it work, no key needed",
        "ostro doctor                              is this machine fit?",
        "ostro run --repo . --issue 42             work on issue 42 of the repository's origin",
        'ostro run --repo . --task "Fix ..."       or on a sentence of yours',
    ),
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Ostro: an issue in, a reviewed and tested patch on a branch out."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code: the console script."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)  # end as Ctrl-C does: work is kept, sandboxes are closed
    given = list(sys.argv[1:] if arguments is None else arguments)
    hold_streams()
    with watch_signals(), Boundary(given) as boundary:
        boundary.exit_code = cli.main(given, prog_name="ostro", standalone_mode=False) or 0
    sys.exit(boundary.exit_code)


if __name__ == "__main__":
    main()
