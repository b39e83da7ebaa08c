"""`ostro replay`: what is printed, and its exit codes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ostro.agent.record.events import Event, Observed
from ostro.cli.main import cli
from tests.driving import SOLVE, drive
from tests.rewriting import rewrite


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    drive(folder, SOLVE)
    return folder / "run"


@pytest.fixture
def kept(recorded: Path) -> Path:
    """A copy of the run among those that OSTRO_HOME keeps."""
    return Path(shutil.copytree(recorded, Path(os.environ["OSTRO_HOME"]) / "runs" / "20260101-aa"))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["replay", *arguments], catch_exceptions=False, standalone_mode=False)


def spoil(log: Path) -> None:
    def change(event: Event) -> Event:
        return event.model_copy(update={"text": "x\x1b[2J"}) if isinstance(event, Observed) and not event.ok else event

    rewrite(log, change)


@pytest.mark.parametrize("name", ["last", "2026", "{folder}", "{folder}/trajectory.jsonl"])
def test_replay_of_any_name_of_a_run_says_that_nothing_differs(kept: Path, name: str) -> None:
    done = call(name.format(folder=kept))
    assert done.return_value == 0
    assert "no drift: 5 steps, 5 of 5 observations the same" in done.stdout


def test_replay_when_it_drifts_shows_the_diff_without_control_characters_and_ends_8(kept: Path) -> None:
    spoil(kept / "trajectory.jsonl")
    done = call("last")
    assert done.return_value == 8
    assert "step 1: bash python3 check.py" in done.stdout
    assert "+AssertionError: 4" in done.stdout
    assert "1 difference: 5 steps, 4 of 5" in done.stdout
    assert "\x1b" not in done.stdout


def test_replay_of_several_attempts_names_the_log_that_each_is_of(kept: Path) -> None:
    shutil.copytree(kept, kept / "attempt-2", ignore=shutil.ignore_patterns("base.git"))
    first, second = call("last").stdout.split("\n\n")
    assert first.startswith(f"{kept}/trajectory.jsonl\nno drift")
    assert second.startswith(f"{kept}/attempt-2/trajectory.jsonl\nno drift")


def test_replay_with_json_prints_one_object_with_a_report_for_each_attempt(kept: Path) -> None:
    shutil.copytree(kept, kept / "attempt-2", ignore=shutil.ignore_patterns("base.git"))
    spoil(kept / "attempt-2" / "trajectory.jsonl")
    done = call("last", "--output", "json")
    found = json.loads(done.stdout)
    assert (done.return_value, found["exit_code"], found["error"]) == (8, 8, None)
    assert [report["exit_code"] for report in found["replays"]] == [0, 8]
    (drift,) = found["replays"][1]["drifts"]
    assert (drift["turn"], drift["kind"], drift["tool"]) == (0, "observation", "bash")
