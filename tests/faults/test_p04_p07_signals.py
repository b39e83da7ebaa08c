"""Rows P04 to P07 of the fault matrix, and kill -9: the work is kept, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ostro.agent.interruption import ONE_REQUEST_S
from ostro.agent.outcome import RunReport
from ostro.cli.errors import BROKEN_PIPE
from ostro.sandbox import owner, reaper
from ostro.sandbox.docker_engine import Engine
from tests.driving import FIX, SOLVE, SUBMIT, bash, git, make_repository
from tests.endpoint import serve
from tests.running import (
    LONG,
    LONGEST_END_S,
    SLEEP,
    check_kept,
    command,
    command_lines,
    end_process_of,
    environment,
    left_behind,
    running,
)
from tests.worlds import missing

sandboxed = pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))


@sandboxed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_p04_p06_p07_run_when_signalled_in_a_long_command_then_the_patch_so_far_is_on_the_branch(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint) as run:
        run.await_command()
        report = run.end(number)
        check_kept(run, report, run.process.returncode)


@sandboxed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_p04_p06_run_when_interrupted_while_the_model_hangs_then_the_same(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serve([FIX], "A08", times=0, turn=1) as endpoint, running(tmp_path, endpoint) as run:
        run.await_request(2)
        report = run.end(number)
        check_kept(run, report, run.process.returncode)


@pytest.mark.parametrize("flags", [["--sandbox", "none"], ["--test", f"{SLEEP}1"]], ids=["no sandbox", "base tests"])
def test_p04_run_when_interrupted_then_nothing_of_its_own_goes_on(tmp_path: Path, flags: list[str]) -> None:
    if flags[0] == "--test" and (reason := missing("bubblewrap")):
        pytest.skip(reason)
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint, *flags) as run:
        run.await_command()
        report = run.end(signal.SIGINT)
        assert (report.outcome, run.process.returncode) == ("interrupted", 130)
        assert report.branch is not None
        assert report.tests.before.status == "not_run"
        assert left_behind() == []


@pytest.mark.docker
def test_p04_run_when_interrupted_in_docker_then_no_container_and_no_volume_is_left(
    tmp_path: Path, docker_image: str
) -> None:
    flags = ["--sandbox", "docker", "--image", docker_image]
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint, *flags) as run:
        run.await_command()
        report = run.end(signal.SIGINT)
        assert (report.outcome, run.process.returncode) == ("interrupted", 130)
        assert report.branch is not None
        with contextlib.closing(Engine.connect()) as engine:
            found = [*engine.containers({owner.LABEL: ""}), *engine.volumes({owner.LABEL: ""})]
        owners = [owner.Owner.from_labels(labelled.labels) for labelled in found]
        assert run.process.pid not in [owner.pid for owner in owners if owner]


@sandboxed
def test_p06_run_when_interrupted_while_the_patch_is_tested_then_the_branch_is_named(tmp_path: Path) -> None:
    waits_on_the_fix = f"grep -q 'sum(prices) + 1' price.py || {SLEEP}"
    with serve(SOLVE) as endpoint, running(tmp_path, endpoint, "--test", waits_on_the_fix) as run:
        run.await_process(SLEEP)
        report = run.end(signal.SIGTERM)
        assert (report.outcome, run.process.returncode) == ("interrupted", 130)
        assert git(run.repository, "rev-parse", str(report.branch)) == report.commit
        assert report.tests.after.status == "not_run"
        assert left_behind() == []


@sandboxed
def test_p04_run_when_interrupted_before_the_first_step_then_no_folder_and_130(tmp_path: Path) -> None:
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint, "--setup", SLEEP) as run:
        run.await_process(SLEEP)
        report = run.end(signal.SIGINT)
        assert (report.outcome, run.process.returncode, report.run) == ("interrupted", 130, "")
        assert not run.out.exists()
        assert left_behind() == []


@sandboxed
def test_p05_run_when_signalled_again_then_it_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's git waits for a file to go, so that the orderly end takes for ever."""
    waiting = tmp_path / "waiting"
    git_program = tmp_path / "bin" / "git"
    git_program.parent.mkdir()
    git_program.write_text(f'#!/bin/sh\nwhile [ -e {waiting} ]; do sleep 0.1; done\nexec {shutil.which("git")} "$@"\n')
    git_program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git_program.parent}:{os.environ['PATH']}")
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint) as run:
        run.await_command()
        waiting.touch()
        run.process.send_signal(signal.SIGINT)
        run.await_process(f"/bin/sh {git_program}")
        time.sleep(2 * ONE_REQUEST_S)  # signals closer together are one request
        begun = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        run.process.communicate(timeout=30)
        assert time.monotonic() - begun < 1.0
        assert run.process.returncode == 130
        assert "+    return sum(prices)\n" in (run.out / "patch.diff").read_text()
        waiting.unlink()


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@sandboxed
def test_p05_run_when_killed_then_its_processes_die_and_the_next_start_reaps_the_folder(tmp_path: Path) -> None:
    sandboxes = Path(os.environ["OSTRO_HOME"]) / "sandboxes"
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint) as run:
        run.await_command()
        below = children(run.process.pid)
        run.process.kill()
        run.process.communicate()
        deadline = time.monotonic() + LONGEST_END_S
        while [pid for pid in below if Path(f"/proc/{pid}").exists()] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not [line for line in command_lines() if str(sandboxes) in line]
        assert "+    return sum(prices)\n" in (run.out / "patch.diff").read_text()
        assert len(list(sandboxes.glob("[!.]*"))) == 1
    reaper.reap_folders(sandboxes, grace_s=60.0)
    assert len(list(sandboxes.glob("[!.]*"))) == 1
    mark = next((sandboxes / ".orphans").iterdir())
    os.utime(mark, (time.time() - 61.0, time.time() - 61.0))
    with serve(SOLVE) as endpoint:
        again = subprocess.run(
            command(run.repository, endpoint), env=environment(), capture_output=True, check=False, timeout=60
        )
    assert again.returncode == 0, again.stderr
    assert left_behind() == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_p07_run_when_a_stream_was_closed_before_then_the_same_result(tmp_path: Path, closed: str) -> None:
    repository = make_repository(tmp_path / "repository")
    with serve(SOLVE) as endpoint:
        line = f'exec "$@" {closed}'
        arguments = command(repository, endpoint, "--sandbox", "none")
        done = subprocess.run(
            ["sh", "-c", line, "sh", *arguments], env=environment(), check=False, timeout=60, capture_output=True
        )
    assert done.returncode == 0
    assert b"Traceback" not in done.stdout + done.stderr
    assert git(repository, "branch", "--list", "ostro/*") != ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_p07_run_when_nobody_reads_a_stream_then_no_traceback(tmp_path: Path, stream: str) -> None:
    repository = make_repository(tmp_path / "repository")
    reading, writing = os.pipe()
    os.close(reading)
    stdout, stderr = (writing if name == stream else subprocess.PIPE for name in ("stdout", "stderr"))
    with serve(SOLVE) as endpoint:
        done = subprocess.run(
            command(repository, endpoint, "--sandbox", "none"),
            env=environment(),
            check=False,
            timeout=60,
            stdout=stdout,
            stderr=stderr,
        )
    os.close(writing)
    assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")
    assert b"Exception ignored" not in (done.stderr or b"")
    assert git(repository, "branch", "--list", "ostro/*") != ""
    assert done.returncode == (0 if stream == "stderr" else BROKEN_PIPE)


