"""`ostro runs`, `view` and `clean` on run folders written by the real trajectory writer."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ostro.agent.errors import StorageError, UsageError
from ostro.agent.history import ToolCall
from ostro.agent.model.reply import Usage
from ostro.agent.outcome import Ending, Outcome, RunReport, Tokens
from ostro.agent.record.events import Ended, Noted, Observed, Planned, RunStarted
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.cli.main import cli
from ostro.cli.store import find_run, is_working, list_runs
from tests.driving import SUBMIT, drive

PATCH = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-old\n+new\n"
CALL = ToolCall(id="abcdefghi", name="bash", arguments={"command": "cat a.py\nls", "timeout": 5})


def manifest(run_id: str) -> RunStarted:
    return RunStarted(
        ostro_version="0.1.0",
        run_id=run_id,
        task={"title": f"Task of {run_id}"},
        model="m",
        endpoint="vercel",
        base_url="https://example.org/v1",
        sampling={},
        price=None,
        prompt_sha256="",
        tools_sha256="",
        base_commit="0" * 40,
        sandbox="docker",
        sandbox_description="docker: no network",
        image=None,
        config={},
        messages=(),
    )


def write_run(home: Path, run_id: str, *, finished: bool = True) -> Path:
    folder = home / "runs" / run_id
    with TrajectoryWriter(folder / "trajectory.jsonl") as log:
        log.write(manifest(run_id))
        log.write(
            Planned(
                turn=0,
                text="I look.",
                calls=(CALL,),
                finish_reason="tool_calls",
                usage=Usage(),
                cost_usd=0.0,
                cost_source="catalogue",
            )
        )
        text = "\n".join(f"line {number}" for number in range(50)) + "\n\x1b[2Jhidden"
        log.write(Observed(turn=0, call_id=CALL.id, name="bash", text=text, ok=True, mutated=False))
        log.write(Noted(kind="warning", text="careful"))
        if finished:
            outcome = Outcome(ending=Ending.SUBMITTED, reason="done")
            log.write(
                Ended(outcome=outcome, steps=1, tokens=Tokens(), cost_usd=0.0, cost_source="catalogue", seconds=1.0)
            )
    if finished:
        patch = folder / "patch.diff"
        patch.write_text(PATCH)
        report = RunReport(run=str(folder), outcome=Ending.SUBMITTED, exit_code=0, patch=str(patch), steps=1)
        (folder / "report.json").write_text(report.model_dump_json(by_alias=True))
    return folder


@pytest.fixture
def home() -> Path:
    return Path(os.environ["OSTRO_HOME"])


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)


def test_runs_without_any_says_how_to_get_one(home: Path) -> None:
    assert "ostro demo" in call("runs").stdout


def test_runs_lists_the_newest_first(home: Path) -> None:
    for age, run_id in ((300, "b-old"), (200, "a-middle"), (100, "c-new")):
        log = write_run(home, run_id, finished=run_id != "c-new") / "trajectory.jsonl"
        stamp = log.stat().st_mtime - age
        os.utime(log, (stamp, stamp))
    lines = call("runs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["c-new", "a-middle", "b-old"]
    assert "unfinished" in lines[0]
    assert "Task of c-new" in lines[0]
    assert "submitted" in lines[1]
    assert len(json.loads(call("runs", "--limit", "2", "--output", "json").stdout)["runs"]) == 2


def test_runs_when_a_folder_was_given_lists_it_and_clean_leaves_it_alone(home: Path, tmp_path: Path) -> None:
    run = drive(tmp_path, [SUBMIT, SUBMIT], home=home)
    (listed,) = json.loads(call("runs", "--output", "json").stdout)["runs"]
    assert listed["run"] == run.report.run == str(tmp_path / "run")
    name = call("runs").stdout.split()[0]
    assert json.loads(call("runs", name, "--output", "json").stdout)["run"] == run.report.run
    assert f"removed {name} (its folder stays)" in call("clean", "--runs").stdout
    assert "No runs in" in call("runs").stdout
    assert is_working(tmp_path / "run") is False
    assert find_run(home, run.report.run) == tmp_path / "run"


def test_runs_when_a_given_folder_is_gone_lists_it_no_more(home: Path, tmp_path: Path) -> None:
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "20260101-000000-aa").symlink_to(tmp_path / "gone")
    assert "No runs in" in call("runs").stdout
    assert "20260101-000000-aa" in call("clean", "--runs").stdout
    assert not (home / "runs" / "20260101-000000-aa").is_symlink()


def test_runs_of_one_gives_its_report(home: Path) -> None:
    folder = write_run(home, "20260101-000000-aa")
    found = json.loads(call("runs", "last", "--output", "json").stdout)
    assert found["run"] == str(folder)
    assert "ostro view 20260101-000000-aa" in call("runs", "20260101-000000-aa").stdout


def test_clean_knows_the_environments_of_evaluations(home: Path) -> None:
    for kind in ("local", "wheels"):
        (home / "instances" / kind / "abc").mkdir(parents=True)
    assert json.loads(call("clean", "--trees", "--output", "json").stdout)["removed"] == [
        "instances/local/abc", "instances/wheels/abc",
    ]  # fmt: skip
    assert not (home / "instances" / "local" / "abc").exists()


def test_find_run_when_the_beginning_is_unique_finds_it(home: Path) -> None:
    first = write_run(home, "20260101-aa")
    second = write_run(home, "20260102-bb")
    assert find_run(home, "20260101") == first
    assert find_run(home, str(second)) == second
    assert find_run(home, str(second / "trajectory.jsonl")) == second
    with pytest.raises(UsageError, match="2 runs begin with"):
        find_run(home, "2026")
    with pytest.raises(UsageError, match="no run 'x'"):
        find_run(home, "x")


def test_runs_when_the_report_is_missing_says_so(home: Path) -> None:
    write_run(home, "r1", finished=False)
    with pytest.raises(UsageError, match="has no report"):
        call("runs", "r1")


def test_runs_when_a_log_is_damaged_still_lists(home: Path) -> None:
    folder = write_run(home, "r1")
    (folder / "trajectory.jsonl").write_bytes(b"garbage\n\n")
    (folder / "report.json").write_text("{")
    assert "unfinished" in call("runs").stdout


def test_view_shows_steps_calls_observations_and_patch_without_control_characters(home: Path) -> None:
    write_run(home, "r1")
    text = call("view", "r1").stdout
    for part in (
        "Step 1",
        "I look.",
        "line 29",
        "more lines; --full shows them",
        "warning: careful",
        "submitted: done",
    ):
        assert part in text
    assert "line 30" not in text
    assert "\x1b" not in text
    assert text.endswith("-old\n+new\n")


def test_view_in_full_shows_every_line_escaped(home: Path) -> None:
    write_run(home, "r1")
    text = call("view", "r1", "--full", "--step", "1").stdout
    assert "line 49\n" in text
    assert "\\x1b[2Jhidden" in text
    assert "+new" not in text


def test_view_of_a_step_that_the_run_does_not_have_says_which_is_the_last(home: Path) -> None:
    write_run(home, "r1")
    for flags in ([], ["--output", "json"]):
        with pytest.raises(UsageError, match="r1 has no step 99") as caught:
            call("view", "r1", "--step", "99", *flags)
        assert caught.value.mend == "Its last step is 1."


def test_view_with_json_prints_the_events(home: Path) -> None:
    write_run(home, "r1")
    found = json.loads(call("view", "--output", "json").stdout)
    assert [event["type"] for event in found["events"]] == ["run_started", "planned", "observed", "noted", "ended"]


def test_view_as_html_writes_one_page_that_holds_the_run(home: Path, tmp_path: Path) -> None:
    write_run(home, "r1")
    target = tmp_path / "pages" / "run.html"
    assert call("view", "r1", "--html", str(target)).stdout == f"Written: {target}\n"
    page = target.read_text()
    assert page.startswith("<!doctype html>")
    assert '"id":"r1"' in page
    assert '"ending":"submitted"' in page


def test_view_as_html_into_a_place_that_cannot_be_written_says_so(home: Path, tmp_path: Path) -> None:
    write_run(home, "r1")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        call("view", "r1", "--html", str(tmp_path / "file" / "run.html"))


def test_clean_without_kinds_removes_nothing(home: Path) -> None:
    folder = write_run(home, "r1")
    text = call("clean").stdout
    assert "Nothing was removed" in text
    assert folder.exists()


def test_clean_with_dry_run_names_and_keeps(home: Path) -> None:
    folder = write_run(home, "r1")
    found = json.loads(call("clean", "--runs", "--dry-run", "--output", "json").stdout)
    assert (found["would_remove"], found["removed"]) == (["r1"], [])
    assert folder.exists()


def test_clean_of_runs_removes_old_ones_and_never_a_working_one(home: Path) -> None:
    old, new, working = (write_run(home, name) for name in ("old", "new", "working"))
    for path in (old, old / "trajectory.jsonl"):
        os.utime(path, (1e9, 1e9))
    call("clean", "--runs", "--older-than", "30")
    assert [path.exists() for path in (old, new, working)] == [False, True, True]
    with TrajectoryWriter.reopen(working / "trajectory.jsonl"):
        assert is_working(working)
        call("clean", "--runs")
    assert list_runs(home) == [working]


def test_clean_of_checkpoints_keeps_the_run(home: Path) -> None:
    folder = write_run(home, "r1")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "1.tar").write_bytes(b"x" * 5000)
    call("clean", "--checkpoints")
    assert not (folder / "checkpoints").exists()
    assert list_runs(home) == [folder]
