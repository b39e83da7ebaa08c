"""Rows L06 and L07 of the fault matrix: the n-th call of a kind fails in a real run, for n = 1, 2, ... until none does.

Each n is a run of its own in a process of its own (tests/faults/failing.py). At every n there is a typed ending, a log
that can be read, a repository that is untouched or has a complete branch, nothing left behind, and a run that
`ostro resume` completes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ostro.agent.outcome import Ending, RunReport
from ostro.agent.record.events import Ended
from ostro.agent.record.trajectory import read_events
from tests.driving import CHECK, FIX, SUBMIT, git, make_repository
from tests.endpoint import serve
from tests.faults.dying import Nursery, nursery
from tests.faults.failing import Failure
from tests.faults.matrix import whole_matrix
from tests.running import command_lines
from tests.worlds import missing

FIXED = "def total(prices):\n    return sum(prices)"
TURNS = (FIX, SUBMIT, SUBMIT)
AT_ONCE = 2
ERRORS = {"write": "ENOSPC", "fsync": "EIO", "rename": "EIO", "open": "EIO", "spawn": "EAGAIN"}
STORAGE = (Ending.STORAGE_ERROR, Ending.DISK_FULL)
ENDINGS = (Ending.SUBMITTED, Ending.SANDBOX_ERROR, Ending.PREFLIGHT_FAILED, Ending.MODEL_ERROR, *STORAGE)

pytestmark = pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        failure: what it was to meet, and has met if the mark is there; None for a request that was refused.
        again: what `ostro resume` made of it; None where there was nothing to resume.
    """

    folder: Path
    failure: Failure | None
    exit_code: int
    stdout: str
    stderr: str
    again: RunReport | None

    @property
    def failed(self) -> bool:
        return self.failure is None or Path(self.failure.mark).exists()

    @property
    def report(self) -> RunReport:
        return RunReport.model_validate_json(self.stdout)


class Driver:
    """Drives runs one after another, each in a process forked from one that has everything imported."""

    def __init__(self, server: Nursery, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def run(self, kind: str, number: int) -> Run:
        """Run Ostro on a repository of its own with the failure in it, and resume what it leaves.

        Args:
            kind: of `Failure`, or `request`: the endpoint refuses.
            number: the call that fails, from 1.
        """
        folder = self._folder / f"{kind}-{number}"
        folder.mkdir()
        repository = make_repository(folder / "repository")
        failure = Failure(kind, number, ERRORS[kind], str(folder / "mark")) if kind in ERRORS else None
        with serve(TURNS, "" if failure else "401", turn=number - 1) as endpoint:
            model = ["--endpoint", endpoint.url, "--model", "m", "--price", "0,0"]
            sandbox = ["--sandbox", "local", "--setup", "true", "--test", CHECK]
            where = ["--repo", str(repository), "--out", str(folder / "run"), "--output", "json"]
            code = self._ostro(folder, "first", ["run", "--task", "x", *where, *model, *sandbox], failure)
            stdout, stderr = ((folder / name).read_text() for name in ("first", "first.err"))
            ended = Run(folder, failure, code, stdout, stderr, None)
            check(ended)
            if not (folder / "run").exists() or ended.report.outcome is Ending.SUBMITTED:
                return ended
            self._ostro(folder, "second", ["resume", str(folder / "run"), "--output", "json"])
        return replace(ended, again=RunReport.model_validate_json((folder / "second").read_text()))

    def _ostro(self, folder: Path, name: str, arguments: list[str], failure: Failure | None = None) -> int:
        self._server.start(arguments, folder / name, failure=failure, environment={"OSTRO_HOME": str(folder / "home")})
        return self._server.wait()


def until_none_fails(folder: Path, kind: str, first: int, step: int) -> Iterator[Run]:
    """Yield the runs in which call number `first`, `first + step`, ... fails, up to the first that met no failure."""
    with ExitStack() as stack:
        drivers = [Driver(stack.enter_context(nursery(os.environ)), folder) for _ in range(AT_ONCE)]
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        for number in itertools.count(first, step * AT_ONCE):
            tasks = [pool.submit(driver.run, kind, number + step * at) for at, driver in enumerate(drivers)]
            runs = [task.result() for task in tasks]
            yield from runs
            if not all(run.failed for run in runs):
                return


def check(run: Run) -> None:
    """What every failure of the machine leaves of a run."""
    assert "Traceback" not in run.stderr
    report = run.report
    assert (run.exit_code, report.exit_code) == (report.outcome.exit_code,) * 2
    assert report.outcome in ENDINGS, report
    assert (report.outcome is Ending.SUBMITTED) == (report.error is None), report
    if not run.failed:
        assert report.outcome is Ending.SUBMITTED
        assert report.branch is not None
    check_repository(run.folder / "repository", report)
    check_folder(run.folder / "run", report)
    check_nothing_left(run.folder)


def check_completed(run: Run) -> None:
    """What `ostro resume` makes of the run: what it would have been without the failure."""
    if run.again is None:
        return
    assert run.again.outcome is Ending.SUBMITTED, (run.failure, run.again)
    assert run.again.branch is not None
    check_repository(run.folder / "repository", run.again)
    check_folder(run.folder / "run", run.again)
    check_nothing_left(run.folder)


def check_repository(repository: Path, report: RunReport) -> None:
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "fsck", "--strict", "--no-dangling") == ""
    assert git(repository, "branch", "--show-current") == "main"
    assert not [path for path in (repository / ".git").rglob("*") if path.suffix == ".lock" or "tmp" in path.name]
    branches = git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads/ostro").split()
    for branch in branches:
        assert git(repository, "show", f"{branch}:price.py") == FIXED
        assert git(repository, "rev-parse", f"{branch}^") == git(repository, "rev-parse", "main")
    assert report.branch is None or [report.branch] == branches


