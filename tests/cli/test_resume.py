"""`ostro resume` at the front door: found by folder, id or `last`; refused in one line; reported like a run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.driving import SOLVE, git, make_repository
from tests.endpoint import FAULTS
from tests.front_door import ostro

TURNS = [*SOLVE[:2], {**SOLVE[2], "fault": "A06", "fault_times": 1}, *SOLVE[3:]]


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(TURNS, known_faults=FAULTS) as served:
        yield served


def start(folder: Path, endpoint: ScriptedEndpoint, *flags: str) -> subprocess.CompletedProcess[str]:
    repository = make_repository(folder / "repository")
    model = ["--endpoint", endpoint.url, "--model", "m", "--price", "1,2", "--sandbox", "none", "--test", ""]
    return ostro("run", "--repo", str(repository), "--task", "total() is too high", *model, *flags)


def run_id() -> str:
    folder = Path(os.environ["OSTRO_HOME"]) / "runs"
    (only,) = folder.iterdir()
    return only.name


def test_resume_when_the_model_had_failed_then_the_command_that_the_summary_named(
    tmp_path: Path, endpoint: ScriptedEndpoint
) -> None:
    first = start(tmp_path, endpoint)
    assert first.returncode == 4
    assert f"  ostro resume {run_id()}\n" in first.stdout
    done = ostro("resume", run_id()[:12])
    assert done.returncode == 0, done.stderr
    assert "submitted" in done.stdout
    assert f"cd {tmp_path / 'repository'}" in done.stdout
    assert "ostro resume" not in done.stdout
    assert "resumed at step 2: rebuilt sandbox, checkpoint restored" in done.stderr
    assert git(tmp_path / "repository", "branch", "--list", "ostro/*") != ""


def test_resume_when_asked_for_json_then_the_report_of_a_run(tmp_path: Path, endpoint: ScriptedEndpoint) -> None:
    first = start(tmp_path, endpoint, "--steps", "1", "--output", "json")
    assert first.returncode == 3
    refused = ostro("resume", "last", "--output", "json")
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["error"]["kind"] == "limit"
    endpoint.turns[2] = SOLVE[2]
    done = ostro("resume", "last", "--steps", "9", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == list(json.loads(first.stdout))
    report = RunReport.model_validate(json.loads(done.stdout))
    assert (report.outcome, report.steps, report.run) == ("submitted", len(SOLVE), json.loads(first.stdout)["run"])


def test_resume_when_the_run_has_ended_then_one_line_and_the_same_report(
    tmp_path: Path, endpoint: ScriptedEndpoint
) -> None:
    endpoint.turns[2] = SOLVE[2]
    first = start(tmp_path, endpoint, "--output", "json")
    again = ostro("resume", "last", "--output", "json")
    assert (again.returncode, json.loads(again.stdout)) == (0, json.loads(first.stdout))
    assert again.stderr.strip().endswith("has ended (submitted): there is nothing to resume")


def test_resume_when_there_is_no_such_run_then_one_line_and_code_2(tmp_path: Path) -> None:
    for name, said in (
        ("last", "there is no run 'last'"),
        (str(tmp_path / "nowhere"), "there is no run"),
        (str(tmp_path), "is a folder but holds no run"),
    ):
        done = ostro("resume", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert said in done.stderr


def test_resume_when_another_process_works_on_the_run_then_it_is_named(
    tmp_path: Path, endpoint: ScriptedEndpoint
) -> None:
    from ostro.agent.record.lock import RunLock

    start(tmp_path, endpoint)
    with RunLock(Path(os.environ["OSTRO_HOME"]) / "runs" / run_id()):
        done = ostro("resume", "last")
    assert done.returncode == 2
    assert f"process {os.getpid()} on" in done.stderr
