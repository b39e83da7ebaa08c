"""Rows D01, D03 and D04 of the fault matrix: the disk of the run folder is full or read-only, file descriptors are few.

D02, a full disk inside the sandbox, is in tests/attacks.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Observed
from ostro.agent.record.trajectory import read_events
from ostro.benchmarks.scripted_endpoint import Exchange, FaultPlan, ScriptedEndpoint
from tests.driving import FIX, SUBMIT, bash, git, make_repository
from tests.endpoint import serve
from tests.running import command, environment, left_behind, running
from tests.worlds import missing

LARGE = bash("head -c 400000 /dev/urandom | base64")
"""Its output is kept beside the log, and cannot be compressed much."""

OWN_MOUNTS = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
SMALL_DISK = 'mount -t tmpfs -o size=1m tmpfs "$DISK"'
READ_ONLY = 'mount -t tmpfs tmpfs "$DISK" && mkdir "$DISK/home" "$DISK/run" && mount -o remount,ro "$DISK"'


def in_shell(script: str, disk: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may mount something on `$DISK`, which nobody else sees."""
    disk.mkdir()
    return subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", script, "sh", *arguments],
        env={**environment(), "DISK": str(disk), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_d01_run_when_its_disk_is_full_then_it_says_so_keeps_what_it_had_and_can_go_on(tmp_path: Path) -> None:
    repository, disk, kept = make_repository(tmp_path / "repository"), tmp_path / "disk", tmp_path / "kept"
    kept.mkdir()
    resume = f"{sys.executable} -m ostro.cli.main resume $DISK --output json"
    script = (
        f'{SMALL_DISK} && "$@" >{kept}/first.json; cp -a $DISK {kept}/full; '
        f"mount -o remount,size=64m $DISK && {resume} >{kept}/second.json && cp -a $DISK {kept}/whole"
    )
    with serve([FIX, *[LARGE] * 5, SUBMIT, SUBMIT]) as endpoint:
        flags = ["--sandbox", "none", "--skip-preflight", "--out", str(disk), "--output", "json"]
        done = in_shell(script, disk, *command(repository, endpoint, *flags))
    assert "Traceback" not in done.stderr
    first = RunReport.model_validate_json((kept / "first.json").read_text())
    assert (first.outcome, first.exit_code) == ("disk_full", 6)
    assert first.error is not None
    assert "ostro clean" in first.error.mend
    assert "+    return sum(prices)\n" in (kept / "full" / "patch.diff").read_text()
    outputs = check_outputs(kept / "full")
    assert 1 <= outputs < 5
    assert done.returncode == 0, done.stderr
    second = RunReport.model_validate_json((kept / "second.json").read_text())
    assert second.outcome == "submitted"
    assert git(repository, "show", f"{second.branch}:price.py").endswith("sum(prices)")
    assert check_outputs(kept / "whole") == 5


def check_outputs(folder: Path) -> int:
    """Count the outputs that the log names; each is there and whole."""
    events = [event for event in read_events(folder / "trajectory.jsonl") if isinstance(event, Observed)]
    names = [event.full_output for event in events if event.full_output]
    assert all(len(gzip.decompress((folder / name).read_bytes())) > 400_000 for name in names)
    return len(names)


@pytest.mark.parametrize(
    ("out", "home"),
    [("disk/run", "home"), ("disk/new", "home"), ("run", "disk/home"), ("run", "disk/new")],
    ids=["run folder", "above the run folder", "home", "above home"],
)
def test_d03_run_when_a_folder_of_its_own_is_read_only_then_it_ends_before_any_request(
    tmp_path: Path, out: str, home: str
) -> None:
    repository, disk = make_repository(tmp_path / "repository"), tmp_path / "disk"
    with serve([FIX]) as endpoint:
        arguments = command(repository, endpoint, "--out", str(tmp_path / out), "--output", "json")
        done = in_shell(f'{READ_ONLY} && exec "$@"', disk, *arguments, OSTRO_HOME=str(tmp_path / home))
        assert endpoint.requests == []
    report = RunReport.model_validate_json(done.stdout)
    assert (done.returncode, report.outcome) == (6, "storage_error")
    assert report.error is not None
    assert str(disk) in report.error.message
    assert "Read-only" in report.error.message
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert git(repository, "branch", "--list", "ostro/*") == ""


@pytest.mark.slow
@pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))
def test_d04_run_of_five_hundred_steps_when_file_descriptors_are_few_then_none_leaks(tmp_path: Path) -> None:
    turns = [FIX, *(bash(f"echo {number}") for number in range(498)), SUBMIT, SUBMIT]
    open_files: list[int] = []

    def look(exchange: Exchange) -> None:
        if len(endpoint.requests) in (20, 250, 490):
            open_files.append(len(list(Path(f"/proc/{run.process.pid}/fd").iterdir())))
        exchange.play()

    endpoint = ScriptedEndpoint(turns, faults=[FaultPlan("look", None, 0)], known_faults={"look": look})
    endpoint.by_request = turns  # the history is compacted on the way, so that its length says nothing
    few = ["prlimit", "--nofile=64"]
    with endpoint, running(tmp_path, endpoint, "--steps", "600", before=few) as run:
        stdout, stderr = run.process.communicate(timeout=300)
    report = RunReport.model_validate_json(stdout)
    assert (report.outcome, len(endpoint.requests)) == ("submitted", 501), stderr[-2000:]
    assert len(open_files) == 3
    assert max(open_files) <= min(open_files) + 1
    assert left_behind() == []
