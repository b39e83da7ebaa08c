"""Rows L06 and L07 of the fault matrix: the n-th call of a kind fails in a real run, for n = 1, 2, ... until none does.

Each n is a run of its own in a process of its own (tests/faults/failing.py). At every n there is a typed ending, a log
that can be read, a repository that is untouched or has a complete branch, and nothing left behind.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostro.agent.outcome import Ending, RunReport
from ostro.agent.record.events import Ended
from ostro.agent.record.trajectory import read_events
from tests.driving import CHECK, FIX, SUBMIT, git, make_repository
from tests.endpoint import serve
from tests.running import command_lines, environment
from tests.worlds import missing

FAILING = Path(__file__).parent / "failing.py"
FIXED = "def total(prices):\n    return sum(prices)"
TURNS = (FIX, SUBMIT, SUBMIT)
AT_ONCE = 2
ERRORS = {"write": "ENOSPC", "fsync": "EIO", "rename": "EIO", "open": "EIO", "spawn": "EAGAIN"}
STORAGE = (Ending.STORAGE_ERROR, Ending.DISK_FULL)
ENDINGS = (Ending.SUBMITTED, Ending.SANDBOX_ERROR, Ending.WORKSPACE_LOST, Ending.PREFLIGHT_FAILED, *STORAGE)

pytestmark = pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        failed: whether it met the failure.
    """

    folder: Path
    failed: bool
    exit_code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> RunReport:
        return RunReport.model_validate_json(self.stdout)


def run_failing(folder: Path, kind: str, number: int, code: str) -> Run:
    """Run Ostro on a repository of its own, with the failure in it."""
    folder.mkdir()
    repository, mark = make_repository(folder / "repository"), folder / "mark"
    variables = {**environment(), "OSTRO_HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    with serve(TURNS) as endpoint:
        model = ["--endpoint", endpoint.url, "--model", "m", "--price", "0,0"]
        sandbox = ["--sandbox", "local", "--setup", "true", "--test", CHECK]
        where = ["--repo", str(repository), "--out", str(folder / "run"), "--output", "json"]
        failure = [kind, str(number), code, str(mark)]
        done = subprocess.run(
            [sys.executable, str(FAILING), *failure, "run", "--task", "x", *where, *model, *sandbox],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    return Run(folder, mark.exists(), done.returncode, done.stdout, done.stderr)


def until_none_fails(folder: Path, kind: str, code: str, numbers: Iterator[int]) -> Iterator[Run]:
    """Yield the run of each number, up to the first that met no failure."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            batch = list(itertools.islice(numbers, AT_ONCE))
            for run in pool.map(lambda number: run_failing(folder / f"{kind}-{number}", kind, number, code), batch):
                yield run
                if not run.failed:
                    return


def check(run: Run) -> None:
    """What every failure of the machine leaves of a run."""
    report = run.report
    assert "Traceback" not in run.stderr
    assert (run.exit_code, report.exit_code) == (report.outcome.exit_code,) * 2
    assert report.outcome in ENDINGS, report
    assert (report.outcome is Ending.SUBMITTED) == (report.error is None), report
    if not run.failed:
        assert report.outcome is Ending.SUBMITTED
        assert report.branch is not None
    check_repository(run.folder / "repository", report)
    check_folder(run.folder / "run", report)
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(ERRORS))
def test_l06_run_when_any_call_fails_then_a_typed_ending_and_nothing_half_done(tmp_path: Path, kind: str) -> None:
    runs = 0
    for run in until_none_fails(tmp_path, kind, ERRORS[kind], itertools.count(1)):
        runs += 1
        check(run)
    assert runs > AT_ONCE
