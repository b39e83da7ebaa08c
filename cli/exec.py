"""`ostro exec`: one command, or a shell, in the very sandbox that the agent gets."""

from __future__ import annotations

import importlib
import secrets
import shlex
import shutil
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from ostro.cli.options import SANDBOX_FLAGS, examples, output_option, print_json, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.cli.render import Progress
    from ostro.sandbox.protocol import Completed, Sandbox

TIMED_OUT = 124
DEFAULT_TIMEOUT_S = 1800.0


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog=examples(
        "ostro exec --repo . -- pytest -q",
        "ostro exec --sandbox local -- 'id; ls | wc -l'",
        "ostro exec                                (a shell; Ctrl-D ends it)",
    ),
)
@click.option("--repo", default=".", show_default=True, metavar="PATH|URL", help="The repository.")
@settings_options(*SANDBOX_FLAGS)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=DEFAULT_TIMEOUT_S, show_default=True,
              metavar="S", help="Seconds after which a command is killed.")  # fmt: skip
@output_option
@click.argument("words", nargs=-1, metavar="[-- COMMAND...]")
def command(repo: str, timeout: float, output: str, words: tuple[str, ...], **values: object) -> int:
    """Run one command at HEAD of a repository, in the very sandbox that the agent gets; without one, a shell.

    Output appears when the command has ended, stdout and stderr together. One word is shell text, several are
    quoted. What the command changes is thrown away. Ends with the command's own code, 124 when it timed out,
    125 when the sandbox failed.
    """
    from ostro.cli.render import Progress

    if not words and output == "json":
        raise click.UsageError("--output json needs a command", click.get_current_context())
    with Progress(sys.stderr) as progress, open_like_the_agent(repo, settings_flags(values), progress) as sandbox:
        progress.pause()
        if not words:
            return _shell(sandbox, timeout)
        done = sandbox.run(words[0] if len(words) == 1 else shlex.join(words), timeout_s=timeout)
        return _show(done, sandbox, output, timeout)


@contextmanager
def open_like_the_agent(repo: str, flags: dict[str, object], progress: Progress) -> Generator[Sandbox]:
    """Prepare the environment as a run does, and open one sandbox in it.

    Raises:
        RepositoryError, ConfigError: the input cannot be used.
        SandboxError: no sandbox can be had.
    """
    from ostro.agent.workshop import prepare_workshop
    from ostro.cli.run import configure
    from ostro.sandbox.repository import inspect_repository

    found, place = configure(repo, flags, progress)
    repository = inspect_repository(place)
    run_id = f"exec-{secrets.token_hex(4)}"
    folder = found.settings.home / "exec" / run_id
    folder.mkdir(parents=True)
    try:
        workshop = prepare_workshop(repository, found.settings, folder, run_id, progress.say)
        with closing(workshop), workshop.open_sandbox("exec") as sandbox:
            progress.say(sandbox.description)
            yield sandbox
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _show(done: Completed, sandbox: Sandbox, output: str, timeout: float) -> int:
    exit_code = TIMED_OUT if done.timed_out else done.exit_code
    if output == "json":
        facts = {"schema": 1, "exit_code": exit_code, "timed_out": done.timed_out, "seconds": round(done.duration_s, 3)}
        print_json(facts | {"sandbox": sandbox.name, "output": done.output.text(), "bytes": done.output.total_bytes})
        return exit_code
    _write_output(done)
    if done.timed_out:
        click.echo(f"ostro: the command was killed after {timeout:g} s.", err=True)
    return exit_code


def _write_output(done: Completed) -> None:
    kept = done.output
    if kept.spool is None:
        sys.stdout.buffer.write(kept.head + kept.tail)
        return
    sys.stdout.buffer.write(kept.spool.read_bytes())
    missing = kept.total_bytes - kept.spool.stat().st_size
    if missing > 0:
        click.echo(f"ostro: {missing} more bytes of output were not kept.", err=True)


def _shell(sandbox: Sandbox, timeout: float) -> int:
    """Read commands from stdin until its end; directory and exported variables persist."""
    importlib.import_module("readline")  # makes input() editable

    code, cwd = 0, sandbox.workdir
    while True:
        try:
            line = input(f"{cwd} $ " if sys.stdin.isatty() else "")
        except EOFError:
            return code
        if line.strip() in ("exit", "logout"):
            return code
        done = sandbox.run(line, timeout_s=timeout)
        _write_output(done)
        sys.stdout.flush()
        code, cwd = done.exit_code, done.cwd or cwd
