"""`ostro export` as a user calls it: a log, a run of several attempts, an evaluation, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from click.testing import CliRunner

from ostro.agent.errors import UsageError
from ostro.agent.record.export import FORMATS as KNOWN
from ostro.benchmarks.store import INSTANCES, MANIFEST
from ostro.cli.export import FORMATS
from ostro.cli.main import cli
from tests.corpus import LOG, TRAJECTORIES

DEMO = TRAJECTORIES / "demo" / LOG


def put(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        shutil.copy(DEMO, folder / LOG)


def test_formats_of_the_command_are_those_that_can_be_written() -> None:
    assert tuple(KNOWN) == FORMATS


def test_export_of_a_log_is_one_document_on_stdout_or_in_the_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(DEMO), "--to", "atif"])
    assert json.loads(done.stdout)["schema_version"].startswith("ATIF-")
    written = CliRunner().invoke(cli, ["export", str(DEMO), "--to", "atif", "--out", str(tmp_path / "new" / "a.json")])
    assert written.exit_code == 0, written.output
    assert (tmp_path / "new" / "a.json").read_text("utf-8") == done.stdout


def test_export_of_a_prediction_is_one_line_with_the_name_given() -> None:
    done = CliRunner().invoke(cli, ["export", str(DEMO), "--to", "prediction", "--name", "x__y-1"])
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["instance_id"] == "x__y-1"


def test_export_of_an_evaluation_has_a_folder_for_each_instance(tmp_path: Path) -> None:
    run = tmp_path / "run"
    put(run / INSTANCES / "a__b-1" / "run", run / INSTANCES / "c__d-2" / "run")
    (run / MANIFEST).write_text("{}", "utf-8")
    done = CliRunner().invoke(cli, ["export", str(run), "--to", "swe-agent", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.traj"))
    assert written == ["a__b-1/a__b-1.traj", "c__d-2/c__d-2.traj"]


def test_export_of_several_attempts_tells_them_apart_and_wants_a_folder(tmp_path: Path) -> None:
    run = tmp_path / "some-run"
    put(run / "attempt-2", run / "attempt-3")
    refused = CliRunner().invoke(cli, ["export", str(run), "--to", "mini-swe-agent"])
    assert isinstance(refused.exception, UsageError)
    assert "2 trajectories" in str(refused.exception)
    CliRunner().invoke(cli, ["export", str(run), "--to", "mini-swe-agent", "--out", str(tmp_path / "out")])
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.traj.json"))
    assert names == ["some-run-attempt-2.traj.json", "some-run-attempt-3.traj.json"]
