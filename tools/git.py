"""Run one of a few harmless git commands in the sandbox.

There are no network verbs. Arguments that would write elsewhere, wait for input or throw away all work at once are
refused with a reason. What the agent commits is kept in the patch all the same: it is made against the base commit.
"""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ostro.tools.display import show_output, status_line
from ostro.tools.protocol import FROM_JSON_TEXT, Observation, Refused, Tool, ToolArgs, ToolContext

GIT_TIMEOUT_S = 60.0
LOG_ENTRIES = 20
NOT_FOUND = 127

GitCommand = Literal["status", "diff", "log", "show", "blame", "restore", "commit"]

_MUTATING = frozenset({"restore", "commit"})
_OUTPUT = re.compile(r"--output(?:=.*)?$")
_INTERACTIVE = frozenset({"-p", "--patch", "-i", "--interactive", "-e", "--edit"})
_WHOLE_TREE = frozenset({".", "./", ":/", ":", "*", "--pathspec-from-file"})
_COUNTED = re.compile(r"-\d+$|-n|--max-count")


def _as_list(value: object) -> object:
    """Take a shell-like string for a list of arguments, as models send it."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return value
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


class GitArgs(ToolArgs):
    """Arguments of `git`."""

    command: GitCommand
    args: Annotated[list[str], FROM_JSON_TEXT, BeforeValidator(_as_list)] = Field(default_factory=list)


def run_git(args: GitArgs, context: ToolContext) -> Observation:
    """Run the git command in the workspace and show its output.

    Raises:
        SandboxError: the sandbox is gone; a failing or refused command is an Observation.
    """
    try:
        line = command_line(args.command, args.args)
    except Refused as refusal:
        return Observation(text=f"Not run: {refusal}", ok=False)
    done = context.sandbox.run(line, timeout_s=GIT_TIMEOUT_S, cwd=context.sandbox.workdir, keep_state=False)
    if done.exit_code == NOT_FOUND and not context.sandbox.has("git"):
        return Observation(text="There is no git in this sandbox. `submit` shows your changes.", ok=False)
    shown = show_output(done.output, context)
    ok = done.exit_code == 0 and not done.timed_out
    text = shown.text if ok else f"{shown.text}\n{status_line(done, workdir=done.cwd, timeout_s=GIT_TIMEOUT_S)}"
    return Observation(
        text=text,
        ok=ok,
        mutated=args.command in _MUTATING,
        data={"exit_code": done.exit_code, "saved": shown.saved},
        full_output=shown.full,
    )


def command_line(command: GitCommand, args: list[str]) -> str:
    """Return the shell command for a call.

    Raises:
        Refused: an argument is dangerous, would wait for input, or one is missing.
    """
    _refuse_dangerous(command, args)
    options = {
        "status": ["--short", "--branch"] if not args else [],
        "log": ["--oneline", f"--max-count={LOG_ENTRIES}"] if not args else _log_limit(args),
        "diff": ["--no-ext-diff"],
        "show": ["--no-ext-diff"],
    }.get(command, [])
    return shlex.join(["git", "--no-pager", command, *options, *args])


def _log_limit(args: list[str]) -> list[str]:
    return [] if any(_COUNTED.match(arg) for arg in args) else [f"--max-count={LOG_ENTRIES}"]


def _refuse_dangerous(command: GitCommand, args: list[str]) -> None:
    options = args[: args.index("--")] if "--" in args else args
    for arg in options:
        if _OUTPUT.match(arg) or arg == "--ext-diff":
            raise Refused(f"{arg} is not allowed here; the output comes back to you.")
        if command in _MUTATING and arg in _INTERACTIVE:
            raise Refused(f"{arg} would wait for input, which this sandbox does not have.")
    if any("\0" in arg for arg in args):
        raise Refused("an argument holds a NUL character.")
    if command == "restore":
        _refuse_whole_tree(args)
    if command == "commit" and not any(re.match(r"-[a-zA-Z]*[mFC]|--message|--file|--no-edit", arg) for arg in options):
        raise Refused('commit needs a message: args ["-a", "-m", "message"]. No commit is needed for `submit`.')


def _refuse_whole_tree(args: list[str]) -> None:
    paths = [arg for arg in args if not arg.startswith("-")]
    if not paths:
        raise Refused('restore needs the files to bring back, for example ["tests/test_a.py"].')
    whole = [arg for arg in args if arg in _WHOLE_TREE or arg.startswith("--pathspec-from-file")]
    index_only = {"--staged", "-S"}.intersection(args) and not {"--worktree", "-W"}.intersection(args)
    if whole and not index_only:
        raise Refused(f"{whole[0]} would throw away all changes at once; name the files.")


GIT = Tool(
    name="git",
    args=GitArgs,
    run=run_git,
    description_values={"log_entries": LOG_ENTRIES},
)
