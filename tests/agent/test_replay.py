"""Replay: recorded runs against fresh sandboxes, and every way in which they can differ."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.acting import MAX_BEGINNINGS
from ostro.agent.errors import ConfigError, UsageError
from ostro.agent.outcome import Ending
from ostro.agent.record.drift import ReplayReport
from ostro.agent.record.events import Called, Ended, Event, Observed, Planned, Resumed, RunStarted
from ostro.agent.record.recording import read_recording
from ostro.agent.record.replay import ReplayRequest, recorded_settings, replay
from ostro.prompts.render import render
from tests.driving import SOLVE, SUBMIT, bash, drive, git
from tests.rewriting import rewrite

TEXT_CALL = {"content": 'I look.\n```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```'}
TURNS = (
    bash("date; echo $$ > /tmp/number; mktemp; pwd"),
    {"content": None},
    {"calls": [{"name": "run_terminal", "arguments": {"x": 1}}]},
    TEXT_CALL,
    bash("cat price.py"),
    bash("(cd /; pwd); pwd"),
    *SOLVE,
)
CHECKED, FIXED, CHECKED_AGAIN, SUBMITTED, ENDED = range(6, 11)
"""Turns of `SOLVE`."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, the repository of it, and OSTRO_HOME."""
    folder = tmp_path_factory.mktemp("recorded")
    run = drive(folder, TURNS)
    assert run.report.exit_code == 0
    return folder


@pytest.fixture
def log(recorded: Path, tmp_path: Path) -> Path:
    """The log in a copy of the run folder, to be rewritten."""
    return Path(shutil.copytree(recorded / "run", tmp_path / "run")) / "trajectory.jsonl"


def again(log: Path, **changes: Any) -> ReplayReport:
    return replay(ReplayRequest(log=log, home=log.parent.parent / "home", **changes))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_replay_when_nothing_has_changed_then_no_drift_and_nothing_of_the_users_is_touched(
    recorded: Path, tmp_path: Path
) -> None:
    before = contents(recorded / "run") | contents(recorded / "repository")
    report = replay(ReplayRequest(log=recorded / "run" / "trajectory.jsonl", home=tmp_path))
    assert (report.exit_code, report.drifts) == (0, ())
    assert (report.turns, report.calls, report.same, report.left_out) == (11, 10, 10, 0)
    assert report.notes == ()
    assert contents(recorded / "run") | contents(recorded / "repository") == before
    assert [path for path in (tmp_path / "sandboxes").iterdir() if not path.name.startswith(".")] == []


def test_replay_when_an_observation_differs_then_the_diff_names_it_and_the_replay_goes_on(log: Path) -> None:
    def change(event: Event) -> Event:
        if isinstance(event, Observed) and "AssertionError" in event.text:
            return event.model_copy(update={"text": event.text.replace("AssertionError: 4", "AssertionError: 5")})
        return event

    rewrite(log, change)
    report = again(log)
    (drift,) = report.drifts
    assert report.exit_code == 8
    assert (drift.turn, drift.kind, drift.tool, drift.command) == (CHECKED, "observation", "bash", "python3 check.py")
    assert "-AssertionError: 5\n+AssertionError: 4" in drift.diff
    assert (report.turns, report.same) == (11, 9)


@pytest.mark.parametrize("last", [Planned, Called])
def test_replay_when_the_run_was_killed_then_it_replays_up_to_there(log: Path, last: type[Event]) -> None:
    seen: list[Event] = []

    def cut(event: Event) -> Event | None:
        if any(isinstance(one, last) and getattr(one, "turn", -1) == CHECKED_AGAIN for one in seen):
            return None
        seen.append(event)
        return event

    rewrite(log, cut)
    report = again(log)
    assert (report.exit_code, report.turns, report.calls, report.same) == (0, 9, 7, 7)


def interrupted(log: Path, turn: int, times: int) -> None:
    """Write the log as if the process had been killed `times` times during the call of a turn."""
    repeats = times < MAX_BEGINNINGS

    def change(event: Event) -> Event | list[Event]:
        if not isinstance(event, Called | Observed) or event.turn != turn:
            return event
        if isinstance(event, Called):
            resumed = Resumed(turn=turn, sandbox="rebuilt", cut_call=event.call.id, repeats=True)
            changed: list[Event] = [event, resumed] * (times - 1)
            return [*changed, event, resumed.model_copy(update={"repeats": repeats})]
        told = render("interrupted.j2", name=event.name, repeated=repeats, times=times)
        text = f"{told}\n{event.text}" if repeats else told
        return event.model_copy(update={"text": text, "interrupted": not repeats, "ok": event.ok and repeats})

    rewrite(log, change)


@pytest.mark.parametrize("times", [1, 2])
def test_replay_when_a_call_was_cut_off_and_run_again_then_the_model_is_told_again(log: Path, times: int) -> None:
    interrupted(log, CHECKED, times)
    report = again(log)
    assert (report.drifts, report.same) == ((), 10)


def test_replay_when_an_observation_says_interrupted_then_the_call_is_not_run(log: Path) -> None:
    interrupted(log, FIXED, MAX_BEGINNINGS)
    report = again(log)
    assert [drift.turn for drift in report.drifts] == [CHECKED_AGAIN, SUBMITTED, ENDED, None]
    assert "+AssertionError: 4" in report.drifts[0].diff, "without the edit"
    assert report.drifts[2].diff.endswith("-submitted\n+no_action")