@sandboxed
def test_p07_run_when_its_terminal_goes_away_and_it_was_told_to_ignore_that_then_it_goes_on(tmp_path: Path) -> None:
    turns = [FIX, bash(f"{SLEEP} & wait"), SUBMIT, SUBMIT]
    with serve(turns) as endpoint, running(tmp_path, endpoint, before=["nohup"]) as run:
        run.await_command()
        run.process.send_signal(signal.SIGHUP)
        end_process_of(SLEEP)
        stdout, _ = run.process.communicate(timeout=60)
    assert RunReport.model_validate_json(stdout).outcome == "submitted"


@sandboxed
def test_p07_run_when_only_its_first_line_is_read_then_it_ends_as_if_all_were(tmp_path: Path) -> None:
    repository, code = make_repository(tmp_path / "repository"), tmp_path / "code"
    with serve(SOLVE) as endpoint:
        line = f'{{ "$@" 2>&1; echo $? >{code}; }} | head -1'
        arguments = command(repository, endpoint, "--out", str(tmp_path / "run"))
        done = subprocess.run(
            ["sh", "-c", line, "sh", *arguments], env=environment(), check=True, timeout=60, capture_output=True
        )
    assert len(done.stdout.splitlines()) == 1
    assert code.read_text() == f"{BROKEN_PIPE}\n"
    assert RunReport.model_validate_json((tmp_path / "run" / "report.json").read_text()).outcome == "submitted"
    assert git(repository, "branch", "--list", "ostro/*") != ""
    assert left_behind() == []
