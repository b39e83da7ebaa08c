"""The one boundary of the front door: an exception becomes one line, or one JSON object, and an exit code.

No traceback reaches the screen. An exception that we did not mean to raise is written to a report file, exit code 70.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

import click

USAGE = 2
BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
STDOUT, STDERR = 1, 2

EXEC_SANDBOX = 125
"""Of `ostro exec`, whose other codes are the command's own."""

ENVIRONMENT_ENDINGS = ("sandbox_error", "workspace_lost", "disk_full", "preflight_failed")
REPORTING_COMMANDS = ("run", "resume", "fork", "demo")
"""Commands whose JSON object is a run report, also when they fail before there is a run."""


@dataclass(frozen=True)
class Failure:
    """An exception as a person and a machine read it.

    Attributes:
        ending: the outcome it stands for, a value of `ostro.agent.outcome.Ending`.
    """

    kind: str
    message: str
    mend: str
    exit_code: int
    ending: str

    def line(self) -> str:
        """The one line on stderr."""
        return line_of(self)


class _Said(Protocol):
    @property
    def message(self) -> str: ...

    @property
    def mend(self) -> str: ...


def line_of(said: _Said) -> str:
    """Say in one line what failed, where, and what to do about it; for stderr."""
    message, mend = " ".join(said.message.split()), " ".join(said.mend.split())
    return f"ostro: {_sentence(message)} {_sentence(mend)}".rstrip()


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "?", "!")) or "http" in text.rpartition(" ")[2] else f"{text}."


class Boundary:
    """A context manager around one command; afterwards `exit_code` says how it ended.

    Args:
        arguments: the command line, read for `--output json` only: it must be honoured also where the
            command line itself is what is wrong.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self.exit_code = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if error is not None:
                self.exit_code = self._handle(error)
            sys.stdout.flush()
        except BrokenPipeError:
            self.exit_code = BROKEN_PIPE
            _silence(sys.stdout)
        try:
            sys.stderr.flush()
        except OSError:
            _silence(sys.stderr)
        return True

    def _handle(self, error: BaseException) -> int:
        if isinstance(error, click.exceptions.Exit):
            return error.exit_code
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else USAGE
        failure = failure_of(error)
        if _command(self.arguments) == "exec" and failure.ending in ENVIRONMENT_ENDINGS:
            failure = replace(failure, exit_code=EXEC_SANDBOX)
        if wants_json(self.arguments):
            print(json.dumps(_json_of(failure, self.arguments)))  # noqa: T201  # the data of the command
        else:
            complain(failure.line())
        return failure.exit_code


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON, before it was parsed."""
    own = list(arguments[: arguments.index("--")]) if "--" in arguments else list(arguments)
    return "--output=json" in own or ("--output", "json") in pairwise(own)


def failure_of(error: BaseException) -> Failure:
    """Say what an exception means; one that nobody meant to raise is written to a report file."""
    if isinstance(error, click.ClickException):
        return _usage_failure(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure("Interrupted", "interrupted", "", INTERRUPTED, "interrupted")
    return _own_failure(error) or _bug_failure(error)


def _usage_failure(error: click.ClickException) -> Failure:
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message()
    mend = "" if context is None or "ostro" in message else f"See `{context.command_path} --help`."
    return Failure("UsageError", message, mend, USAGE, "usage")


def _own_failure(error: BaseException) -> Failure | None:
    if not isinstance(error, OSError | MemoryError) and not any(
        kind.__module__.startswith("ostro.") for kind in type(error).__mro__
    ):
        return None  # also where the rooms cannot be imported, and that is the error
    from ostro.agent.attempt import outcome_of_error
    from ostro.agent.errors import ForgeError, OstroError
    from ostro.agent.outcome import Ending
    from ostro.agent.trouble import trouble_of
    from ostro.sandbox.protocol import RepositoryError, SandboxError

    error = trouble_of(error) or error
    if not isinstance(error, OstroError | SandboxError):
        return None
    if isinstance(error, ForgeError):  # no ending of a run
        return Failure(error.kind, str(error), error.mend, error.exit_code, Ending.USAGE.value)
    ending = Ending.USAGE if isinstance(error, RepositoryError) else outcome_of_error(error).ending
    return Failure(error.kind, str(error), error.mend, ending.exit_code, ending.value)


def _bug_failure(error: BaseException) -> Failure:
    path = _write_report(error)
    where = f"The report is {path}; please attach it to an issue." if path else "No report could be written."
    message = f"internal error, a bug of Ostro: {type(error).__name__}: {str(error)[:300]}"
    return Failure(type(error).__name__, message, where, BUG, "internal_error")


def _write_report(error: BaseException) -> Path | None:
    """Write the traceback, without values of variables, under OSTRO_HOME or else in the temporary folder."""
    text = "".join(traceback.format_exception(error))
    home = os.environ.get("OSTRO_HOME") or str(Path.home() / ".local" / "share" / "ostro")
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (Path(home) / "reports", Path(tempfile.gettempdir())):
        path = folder / name if folder.name == "reports" else folder / f"ostro-report-{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", errors="replace") as report:
                report.write(f"ostro on Python {sys.version}\n\n{text}")
        except OSError:
            continue
        return path
    return None


def _json_of(failure: Failure, arguments: Sequence[str]) -> dict[str, object]:
    error = {"kind": failure.kind, "message": failure.message, "mend": failure.mend}
    if _command(arguments) not in REPORTING_COMMANDS:
        return {"schema": 1, "exit_code": failure.exit_code, "error": error}
    from ostro.agent.outcome import Ending, ErrorReport, RunReport

    report = RunReport(
        run="", outcome=Ending(failure.ending), exit_code=failure.exit_code, error=ErrorReport.model_validate(error)
    )
    found: dict[str, object] = report.model_dump(mode="json", by_alias=True)
    return found


def _command(arguments: Sequence[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


def complain(line: str) -> None:
    """Write a line on stderr, if anybody reads it: what matters more may follow on stdout."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def hold_streams() -> None:
    """Open what was closed before us (`2>&-`), or the next file would take its number and get our output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w")
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w")


def _silence(stream: TextIO) -> None:
    """Nobody reads the stream any more: be silent, also when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
