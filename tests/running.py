"""Runs in a process of their own, for tests of signals, kills and streams: `ostro run` against a scripted endpoint."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Ended, Published
from ostro.agent.record.trajectory import read_events
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.driving import bash, git, make_repository

ROOT = Path(__file__).parent.parent
LONGEST_END_S = 5.0
START_S = 60.0
SLEEP = f"sleep 6{os.getpid():07}"
"""A command of ours alone, that nobody waits for."""

LONG = bash(f"echo '# begun' >>price.py; {SLEEP}")


@dataclass
class Running:
    """A run in progress, in a process of its own."""

    process: subprocess.Popen[str]
    endpoint: ScriptedEndpoint
    repository: Path
    out: Path

    def await_command(self) -> None:
        """Return when the command of `LONG` runs."""
        self.await_process(SLEEP)

    def await_request(self, number: int) -> None:
        """Return when the endpoint has been asked so often."""
        self._await(lambda: len(self.endpoint.requests) >= number)

    def await_process(self, start: str) -> None:
        """Return when there is a process whose command line begins with these words."""
        self._await(lambda: any(f"{line} ".startswith(f"{start} ") for line in command_lines()))

    def _await(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, number: signal.Signals) -> RunReport:
        """Send a signal once and return the report of the run, which has to end in time."""
        begun = time.monotonic()
        self.process.send_signal(number)
        stdout, stderr = self.process.communicate(timeout=30)
        assert time.monotonic() - begun < LONGEST_END_S
        assert "Traceback" not in stderr
        return RunReport.model_validate(json.loads(stdout))


@contextmanager
def running(
    folder: Path, endpoint: ScriptedEndpoint, *flags: str, before: Sequence[str] = (), **more: str
) -> Generator[Running]:
    """Start `ostro run` against an endpoint; it is killed at the end if it still runs.

    Args:
        folder: holds the repository and the run.
        endpoint: the model.
        flags: further flags.
        before: a program that starts it, with its arguments.
        more: variables of its environment.
    """
    repository, out = make_repository(folder / "repository"), folder / "run"
    process = subprocess.Popen(
        [*before, *command(repository, endpoint, "--out", str(out), "--output", "json", *flags)],
        env={**environment(), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process, endpoint, repository, out)
    finally:
        process.kill()
        process.communicate()


def command(repository: Path, endpoint: ScriptedEndpoint, *flags: str) -> list[str]:
    model = ["--endpoint", endpoint.url, "--model", "m", "--price", "0,0"]
    sandbox = ["--sandbox", "local", "--setup", "true", "--test", ""]
    return [
        sys.executable,
        "-m",
        "ostro.cli.main",
        "run",
        "--repo",
        str(repository),
        "--task",
        "x",
        *model,
        *sandbox,
        *flags,
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "typings")}


def left_behind() -> list[str]:
    """What is there of the test's sandboxes: their folders, processes that name its OSTRO_HOME, its command."""
    home = Path(os.environ["OSTRO_HOME"])
    folders = [str(path) for path in (home / "sandboxes").glob("[!.]*")]
    return folders + [line for line in command_lines() if str(home) in line or line.startswith(SLEEP)]


def command_lines() -> list[str]:
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip())
        except OSError:
            continue
    return found


def end_process_of(start: str) -> None:
    """End the processes whose command line begins with these words."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").startswith(start):
                os.kill(int(process.name), signal.SIGTERM)


def check_kept(run: Running, report: RunReport, code: int) -> None:
    """What every orderly interruption owes."""
    assert (report.outcome, report.exit_code, code) == ("interrupted", 130, 130)
    assert "sum(prices)\n" in git(run.repository, "show", f"{report.branch}:price.py") + "\n"
    assert "+    return sum(prices)\n" in Path(str(report.patch)).read_text()
    assert RunReport.model_validate_json((run.out / "report.json").read_text()) == report
    events = read_events(run.out / "trajectory.jsonl")
    ended, *after = [event for event in events if isinstance(event, Ended | Published)]
    assert isinstance(ended, Ended)
    assert [event.type for event in after] == (["published"] if report.branch else [])
    assert git(run.repository, "status", "--porcelain") == ""
    assert left_behind() == []


def ostro(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Ostro to its end."""
    return subprocess.run(
        [sys.executable, "-m", "ostro.cli.main", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