def check_folder(folder: Path, report: RunReport) -> None:
    if not report.run:
        assert not folder.exists()
        return
    log = folder / "trajectory.jsonl"
    events = list(read_events(log)) if log.exists() else []
    if report.outcome not in STORAGE:
        assert [event for event in events if isinstance(event, Ended)]
    if (folder / "report.json").exists():
        assert RunReport.model_validate_json((folder / "report.json").read_text()).run == report.run
    if report.patch is not None:
        assert "+    return sum(prices)\n" in Path(report.patch).read_text()
    names = {path.name for path in folder.iterdir()}
    assert names <= {"trajectory.jsonl", "report.json", "patch.diff", "base.git", "checkpoints", "request.json"}, names


def check_nothing_left(folder: Path) -> None:
    assert list((folder / "home" / "sandboxes").glob("[!.]*")) == []
    assert [line for line in command_lines() if str(folder) in line] == []


STRIDE = 8
"""Every so many calls fail in the slow tier; all of them with `make faults`."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(ERRORS))
def test_l06_l07_run_when_any_call_fails_then_a_typed_ending_and_a_resumed_run_completes(
    tmp_path: Path, kind: str, pytestconfig: pytest.Config
) -> None:
    for run in until_none_fails(tmp_path, kind, 1, 1 if whole_matrix(pytestconfig) else STRIDE):
        check_completed(run)


@pytest.mark.parametrize(("kind", "stride"), [("write", 60), ("fsync", 30)])
def test_l06_l07_run_when_some_calls_fail_then_a_typed_ending_and_a_resumed_run_completes(
    tmp_path: Path, kind: str, stride: int
) -> None:
    """A few calls; the slow test beside it has more."""
    for run in until_none_fails(tmp_path, kind, stride // 2, stride):
        check_completed(run)


def test_l06_run_when_any_request_is_refused_then_a_typed_ending_and_a_resumed_run_completes(tmp_path: Path) -> None:
    with nursery(os.environ) as server:
        driver = Driver(server, tmp_path)
        for number in range(1, len(TURNS) + 1):
            run = driver.run("request", number)
            assert run.report.outcome is Ending.MODEL_ERROR
            assert run.again is not None
            check_completed(run)
