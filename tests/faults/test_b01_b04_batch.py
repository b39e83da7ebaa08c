"""Rows B01 to B04: what a batch survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ostro.agent.errors import UsageError
from ostro.agent.record.lock import RunLock
from ostro.benchmarks.report import results_json
from ostro.benchmarks.store import RESULT, instance_folder, read_run
from ostro.benchmarks.summary import summarise
from tests.faults.batches import BEGUN, drive


def totals(folder: Path) -> dict[str, object]:
    """The results of a run, less what names the folder and the time."""
    run = read_run(folder)
    found = results_json(run, summarise(run.manifest, run.results))
    return {key: value for key, value in found.items() if key not in ("run_id", "manifest")}


def killed(out: Path, after: int) -> None:
    """Run the batch in a process that SIGKILLs itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.batches", str(out), "20", str(after), "0"], env=os.environ, check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_b01_batch_of_20_killed_at_7_when_repeated_then_each_is_done_once_with_the_same_totals(tmp_path: Path) -> None:
    drive(tmp_path / "whole", 20)
    out = tmp_path / "killed"

    killed(out, 7)
    kept = len(read_run(out).results)
    killed(out, 7)
    drive(out, 20)

    assert 7 <= kept < 20
    assert totals(out) == totals(tmp_path / "whole")
    begun = Counter((out / BEGUN).read_text().split())
    assert len(begun) == 20
    assert sum(begun.values()) - 20 <= 2 * 2, "only what was under way in the two workers is begun again"


def test_b02_task_that_crashes_the_worker_each_time_is_left_after_two_tries_and_the_rest_is_done(
    tmp_path: Path,
) -> None:
    run, stopped = drive(tmp_path, 6, crashing=3)

    crashed = next(result for result in run.results if result.instance_id == "batch__task-3")
    assert (crashed.status, crashed.infra_kind, crashed.tries) == ("infra", "crash", 2)
    assert "ZeroDivisionError" in crashed.infra
    assert [result.status for result in run.results].count("infra") == 1
    assert len(run.results) == 6
    assert stopped == ""
    assert Counter((tmp_path / BEGUN).read_text().split())["batch__task-3"] == 2


def test_b03_result_that_was_cut_short_when_repeated_then_that_task_alone_runs_again(tmp_path: Path) -> None:
    drive(tmp_path, 5)
    (tmp_path / BEGUN).unlink()
    result = instance_folder(tmp_path, "batch__task-4") / RESULT
    result.write_bytes(result.read_bytes()[:40])

    run, _ = drive(tmp_path, 5)

    assert (tmp_path / BEGUN).read_text().split() == ["batch__task-4"]
    assert [one.status for one in run.results].count("resolved") == 2


def test_b04_second_batch_in_the_same_folder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    tmp_path.joinpath("out").mkdir()
    with RunLock(tmp_path / "out"), pytest.raises(UsageError, match=f"process {os.getpid()}"):
        drive(tmp_path / "out", 3)
    assert not (tmp_path / "out" / BEGUN).exists()
