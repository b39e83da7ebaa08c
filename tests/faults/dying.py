"""Ostro in processes that die: a server that forks one for each command line, and can let it kill itself.

A fork of a process that has everything imported starts in milliseconds, which is what makes many kills affordable.
`python -m tests.faults.dying` reads one JSON job a line, answers with the process id and, once it has ended, with its
exit code (negative: the signal).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.faults.failing import Failing, Failure

ROOT = Path(__file__).parent.parent.parent
LOADED = (
    "ostro.cli.run",
    "ostro.cli.resume",
    "ostro.agent.session",
    "ostro.agent.resume",
    "ostro.agent.config_sources",
    "ostro.cli.render",
    "ostro.cli.summary",
    "ostro.sandbox.local",
    "ostro.sandbox.docker",
    "openai",
    "jinja2",
)


@dataclass(frozen=True)
class Death:
    """When a process is to kill itself: right before or right after it writes the n-th line of its logs, from 0.

    Attributes:
        kind: count the events of this type only.
    """

    line: int
    after: bool
    kind: str = ""


class Nursery:
    """The server, seen from the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(
        self,
        arguments: Sequence[str],
        out: Path,
        death: Death | None = None,
        *,
        failure: Failure | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Start `ostro ARGUMENTS`, its stdout in the file `out`, its stderr beside it; return the process id.

        Args:
            arguments: of the command line.
            out: the file.
            death: when it is to kill itself.
            failure: which of its system calls is to fail.
            environment: variables that it gets besides those of the server.
        """
        job = {
            "arguments": list(arguments),
            "out": str(out),
            "death": death and [death.line, death.after, death.kind],
            "failure": failure and asdict(failure),
            "environment": dict(environment or {}),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """Wait for the end of the process that was started last; return its exit code."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the nursery died"
        return int(line)


@contextmanager
def nursery(environment: Mapping[str, str]) -> Generator[Nursery]:
    """Start the server; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.dying"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": f"{ROOT / 'typings'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Nursery(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)


def serve() -> None:
    """Answer jobs until stdin ends."""
    for name in LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            live(job)
        _say(child)
        _, status = os.waitpid(child, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def live(job: dict[str, Any]) -> NoReturn:
    """Be one process of Ostro."""
    code = 70
    with contextlib.suppress(BaseException):
        stdin = os.open(os.devnull, os.O_RDONLY)
        out, err = (os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in (job["out"], job["out"] + ".err"))
        for old, new in ((stdin, 0), (out, 1), (err, 2)):
            os.dup2(old, new)
        os.environ.update(job["environment"])
        if job["death"]:
            die_at(*job["death"])
        if job["failure"]:
            Failing(Failure(**job["failure"]))
        from ostro.cli.main import main

        try:
            main(job["arguments"])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def die_at(number: int, after: bool, kind: str) -> None:
    """Let this process kill itself, see `Death`."""
    from ostro.agent.record.trajectory import TrajectoryWriter

    append = TrajectoryWriter._append
    written = 0

    def counted(log: TrajectoryWriter, line: bytes) -> None:
        nonlocal written
        if kind and f'"type":"{kind}"'.encode() not in line:
            append(log, line)
            return
        if written == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        append(log, line)
        if written == number and after:
            os.kill(os.getpid(), signal.SIGKILL)
        written += 1

    TrajectoryWriter._append = counted  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    serve()