def test_replay_when_a_limit_was_changed_on_resuming_then_the_reminder_comes_where_it_came(log: Path) -> None:
    def change(event: Event) -> Event | list[Event]:
        if isinstance(event, Planned) and event.turn == 1:
            return [Resumed(turn=1, sandbox="kept", limits={"steps": 15}), event]
        return event

    rewrite(log, change)
    (drift,) = again(log).drifts
    assert drift.turn == SUBMITTED
    assert "5 steps" in drift.diff


def test_replay_when_the_final_patch_differs_then_it_is_drift(log: Path) -> None:
    def change(event: Event) -> Event:
        return event.model_copy(update={"patch_sha256": "0" * 64}) if isinstance(event, Ended) else event

    rewrite(log, change)
    (drift,) = again(log).drifts
    assert (drift.turn, drift.kind) == (None, "patch")
    assert "+    return sum(prices)" in drift.diff


def test_replay_when_the_log_ended_otherwise_then_it_is_drift(log: Path) -> None:
    def change(event: Event) -> Event:
        if isinstance(event, Ended):
            return event.model_copy(update={"outcome": event.outcome.model_copy(update={"ending": Ending.GAVE_UP})})
        return event

    rewrite(log, change)
    (drift,) = again(log).drifts
    assert (drift.turn, drift.kind, drift.diff.splitlines()[-2:]) == (ENDED, "ending", ["-gave_up", "+submitted"])


def test_replay_when_the_intake_reads_other_calls_today_then_drift_and_the_recorded_ones_run(log: Path) -> None:
    def change(event: Event) -> Event:
        if isinstance(event, Planned) and event.reply_text:
            return event.model_copy(update={"reply_text": event.reply_text.replace('"ls"', '"ls -a"')})
        return event

    rewrite(log, change)
    report = again(log)
    assert [(drift.turn, drift.kind) for drift in report.drifts] == [(3, "calls")]
    assert '+ "command": "ls -a"' in report.drifts[0].diff
    assert report.same == 10


def test_replay_when_an_old_log_has_not_what_the_model_sent_then_its_calls_run_all_the_same(log: Path) -> None:
    def change(event: Event) -> Event:
        return event.model_copy(update={"reply_text": ""}) if isinstance(event, Planned) else event

    rewrite(log, change)
    report = again(log)
    assert (report.drifts, report.same) == ((), 10)


def test_replay_without_isolation_when_asked_for_then_only_the_place_differs(log: Path) -> None:
    report = again(log, sandbox="none")
    assert report.replayed.sandbox == "none"
    assert [drift.turn for drift in report.drifts] == []
    assert report.notes == ("recorded in the sandbox bubblewrap, replayed in none",)


@pytest.mark.parametrize(
    ("recorded_in", "chosen"),
    [("docker", "docker"), ("bubblewrap", "local"), ("unshare", "local"), ("none", "auto")],
)
def test_recorded_settings_take_the_recorded_kind_but_never_none(
    log: Path, recorded_in: str, chosen: str, tmp_path: Path
) -> None:
    started = read_recording(log).started
    started = started.model_copy(
        update={"sandbox": recorded_in, "config": {**started.config, "network": True, "gone": 1}}
    )
    settings = recorded_settings(started, ReplayRequest(log=log, home=tmp_path))
    assert (settings.sandbox, settings.network, settings.home) == (chosen, False, tmp_path)


def test_recorded_settings_when_a_value_cannot_be_used_then_told(log: Path) -> None:
    started = read_recording(log).started.model_copy(update={"config": {"steps": "many"}})
    with pytest.raises(ConfigError, match="recorded setting steps cannot be used"):
        recorded_settings(started, ReplayRequest(log=log, home=log.parent))


def test_replay_when_the_run_folder_has_no_base_then_the_named_repository_serves(log: Path, recorded: Path) -> None:
    shutil.rmtree(log.parent / "base.git")
    with pytest.raises(UsageError, match=r"holds no base\.git") as refused:
        again(log)
    assert "--repo" in refused.value.mend
    repository = Path(shutil.copytree(recorded / "repository", log.parent.parent / "moved"))
    git(repository, "commit", "-q", "--allow-empty", "-m", "later")
    assert again(log, repository=repository).drifts == ()
    other = log.parent.parent / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "other")
    with pytest.raises(UsageError, match="has no commit"):
        again(log, repository=other)


def test_replay_when_the_run_ended_before_its_first_step_then_told(log: Path) -> None:
    rewrite(log, lambda event: None if isinstance(event, RunStarted) else event)
    with pytest.raises(UsageError, match="has no steps"):
        again(log)


def test_replay_when_replies_had_no_call_then_the_ending_is_the_same(tmp_path: Path) -> None:
    run = drive(tmp_path, [{"content": "I think."}])
    assert run.report.outcome == "no_action"
    report = again(tmp_path / "run" / "trajectory.jsonl")
    assert (report.exit_code, report.turns, report.calls) == (0, 3, 0)


def test_replay_when_the_workspace_was_lost_then_it_is_lost_again(tmp_path: Path) -> None:
    run = drive(tmp_path, [bash("rm -rf /workspace/* /workspace/.[a-z]*; mv /workspace /w"), SUBMIT])
    report = again(tmp_path / "run" / "trajectory.jsonl")
    assert report.turns == len(run.of("planned"))
    assert report.drifts == ()
